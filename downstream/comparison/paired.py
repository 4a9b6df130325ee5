"""Tests of paired differences that know nothing but one difference per replicate."""

from __future__ import annotations

import numpy as np

from downstream.comparison.variance import FIXED_IMAGES, Interval, Variance
from downstream.metrics import Floats

EXACT_UP_TO = 16
"""Up to this many replicates all 2^R sign patterns are tried; above, random ones."""


def paired_t(differences: Floats) -> tuple[Interval, float]:
    r"""Student's 95 % interval of the mean difference, and the two-sided p of a mean of zero.

    .. math:: \bar d \pm t_{0.975, R-1}\, s / \sqrt R

    Args:
        differences: One difference per replicate, shape (R,).

    Returns:
        The interval and p, as ``Variance.interval`` gives them: without spread p is 1 and the
        interval reaches from zero to twice the mean; for one replicate it has no ends.

    Example:
        >>> interval, p = paired_t(np.array([1.0, 2.0, 3.0]))
        >>> round(p, 3)
        0.074
    """
    return Variance.of(differences, 0.0, FIXED_IMAGES).interval(float(differences.mean()))


def sign_flip_p(differences: Floats, seed: int = 0, draws: int = 100_000) -> float:
    """Two-sided p of a permutation test: how often random signs give a mean at least as far from
    zero.

    Exact over all 2^R sign patterns up to 16 replicates, else over ``draws`` random ones (counting
    the observed one).

    Args:
        differences: One difference per replicate, shape (R,).
        seed: Decides the random patterns.
        draws: Number of random patterns.

    Returns:
        p in (0, 1]; at least 2 / 2^R, as flipping all signs keeps the distance.

    Example:
        >>> sign_flip_p(np.array([1.0, 2.0, 3.0]))
        0.25
    """
    count = len(differences)
    if count <= EXACT_UP_TO:
        bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
    else:
        bits = np.random.default_rng(seed).integers(0, 2, size=(draws, count))
    sums = np.abs((1 - 2 * bits) @ differences)
    extreme = sums >= abs(differences.sum()) - 1e-12  # rounding must not lose the observed pattern
    if count <= EXACT_UP_TO:
        return float(extreme.mean())
    return float((extreme.sum() + 1) / (draws + 1))
