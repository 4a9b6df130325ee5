"""Which combinations of class and condition a synthetic set renders, and with which conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augmentor.common.conditions import Conditions
from augmentor.common.types import LabelledImages
from augmentor.data.class_counts import fill_combinations
from augmentor.data.combinations import combinations_of

Values = tuple[tuple[float, ...], ...]
"""Conditions that are numbers: one row per condition, one number per column."""


@dataclass(frozen=True)
class Fill:
    """Images to render of every combination of class and condition.

    The images of a class are in rounds: the first candidate of every combination that gets one,
    then the second of those that get two, and so on.

    Args:
        conditions: What the conditions are.
        bins: Names of the conditions, or of the intervals that numbers are counted in.
        counts: For every class name with images to render, how many in each bin.
        values: For numbers, the conditions of every bin that are rendered, in turn; for categories
            empty, as a bin is a category.

    Raises:
        ValueError: If numbers of bins differ, or a bin of numbers is to be rendered without values.

    Example:
        >>> fill = Fill(Conditions(("font",), ("bold", "light")), ("bold", "light"), {"A": (1, 2)})
        >>> fill.slots("A")
        ((0, 0), (1, 0), (1, 1))
        >>> fill.condition("A")
        tensor([0, 1, 1])
    """

    conditions: Conditions
    bins: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    values: tuple[Values, ...] = ()

    def __post_init__(self) -> None:
        if any(
            len(row) != len(self.bins) or min(row, default=0) < 0 for row in self.counts.values()
        ):
            raise ValueError(f"need a count, 0 or more, for each of {len(self.bins)} conditions")
        if not self.conditions.are_numbers:
            if self.values or self.bins != self.conditions.categories:
                raise ValueError("the bins of categories are the categories, without values")
            return
        widths = {len(value) for values in self.values for value in values}
        if len(self.values) != len(self.bins) or widths - {self.conditions.size}:
            raise ValueError(f"need values of {self.conditions.size} numbers for every bin")
        for row in self.counts.values():
            if any(n and not values for n, values in zip(row, self.values, strict=True)):
                raise ValueError("a bin without values cannot be rendered")

    @property
    def totals(self) -> dict[str, int]:
        """Images of every class name, without classes that get none."""
        return {name: sum(row) for name, row in self.counts.items() if sum(row)}

    def slots(self, name: str) -> tuple[tuple[int, int], ...]:
        """(bin, candidate of the combination) of every image of a class, in order."""
        return _slots(tuple(self.counts.get(name, ())))

    def condition(self, name: str) -> Tensor:
        """The conditions of the images of a class, as ``Conditions.rows`` takes them."""
        return self.condition_of(self.slots(name))

    def condition_of(self, slots: Sequence[tuple[int, int]]) -> Tensor:
        """The conditions of slots: int64 (n,), or float32 (n, D) for numbers."""
        if not self.conditions.are_numbers:
            return torch.tensor([place for place, _ in slots], dtype=torch.int64)
        rows = [self.values[place][number % len(self.values[place])] for place, number in slots]
        return torch.tensor(rows, dtype=torch.float32).reshape(-1, self.conditions.size)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of metadata; one where a category does not tell its columns apart,
        since it holds more commas.
        """
        names, categories = self.conditions.names, self.conditions.categories
        apart = all(len(_cells(one)) == len(names) for one in categories)
        return names if apart else ("+".join(names),)

    def words(self, condition: Tensor) -> Iterator[dict[str, str | float]]:
        """Conditions as columns of metadata, such as ``{"font": "bold"}``.

        Args:
            condition: As ``condition_of`` returns them.
        """
        columns = self.columns  # looks at every category
        for one in condition.tolist():
            if self.conditions.are_numbers:
                yield {name: _short(value) for name, value in zip(columns, one, strict=True)}
            else:
                name = self.conditions.categories[one]
                cells = [name] if len(columns) == 1 else _cells(name)
                yield dict(zip(columns, cells, strict=True))

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Fill:
        """The plan that ``dataclasses.asdict`` made JSON values of.

        Raises:
            ValueError: If they are of another form; a ``TypeError`` or ``KeyError`` too.
        """
        conditions = Conditions(**{name: tuple(row) for name, row in stored["conditions"].items()})
        counts = {str(name): tuple(row) for name, row in stored["counts"].items()}
        if not all(type(n) is int for row in counts.values() for n in row):
            raise TypeError("counts of combinations are not whole numbers")
        values = tuple(
            tuple(tuple(float(number) for number in one) for one in some)
            for some in stored["values"]
        )
        return cls(conditions, tuple(map(str, stored["bins"])), counts, values)


