"""The job ``semi``: every method on the same few labels, and what each makes of the unlabelled
rest.

A run that was stopped, or is asked for more methods, subsets or numbers of labels, makes only what
is missing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from augmentor.common.atomic_files import write_text
from augmentor.common.types import DivergedError
from downstream.arms.recipe import CONSISTENCY
from downstream.metrics import Outputs
from pipelines.config import Config
from pipelines.experiment.job import opened_by
from pipelines.experiment.parts import FinishedPart
from pipelines.experiment.place import require_place
from pipelines.experiment.plan import parts_of
from pipelines.experiment.provenance import provenance_of_parts
from pipelines.experiment.setup import POOL_SHARED, classifier_setup, data_setup, generator_setup
from pipelines.progress import Progress, Silent
from pipelines.report.page import in_a_row
from pipelines.results import read_newest, write_result
from pipelines.semi.gan_methods import GanHead
from pipelines.semi.gan_parts import make_semi
from pipelines.semi.plan import SemiPlan, semi_plan
from pipelines.semi.report import semi_report
from pipelines.semi.scores import errors_of, paired_differences, verdict
from pipelines.semi.tables import as_markdown
from pipelines.workbench.training_parts import outputs_of

Finished = Mapping[str, FinishedPart]
"""The finished parts by their digest."""


def semi_run(
    config: Config, out: Path, *, progress: Progress | None = None, command: str | None = None
) -> dict[str, Any]:
    """Measure the error of semi-supervised methods against the number of labels.

    Args:
        config: The run.
        out: Folder for ``semi.json``, ``semi.md``, ``report.html``, ``config.yaml`` and ``parts/``.
        progress: Progress reporter.
        command: Command line to record; this process's own unless given.

    Returns:
        The contents of semi.json.

    Raises:
        ConfigError: If a method is unknown, or the labels asked for cannot be drawn from these
            data.
        DataError: If the data cannot be used.
        DivergedError: If a training stops being finite; names the part.
        Interrupted: After a signal; finished parts stay.
        RunLockedError: If another process works in ``out``.
    """
    progress, start = progress or Silent(), time.perf_counter()
    plan = semi_plan(config, out)
    require_place(config, out)
    parallelism, device = plan.parallelism, plan.setting.device
    with opened_by(config, out, make_semi, progress, parallelism=parallelism, device=device) as job:
        groups = plan.groups
        read = job.finished(groups, "trainings")
    digests = [part.digest for part in parts_of(groups)]
    finished = dict(zip(digests, chain.from_iterable(read), strict=True))
    result = semi_result(plan, finished)
    result |= provenance_of_parts(finished.values(), time.perf_counter() - start, command)
    write_result(out / "semi.json", result, "semi")
    write_text(out / "semi.md", as_markdown(result))
    _write_report(plan, result, finished, out)
    return result


def report_again(config: Config, out: Path) -> Path:
    """Write the report of a finished run anew, from semi.json and its parts; nothing is trained.

    Returns:
        The page.
    """
    plan, result = semi_plan(config, out), read_newest(out / "semi.json", "semi")
    finished = {}
    for part in parts_of(plan.groups):
        if plan.store.has(part):
            finished[part.digest] = plan.store.read(part)
    result["verdict"] = verdict(result)
    return _write_report(plan, result, finished, out)


def _write_report(plan: SemiPlan, result: dict[str, Any], finished: Finished, out: Path) -> Path:
    page = out / "report.html"
    write_text(page, semi_report(result, training_curves(plan, finished), out))
    return page


def semi_result(plan: SemiPlan, finished: Finished) -> dict[str, Any]:
    """The contents of semi.json but for where they come from.

    Raises:
        DivergedError: If class probabilities are not finite; names the part.
    """
    bundle, outputs = plan.bundle, semi_outputs(plan, finished)
    result: dict[str, Any] = {
        "dataset": bundle.name,
        "metric": plan.metric.name,
        "default_method": plan.reference,
        "methods": errors_of(outputs),
        "differences": paired_differences(outputs, plan.reference, plan.overlaps),
        "scored_on": bundle.scored_on,
        "images": {"training": sum(bundle.available), "scored": len(bundle.test)},
        "overlaps": dict(zip(map(str, plan.overlaps), plan.overlaps.values(), strict=True)),
        "setup": setup_of(plan),
        "notes": _notes(plan, finished),
    }
    return result | {"verdict": verdict(result)}


def semi_outputs(plan: SemiPlan, finished: Finished) -> dict[str, dict[int, list[Outputs]]]:
    """What a metric gets of every method: by number of labels, one per subset.

    Raises:
        DivergedError: If class probabilities are not finite; names the part.
    """
    found: dict[str, dict[int, list[Outputs]]] = {name: {} for name in plan.methods}
    for trial in plan.trials:
        for name, planned in trial.parts.items():
            part = finished[planned.digest]
            if not bool(part.tensors["class_probs"].isfinite().all()):
                raise DivergedError(f"{part.label}: class probabilities are not finite")
            own = found[name].setdefault(trial.labels, [])
            own.append(outputs_of(part, plan.bundle.test.y))
    return found


def training_curves(plan: SemiPlan, finished: Finished) -> list[dict[str, Any]]:
    """The curve of every training, with its method and number of labels."""
    found = []
    for trial in plan.trials:
        for name, planned in trial.parts.items():
            if planned.digest not in finished:
                continue
            curve = finished[planned.digest].content["curve"]
            found.append({"method": name, "labels": trial.labels, "curve": curve})
    return found


def setup_of(plan: SemiPlan) -> dict[str, Any]:
    """What was trained on what, for the report."""
    setting, bundle, settings = plan.setting, plan.bundle, plan.settings
    seeds = list(map(setting.replicate_seed, range(settings.subsets)))
    counts = in_a_row(list(map(str, sorted(settings.labels))))
    setup = data_setup(bundle) | {
        "regime": f"{counts} labels, the other training images without",
        "training images": sum(bundle.available),
        "scored images": len(bundle.test),
    }
    setup |= classifier_setup(setting.trainer, bundle.train)
    setup |= {
        "seed": setting.seed,
        "subsets": settings.subsets,
        "seeds of the subsets": seeds,
        "screening": setting.screening,
    }
    return setup | _steps_of_methods(plan)


def _steps_of_methods(plan: SemiPlan) -> dict[str, Any]:
    """Steps and networks of the methods that are not trained like the others."""
    found: dict[str, Any] = {}
    uses_generator = False
    for method in plan.methods.values():
        if isinstance(method, GanHead):
            uses_generator |= method.on_generator
            continue
        uses_generator |= method.uses_generator
        if method.training in CONSISTENCY:
            found["FixMatch steps"] = plan.settings.consistency_steps
    if "improved_gan" in plan.methods:
        found["improved_gan"] = f"dense networks as published, {plan.settings.gan_steps} steps"
    if "triple_gan" in plan.methods:
        found["triple_gan"] = f"networks of its family, {plan.settings.gan_steps} steps"
    if uses_generator:
        found |= generator_setup(plan.setting.source, plan.bundle.train.image_shape[1])
    return found


def _notes(plan: SemiPlan, finished: Finished) -> list[str]:
    found = set()
    for part in finished.values():
        found |= set(part.notes)
    return [*plan.notes, *sorted(found), f"subsets {POOL_SHARED}"]
