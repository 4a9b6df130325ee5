"""The job ``gain``: every arm in every replicate, the paired comparison, gain.json and the report.

A run that was stopped, or is asked for more replicates, arms or metrics, makes only what is
missing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from augmentor.common.atomic_files import write_json, write_text
from augmentor.common.types import DivergedError
from augmentor.data.combinations import combinations_of
from downstream.arms.policy import MixPolicy, policy_of
from downstream.comparison import ArmScores, compare
from downstream.metrics import Outputs
from pipelines.config import Config
from pipelines.experiment.job import OpenJob, opened_by
from pipelines.experiment.parts import FinishedPart
from pipelines.experiment.place import require_place
from pipelines.experiment.plan import Group, kinds_of_steps
from pipelines.experiment.provenance import provenance_of_parts
from pipelines.experiment.setup import POOL_SHARED, classifier_setup, data_setup, generator_setup
from pipelines.gain.baselines import (
    best_baselines,
    highest_means,
    picked_on_scored,
    rivals_by_kind,
)
from pipelines.gain.gallery import read_gallery
from pipelines.gain.outside import outside_notes, outside_pairs, outside_rows
from pipelines.gain.plan import GainPlan, gain_plan, usual_comparisons
from pipelines.gain.report import gain_report
from pipelines.gain.screening import screen
from pipelines.gain.verdict import leading, verdict
from pipelines.generators.copied import copies_words
from pipelines.progress import Progress, Silent
from pipelines.results import read_result, write_result
from pipelines.workbench.training_parts import (
    TrainingTask,
    bins_of_bundle,
    make_trainings,
    outputs_of,
)

BUDGET = "budget.json"
"""What a budget cut of a run, for the call that resumes it."""
MOST_COMBINATIONS = 20_000
"""gain.json holds the counts of all combinations up to here."""


def gain_run(
    config: Config,
    out: Path,
    *,
    progress: Progress | None = None,
    command: str | None = None,
    cut: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Measure what each arm is worth on real test images.

    Args:
        config: The run.
        out: Folder for ``gain.json``, ``policy.json``, ``report.html``, ``config.yaml`` and
            ``parts/``.
        progress: Progress reporter.
        command: Command line to record; this process's own unless given.
        cut: What ``budget.within_budget`` says of a run whose steps it cut; a run that is resumed
            remembers it.

    Returns:
        The contents of gain.json.

    Raises:
        ConfigError: If an arm, metric, comparison, network or family is unknown or impossible with
            these data.
        DataError: If the data cannot be used.
        DivergedError: If a training stops being finite; names the part.
        Interrupted: After a signal; finished parts stay.
        RunLockedError: If another process works in ``out``.
    """
    progress, start = progress or Silent(), time.perf_counter()
    require_place(config, out)  # before any work
    config = config.with_family()
    plan = gain_plan(config, out)
    parallelism, device = plan.parallelism, plan.setting.device
    with opened_by(
        config, out, make_trainings, progress, parallelism=parallelism, device=device
    ) as job:
        if cut:
            write_json(out / BUDGET, {"steps": config.classifier.steps, **cut})
        cut = cut or _cut_before(config, out)
        for one in plan.outside:
            one.keep()
        policy = _policy(plan, job, out)
        chosen = policy_of(policy) if policy is not None and "auto" in plan.arms else None
        strengths = plan.first_strengths if policy is None else dict(policy["strengths"])
        groups = plan.replicate_groups(chosen, strengths)
        finished = job.finished(groups, "trainings")
    outputs = arm_outputs(plan, groups, finished, chosen, strengths)
    parts = [part for replicate in finished for part in replicate]
    result = gain_result(plan, outputs, parts, policy, strengths, cut)
    result |= provenance_of_parts(parts, time.perf_counter() - start, command)
    gallery = read_gallery(plan, groups[0])
    if gallery is not None and gallery.copies:
        result["generator_copies"] = dict(gallery.copies)
        if gallery.copies["certain"]:
            result["notes"].append(f"first replicate: {copies_words(gallery.copies)}")
    write_result(out / "gain.json", result, "gain")
    write_text(out / "report.html", gain_report(result, gallery, out))
    return result


def report_again(config: Config, out: Path) -> Path:
    """Write the report of a finished run anew, from gain.json and the pictures it kept.

    Nothing is trained or scored; the words of the verdict are those of this version.

    Args:
        config: Of the run.
        out: Its folder.

    Returns:
        The page.
    """
    plan, result = gain_plan(config, out), read_result(out / "gain.json", "gain")
    policy, best = result["policy"], result["baselines"]
    chosen = policy_of(policy) if policy is not None and "auto" in plan.arms else None
    first = plan.replicate_groups(chosen, result["strengths"])[0]
    screened = policy or _written_policy(out)  # one that chose strengths alone is in its file only
    rivals = rivals_by_kind(list(result["arms"]), plan.own, plan.table)
    picked = picked_on_scored(best, rivals, screened)
    result["verdict"] = verdict(result, list(best.values()), picked)
    write_text(out / "report.html", gain_report(result, read_gallery(plan, first), out))
    return out / "report.html"


