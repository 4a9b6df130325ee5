"""The strongest arms without a generator: what an arm with synthetic images is measured by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from downstream.arms.policy import MixPolicy
from downstream.arms.recipe import Recipe
from downstream.arms.table import ARMS, Arm
from downstream.comparison import LEVEL, holm, paired_t
from downstream.metrics import Metric

BASELINES = {"classical": "best_classical", "same_pool": "best_with_pool"}
"""Both of them, and where the policy of a run names the arm that screening found the best."""


def baseline_kind(recipe: Recipe | None) -> str | None:
    """``classical`` or ``same_pool``; None for an arm with a generator, a control, or ``auto``."""
    if recipe is None or recipe.uses_synthetic or recipe.mixed == "replay" or recipe.hidden:
        return None
    return "same_pool" if recipe.needs_pool else "classical"


def best_baselines(
    scores: Mapping[str, Sequence[float]],
    own: Mapping[str, MixPolicy],
    policy: Mapping[str, Any] | None,
    metric: Metric,
    table: Mapping[str, Arm] = ARMS,
) -> dict[str, str]:
    """The strongest arm of each kind that a gain run has.

    It is the one that screening found the best, or without screening the one with the best mean.
    Where another is better than that on the scored images (paired t, corrected for their number),
    it is the one with the best mean there: a screening that went wrong must not make a weak rival.

    Args:
        scores: By arm, one per replicate.
        own: The run's own policies by name.
        policy: The contents of policy.json, or None.
        metric: Of the scores.
        table: All arms of the run by name.
    """
    sign = 1.0 if metric.higher_is_better else -1.0
    best = highest_means(scores, own, metric, table)
    for kind, arms in rivals_by_kind(list(scores), own, table).items():
        rivals = {arm: sign * np.asarray(scores[arm]) for arm in arms}
        screened = (policy or {}).get(BASELINES[kind])
        if screened in rivals and not _beaten(screened, rivals):
            best[kind] = screened
    return best


def highest_means(
    scores: Mapping[str, Sequence[float]],
    own: Mapping[str, MixPolicy],
    metric: Metric,
    table: Mapping[str, Arm] = ARMS,
) -> dict[str, str]:
    """The arm of each kind with the best mean on the scored images, whatever screening found.

    With few replicates a weak arm that screening named is hardly ever shown to be beaten. To beat
    it is then no evidence for a generator: an arm with one has to beat these too. That they are
    the best of several by chance only makes it harder.

    Args:
        scores: As in ``best_baselines``, and so are the others.
        own: The run's own policies by name.
        metric: Of the scores.
        table: All arms of the run by name.

    Example:
        >>> from downstream.metrics import metric_of
        >>> scores = {"classical": [0.7, 0.8], "mixup": [0.8, 0.8], "synthetic": [0.9, 0.9]}
        >>> highest_means(scores, {}, metric_of("accuracy"))
        {'classical': 'mixup'}
    """
    sign = 1.0 if metric.higher_is_better else -1.0
    means = {arm: sign * float(np.mean(own_scores)) for arm, own_scores in scores.items()}
    kinds = rivals_by_kind(list(scores), own, table)
    return {kind: max(arms, key=means.__getitem__) for kind, arms in kinds.items()}


def rivals_by_kind(
    arms: Sequence[str], own: Mapping[str, MixPolicy], table: Mapping[str, Arm] = ARMS
) -> dict[str, list[str]]:
    """The arms of each kind of ``baseline_kind``; kinds without any are left out."""
    found: dict[str, list[str]] = {}
    for kind in BASELINES:
        for arm in arms:
            recipe = own[arm].recipe if arm in own else table[arm].recipe
            if baseline_kind(recipe) == kind:
                found.setdefault(kind, []).append(arm)
    return found


def picked_on_scored(
    best: Mapping[str, str],
    rivals: Mapping[str, Sequence[str]],
    policy: Mapping[str, Any] | None,
) -> dict[str, int]:
    """Which of ``best_baselines`` are the strongest by the scored images and not by screening, and
    of how many arms each is the strongest.

    The largest of several means is larger than it deserves: being behind such an arm shows less.

    Args:
        best: From ``best_baselines``.
        rivals: From ``rivals_by_kind``.
        policy: As in ``best_baselines``.
    """
    found = {}
    for kind, arm in best.items():
        if (policy or {}).get(BASELINES[kind]) != arm:
            found[arm] = len(rivals[kind])
    return found


def _beaten(screened: str, rivals: Mapping[str, Any]) -> bool:
    gaps = [values - rivals[screened] for name, values in rivals.items() if name != screened]
    if not gaps or len(gaps[0]) < 2:
        return False
    corrected = holm([paired_t(gap)[1] for gap in gaps])
    return any(p < LEVEL and gap.mean() > 0 for p, gap in zip(corrected, gaps, strict=True))
