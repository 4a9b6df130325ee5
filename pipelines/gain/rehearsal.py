"""What a rehearsal says: how well hidden combinations came back, and which to photograph first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from augmentor.common.conditions import MISSING
from augmentor.data.combinations import Bins, Combinations, combinations_of
from augmentor.data.rehearsal import rehearsal_fold
from downstream.arms.policy import MixPolicy
from downstream.comparison import paired_t
from downstream.metrics import Outputs
from downstream.metrics.unit import POINTS
from pipelines.experiment.job import OpenJob
from pipelines.gain.plan import GainPlan
from pipelines.workbench.training_parts import bins_of_bundle, outputs_of

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

LISTED = 20
"""Combinations in the list of what to photograph first."""
ON_ITS_FOLDS = (
    "A screening: the folds that chose to render measure it too, so the change is rather too large"
)
PRIOR_IMAGES = 5.0
"""Scored images that the mean over all conditions weighs as much as in the gap of one."""


def rehearsal(
    plan: GainPlan, job: OpenJob[Any], chosen: MixPolicy, best: MixPolicy, folds: int
) -> dict[str, Any]:
    """Compare what was chosen with the best arm without a generator and with real photos.

    Args:
        plan: Of the run.
        job: Makes the trainings; those of the race are finished already.
        chosen: What ``auto`` does.
        best: The best candidate without a generator.
        folds: How many folds there were.

    Returns:
        The key ``rehearsal`` of policy.json: ``combinations`` and ``images`` hidden and scored,
        recalls ``without`` and ``with`` a generator and with real photos (``ceiling``), ``delta``
        with its 95 % interval over the hidden classes, ``photograph``: missing combinations, the
        one whose photos would probably help most first, and ``photographed_once``: combinations
        of which the ceiling had no photo.
    """
    recipes = {best.name: best.recipe, chosen.name: chosen.recipe} | plan.ceiling
    groups = [plan.split_group(number, recipes) for number in range(folds)]
    scored: dict[str, list[Outputs]] = {name: [] for name in recipes}
    for group, parts in zip(groups, job.finished(groups, "rehearsal"), strict=True):
        by_recipe = dict(zip(group.task.recipes, parts, strict=True))
        for name, recipe in recipes.items():
            scored[name].append(outputs_of(by_recipe[recipe]))
    bins = bins_of_bundle(plan.bundle)
    table = combinations_of(plan.bundle.train, bins)
    assert bins is not None
    return summary(scored[best.name], scored[chosen.name], scored["oracle"], table) | {
        "best_without_generator": best.name,
        "chosen": chosen.name,
        "photographed_once": sum(_photographed_once(plan, bins, fold) for fold in range(folds)),
    }


def _photographed_once(plan: GainPlan, bins: Bins, number: int) -> int:
    """Scored combinations of a fold of which ``oracle`` had no other photo."""
    train, seed = plan.bundle.train, plan.setting.replicate_seed(0)
    fold = rehearsal_fold(train, bins, seed, plan.first_split + number)
    scored, given = (
        combinations_of(train.subset(some), bins).counts > 0 for some in (fold.scored, fold.given)
    )
    return int((scored & ~given).sum())


def summary(
    without: Sequence[Outputs],
    chosen: Sequence[Outputs],
    oracle: Sequence[Outputs],
    table: Combinations,
) -> dict[str, Any]:
    """What the outputs of all folds say, as in ``rehearsal``.

    Args:
        without: Of the best arm without a generator, one per fold.
        chosen: Of what was chosen.
        oracle: Of the control that was trained on other real images of the hidden combinations.
        table: Of the training images as they are.
    """
    y, combination = _joined(without, "y"), _joined(without, "combination")
    right = {"without": _right(without), "with": _right(chosen), "ceiling": _right(oracle)}
    recalls = {name: _by_class(values, y) for name, values in right.items()}
    delta = recalls["with"] - recalls["without"]
    interval, _ = paired_t(delta) if len(delta) > 1 else (None, 1.0)
    if interval is not None:  # of two or three classes; no recall changes by more than all of it
        interval = (max(interval[0], -1.0), min(interval[1], 1.0))
    return {
        "combinations": len(np.unique(combination)),
        "images": len(y),
        "classes": len(delta),
        **{name: float(values.mean()) for name, values in recalls.items()},
        "delta": float(delta.mean()),
        "ci95": None if interval is None else list(interval),
        "photograph": worth(right["ceiling"] - right["with"], combination, table),
    }


def worth(gap: Floats, combination: Integers, table: Combinations) -> list[dict[str, Any]]:
    r"""Missing combinations, the one whose real photos would probably help most first.

    The gap between real photos and what was chosen is known for hidden combinations only. That of a
    missing one is taken to be that of its condition, drawn towards the mean over all:

    .. math:: g_b = \frac{\sum_{i \in b} d_i + 5 \bar d}{n_b + 5}

    Args:
        gap: 1 for a hidden image that only the control recognises, -1 for one that it alone does
            not, else 0, (N,).
        combination: Of every image, (N,).
        table: Of the training images as they are.

    Returns:
        ``class``, ``condition``, ``worth`` (in recall, 0.1 is ten points) of at most ``LISTED``
        combinations.
    """
    place = combination % len(table.bins)
    total = np.bincount(place, gap, minlength=len(table.bins))
    images = np.bincount(place, minlength=len(table.bins))
    value = (total + PRIOR_IMAGES * gap.mean()) / (images + PRIOR_IMAGES)
    missing = (table.coverage == MISSING) & table.occurring
    rows = []
    for label, number in missing.nonzero().tolist():
        images_of_class = int(table.counts[label].sum())
        rows.append((-float(value[number]), images_of_class, label, number))
    found = []
    for negative, _, label, number in sorted(rows)[:LISTED]:
        names = {"class": table.classes[label], "condition": table.bins.names[number]}
        found.append({**names, "worth": -negative})
    return found


def rehearsal_verdict(found: Mapping[str, Any]) -> dict[str, Any]:
    """The finding for the terminal and the top of the report.

    Args:
        found: What ``rehearsal`` returned.

    Returns:
        ``light``, ``advice`` of two sentences, and ``lines``: the change with its interval, that
        it was measured where it was chosen, and what to photograph first.
    """
    light, what = _finding(found)
    recalls = [f"{100 * found[name]:.0f}" for name in ("without", "with", "ceiling")]
    lines = [
        f"Hidden on purpose: {found['images']} photos of {found['combinations']} combinations; "
        f"recall changed by {_points(found['delta'])} points{_interval(found['ci95'])}"
    ]
    if found["chosen"] != found["best_without_generator"]:
        lines.append(ON_ITS_FOLDS)
    if once := found.get("photographed_once", 0):
        lines.append(
            f"Of {once} of these combinations there was one photo only, so real photos would give "
            "more than that"
        )
    worthy = [one for one in found["photograph"] if one["worth"] > 0]
    if worthy:
        first = "; ".join(f"{one['class']} × {one['condition']}" for one in worthy[:3])
        lines.append(f"Photograph these first: {first}")
    advice = f"{what}: recall of hidden combinations went from {recalls[0]} to {recalls[1]} %."
    advice += f" Real photos would give {recalls[2]} %."
    return {"light": light, "advice": advice, "lines": lines}


def _finding(found: Mapping[str, Any]) -> tuple[str, str]:
    low, high = found["ci95"] or (-1.0, 1.0)
    if found["chosen"] == found["best_without_generator"]:
        return "amber", "Rendering did not help enough to be chosen"
    if low > 0:
        return "green", "Rendering helps"
    # Where the interval holds zero, a rise may be chance.
    return ("red", "Rendering does harm") if high < 0 else ("amber", "Undecided whether to render")


def _interval(ends: Sequence[float] | None) -> str:
    if ends is None:
        return ""
    return f" (95 % interval {_points(ends[0])} to {_points(ends[1])})"


def _points(value: float) -> str:
    return replace(POINTS, digits=0).signed(value)


def _joined(outputs: Sequence[Outputs], name: str) -> Integers:
    values: Integers = torch.cat([one.given()[name] for one in outputs]).numpy()
    return values


def _right(outputs: Sequence[Outputs]) -> Floats:
    """1 for each image that is recognised, else 0, (N,) over all folds."""
    found = []
    for one in outputs:
        assert one.y is not None
        assert one.class_probs is not None
        found.append(one.class_probs.float().argmax(dim=1) == one.y)
    return torch.cat(found).double().numpy()


def _by_class(values: Floats, y: Integers) -> Floats:
    """Mean of the values over the images of every class that has some, (K',)."""
    counts = np.bincount(y)
    means: Floats = np.bincount(y, values)[counts > 0] / counts[counts > 0]
    return means
