"""What a comparison says of an arm and of a pair of arms, and how JSON holds it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from downstream.comparison.variance import Interval


@dataclass(frozen=True)
class ArmScores:
    """How one arm did.

    Args:
        scores: One score per replicate, within the metric's bounds.
        mean: Their mean.
        ci95: 95 % interval of the mean over replicates and test images, within the metric's bounds;
            infinite ends where nothing is known.
        per_class_recall: Mean recall of each class over replicates, NaN for a class without test
            images; empty without class probabilities.
    """

    scores: tuple[float, ...]
    mean: float
    ci95: Interval
    per_class_recall: tuple[float, ...] = ()

    def to_json(self, classes: Sequence[str] = ()) -> dict[str, object]:
        """As JSON holds it, NaN as null.

        Args:
            classes: Names of the classes, position is index; without them ``per_class_recall`` is
                a list.
        """
        recalls = [None if math.isnan(recall) else recall for recall in self.per_class_recall]
        named = dict(zip(classes, recalls, strict=True)) if classes else recalls
        return asdict(self) | {
            "scores": list(self.scores),
            "ci95": _interval_json(self.ci95),
            "per_class_recall": named,
        }


@dataclass(frozen=True)
class Comparison:
    """One arm against one baseline in one metric; 0.01 is one point.

    Args:
        arm: What is tested.
        baseline: What it is tested against.
        metric: Name of the metric.
        delta: Mean over replicates of score(arm) - score(baseline).
        ci95: 95 % interval of ``delta``, over replicates, training and test images.
        ci95_replicates: The plain paired t interval: test images stay the same, and replicates
            count as independent.
        p: Two-sided test of no difference by the statistic of ``ci95``.
        p_permutation: Two-sided sign-flip test over replicates, None under 8 of them.
        p_holm: ``p`` corrected for the number of comparisons.
        outcome: ``better``, ``worse`` or ``undecided``, see ``outcome``.
        needed: Number of replicates that would probably decide, None if decided or if up to 1000
            would not.
        limited_by: What an undecided comparison needs more of: ``replicates``, ``test images`` or
            ``training images``. None if decided, without variance, or if the difference is so
            small that 1000 replicates would not do where these decide the variance.
        conditional: Whether the interval is about these training images only.
    """

    arm: str
    baseline: str
    metric: str
    delta: float
    ci95: Interval
    ci95_replicates: Interval
    p: float
    p_permutation: float | None
    p_holm: float
    outcome: str
    needed: int | None
    limited_by: str | None
    conditional: bool

    def to_json(self) -> dict[str, object]:
        """As JSON holds it; an interval without ends is null."""
        intervals = {
            "ci95": _interval_json(self.ci95),
            "ci95_replicates": _interval_json(self.ci95_replicates),
        }
        return asdict(self) | intervals


def _interval_json(interval: Interval) -> list[float] | None:
    return list(interval) if all(map(math.isfinite, interval)) else None
