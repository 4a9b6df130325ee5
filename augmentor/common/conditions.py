"""Conditions: known circumstances beside the class, such as light, camera, site or font."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from augmentor.common.traced import has_values

COVERED, THIN, MISSING = 0, 1, 2
"""The states of a combination of class and condition."""


@dataclass(frozen=True)
class Conditions:
    """What kind of circumstance is known beside the class: one of several categories, or a vector
    of numbers.

    Args:
        names: Names of the columns, such as ``("azimuth", "elevation")``; empty for no condition.
        categories: Names of the categories; position is index. Empty for numbers.
        centre: Of every column of numbers; subtracted before networks see it.
        scale: Of every column of numbers, above 0; divided by, so that the training part lies in
            [-1, 1].

    Raises:
        ValueError: If there are names without categories or scales, or both.

    Example:
        >>> light = Conditions(("azimuth", "elevation"), centre=(0.0, 20.0), scale=(130.0, 70.0))
        >>> light.rows(torch.tensor([[65.0, 20.0]]))
        tensor([[0.5000, 0.0000]])
        >>> bool(Conditions())
        False
    """

    names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    centre: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        numbers = len(self.centre) == len(self.scale) == len(self.names) and not self.categories
        words = bool(self.names and self.categories) and not self.centre and not self.scale
        if not (numbers or words) or not all(scale > 0 for scale in self.scale):
            raise ValueError(
                "conditions are categories, or numbers with a centre and a positive scale per "
                f"column: {self}"
            )

    def __bool__(self) -> bool:
        return bool(self.names)

    @property
    def are_numbers(self) -> bool:
        """Whether a condition is a vector of numbers; otherwise it is one of the categories."""
        return bool(self.centre)

    @property
    def size(self) -> int:
        """Columns of ``rows``; 0 without conditions."""
        return len(self.categories) or len(self.names)

    def rows(self, condition: Tensor) -> Tensor:
        """Conditions in the form that networks take.

        Args:
            condition: Categories, int64 (N,), or mixtures of them, float (N, size) with rows
                summing to one; numbers, float (N, size), in the units of the data.

        Returns:
            float32 (N, size): weights of the categories, or scaled numbers.

        Raises:
            ValueError: If the type, the shape or a value does not fit.
        """
        self.require(condition)
        if self.are_numbers:
            # By plain numbers: a tensor of them would be copied to the device, which a recorded
            # step cannot do.
            columns = zip(condition.unbind(dim=1), self.centre, self.scale, strict=True)
            scaled = [(column - centre) / scale for column, centre, scale in columns]
            return torch.stack(scaled, dim=1).float()
        if condition.ndim == 1:
            return one_hot(condition, self.size).float()
        return condition.float()

    def require(self, condition: Tensor) -> None:
        """Refuse what ``rows`` cannot take, without the memory that the rows of many images need.

        Raises:
            ValueError: If the type, the shape or a value does not fit.

        Example:
            >>> Conditions(("font",), ("bold", "light")).require(torch.tensor([0, 2]))
            Traceback (most recent call last):
            ValueError: conditions must lie in [0, 2), got 0 to 2
        """
        if not self:
            raise ValueError("the source knows no conditions; leave condition out")
        if not self.are_numbers and condition.ndim == 1 and condition.dtype == torch.int64:
            self._require_categories(condition)
            return
        self._require_shape(condition)
        if not has_values(condition):
            return
        if self.are_numbers and not bool(condition.isfinite().all()):
            raise ValueError("a condition is not a finite number")
        sums = condition.sum(dim=1)
        if not self.are_numbers and not torch.allclose(sums, torch.ones_like(sums), atol=1e-4):
            raise ValueError("every row of a mixture of conditions must sum to one")

    def repeated(self, one: str | float | Sequence[float], n: int) -> Tensor:
        """One condition for n images, as ``rows`` takes them.

        Args:
            one: Name of a category (of several columns: with commas between), or one number per
                column; of a single column the number itself too.
            n: How many.

        Returns:
            int64 (n,), or float32 (n, size) for numbers.

        Raises:
            ValueError: If the category is unknown, or the numbers are not one per column.

        Example:
            >>> Conditions(("font",), ("bold", "light")).repeated("light", 2)
            tensor([1, 1])
        """
        if self.are_numbers:
            numbers = one if isinstance(one, Collection) else (one,)
            if isinstance(numbers, str) or len(numbers) != self.size:
                raise ValueError(f"name one number for each of {', '.join(self.names)}: {one!r}")
            return torch.tensor([[*numbers]], dtype=torch.float32).repeat(n, 1)
        name = _spelled(one) if isinstance(one, str) else ""
        place = {_spelled(own): i for i, own in enumerate(self.categories)}.get(name)
        if place is None:
            known = ", ".join(map(repr, self.categories[:20])) + (", …" if self.size > 20 else "")
            raise ValueError(f"unknown {', '.join(self.names)} {one!r}; known: {known}")
        return torch.full((n,), place)

    def _require_categories(self, condition: Tensor) -> None:
        if not has_values(condition):
            return
        low, high = int(condition.min()), int(condition.max())
        if not 0 <= low <= high < self.size:
            raise ValueError(f"conditions must lie in [0, {self.size}), got {low} to {high}")

    def _require_shape(self, condition: Tensor) -> None:
        if condition.shape[1:] != (self.size,) or not condition.is_floating_point():
            usual = "" if self.are_numbers else "int64 (N,) or "
            raise ValueError(
                f"conditions must be {usual}float (N, {self.size}), got {condition.dtype} "
                f"{tuple(condition.shape)}"
            )


def _spelled(name: str) -> str:
    """In one spelling of accents, and of the spaces beside the commas of several columns."""
    parts = unicodedata.normalize("NFC", name).split(",")
    return ", ".join(part.strip() for part in parts)


NO_CONDITIONS = Conditions()
