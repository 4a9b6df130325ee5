"""The job ``verify``: what more or other people add to a network that tells strangers apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn.functional import normalize

from augmentor.common.atomic_files import write_text
from augmentor.common.randomness import seed_for
from augmentor.common.types import DivergedError, LabelledImages
from downstream.classifier import features
from downstream.metrics import Outputs
from downstream.train import NonFiniteLossError
from pipelines.config import Config
from pipelines.experiment.engine import PART_MADE
from pipelines.experiment.job import opened_by
from pipelines.experiment.parts import FinishedPart, PartStore
from pipelines.experiment.place import require_place
from pipelines.experiment.provenance import provenance_of_parts
from pipelines.experiment.setup import classifier_setup, data_setup
from pipelines.interrupt import Watch
from pipelines.progress import Progress, Silent
from pipelines.results import read_newest, write_result
from pipelines.verify.network import similarities_of, train_verifier
from pipelines.verify.plan import Arm, VerifierTask, VerifyPlan, require_usable, verify_plan
from pipelines.verify.report import verify_report
from pipelines.verify.scores import scored, verdict
from pipelines.verify.tables import as_markdown

LARGEST_EMBEDDINGS = 32_000_000
"""Bytes of the features of a part; larger ones are not kept."""


def verify_run(
    config: Config, out: Path, *, progress: Progress | None = None, command: str | None = None
) -> dict[str, Any]:
    """Train verification networks and score pairs of people they have not seen.

    Args:
        config: The run; ``verify`` names the pairs and the synthetic sets, ``classifier`` the
            network and its steps, which are the same for every arm.
        out: Folder for ``verify.json``, ``verify.md``, ``report.html``, ``config.yaml`` and
            ``parts/``.
        progress: Progress reporter.
        command: Command line to record; this process's own unless given.

    Returns:
        The contents of verify.json.

    Raises:
        ConfigError: If no pairs are named, two sets have one name, or the network or head is
            unknown.
        DataError: If data, pairs or a set cannot be used, or a network or source would have seen
            people in the pairs.
        DivergedError: If a training stops being finite; names the part.
        Interrupted: After a signal; finished parts stay.
        RunLockedError: If another process works in ``out``.
    """
    progress, start = progress or Silent(), time.perf_counter()
    require_usable(config.verify)
    require_place(config, out)
    plan = verify_plan(config, out)
    parallelism, device = plan.parallelism, plan.setting.device
    with opened_by(
        config, out, make_verifiers, progress, parallelism=parallelism, device=device
    ) as job:
        finished = job.finished(plan.groups, "trainings")
    result = verify_result(plan, finished)
    parts = [part for group in finished for part in group]
    result |= provenance_of_parts(parts, time.perf_counter() - start, command)
    write_result(out / "verify.json", result, "verify")
    write_text(out / "verify.md", as_markdown(result))
    write_text(out / "report.html", verify_report(result, out))
    return result


def report_again(config: Config, out: Path) -> Path:
    """Write the report of a finished run anew, from verify.json; nothing is trained.

    Returns:
        The page.
    """
    result = read_newest(out / "verify.json", "verify")
    result["verdict"] = verdict(result)
    write_text(out / "report.html", verify_report(result, out))
    return out / "report.html"


def make_verifiers(task: VerifierTask, on_part: Callable[[str], None], watch: Watch | None) -> None:
    """Train the networks of a replicate that are missing; runs in a worker.

    Raises:
        DivergedError: If a training stops being finite; names the part.
    """
    store, train = PartStore(task.folder), task.setting.bundle(task.seed).train
    for arm, part in zip(task.arms, task.parts, strict=True):
        if store.has(part):
            continue
        start = time.perf_counter()
        try:
            embeddings = _embeddings(task, arm, train, watch)
        except (NonFiniteLossError, DivergedError) as error:
            raise DivergedError(f"{part.label}: {error}") from error
        tensors = {"similarities": similarities_of(embeddings, task.pairs).float()}
        if 2 * embeddings.numel() <= LARGEST_EMBEDDINGS:
            tensors["embeddings"] = normalize(embeddings).half()
        seconds = {arm.name: time.perf_counter() - start}
        store.write(part, {}, tensors, seconds=seconds, device=task.setting.device)
        on_part(PART_MADE + part.label)


def _embeddings(task: VerifierTask, arm: Arm, train: LabelledImages, watch: Watch | None) -> Tensor:
    """Features of all images of the pairs, (M, F), by a network trained for it."""
    settings = task.settings
    model = train_verifier(
        arm.images(train),
        arm.draw_weights(train),
        task.setting.trainer,
        settings.head,
        settings.margin,
        settings.scale,
        seed_for("verifier", task.seed),
        None if watch is None else watch.check,
    )
    found = features(model, task.pairs.x)
    if not bool(found.isfinite().all()):
        raise DivergedError("the features are not finite")
    return found


def verify_result(plan: VerifyPlan, finished: Sequence[Sequence[FinishedPart]]) -> dict[str, Any]:
    """The contents of verify.json but for where they come from.

    Args:
        plan: What was run.
        finished: Its parts, group by group.

    Raises:
        DivergedError: If similarities are not finite; names the part.
    """
    setting, settings = plan.setting, plan.settings
    found, comparisons = scored(outputs_of(plan, finished), plan.overlap)
    result: dict[str, Any] = {
        "dataset": plan.bundle.name,
        "pairs": _pairs_json(plan),
        "trained_on_folds": list(settings.train_folds),
        "image_shape": list(plan.pairs.x.shape[1:]),
        "network": setting.trainer.network,
        "head": settings.head,
        "steps": setting.trainer.settings.steps,
        "synthetic_share": settings.synthetic_share,
        "replicates": settings.replicates,
        "overlap": plan.overlap,
        "arms": {arm.name: _arm_json(plan, arm) | found[arm.name] for arm in plan.arms},
        "comparisons": comparisons,
        "setup": setup_of(plan),
    }
    return result | {"verdict": verdict(result)}


def outputs_of(
    plan: VerifyPlan, finished: Sequence[Sequence[FinishedPart]]
) -> dict[str, list[Outputs]]:
    """What a metric gets of every arm, one per replicate.

    Raises:
        DivergedError: If similarities are not finite; names the part.
    """
    found: dict[str, list[Outputs]] = {arm.name: [] for arm in plan.arms}
    same, folds = plan.pairs.same, plan.pairs.folds
    for group in finished:
        for arm, part in zip(plan.arms, group, strict=True):
            similarities = part.tensors["similarities"]
            if not bool(similarities.isfinite().all()):
                raise DivergedError(f"{part.label}: similarities are not finite")
            found[arm.name].append(Outputs(similarities=similarities, same=same, folds=folds))
    return found


def setup_of(plan: VerifyPlan) -> dict[str, Any]:
    """What was trained on what, for the report."""
    setup = data_setup(plan.bundle) | classifier_setup(plan.setting.trainer, plan.bundle.train)
    return setup | {
        "head": plan.settings.head,
        "seed": plan.setting.seed,
        "replicates": plan.settings.replicates,
    }


def _pairs_json(plan: VerifyPlan) -> dict[str, Any]:
    pairs = plan.pairs
    same = int(pairs.same.sum())
    return {
        "name": pairs.name,
        "same": same,
        "different": len(pairs) - same,
        "images": len(pairs.x),
        "people": len(set(pairs.people)),
        "folds": list(pairs.fold_numbers),
    }


def _arm_json(plan: VerifyPlan, arm: Arm) -> dict[str, Any]:
    images = arm.images(plan.bundle.train)
    return {"images": len(images), "people": len(images.classes), "synthetic": arm.synthetic}
