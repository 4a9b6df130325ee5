"""Which images form which part of the data: long tails, few labels, stratified parts.

Every function returns int64 indices in ascending order and is a pure function of the labels and the seed. Inside a
class the images are taken from the front of one seeded shuffle, so parts of one seed are nested: the images of a
longer tail or of fewer labels are among those of the larger request.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from augmentor.randomness import generator_for
from augmentor.types import DataError

MIN_IMAGES_TO_TUNE = 4
"""A class with fewer images stays wholly in the fitting part of ``tuning_split``."""


def long_tail_counts(num_classes: int, largest: int, imbalance: float) -> list[int]:
    r"""Images of every class in an exponential long tail.

    .. math:: n_c = \max(1, \mathrm{round}(n_0 \, \rho^{-c / (K - 1)}))

    Args:
        num_classes: K, at least 1.
        largest: n_0, images of class 0, at least 1.
        imbalance: rho, images of class 0 for one of the last class, at least 1 (1 is balanced).

    Returns:
        K counts, falling from ``largest`` to ``largest / imbalance``, each at least 1.

    Raises:
        ValueError: If an argument is out of range.

    Source:
        Cui et al. 2019, arXiv:1901.05555, section 5.1 (long-tailed CIFAR).
    """
    if num_classes < 1 or largest < 1 or not 1 <= imbalance < float("inf"):
        raise ValueError(
            f"num_classes and largest must be at least 1 and imbalance finite and at least 1, "
            f"got {num_classes}, {largest}, {imbalance}"
        )
    steps = max(num_classes - 1, 1)
    return [max(1, _nearest(largest * imbalance ** (-c / steps))) for c in range(num_classes)]


def long_tail(y: Tensor, largest: int, imbalance: float, seed: int, names: Sequence[str] | None = None) -> Tensor:
    """Draw a long-tailed subset: class 0 keeps ``largest`` images, the last class ``largest / imbalance``.

    Args:
        y: Class indices, int64 (N,).
        largest: Images of class 0.
        imbalance: Images of class 0 for one of the last class, at least 1.
        seed: Draws the images.
        names: Class names, for the error.

    Returns:
        Indices into ``y``, ascending.

    Raises:
        DataError: If a class has fewer images than the tail asks for.
        ValueError: If an argument is out of range or ``y`` is not int64 (N,).
    """
    groups = _shuffled_groups(y, seed)
    return _fronts(groups, long_tail_counts(len(groups), largest, imbalance), names)


def few_labels(y: Tensor, labels: int, seed: int, names: Sequence[str] | None = None) -> Tensor:
    """Draw the labelled part of a partly labelled set, balanced by class.

    Every class gets ``labels // K`` images; the remainder goes, one image each, to classes drawn by the seed.

    Args:
        y: Class indices, int64 (N,).
        labels: Labelled images in all, at least one per class.
        seed: Draws the images.
        names: Class names, for the error.

    Returns:
        ``labels`` indices into ``y``, ascending.

    Raises:
        DataError: If a class has fewer images than its part.
        ValueError: If ``labels`` is smaller than the number of classes.
    """
    groups = _shuffled_groups(y, seed)
    each, rest = divmod(labels, len(groups))
    if each < 1:
        raise ValueError(f"labels must be at least the number of classes, {len(groups)}, got {labels}")
    favoured = set(torch.randperm(len(groups), generator=generator_for("favoured classes", seed))[:rest].tolist())
    return _fronts(groups, [each + (c in favoured) for c in range(len(groups))], names)


def stratified_split(y: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Split every class by the same fraction; both parts have an image of every class.

    Args:
        y: Class indices, int64 (N,).
        fraction: Part of every class that goes to the first, in (0, 1); rounded to whole images.
        seed: Draws the images.

    Returns:
        Indices of the first and of the second part, each ascending; together every image once.

    Raises:
        DataError: If a class has only one image.
        ValueError: If ``fraction`` is not in (0, 1).
    """
    return _split(y, fraction, seed, smallest=2, keep_small_whole=False)


def stratified_halves(y: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """``stratified_split`` in the middle; of an odd class the first half has one more."""
    return stratified_split(y, 0.5, seed)


def tuning_split(y: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Cut a tuning part from training data; a class of fewer than four images stays wholly in the fitting part.

    Args:
        y: Class indices, int64 (N,).
        fraction: Part of every class that stays for fitting, in (0, 1); rounded to whole images.
        seed: Draws the images.

    Returns:
        Indices to fit on and indices to tune on, each ascending; together every image once.

    Raises:
        ValueError: If ``fraction`` is not in (0, 1).
    """
    return _split(y, fraction, seed, smallest=MIN_IMAGES_TO_TUNE, keep_small_whole=True)


def _split(y: Tensor, fraction: float, seed: int, smallest: int, keep_small_whole: bool) -> tuple[Tensor, Tensor]:
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must lie in (0, 1), got {fraction}")
    groups = _shuffled_groups(y, seed)
    fronts = []
    for c, group in enumerate(groups):
        n = len(group)
        if n >= smallest:
            fronts.append(min(max(_nearest(fraction * n), 1), n - 1))
        elif keep_small_whole or n == 0:
            fronts.append(n)
        else:
            raise DataError(f"class {c} has {n} image, too few to split: add images or leave the class out")
    first = _fronts(groups, fronts)
    second = torch.ones(len(y), dtype=torch.bool)
    second[first] = False
    return first, second.nonzero().flatten()


def _shuffled_groups(y: Tensor, seed: int) -> list[Tensor]:
    """The indices of every class in seeded order; the shuffle of a class does not depend on how many are taken."""
    if y.ndim != 1 or y.dtype != torch.int64 or not len(y):
        raise ValueError(f"y must be (N,) int64 with at least one label, got {tuple(y.shape)} {y.dtype}")
    generator = generator_for("split", seed)
    members = [(y == c).nonzero().flatten() for c in range(int(y.max()) + 1)]
    return [group[torch.randperm(len(group), generator=generator)] for group in members]


def _fronts(groups: list[Tensor], counts: list[int], names: Sequence[str] | None = None) -> Tensor:
    for c, (group, count) in enumerate(zip(groups, counts, strict=True)):
        if len(group) < count:
            name = c if names is None else repr(names[c])
            raise DataError(f"class {name} has {len(group)} images but {count} are asked for: ask for fewer")
    return torch.cat([group[:count] for group, count in zip(groups, counts, strict=True)]).sort().values


def _nearest(value: float) -> int:
    """Halves go up; ``round`` would send them to the even neighbour and halve odd classes unevenly."""
    return int(value + 0.5)
