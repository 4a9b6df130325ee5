"""How many training images two replicates have in common."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from downstream.metrics import Integers


def expected_overlap(drawn: Sequence[int], available: Sequence[int]) -> float:
    r"""Share of training images that two random draws have in common, mean over classes.

    .. math:: \frac 1 K \sum_k n_k / M_k

    Args:
        drawn: Images :math:`n_k` drawn from each class in every replicate, (K,); a class of which
            none is drawn does not count.
        available: Images :math:`M_k` of each class that they are drawn from, (K,).

    Returns:
        The share in (0, 1]; 1 where every replicate has all images.

    Raises:
        ValueError: If lengths differ, nothing is drawn, or more than there is.

    Example:
        >>> expected_overlap([4, 4], [40, 8])
        0.3
    """
    n, available_counts = np.asarray(drawn, float), np.asarray(available, float)
    if n.shape != available_counts.shape or (n > available_counts).any() or not (n > 0).any():
        raise ValueError(f"cannot draw {list(drawn)} of {list(available)} images")
    return float((n[n > 0] / available_counts[n > 0]).mean())


def measured_overlap(ids: Sequence[Integers], classes: Sequence[Integers]) -> float:
    """Share of training images that two replicates have in common, mean over classes and pairs.

    Args:
        ids: Fingerprints of the training images of each replicate, int64 (n_r,), two replicates or
            more.
        classes: Their classes, int64 (n_r,), from 0 on.

    Returns:
        The share in [0, 1], relative to the mean number of different images of the class in the two
        replicates.

    Raises:
        ValueError: If there are fewer than two replicates, or one has no images.

    Example:
        >>> labels = np.array([0, 0, 1])
        >>> measured_overlap([np.array([1, 2, 3]), np.array([2, 4, 3])], [labels, labels])
        0.75
    """
    if len(ids) < 2 or not all(map(len, ids)):
        raise ValueError("need the training images of two replicates or more")
    count = 1 + max(int(labels.max()) for labels in classes)
    sets: list[tuple[Integers, Integers]] = []
    for own, labels in zip(ids, classes, strict=True):
        unique, where = np.unique(own, return_index=True)
        sets.append((unique, labels[where]))
    shares = [_pair_overlap(one, other, count) for one, other in combinations(sets, 2)]
    return float(np.mean(shares))


def _pair_overlap(
    first: tuple[Integers, Integers], second: tuple[Integers, Integers], count: int
) -> float:
    common = np.isin(first[0], second[0])
    shared = np.bincount(first[1][common], minlength=count)
    sizes = np.bincount(np.concatenate([first[1], second[1]]), minlength=count)
    return float((2 * shared[sizes > 0] / sizes[sizes > 0]).mean())
