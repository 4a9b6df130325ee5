"""Better, worse or undecided, judged beside the other comparisons; and what would decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from downstream.comparison.correction import holm
from downstream.comparison.rows import Comparison
from downstream.comparison.thresholds import FEWEST_TO_DECIDE, LEVEL
from downstream.comparison.variance import Interval, Variance
from downstream.metrics import Metric


def outcome(
    ci95: Interval,
    p_holm: float,
    *,
    higher_is_better: bool = True,
    replicates: int = FEWEST_TO_DECIDE,
) -> str:
    """``better``, ``worse`` or ``undecided``.

    A difference is decided if its whole 95 % interval lies on one side of zero, the p value
    corrected for the number of comparisons is below 0.05, and there are three replicates or more.

    Args:
        ci95: The interval.
        p_holm: The corrected p value.
        higher_is_better: Direction of the metric.
        replicates: R.

    Example:
        >>> outcome((0.01, 0.02), 0.03, higher_is_better=False)
        'worse'
    """
    low, high = ci95
    if p_holm >= LEVEL or replicates < FEWEST_TO_DECIDE or low <= 0 <= high:
        return "undecided"
    return "better" if (low > 0) == higher_is_better else "worse"


def judged(
    rows: Sequence[Comparison], variances: Sequence[Variance], metric: Metric
) -> tuple[Comparison, ...]:
    """Comparisons with corrected p values, outcomes and what the undecided ones need."""
    found: list[Comparison] = []
    corrected = holm([row.p for row in rows])
    for row, p, variance in zip(rows, corrected, variances, strict=True):
        word = outcome(
            row.ci95,
            p,
            higher_is_better=metric.higher_is_better,
            replicates=variance.replicates,
        )
        found.append(replace(row, p_holm=p, outcome=word))
    undecided = [row.outcome == "undecided" for row in found]
    # Holm's correction asks this of the first of those that are left.
    level = LEVEL / max(1, sum(undecided))
    for index, variance in enumerate(variances):
        if undecided[index]:
            found[index] = _with_needs(found[index], variance, level)
    return tuple(found)


def _with_needs(row: Comparison, variance: Variance, level: float) -> Comparison:
    needed = variance.needed(row.delta, level)
    limit = variance.limited_by if needed is None else "replicates"
    if needed is None and limit == "replicates" and variance.known:
        limit = None  # even 1000 would not do: nothing limits a difference next to zero
    return replace(row, needed=needed, limited_by=limit)
