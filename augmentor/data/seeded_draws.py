"""Torchvision's random transforms, repeatable item by item; ``albumentations.SeededItems`` is the
same for its kind.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from augmentor.common.randomness import rng_for
from augmentor.data.numbered_draws import repeat_of
from augmentor.data.shared_epoch import SharedEpoch


class SeededDraws(SharedEpoch, Dataset[Any]):
    """Read a dataset whose transforms draw from PyTorch's, NumPy's or Python's global generator, by
    a seed of every item's own.

    By itself a loader seeds each worker, so that with another number of workers an item is
    augmented differently. Here item i of epoch e is a function of (seed, e, i). The global
    generators are put back after every item.

    Call ``set_epoch`` before each epoch; workers see it at once, persistent ones too. Put
    ``NumberedDraws`` around a sampler that draws with replacement, such as a
    ``WeightedRandomSampler``: an item that comes again would be augmented in the same way.

    Args:
        dataset: Any dataset with a length, such as a ``SyntheticMix``.
        seed: Any whole number.

    Example:
        >>> train = SeededDraws(mix, seed=0)  # doctest: +SKIP
        >>> for epoch in range(10):  # doctest: +SKIP
        ...     train.set_epoch(epoch)
    """

    def __init__(self, dataset: Dataset[Any], seed: int) -> None:
        super().__init__()
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        position = index % len(self)
        # The first draw of an item as it always was; others only where somebody counts them.
        more = (repeat,) if (repeat := repeat_of(index)) else ()
        seed = rng_for("item", self.seed, self.epoch, position, *more).initial_seed()
        state, numpy_state = random.getstate(), np.random.get_state()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            try:
                return self.dataset[position]
            finally:
                random.setstate(state)
                np.random.set_state(numpy_state)