def _cells(category: str) -> list[str]:
    return category.split(", ")


@lru_cache(maxsize=4)
def _slots(row: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Those of a class with these counts; every shard of the class asks for them."""
    return tuple(
        (place, candidate)
        for candidate in range(max(row, default=0))
        for place, n in enumerate(row)
        if candidate < n
    )


def fill_up_to(
    seen: LabelledImages, total: int | None = None, classes: Sequence[str] | None = None
) -> Fill:
    """What is missing for real and synthetic images together to be equally many in every
    combination.

    Conditions that no class was seen in are left out: nobody can learn them.

    Args:
        seen: The training images; of them only classes and conditions count.
        total: Images of a combination in all; the most that one has unless given. Combinations
            that have more get none.
        classes: Names of the classes to fill; all unless given.

    Returns:
        The plan; empty ``totals`` where nothing is missing.

    Raises:
        ValueError: If the conditions of the images are not known, or the total is negative.

    Example:
        >>> seen = LabelledImages(
        ...     torch.zeros(4, 1, 8, 8), torch.tensor([0, 0, 0, 1]), ("A", "B"),
        ...     torch.tensor([0, 0, 1, 1]), Conditions(("font",), ("bold", "light")),
        ... )
        >>> fill_up_to(seen).counts
        {'A': (0, 1), 'B': (2, 1)}
    """
    combinations = combinations_of(seen)
    added = fill_combinations(combinations.counts, total)
    return _plan(seen, added.tolist(), classes)


def spread_evenly(seen: LabelledImages, counts: Mapping[str, int]) -> Fill:
    """So many images of every class, spread evenly over the conditions that occur.

    Args:
        seen: The training images; of them only classes and conditions count.
        counts: Images to render per class name.

    Example:
        >>> seen = LabelledImages(
        ...     torch.zeros(2, 1, 8, 8), torch.tensor([0, 0]), ("A",),
        ...     torch.tensor([0, 2]), Conditions(("font",), ("bold", "light", "thin")),
        ... )
        >>> spread_evenly(seen, {"A": 5}).counts
        {'A': (3, 0, 2)}
    """
    combinations = combinations_of(seen)
    occurring = combinations.occurring.nonzero().flatten().tolist()
    rows = []
    for name in seen.classes:
        row = [0] * len(combinations.bins)
        for turn, place in enumerate(occurring):
            row[place] = len(range(turn, counts.get(name, 0), len(occurring)))
        rows.append(row)
    return _plan(seen, rows, None)


def _plan(
    seen: LabelledImages, rows: Sequence[Sequence[int]], classes: Sequence[str] | None
) -> Fill:
    assert seen.condition is not None
    bins = combinations_of(seen).bins
    counts = {}
    for name, row in zip(seen.classes, rows, strict=True):
        if sum(row) and (classes is None or name in classes):
            counts[name] = tuple(row)
    if not seen.conditions.are_numbers:
        return Fill(seen.conditions, bins.names, counts)
    place, values = bins.of(seen.condition), []
    for number in range(len(bins)):
        distinct = torch.unique(seen.condition[place == number], dim=0)
        values.append(tuple(tuple(row) for row in distinct.tolist()))
    return Fill(seen.conditions, bins.names, counts, tuple(values))


def _short(value: float) -> float:
    """A float32 in the digits a user wrote: 0.1, not 0.10000000149011612."""
    return float(str(np.float32(value)))
