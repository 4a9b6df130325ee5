"""Arms compared by their scores, one per replicate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from downstream.comparison.paired import paired_t, sign_flip_p
from downstream.comparison.rows import ArmScores, Comparison
from downstream.comparison.thresholds import FEWEST_TO_PERMUTE
from downstream.comparison.variance import (
    FIXED_IMAGES,
    UNKNOWN,
    UNKNOWN_IMAGES,
    ImageVariance,
    Interval,
    Variance,
)
from downstream.comparison.verdict import judged
from downstream.metrics import Floats, Metric

Pair = tuple[str, str]

OF_THE_LOWEST = "the lowest of several measured shares is lower for an arm with many low ones"


def compare_scores(
    scores: Mapping[str, Floats],
    pairs: Sequence[Pair],
    metric: Metric,
    overlap: float = 0.0,
    image_variances: Mapping[Pair, ImageVariance] | None = None,
    *,
    seed: int = 0,
) -> tuple[Comparison, ...]:
    """Compare declared pairs of arms by their scores.

    Args:
        scores: Of every arm, one per replicate, (R,), in the same order for all arms.
        pairs: As in ``compare``.
        metric: What the scores are.
        overlap: As in ``compare``.
        image_variances: Variance of the mean difference of a pair over test images; a pair that
            is not there counts as scored on the only test images there are.
        seed: Decides the sign patterns above 16 replicates.

    Raises:
        ValueError: If numbers of replicates differ, a score is not finite, a pair names an unknown
            arm, or the metric is the lowest of several shares.

    Example:
        >>> from downstream.metrics import metric_of
        >>> scores = {"a": np.array([0.8, 0.9, 0.9]), "b": np.array([0.6, 0.7, 0.8])}
        >>> compare_scores(scores, [("a", "b")], metric_of("accuracy"))[0].outcome
        'better'
    """
    require_arms(pairs, scores)
    _require_replicates(scores)
    if pairs and metric.lowest:
        raise ValueError(f"{metric.name} compares no arms: {OF_THE_LOWEST}")
    rows: list[Comparison] = []
    variances: list[Variance] = []
    for arm, baseline in pairs:
        differences = np.asarray(scores[arm]) - np.asarray(scores[baseline])
        images = (image_variances or {}).get((arm, baseline), FIXED_IMAGES)
        variances.append(Variance.of(differences, overlap, images))
        rows.append(_compared((arm, baseline), metric, differences, variances[-1], seed))
    return judged(rows, variances, metric)


def score_arm(
    scores: Floats,
    metric: Metric,
    overlap: float = 0.0,
    images: ImageVariance = FIXED_IMAGES,
    recalls: Floats | None = None,
    without_spread: Interval = UNKNOWN,
) -> ArmScores:
    """Mean and interval of one arm; without ends for the lowest of several shares, whose mean is
    biased.

    Args:
        scores: One per replicate, (R,).
        metric: What they are.
        overlap: As in ``compare``.
        images: Variance of their mean over test images.
        recalls: Mean recall of each class, (K,).
        without_spread: The interval where neither replicates nor images vary: that says little of
            how much they would.

    Example:
        >>> from downstream.metrics import metric_of
        >>> score_arm(np.array([0.99, 0.95]), metric_of("accuracy")).ci95[1]
        1.0
    """
    if metric.lowest:
        images = UNKNOWN_IMAGES
    mean, variance = float(np.mean(scores)), Variance.of(np.asarray(scores), overlap, images)
    ends = UNKNOWN if math.isinf(variance.total) else without_spread
    if variance.known:
        low, high = variance.interval(0.0)[0]
        ends = mean + low, mean + high
    return ArmScores(
        scores=tuple(np.asarray(scores).tolist()),
        mean=mean,
        ci95=ends if ends == UNKNOWN else _within(ends, metric.bounds),
        per_class_recall=() if recalls is None else tuple(recalls.tolist()),
    )


def _within(ends: Interval, bounds: Interval) -> Interval:
    return max(bounds[0], ends[0]), min(bounds[1], ends[1])


def _compared(
    pair: Pair, metric: Metric, differences: Floats, variance: Variance, seed: int
) -> Comparison:
    """A comparison that was not judged beside the others yet."""
    delta = float(differences.mean())
    interval, p = variance.interval(delta)
    enough = len(differences) >= FEWEST_TO_PERMUTE
    return Comparison(
        *pair,
        metric=metric.name,
        delta=delta,
        ci95=interval,
        ci95_replicates=paired_t(differences)[0],
        p=p,
        p_permutation=sign_flip_p(differences, seed) if enough else None,
        p_holm=p,
        outcome="undecided",
        needed=None,
        limited_by=None,
        conditional=variance.conditional,
    )


def require_arms(pairs: Sequence[Pair], scores: Mapping[str, Floats]) -> None:
    """Refuse pairs that name an arm without scores, by a ``ValueError``."""
    for pair in pairs:
        for arm in pair:
            if arm not in scores:
                raise ValueError(f"unknown arm {arm!r}; known arms: {', '.join(scores)}")


def _require_replicates(scores: Mapping[str, Floats]) -> None:
    counts = {name: len(own) for name, own in scores.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise ValueError(f"every arm needs the same number of replicates, got {counts}")
    for name, own in scores.items():
        if not np.isfinite(own).all():
            raise ValueError(f"scores of {name} are not finite")
