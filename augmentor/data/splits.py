"""Which images form which part of the data: long tails, few labels, stratified parts.

Every function returns int64 indices in ascending order and is a pure function of the labels and the
seed. Inside a class the images are taken from the front of one seeded shuffle, so parts of one seed
are nested: the images of a longer tail or of fewer labels are among those of the larger request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augmentor.common.randomness import rng_for
from augmentor.common.types import DataError

MIN_IMAGES_TO_TUNE = 4
"""A class with fewer images stays wholly in the fitting part of ``tuning_split``."""
RARE = 0.5
"""A class of the smaller half is rare if it has less than this part of the largest one's images."""


class TooManyLabelsError(DataError):
    """More labels are asked for than the smallest class has images for; says how many there can
    be.
    """


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


def long_tail(
    y: Tensor, largest: int, imbalance: float, seed: int, names: Sequence[str] | None = None
) -> Tensor:
    """Draw a long-tailed subset: class 0 keeps ``largest`` images, the last class ``largest /
    imbalance``.

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

    Every class gets ``labels // K`` images; the remainder goes, one image each, to classes drawn by
    the seed.

    Args:
        y: Class indices, int64 (N,).
        labels: Labelled images in all, at least one per class.
        seed: Draws the images.
        names: Class names, for the error.

    Returns:
        ``labels`` indices into ``y``, ascending.

    Raises:
        TooManyLabelsError: If a class has fewer images than its part; another DataError if it has
            none.
        ValueError: If ``labels`` is smaller than the number of classes.
    """
    groups = _shuffled_groups(y, seed)
    each, rest = divmod(labels, len(groups))
    if each < 1:
        raise ValueError(
            f"labels must be at least the number of classes, {len(groups)}, got {labels}"
        )
    favoured = set(
        torch.randperm(len(groups), generator=rng_for("favoured classes", seed))[:rest].tolist()
    )
    counts = [each + (c in favoured) for c in range(len(groups))]
    least = min(range(len(groups)), key=lambda c: len(groups[c]))
    most, name = len(groups[least]), least if names is None else repr(names[least])
    if most and any(len(group) < count for group, count in zip(groups, counts, strict=True)):
        raise TooManyLabelsError(
            f"{labels} labels ask for {max(counts)} images of a class, and class {name} has "
            f"{most}: ask for at most {most * len(groups)}"
        )
    return _fronts(groups, counts, names)


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
    _check_fraction(fraction)
    groups = _shuffled_groups(y, seed)
    if single := [c for c, group in enumerate(groups) if len(group) == 1]:
        raise DataError(
            f"class {single[0]} has 1 image, too few to split: add images or leave the class out"
        )
    return _parts(groups, [_front(len(group), fraction) if len(group) else 0 for group in groups])


def tuning_split(y: Tensor, fraction: float, seed: int, turn: int = 0) -> tuple[Tensor, Tensor]:
    """Cut a tuning part from training data; in a long tail, common classes are subsampled to stand
    in for rare ones.

    A rare class has no image to spare, and what an arm does to rare classes is what decides a long
    tail. So every other one of the common half of the classes is cut down to the size of a rare one
    (the largest to that of the smallest, and so on) and gives all its other images for tuning,
    while the rare classes stay whole for fitting. Common classes whose turn it is not, and all
    classes without a tail or with no more than three classes, give 1 - ``fraction`` of their
    images. A class of fewer than four images stays whole.

    Args:
        y: Class indices, int64 (N,).
        fraction: Part of a class that stays for fitting, in (0, 1); rounded to whole images.
        seed: Draws the images.
        turn: Even or odd: which of the common classes stand in.

    Returns:
        Indices to fit on and indices to tune on, each ascending; together every image once.

    Raises:
        ValueError: If ``fraction`` is not in (0, 1).
    """
    _check_fraction(fraction)
    groups = _shuffled_groups(y, seed)
    return _parts(groups, _kept_for_fitting([len(group) for group in groups], fraction, turn))


def copies_together(
    split: Callable[[Tensor], tuple[Tensor, Tensor]], y: Tensor, identity: NDArray[np.int64]
) -> tuple[Tensor, Tensor]:
    """Split images so that all copies of one fall on the same side: one that is fitted must not be
    scored.

    Only the first of several copies enters the split, with its label; the others follow it. Without
    copies the parts are those of ``split``.

    Args:
        split: Makes two parts of labels, such as ``tuning_split`` with its other arguments.
        y: Class indices, int64 (N,).
        identity: A number per image, equal for copies, int64 (N,); see ``fingerprints``.

    Returns:
        Indices of the first and of the second part, each ascending; together every image once.

    Example:
        >>> halves = lambda y: (torch.arange(1), torch.arange(1, len(y)))
        >>> first, second = copies_together(halves, torch.zeros(4).long(), np.array([7, 8, 7, 9]))
        >>> first.tolist(), second.tolist()
        ([0, 2], [1, 3])
    """
    _, first, group = np.unique(identity, return_index=True, return_inverse=True)
    different = torch.from_numpy(np.sort(first))
    chosen, _ = split(y[different])
    in_first = torch.zeros(len(y), dtype=torch.bool)
    in_first[different[chosen]] = True
    in_first = in_first[torch.from_numpy(first[group])]
    return in_first.nonzero().flatten(), (~in_first).nonzero().flatten()


