"""What commands print: results as text or as one JSON document."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pipelines.config import Config


def print_plan(config: Config, as_json: bool, *, tuning: bool = False) -> None:
    """Print what ``--dry-run`` shows: the data as they were found, and the whole config."""
    from pipelines.config import dump_config
    from pipelines.datasets import load_data

    bundle = load_data(config.data, config.seed, tuning=tuning)
    kind = "test images" if bundle.scored_on == "test" else bundle.scored_on
    found = f"# {bundle.name}: {bundle.regime}; {len(bundle.test)} {kind}; {bundle.note}\n"
    print_result(config.model_dump(mode="json"), as_json, lambda: found + dump_config(config))


def print_result(result: Any, as_json: bool, text: Callable[[], str]) -> None:
    """Print one JSON document, or the text."""
    whole = (
        json.dumps(jsonable(result), indent=2, ensure_ascii=False)
        if as_json
        else text().rstrip("\n")
    )
    click.echo("\n".join(map(harmless, whole.split("\n"))))


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


def gain_text(result: Mapping[str, Any], out: Path) -> str:
    """The table of arms, the verdict, and where to read on."""
    from pipelines.gain.run import gain_table

    return _with_verdict(gain_table(result), result, out / "report.html", out / "gain.json")


def compare_text(result: Mapping[str, Any], out: Path) -> str:
    """The table of families, the verdict, and where to read on."""
    from pipelines.compare.tables import compare_table

    return _with_verdict(compare_table(result), result, out / "report.html", out / "compare.json")


def print_edit(report: Any, as_json: bool) -> None:
    """Print where the pictures of an edit are."""
    print_result(
        report,
        as_json,
        lambda: f"{len(report.images)} images in {report.out}; all of them: {report.picture}",
    )


def semi_text(result: Mapping[str, Any], out: Path) -> str:
    """The table of errors, the verdict, and where to read on."""
    from pipelines.semi.tables import semi_table

    return _with_verdict(semi_table(result), result, out / "report.html", out / "semi.json")


def verify_text(result: Mapping[str, Any], out: Path) -> str:
    """The table of arms, the verdict, and where to read on."""
    from pipelines.verify.report import verify_table

    return _with_verdict(verify_table(result), result, out / "verify.md", out / "verify.json")


def _with_verdict(table: str, result: Mapping[str, Any], *files: Path) -> str:
    return "\n\n".join([table, result["verdict"], "  ".join(map(str, files))])
