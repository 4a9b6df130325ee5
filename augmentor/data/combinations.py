"""Combinations of class and condition: which are well covered, thin or missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import torch
from torch import Tensor

from augmentor.common.conditions import COVERED, MISSING, THIN, Conditions
from augmentor.common.types import LabelledImages

THIN_PART = 0.25
"""A combination is thin below this part of the median over those that have images."""
VALUES, INTERVALS, MOST_BINS = 16, 4, 4096
"""Numbers: a single column with so many values at most has a bin for each; else columns are cut
into so many intervals, or fewer, so that there are not more bins than that."""
MOST_COLUMNS = 12
"""Of numbers: each of two intervals, ``MOST_BINS`` in all."""
MOST_DIGITS = 17


@dataclass(frozen=True)
class Bins:
    """Conditions in bins: a bin per category, or intervals of numbers.

    Args:
        names: Of the bins, as tables show them; position is index.
        edges: Inner edges of the intervals, ascending, one tuple per column of numbers; empty for
            categories. A value on an edge belongs to the upper interval. The last column varies
            fastest.

    Example:
        >>> bins = Bins(("low", "high"), ((0.0,),))
        >>> bins.of(torch.tensor([[-3.0], [0.0], [2.0]]))
        tensor([0, 1, 1])
    """

    names: tuple[str, ...]
    edges: tuple[tuple[float, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def of(self, condition: Tensor) -> Tensor:
        """Bins of conditions, int64 (N,).

        Args:
            condition: Categories, int64 (N,), or numbers, float (N, D).
        """
        if not self.edges:
            return condition
        number = torch.zeros(len(condition), dtype=torch.int64)
        for column, inner in enumerate(self.edges):
            values = condition[:, column].cpu().contiguous()
            place = torch.bucketize(values, torch.tensor(inner, dtype=values.dtype), right=True)
            number = number * (len(inner) + 1) + place
        return number


@dataclass(frozen=True)
class Combinations:
    """How often every combination of class and condition occurs in the training part.

    Args:
        classes: Class names.
        bins: Of the conditions.
        counts: Training images of every combination, int64 (K, B).
    """

    classes: tuple[str, ...]
    bins: Bins
    counts: Tensor

    @property
    def occurring(self) -> Tensor:
        """Whether any class has training images in a bin, bool (B,): what no class was seen in,
        nobody can learn.
        """
        return self.counts.sum(dim=0) > 0

    @property
    def coverage(self) -> Tensor:
        """``COVERED``, ``THIN`` or ``MISSING`` for every combination, int64 (K, B)."""
        filled = self.counts[self.counts > 0].double()
        least = THIN_PART * float(filled.median()) if len(filled) else 0.0
        found = torch.full_like(self.counts, COVERED)
        found[self.counts < least] = THIN
        found[self.counts == 0] = MISSING
        return found

    def of(self, images: LabelledImages) -> Tensor:
        """The combination of every image, int64 (N,): class times bins plus bin."""
        if images.condition is None:
            raise ValueError("the conditions of the images are not known")
        return images.y * len(self.bins) + self.bins.of(images.condition)

    def coverage_of(self, images: LabelledImages) -> Tensor:
        """The coverage of every image's combination, int64 (N,)."""
        return self.coverage.flatten()[self.of(images)]

    def name(self, combination: int) -> str:
        """Class and bin of a combination in words."""
        label, place = divmod(combination, len(self.bins))
        return f"{self.classes[label]} × {self.bins.names[place]}"


def combinations_of(images: LabelledImages, bins: Bins | None = None) -> Combinations:
    """The combinations of the training images.

    Args:
        images: Training images with conditions.
        bins: Of the conditions; None is ``bins_of(images)``.

    Raises:
        ValueError: If the conditions of the images are not known.

    Example:
        >>> fonts = Conditions(("font",), ("bold", "light"))
        >>> images = LabelledImages(torch.zeros(3, 1, 8, 8), torch.tensor([0, 0, 1]), ("A", "B"),
        ...                         torch.tensor([0, 1, 1]), fonts)
        >>> combinations_of(images).coverage
        tensor([[0, 0],
                [2, 0]])
    """
    if images.condition is None:
        raise ValueError("the conditions of the images are not known")
    chosen = bins_of(images.conditions, images.condition) if bins is None else bins
    number = images.y * len(chosen) + chosen.of(images.condition)
    counts = torch.bincount(number, minlength=len(images.classes) * len(chosen))
    return Combinations(images.classes, chosen, counts.view(len(images.classes), len(chosen)))


def bins_of(conditions: Conditions, condition: Tensor) -> Bins:
    """Bins for conditions: the categories, the values of one column of numbers, or intervals that
    hold about equally many of the values that occur.

    Args:
        conditions: What the conditions are.
        condition: Those of the training images.

    Raises:
        ValueError: If there are more than ``MOST_COLUMNS`` columns of numbers.
    """
    if not conditions.are_numbers:
        return Bins(conditions.categories)
    most = _per_column(condition)
    edges = tuple(_edges(condition[:, i], most) for i in range(conditions.size))
    intervals = []
    for name, inner, values in zip(conditions.names, edges, condition.T, strict=True):
        intervals.append(_interval_names(name, inner, torch.unique(values.double())))
    names = tuple(", ".join(parts) for parts in product(*intervals))
    return Bins(names, edges)


def _per_column(condition: Tensor) -> int:
    columns = condition.shape[1]
    if columns > MOST_COLUMNS:
        raise ValueError(
            f"{columns} columns of numbers have too many combinations; name {MOST_COLUMNS} at most"
        )
    if columns == 1 and len(torch.unique(condition)) <= VALUES:
        return VALUES
    return INTERVALS if INTERVALS**columns <= MOST_BINS else 2


def _edges(values: Tensor, most: int) -> tuple[float, ...]:
    """Inner edges, halfway between neighbouring values that occur."""
    distinct = torch.unique(values.double())
    count = min(most, len(distinct))
    cuts = [round(i * len(distinct) / count) for i in range(1, count)]
    return tuple(float(distinct[cut - 1] + distinct[cut]) / 2 for cut in cuts)


def _interval_names(name: str, inner: Sequence[float], values: Tensor) -> list[str]:
    """One for every interval of these values, ascending and distinct: from border to border, or the
    value that is alone in it.
    """
    borders = [float(values[0]), *inner, float(values[-1])]
    place = torch.bucketize(values, torch.tensor(inner, dtype=values.dtype), right=True)
    names = []
    for number, (lower, upper) in enumerate(pairwise(borders)):
        own = values[place == number]
        alone = len(own) == 1
        words = [float(own[0])] if alone else [lower, upper]
        names.append(f"{name} {' to '.join(_written(borders, words))}")
    return names


def _written(borders: Sequence[float], numbers: Sequence[float]) -> list[str]:
    """Numbers with so many digits that the borders differ, and that those before the point show."""
    digits = min(max(6, len(str(int(max(map(abs, borders)))))), MOST_DIGITS)
    while digits < MOST_DIGITS and len({f"{one:.{digits}g}" for one in borders}) < len({*borders}):
        digits += 1
    return [f"{one:.{digits}g}" for one in numbers]
