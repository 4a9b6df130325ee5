"""Draws with replacement that say how often an item has come before in the epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from torch.utils.data import Sampler


class Draw(int):
    """The number of an item, and how often it was drawn before in the epoch (``repeat``, from 0).

    Example:
        >>> Draw(4, 1) == 4, Draw(4, 1).repeat, repeat_of(4)
        (True, 1, 0)
    """

    repeat: int

    def __new__(cls, index: int, repeat: int) -> Draw:
        """An index as any other, for a dataset that does not look closer.

        Args:
            index: Of the item.
            repeat: Earlier draws of it in the epoch, from 0.
        """
        draw = super().__new__(cls, index)
        draw.repeat = repeat
        return draw

    def __getnewargs__(self) -> tuple[int, int]:  # type: ignore[override]
        """On its way to a loader's worker."""
        return int(self), self.repeat


def repeat_of(index: int) -> int:
    """How often the item was drawn before in the epoch; 0 where nobody counted."""
    return index.repeat if isinstance(index, Draw) else 0


class NumberedDraws(Sampler[int]):
    """A sampler that counts its draws of every item, for ``SeededDraws`` and ``SeededItems``.

    Their chance is a function of seed, epoch and item. A sampler with replacement draws an item of
    a rare class many times in an epoch, and it would be augmented in the same way each time. With
    this around the sampler every draw has chance of its own; the first one stays as it is without.

    Args:
        sampler: Gives the numbers of items.

    Example:
        >>> import torch
        >>> from torch.utils.data import WeightedRandomSampler
        >>> draws = NumberedDraws(WeightedRandomSampler(torch.ones(1), 3))
        >>> [(int(draw), repeat_of(draw)) for draw in draws]
        [(0, 0), (0, 1), (0, 2)]
    """

    def __init__(self, sampler: Sampler[int] | Iterable[int]) -> None:
        super().__init__()
        self.sampler = sampler

    def __len__(self) -> int:
        """Draws of an epoch."""
        return len(self.sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[int]:
        """The draws of an epoch."""
        seen = Counter[int]()
        for index in self.sampler:
            yield Draw(index, seen[index])
            seen[index] += 1
