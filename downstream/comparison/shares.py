"""The interval of a score that did not vary at all: what images that were all right leave open."""

from __future__ import annotations

import numpy as np

from downstream.comparison.thresholds import LEVEL
from downstream.comparison.variance import Interval
from downstream.metrics import Floats


def share_bounds(weights: Floats, right: Floats) -> Interval:
    r"""Exact 95 % interval of a weighted share of images, each of them right or not.

    For images of which every replicate said the same, where a t interval has no width. With
    :math:`w_i` what image i adds to the share if it is right, the share may be lower by

    .. math:: \max_p \sum_i w_i (1 - p_i) \quad\text{where}\quad \prod_i p_i \ge 0.025

    over the images that are right, and higher by the same over those that are not: with larger
    deviations the outcome would have a probability below 2.5 %. It speaks of these trainings, and
    of images of each class as drawn independently.

    Args:
        weights: (N,), 0 or more.
        right: Above 0 for an image that is right, else 0, (N,).

    Returns:
        The ends; of equal weights and images that are all right, those of Clopper & Pearson.

    Source:
        Clopper & Pearson 1934, Biometrika 26, 404-413; here for strata of unequal weight, whose
        maximum is at :math:`p_i = \min(1, \lambda / w_i)`.

    Example:
        >>> low, high = share_bounds(np.full(100, 0.01), np.ones(100))
        >>> round(low, 4), round(high, 4)
        (0.9638, 1.0)
    """
    hit = right > 0
    share = float(weights[hit].sum())
    return share - _open(weights[hit]), share + _open(weights[~hit])


def _open(weights: Floats) -> float:
    """The largest sum of w (1 - p), the product of all p being ``LEVEL / 2`` or more."""
    w = -np.sort(-weights[weights > 0])
    if not len(w):
        return 0.0
    count = np.arange(1, len(w) + 1)
    # With the m largest weights below p = 1, all of these have p = level / w.
    levels = np.exp((np.log(LEVEL / 2) + np.cumsum(np.log(w))) / count)
    last = int(np.argmax(levels >= np.append(w[1:], 0.0)))
    return float((w[: last + 1] - levels[last]).sum())