def rare_classes(num_classes: int, number: int, seed: int) -> Tensor:
    """Draw the classes that are to be rare; those of a smaller number are among them.

    Args:
        num_classes: K.
        number: How many, from 1 to K - 1: some class has to stay whole.
        seed: Draws them.

    Returns:
        Classes, int64 (number,), ascending.

    Raises:
        DataError: If no class would stay whole.
    """
    if not 1 <= number < num_classes:
        raise DataError(
            f"{number} of {num_classes} classes are to be rare, but one at least has to be and one "
            "has to stay whole: ask for another number"
        )
    order = torch.randperm(num_classes, generator=rng_for("rare classes", seed))
    return order[:number].sort().values


def rare_front(
    members: Tensor, place: Tensor, conditions: int | None, images: int | None, seed: int, key: str
) -> Tensor:
    """The images that a rare class keeps.

    Its conditions are drawn, and images are dealt out from one after the other, so that four images
    of three conditions show all three; fewer images are among more of them.

    Args:
        members: The images of the class that may be kept, int64 (N,).
        place: The number of each one's condition, int64 (N,); all equal if it does not matter.
        conditions: How many conditions; None for all that the class has.
        images: How many images at most; None for all of these conditions.
        seed: Draws both.
        key: Name of the class, a part of the address of the draw.

    Returns:
        Some of ``members``, ascending.

    Example:
        >>> rare_front(torch.arange(4), torch.tensor([0, 0, 1, 1]), 1, None, 0, "Q").tolist()
        [0, 1]
    """
    rng = rng_for("rare images", seed, key)
    present = torch.unique(place)
    drawn = present[torch.randperm(len(present), generator=rng)][:conditions]
    order = torch.randperm(len(members), generator=rng)
    hands = [members[order][place[order] == one].tolist() for one in drawn.tolist()]
    dealt = [one for turn in zip_longest(*hands) for one in turn if one is not None]
    return torch.tensor(dealt[:images], dtype=torch.int64).sort().values


def _kept_for_fitting(counts: list[int], fraction: float, turn: int) -> list[int]:
    kept = [_front(n, fraction) if n >= MIN_IMAGES_TO_TUNE else n for n in counts]
    ranked = sorted((c for c, n in enumerate(counts) if n), key=lambda c: -counts[c])
    common, others = ranked[: len(ranked) // 2], ranked[len(ranked) // 2 :]
    rare = [c for c in others if counts[c] < RARE * counts[ranked[0]]]
    if not rare or len(common) < 2:  # of two or three classes no common one would be left
        return kept
    for c in rare:
        kept[c] = counts[c]
    for c, rare_one in [*zip(common, reversed(rare), strict=False)][turn % 2 :: 2]:
        if counts[c] >= MIN_IMAGES_TO_TUNE:
            kept[c] = min(kept[c], counts[rare_one])
    return kept


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must lie in (0, 1), got {fraction}")


def _front(n: int, fraction: float) -> int:
    return min(max(_nearest(fraction * n), 1), n - 1)


def _parts(groups: list[Tensor], counts: list[int]) -> tuple[Tensor, Tensor]:
    """The first images of every group, and all others."""
    first = _fronts(groups, counts)
    second = torch.ones(sum(map(len, groups)), dtype=torch.bool)
    second[first] = False
    return first, second.nonzero().flatten()


def _shuffled_groups(y: Tensor, seed: int) -> list[Tensor]:
    """The indices of every class in seeded order; the shuffle of a class does not depend on how
    many are taken.
    """
    if y.ndim != 1 or y.dtype != torch.int64 or not len(y):
        raise ValueError(
            f"y must be (N,) int64 with at least one label, got {tuple(y.shape)} {y.dtype}"
        )
    rng = rng_for("split", seed)
    members = [(y == c).nonzero().flatten() for c in range(int(y.max()) + 1)]
    return [group[torch.randperm(len(group), generator=rng)] for group in members]


def _fronts(groups: list[Tensor], counts: list[int], names: Sequence[str] | None = None) -> Tensor:
    for c, (group, count) in enumerate(zip(groups, counts, strict=True)):
        if len(group) < count:
            name = c if names is None else repr(names[c])
            raise DataError(
                f"class {name} has {len(group)} images but {count} are asked for: ask for fewer"
            )
    return (
        torch.cat([group[:count] for group, count in zip(groups, counts, strict=True)])
        .sort()
        .values
    )


def _nearest(value: float) -> int:
    """Halves go up; ``round`` would send them to the even neighbour and halve odd classes
    unevenly.
    """
    return int(value + 0.5)
