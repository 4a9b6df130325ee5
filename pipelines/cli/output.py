"""What commands print: results as text or as one JSON document."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.progress import QUIET

if TYPE_CHECKING:
    from pipelines.config import Config
    from pipelines.experiment.parts import PartRow
    from pipelines.experiment.plan import PlanRow


def print_config(config: Config, as_json: bool) -> None:
    """Print what ``--dry-run`` shows of one training: the data as found, and the sections of the
    configuration that it reads.
    """
    from pipelines.config import dump_config
    from pipelines.datasets import load_data
    from pipelines.generators.in_memory import chosen_family, unused_conditions
    from pipelines.generators.load import OF_OTHER_JOBS

    config = config.with_family()
    chosen_family(config.source)
    bundle = load_data(config.data, config.seed)
    found = f"# {bundle.name}: {bundle.regime}; {len(bundle.test)} test images; {bundle.note}\n"
    if words := unused_conditions(bundle.train, config.source):
        note(words)
    others = {key for key in OF_OTHER_JOBS if key != "out"}
    read = config.model_dump(mode="json", exclude=others)
    print_result(read, as_json, lambda: found + dump_config(config, without=others))


def print_plan(
    facts: Mapping[str, str],
    rows: Sequence[PlanRow],
    seconds: float,
    processes: int,
    as_json: bool,
) -> None:
    """Print what ``--dry-run`` shows of a job with parts.

    Args:
        facts: What the job will do: data, what is scored, arms or rows, networks.
        rows: What is trained how often, what of it is finished, and estimates.
        seconds: Estimated in all.
        processes: Groups that are made at the same time.
        as_json: One JSON document in the place of text.
    """
    from pipelines.report.page import duration
    from pipelines.report.terminal import fold, plain_table

    document = {
        **facts,
        "plan": [vars(row) for row in rows],
        "seconds": round(seconds, 1),
        "processes": processes,
    }

    def text() -> str:
        lines = [line for name, value in facts.items() for line in fold(f"{name}: {value}")]
        cells = []
        for row in rows:
            time = "–" if row.seconds is None else duration(row.seconds)
            cells.append((row.what, str(row.count), str(row.finished), time))
        head = ("to make", "needed", "finished", "estimate, one process")
        lines += [
            "",
            plain_table(head, cells),
            "",
            f"about {duration(seconds)} with --processes {processes}",
        ]
        return "\n".join(lines)

    print_result(document, as_json, text)


def parts_text(rows: Sequence[PartRow]) -> str:
    """A line per part: status, kind, label, seconds, and why it is not used."""
    lines = [f"{'status':<15}  {'seconds':>7}  part"]
    for row in rows:
        name = f"{row.kind}: {row.label}" if row.label else row.file
        seconds = f"{row.seconds:.1f}" if row.seconds else ""
        lines.append(f"{row.status:<15}  {seconds:>7}  {name}")
        if row.reason:
            lines.append(f"{'':<26}{row.reason}")
    return "\n".join(lines)


TIMING = "timing a few steps of every training …"
"""Said before an estimate, which can take a minute."""


def print_result(
    result: Any, as_json: bool, text: Callable[[], str], following: Sequence[str] = ()
) -> None:
    """Print one JSON document, or the text and, on standard error, what one may do next.

    Args:
        result: As JSON values, or what ``jsonable`` makes them of.
        as_json: Whether to print the document.
        text: Makes the text.
        following: Commands to copy; left out with ``--quiet``.
    """
    if as_json:
        click.echo(_json_text(jsonable(result)))
    else:
        click.echo("\n".join(map(harmless, text().rstrip("\n").split("\n"))))
    if not as_json and not os.environ.get(QUIET):
        for command in following:
            click.echo(f"next: {harmless(command)}", err=True)


def note(words: str) -> None:
    """A line on standard error for whoever waits; left out with ``--quiet``."""
    if not os.environ.get(QUIET):
        click.echo(words, err=True)


def opening(folder: Path | str) -> str:
    """The command that opens the report of a run."""
    return f"augmentor report {shlex.quote(str(folder))} --open"


def _json_text(result: Any) -> str:
    """A JSON document whose names cannot steer a terminal."""
    whole = json.dumps(result, indent=2, ensure_ascii=False)
    return "".join(c if c.isprintable() or c in "\n " else json.dumps(c)[1:-1] for c in whole)


def harmless(line: str) -> str:
    """A line without what steers a terminal, or what it cannot show: class names may hold
    anything.
    """
    return "".join(
        c if c.isprintable() or (c.isspace() and c >= " ") else ascii(c)[1:-1] for c in line
    )


def jsonable(value: Any) -> Any:
    """Dataclasses, paths and tuples as JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {str(name): jsonable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def as_lines(result: Mapping[str, Any], indent: str = "") -> str:
    """A nested mapping as indented ``name: value`` lines."""
    lines = []
    for name, value in result.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}:", as_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {plain(value)}")
    return "\n".join(lines)


def plain(value: Any) -> str:
    """A value as a person reads it: four digits, lists with commas."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(plain, value)) if isinstance(value, list | tuple) else str(value)


def print_edit(report: Any, as_json: bool) -> None:
    """Print where the pictures of an edit are."""
    print_result(
        report,
        as_json,
        lambda: f"{len(report.images)} images in {report.out}; all of them: {report.picture}",
    )
