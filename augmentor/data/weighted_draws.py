"""Draws by weights, shared among the processes of a distributed training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Sampler

from augmentor.common import ranks
from augmentor.common.randomness import rng_for
from augmentor.data.shared_epoch import SharedEpoch


class WeightedDraws(SharedEpoch, Sampler[int]):
    """Draw items by their weights, with replacement; every process gets its part of the draws.

    ``DistributedSampler`` knows no weights, and a ``WeightedRandomSampler`` gives each process
    draws of its own: where all have one seed, all train on the same images. Here the draws of an
    epoch are a function of (seed, epoch), and process r of R takes every R-th. Alone it gets all.

    Make it after ``init_process_group``, and call ``set_epoch`` before every epoch.

    Args:
        weights: How often each item is drawn, relative to the others, (N,), 0 or more; such as
            ``SyntheticMix.draw_weights``.
        length: Draws of an epoch, over all processes.
        seed: Decides the draws; the same in all processes.

    Raises:
        ValueError: If a weight is negative or not finite, all are 0, or ``length`` is below 1.

    Example:
        >>> draws = WeightedDraws([0.0, 1.0, 3.0], length=400, seed=0)
        >>> counts = torch.bincount(torch.tensor(list(draws)), minlength=3)
        >>> counts.tolist()
        [0, 97, 303]
    """

    def __init__(self, weights: Tensor | Sequence[float], length: int, seed: int = 0) -> None:
        super().__init__()
        given = torch.as_tensor(weights, dtype=torch.float64)
        if given.ndim != 1 or not bool((given.isfinite() & (given >= 0)).all()) or not given.any():
            raise ValueError("weights must be numbers of 0 or more, (N,), one above 0 at least")
        if length < 1:
            raise ValueError(f"length must be 1 or more, got {length}")
        self._ends, self._seed = given.cumsum(dim=0), seed
        # Now, as a loader's worker knows nothing of the other processes of a training.
        self._rank, self._ranks = ranks.group()
        # As many in every process: one that had a batch less would leave the others waiting.
        self._length = math.ceil(length / self._ranks)

    def __len__(self) -> int:
        """Draws of an epoch in this process."""
        return self._length

    def __iter__(self) -> Iterator[int]:
        """The draws of this epoch that belong to this process."""
        rng = rng_for("weighted_draws", self._seed, self.epoch)
        all_of_them = self._length * self._ranks
        where = torch.rand(all_of_them, generator=rng, dtype=torch.float64) * self._ends[-1]
        own = where[self._rank :: self._ranks].contiguous()
        drawn = torch.searchsorted(self._ends, own, right=True)
        # A product may round up to the end; the first item there is the last with any weight.
        last = int(torch.searchsorted(self._ends, self._ends[-1]))
        yield from drawn.clamp(max=last).tolist()
