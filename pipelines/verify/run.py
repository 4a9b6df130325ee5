"""The job ``verify``: what more or other people add to a network that tells strangers apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from augmentor.common.atomic_files import write_text
from augmentor.common.randomness import seed_for
from augmentor.common.types import DivergedError
from downstream.comparison import holm, outcome, paired_t
from downstream.verification import (
    Figure,
    Verification,
    difference,
    mean_figure,
    measure_verification,
)
from pipelines.config import Config, dump_config
from pipelines.experiment.job import opened
from pipelines.experiment.parts import FinishedPart, PartStore
from pipelines.experiment.plan import PART_MADE
from pipelines.experiment.provenance import provenance_of_parts
from pipelines.interrupt import Watch
from pipelines.progress import Progress, Silent
from pipelines.results import write_result
from pipelines.run_dir import RunDir, require_writable
from pipelines.verify.network import score_pairs, train_verifier
from pipelines.verify.plan import Arm, VerifierTask, VerifyPlan, require_usable, verify_plan
from pipelines.verify.report import BASELINE, METRICS, as_markdown, verdict

Figures = Mapping[str, Figure]


def verify_run(
    config: Config, out: Path, *, progress: Progress | None = None, command: str | None = None
) -> dict[str, Any]:
    """Train verification networks and score pairs of people they have not seen.

    Args:
        config: The run; ``verify`` names the pairs and the synthetic sets, ``classifier`` the
            network and its steps, which are the same for every arm.
        out: Folder for ``verify.json``, ``verify.md``, ``config.yaml`` and ``parts/``.
        progress: Progress reporter.
        command: Command line to record; this process's own unless given.

    Returns:
        The contents of verify.json.

    Raises:
        ConfigError: If no pairs are named, two sets have one name, or the network or head is
            unknown.
        DataError: If data, pairs or a set cannot be used, or a network or source would have seen
            people in the pairs.
        DivergedError: If similarities are not finite; names the part.
        Interrupted: After a signal; finished parts stay.
        RunLockedError: If another process works in ``out``.
    """
    progress, start = progress or Silent(), time.perf_counter()
    require_usable(config.verify)
    require_writable(out)
    plan = verify_plan(config, out)
    processes, threads = config.verify.processes, config.threads
    with opened(out, make_verifier, progress, processes=processes, threads=threads) as job:
        RunDir(out).write_config(dump_config(config))
        finished = job.finished(plan.groups, "verify")
    parts = [group[0] for group in finished]
    result = _result(plan, _by_arm(plan, parts))
    result |= provenance_of_parts(parts, time.perf_counter() - start, command)
    write_result(out / "verify.json", result, "verify")
    write_text(out / "verify.md", as_markdown(result))
    return result


def make_verifier(task: VerifierTask, on_part: Callable[[str], None], watch: Watch | None) -> None:
    """Train one network and keep its similarities of all pairs; runs in a worker.

    Raises:
        DivergedError: If a similarity is not finite; names the part.
    """
    start, s = time.perf_counter(), task.settings
    model = train_verifier(
        task.arm.images,
        task.arm.draw_weights,
        task.setting.trainer,
        s.head,
        s.margin,
        s.scale,
        seed_for("verifier", task.seed),
        None if watch is None else watch.check,
    )
    similarities = score_pairs(model, task.pairs)
    if not bool(similarities.isfinite().all()):
        raise DivergedError(f"{task.part.label}: similarities are not finite")
    PartStore(task.folder).write(
        task.part,
        {},
        {"similarities": similarities.float()},
        seconds={task.arm.name: time.perf_counter() - start},
        device=task.setting.device,
    )
    on_part(PART_MADE + task.part.label)


def _by_arm(plan: VerifyPlan, parts: Sequence[FinishedPart]) -> dict[str, list[Figures]]:
    """Figures of every arm, one per replicate."""
    found: dict[str, list[Figures]] = {arm.name: [] for arm in plan.arms}
    same, folds = plan.pairs.same, plan.pairs.folds
    for group, part in zip(plan.groups, parts, strict=True):
        measured = measure_verification(part.tensors["similarities"].double(), same, folds)
        found[group.task.arm.name].append(_figures(measured))
    return found


def _result(plan: VerifyPlan, measured: Mapping[str, Sequence[Figures]]) -> dict[str, Any]:
    pairs, setting, settings = plan.pairs, plan.setting, plan.settings
    same = int(pairs.same.sum())
    trainer = setting.trainer
    weights = "random" if trainer.weights is None else trainer.weights.name
    result: dict[str, Any] = {
        "dataset": setting.data.data,
        "pairs": {
            "name": pairs.name,
            "same": same,
            "different": len(pairs) - same,
            "images": len(pairs.x),
            "people": len(set(pairs.people)),
            "folds": list(pairs.fold_numbers),
        },
        "trained_on_folds": list(settings.train_folds),
        "image_shape": list(pairs.x.shape[1:]),
        "network": trainer.network,
        "head": settings.head,
        "steps": trainer.settings.steps,
        "synthetic_share": settings.synthetic_share,
        "replicates": settings.replicates,
        "arms": {arm.name: _arm_json(arm, measured[arm.name]) for arm in plan.arms},
        "comparisons": _comparisons(measured),
        "setup": {
            "data": plan.bundle.name,
            "regime": plan.bundle.regime,
            "network": trainer.network,
            "first weights": weights,
            "steps": trainer.settings.steps,
            "batch": trainer.settings.batch_size,
            "seed": setting.seed,
        },
    }
    return result | {"verdict": verdict(result)}


def _figures(found: Verification) -> dict[str, Figure]:
    return dict(zip(METRICS, [found.accuracy, found.auc, *found.tar.values()], strict=True))


def _arm_json(arm: Arm, replicates: Sequence[Figures]) -> dict[str, Any]:
    section: dict[str, Any] = {
        "images": len(arm.images),
        "people": len(arm.images.classes),
        "synthetic": arm.synthetic,
    }
    for metric in METRICS:
        found = [one[metric] for one in replicates]
        values, mean = np.array([one.value for one in found]), mean_figure(found)
        interval = list(paired_t(values)[0]) if len(values) > 1 else None
        section[metric] = {
            "mean": mean.value,
            "scores": values.tolist(),
            "ci95": interval,
            "ci95_people": list(mean.ci95),
        }
    return section


def _comparisons(measured: Mapping[str, Sequence[Figures]]) -> list[dict[str, Any]]:
    """Every arm against the baseline; p is corrected over the arms, for each metric by itself."""
    rows: list[dict[str, Any]] = []
    for metric in METRICS:
        new = [_compared(name, metric, measured) for name in measured if name != BASELINE]
        known = [row for row in new if row["p"] is not None]
        corrected = holm([row["p"] for row in known])
        for row, p in zip(known, corrected, strict=True):
            row["p_holm"] = p
            count = len(measured[BASELINE])
            row["outcome"] = outcome(tuple(row["ci95"]), p, replicates=count)
        rows += new
    return rows


def _compared(name: str, metric: str, measured: Mapping[str, Sequence[Figures]]) -> dict[str, Any]:
    found = []
    for arm, real in zip(measured[name], measured[BASELINE], strict=True):
        found.append(difference(arm[metric], real[metric]))
    mean = mean_figure(found)
    values = np.array([one.value for one in found])
    interval, p = paired_t(values) if len(values) > 1 else (None, None)
    return {
        "arm": name,
        "baseline": BASELINE,
        "metric": metric,
        "delta": mean.value,
        "ci95": None if interval is None else list(interval),
        "ci95_people": list(mean.ci95),
        "p": p,
        "p_holm": None,
        "outcome": "undecided",
    }
