"""The job ``compare``: families trained on one data set with one budget, all measured by one judge.

The training of a row is a run of its own, ``<out>/<row>/``, and is resumed where it was cut off.
What was measured is a part; a run makes the missing parts only.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from augmentor.common.atomic_files import write_bytes, write_text
from augmentor.common.types import DivergedError
from pipelines.compare.pictures import Shown, grids
from pipelines.compare.plan import ComparePlan, compare_plan
from pipelines.compare.report import compare_report
from pipelines.compare.rows import make_compared
from pipelines.compare.tables import as_markdown
from pipelines.compare.verdict import order_of, verdict
from pipelines.config import Config
from pipelines.experiment.job import opened_by
from pipelines.experiment.parts import FinishedPart
from pipelines.experiment.place import require_place
from pipelines.experiment.plan import parts_of
from pipelines.experiment.provenance import provenance_of_parts
from pipelines.experiment.setup import data_setup, generator_setup
from pipelines.generators.compared import Section
from pipelines.progress import Progress, Silent
from pipelines.report.pictures import png_bytes
from pipelines.results import read_result, write_result

ONLY_IN_PARTS = ("real", "measured_by", "pictures")


def compare_run(
    config: Config, out: Path, *, progress: Progress | None = None, command: str | None = None
) -> dict[str, Any]:
    """Train families with one budget and measure them with one judge.

    Args:
        config: The run; ``source`` holds what all families share, ``compare`` their names and
            options.
        out: Folder for ``compare.json``, ``compare.md``, ``compare.png``, ``reconstructions.png``
            (where a family has an encoder), ``report.html``, ``config.yaml``, ``parts/`` and one
            folder per row.
        progress: Progress reporter.
        command: Command line to record; this process's own unless given.

    Returns:
        The contents of compare.json.

    Raises:
        ConfigError: If a family or an option is unknown, or ``out`` holds trainings of another
            configuration.
        DataError: If the data cannot be used, or an extra run is not a run, is of other data or saw
            a test image.
        DivergedError: If every training diverged; a single one leaves a row without numbers.
        Interrupted: After a signal; finished parts and the trainings so far stay.
        RunLockedError: If another process works in ``out``.
    """
    progress, start = progress or Silent(), time.perf_counter()
    plan = compare_plan(config, out)
    require_place(config, out)
    parallelism, device = plan.parallelism, plan.setting.device
    with opened_by(
        config, out, make_compared, progress, parallelism=parallelism, device=device
    ) as job:
        [[judge]] = job.finished([plan.judge], "judge")
        finished = [parts[0] for parts in job.finished(plan.row_groups, "compare")]
    result = compare_result(plan, finished)
    result |= provenance_of_parts([judge, *finished], time.perf_counter() - start, command)
    result["seconds"] = _seconds(judge, finished, result["seconds"]["total"])
    _write(out, plan, result, finished)
    return result


def compare_result(plan: ComparePlan, finished: Sequence[FinishedPart]) -> dict[str, Any]:
    """The contents of compare.json but for where they come from.

    Args:
        plan: Of the comparison.
        finished: The parts of its rows.

    Raises:
        DivergedError: If no row has numbers.
    """
    measured = [part.content for part in finished if part.content["real"] is not None]
    if not measured:
        first = finished[0]
        warning = first.content["warnings"][0]
        raise DivergedError(f"no row could be measured: {first.label}: {warning}")
    fullest = max(measured, key=lambda content: int(content["samples"]))
    rows = {part.label: _row(part, fullest["samples"]) for part in finished}
    result: dict[str, Any] = {
        "dataset": plan.bundle.name,
        "regime": plan.bundle.regime,
        "budget": _budget(plan),
        "samples": fullest["samples"],
        "real": fullest["real"] | {"memorisation_p": None},
        "rows": list(rows),
        "families": rows,
        "order": order_of(rows),
        **fullest["measured_by"],
        "notes": [plan.bundle.note],
        "setup": setup_of(plan),
    }
    return result | {"verdict": verdict(result)}


def setup_of(plan: ComparePlan) -> dict[str, Any]:
    """What was trained on what, for the report."""
    setting, bundle, judging = plan.setting, plan.bundle, plan.judging
    judge, student = judging.judge, judging.student
    return {
        **data_setup(bundle),
        "test images": len(bundle.test),
        "judge": f"{judge.name}, random first weights, {judge.steps} steps of {judge.batch_size}",
        "student": f"{student.name}, random first weights, {student.steps} steps of "
        f"{student.batch_size}",
        "samples per row": judging.samples,
        **generator_setup(setting.source, bundle.train.image_shape[1]),
        "generator": "one per row",
        "trainings per family": 1,
        "seed": setting.seed,
        "device": setting.device,
    }


def _row(part: FinishedPart, samples: int) -> Section:
    """A part as compare.json holds it; beside a row of fewer samples what real data score with as
    few.
    """
    content = part.content
    row = {key: value for key, value in content.items() if key not in ONLY_IN_PARTS}
    row["seconds"] = dict(part.seconds)
    if content["samples"] < samples and content["real"] is not None:
        row["real_at_as_few"] = content["real"]
    return row


def _budget(plan: ComparePlan) -> Section:
    source = plan.setting.source
    return {
        "steps": source.steps,
        "batch_size": source.batch_size,
        "images": source.steps * source.batch_size,
        "class_power": source.class_power,
        "source_augment": source.source_augment,
        "seed": plan.setting.seed,
    }


def _seconds(
    judge: FinishedPart, finished: Sequence[FinishedPart], total: float
) -> dict[str, float]:
    """Wall-clock time of this call, of the judge, and of each row as far as one sitting made it."""
    found = {"total": total, "judge": round(sum(judge.seconds.values()), 1)}
    for part in finished:
        found[f"row {part.label}"] = round(sum(part.seconds.values()), 1)
    return found


def report_again(config: Config, out: Path) -> Path:
    """Write the report of a finished run anew, from compare.json and its parts; nothing is trained.

    Returns:
        The page.
    """
    plan, result = compare_plan(config, out), read_result(out / "compare.json", "compare")
    shown: dict[str, Any] = {}
    for part in parts_of(plan.row_groups):
        if plan.store.has(part):
            shown[part.label] = plan.store.read(part).content["pictures"]
    result["verdict"] = verdict(result)
    write_text(out / "report.html", compare_report(result, shown, plan.bundle, out))
    return out / "report.html"


def _write(
    out: Path, plan: ComparePlan, result: dict[str, Any], finished: Sequence[FinishedPart]
) -> None:
    shown: Shown = {part.label: part.content["pictures"] for part in finished}
    for name, picture in grids(shown, plan.bundle).items():
        write_bytes(out / f"{name}.png", png_bytes(picture))
    write_text(out / "compare.md", as_markdown(result))
    write_text(out / "report.html", compare_report(result, shown, plan.bundle, out))
    write_result(out / "compare.json", result, "compare")
