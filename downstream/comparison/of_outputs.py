"""Arms compared by the outputs of their networks: what an experiment calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from downstream.comparison.images import JACKKNIFE_GROUPS, ScoredImages
from downstream.comparison.of_scores import Pair, compare_scores, require_arms, score_arm
from downstream.comparison.rows import ArmScores, Comparison
from downstream.metrics import Floats, Metric, Outputs, per_class_recall


def compare(
    outputs: Mapping[str, Sequence[Outputs]],
    metric: Metric,
    pairs: Sequence[Pair],
    *,
    overlap: float,
    seed: int = 0,
) -> tuple[dict[str, ArmScores], tuple[Comparison, ...]]:
    """Score all arms and compare the declared pairs.

    Args:
        outputs: Of every arm, one per replicate, in the same order for all arms. All are about the
            same test images (or pairs of images).
        metric: What is compared.
        pairs: Pairs (arm, baseline), declared before looking; their number enters Holm's
            correction.
        overlap: Share of the training images that two replicates have in common, in [0, 1]; see
            ``expected_overlap`` and ``measured_overlap``.
        seed: Decides the groups of the jackknife and, above 16 replicates, the sign patterns.

    Returns:
        Scores by arm, and the comparisons in the order of the pairs. Identical arms give delta 0
        and p 1; a swapped pair gives the negative delta and interval.

    Raises:
        MissingOutputError: If outputs lack what the metric needs.
        NotFiniteError: If they hold NaN or infinite values.
        ValueError: If test images or numbers of replicates differ, a pair names an unknown arm, or
            there are pairs and the metric is the lowest of several shares.

    Example:
        >>> from downstream.metrics import metric_of
        >>> y = torch.arange(200) % 2
        >>> right = Outputs.of_predictions(y, y, 2)
        >>> half = Outputs.of_predictions(y * (torch.arange(200) < 100), y, 2)
        >>> arms = {"right": [right] * 3, "half": [half] * 3}
        >>> metric = metric_of("accuracy")
        >>> _, (found,) = compare(arms, metric, [("right", "half")], overlap=0)
        >>> found.delta, found.outcome
        (0.25, 'better')
    """
    test = ScoredImages.of(metric, _shared_test_set(outputs), JACKKNIFE_GROUPS, seed)
    arms: dict[str, ArmScores] = {}
    scores: dict[str, Floats] = {}
    rows: dict[str, Floats] = {}
    for name, own in outputs.items():
        scores[name] = np.array([metric.of(one) for one in own])
        rows[name] = test.row(own)
        variance, bounds = test.variance(rows[name]), test.bounds(rows[name], own[0])
        recalls = _mean_recalls(own)
        arms[name] = score_arm(scores[name], metric, overlap, variance, recalls, bounds)
    require_arms(pairs, scores)
    variances = {(a, b): test.variance(rows[a] - rows[b]) for a, b in pairs}
    return arms, compare_scores(scores, pairs, metric, overlap, variances, seed=seed)


def _mean_recalls(outputs: Sequence[Outputs]) -> Floats | None:
    if any(one.y is None or one.class_probs is None for one in outputs):
        return None
    recalls: Floats = np.mean([per_class_recall(one) for one in outputs], axis=0)
    return recalls


def _shared_test_set(outputs: Mapping[str, Sequence[Outputs]]) -> Outputs:
    """Outputs of the first replicate, after making sure that all are about the same test images."""
    if not outputs or not all(outputs.values()):
        raise ValueError("every arm needs the outputs of one replicate or more")
    first = next(iter(outputs.values()))[0]
    for name, own in outputs.items():
        for number, one in enumerate(own):
            if not _about_the_same(one, first):
                raise ValueError(f"replicate {number} of {name} was scored on other test images")
    return first


def _about_the_same(one: Outputs, other: Outputs) -> bool:
    if len(one) != len(other):
        return False
    for name in ("y", "same", "folds"):
        mine, theirs = getattr(one, name), getattr(other, name)
        if (mine is None) != (theirs is None):
            return False
        if mine is not None and not torch.equal(mine.cpu(), theirs.cpu()):
            return False
    return True