def arm_outputs(
    plan: GainPlan,
    groups: Sequence[Group[TrainingTask]],
    finished: Sequence[Sequence[FinishedPart]],
    chosen: MixPolicy | None,
    strengths: Mapping[str, float],
) -> dict[str, list[Outputs]]:
    """What a metric gets of every arm, one per replicate; arms with one recipe share them."""
    y = plan.bundle.test.y
    found: dict[str, list[Outputs]] = {arm: [] for arm in plan.arms}
    for group, parts in zip(groups, finished, strict=True):
        by_recipe = dict(zip(group.task.recipes, parts, strict=True))
        for arm in plan.arms:
            part = by_recipe[plan.recipe(arm, chosen, strengths)]
            if not bool(part.tensors["class_probs"].isfinite().all()):
                raise DivergedError(f"{part.label}: class probabilities are not finite")
            found[arm].append(outputs_of(part, y))
    return found


def gain_result(
    plan: GainPlan,
    outputs: Mapping[str, Sequence[Outputs]],
    parts: Sequence[FinishedPart],
    policy: dict[str, Any] | None,
    strengths: Mapping[str, float],
    cut: Mapping[str, str],
) -> dict[str, Any]:
    """The contents of gain.json but for where they come from.

    Args:
        plan: Of the run.
        outputs: Of every arm, one per replicate.
        parts: All trainings.
        policy: The contents of policy.json, or None.
        strengths: Of classical augmentation, by arm.
        cut: As in ``gain_run``.
    """
    bundle = plan.bundle
    scores = {arm: [plan.metric.of(one) for one in own] for arm, own in outputs.items()}
    best = best_baselines(scores, plan.own, policy, plan.metric, plan.table)
    highest = highest_means(scores, plan.own, plan.metric, plan.table)
    mixtures = _mixtures(plan, strengths)
    told = policy if "auto" in plan.arms or plan.settings.rehearse else None
    pairs = plan.comparisons
    if pairs is None:
        pairs = pairs_of(plan, mixtures, told, best, highest)
    measured, comparisons = compare(outputs, plan.metric, pairs, overlap=plan.overlap)
    arms = {name: scores.to_json(bundle.test.classes) for name, scores in measured.items()}
    _add_metrics(arms, plan, outputs, measured)
    result: dict[str, Any] = {
        "dataset": bundle.name,
        "regime": bundle.regime,
        "source_augment": plan.setting.source.source_augment,
        "metric": plan.metric.name,
        "metrics": [metric.name for metric in plan.metrics],
        "scored_on": bundle.scored_on,
        "replicates": len(next(iter(outputs.values()))),
        "overlap": plan.overlap,
        "arms": arms,
        "comparisons": [row.to_json() for row in comparisons],
        "policy": told,
        "strengths": dict(strengths),
        "mixtures": mixtures,
        "bases": _plain_policies(plan),
        "baselines": best,
        "highest_means": highest,
        "training_counts": plan.bundle.train.counts_by_name,
        "notes": _notes(plan, parts),
        "setup": setup_of(plan) | dict(cut),
    }
    if plan.outside:
        result["outside"] = outside_rows(plan.outside, plan.arms, best)
    if combinations := _combinations(plan):
        result["combinations"] = combinations
    picked = picked_on_scored(best, rivals_by_kind(list(scores), plan.own, plan.table), policy)
    return result | {"verdict": verdict(result, list(best.values()), picked)}


def pairs_of(
    plan: GainPlan,
    mixtures: Mapping[str, str],
    policy: Mapping[str, Any] | None,
    best: Mapping[str, str],
    highest: Mapping[str, str],
) -> tuple[tuple[str, str], ...]:
    """The comparisons that the verdict needs, where the configuration declares none.

    Those with the highest means are made only of what the advice may be about: each one costs.

    Args:
        plan: Of the run.
        mixtures: The arms that use synthetic images whatever ``auto`` does.
        policy: What ``auto`` does, or None.
        best: From ``best_baselines``.
        highest: From ``highest_means``.
    """
    mine = [arm for arm in mixtures if arm in plan.own]
    classical = best.get("classical", "classical")
    with_pool = best.get("same_pool", "pseudo_label")
    pairs = usual_comparisons(plan.arms, mine, classical, with_pool)
    pairs += outside_pairs(plan.outside, plan.arms, best)
    sets = [one.lead(plan.arms, classical) for one in plan.outside]
    compared = {arm for arm, base in pairs if base in best.values()}
    first = [arm for arm in leading(policy, sets, mixtures) if arm in compared][:1]
    pairs += [(arm, base) for arm in [*first, *sets] for base in highest.values()]
    return tuple(dict.fromkeys(pairs))


def _cut_before(config: Config, out: Path) -> dict[str, str]:
    """What an earlier call in this folder said of steps that a budget cut, if they are the same."""
    file = out / BUDGET
    if not file.is_file():
        return {}
    former: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return former if former.pop("steps") == config.classifier.steps else {}


def setup_of(plan: GainPlan) -> dict[str, Any]:
    """What was trained on what, for the report."""
    setting, bundle = plan.setting, plan.bundle
    setup = data_setup(bundle) | {"scored images": len(bundle.test)}
    setup |= classifier_setup(setting.trainer, bundle.train)
    if "generator" in kinds_of_steps(plan.expected_groups()):
        setup |= generator_setup(setting.source, bundle.train.image_shape[1])
    for one in plan.outside:
        words = f"{len(one.images)} images, {one.images.origin}"
        setup[f"synthetic images {one.name}"] = words
    return setup | {
        "seed": setting.seed,
        "replicates": plan.settings.replicates,
        "screening": setting.screening,
    }


def _written_policy(out: Path) -> dict[str, Any] | None:
    """The contents of policy.json in the folder of a run, None where it screened nothing."""
    file = out / "policy.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _policy(plan: GainPlan, job: OpenJob[TrainingTask], out: Path) -> dict[str, Any] | None:
    if not plan.screens:
        return None
    document = screen(plan, job)
    write_json(out / "policy.json", document)
    job.progress.say(document["words"])
    return document


def _add_metrics(
    arms: dict[str, Any],
    plan: GainPlan,
    outputs: Mapping[str, Sequence[Outputs]],
    measured: Mapping[str, ArmScores],
) -> None:
    """Give every arm its scores by all metrics of the plan."""
    for name in arms:
        arms[name]["metrics"] = {}
    for metric in plan.metrics:
        scored = measured
        if metric is not plan.metric:
            scored, _ = compare(outputs, metric, [], overlap=plan.overlap)
        for name, found in scored.items():
            row = found.to_json()
            arms[name]["metrics"][metric.name] = {
                key: row[key] for key in ("scores", "mean", "ci95")
            }


def _mixtures(plan: GainPlan, strengths: Mapping[str, float]) -> dict[str, str]:
    """The arms that use synthetic images whatever ``auto`` does, and how, in words."""
    found = {}
    sets = {arm: one.policy_name for one in plan.outside for arm in one.arms}
    for arm in plan.arms:
        if arm == "auto":
            continue
        recipe = plan.recipe(arm, None, strengths)
        if not recipe.uses_synthetic:
            continue
        if arm in plan.own:
            found[arm] = plan.own[arm].name
        elif base := plan.table[arm].mixes_into:
            mixed = MixPolicy(
                base,
                recipe.share,
                strength=recipe.strength,
                latents=recipe.latents,
                fill=recipe.fill,
                outside=sets.get(arm, ""),
            )
            found[arm] = mixed.name
        else:
            found[arm] = MixPolicy(arm).name
    return found


def _plain_policies(plan: GainPlan) -> dict[str, str]:
    """The run's own arms that mix nothing in, and the arm that each is a variant of."""
    found = {}
    for arm in plan.arms:
        if arm in plan.own and not plan.own[arm].uses_generator:
            found[arm] = plan.own[arm].base
    return found


def _combinations(plan: GainPlan) -> dict[str, Any] | None:
    """Training images by class and condition; None without conditions, or where it would be too
    large to read.
    """
    bins, train = bins_of_bundle(plan.bundle), plan.bundle.train
    if bins is None or len(bins) * len(train.classes) > MOST_COMBINATIONS:
        return None
    counts = combinations_of(train, bins).counts.tolist()
    return {"classes": list(train.classes), "conditions": list(bins.names), "train": counts}


def _notes(plan: GainPlan, parts: Sequence[FinishedPart]) -> list[str]:
    notes = {note for part in parts for note in part.notes}
    found = [plan.bundle.note, *sorted(notes)]
    found += outside_notes(plan.outside, plan.bundle.train, screened="auto" in plan.arms)
    if plan.overlap >= 1:
        found.append(
            "all replicates have the same training images: intervals speak of these training "
            "images only"
        )
    elif plan.has_pool:
        found.append(f"replicates {POOL_SHARED}")
    return found
