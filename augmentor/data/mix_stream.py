"""A mix of real and synthetic images as a stream: the set is read shard by shard, never whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from augmentor.common import ranks
from augmentor.common.randomness import rng_for
from augmentor.common.types import DataError
from augmentor.data.shared_epoch import SharedEpoch
from augmentor.data.stored_set import StoredSet

DRAWN = 4096
"""Draws made at a time."""


class Items(Protocol):
    """What a stream needs of a mix."""

    def real_item(self, index: int) -> Any:
        """Item ``index`` of the real dataset."""

    def made_item(self, pixels: Tensor, label: int) -> Any:
        """A synthetic image, uint8 (C, H, W), in the form of the real items."""


@dataclass(frozen=True)
class Draws:
    """What is drawn, and how often.

    Args:
        real: Label of every real item, int64 (N,).
        made: Label of every class of the set, int64 (K,).
        weights: Part of the draws that are real and synthetic, per label, float64 (2, labels).
    """

    real: Tensor
    made: Tensor
    weights: Tensor


class MixStream(SharedEpoch, IterableDataset[Any]):
    """Items of a mix in random order, with the frequencies of its ``draw_weights``.

    Real items are drawn at random. Synthetic images of a class come one after the other: the shards
    of the class in random order, where large ones come first more often, and the images of a shard
    in random order. So one shard per class is in memory, and all images of a class are drawn about
    equally often. A class whose images are used up begins again.

    Every worker process of a ``DataLoader`` goes its own way through the shards, and so does every
    process of a distributed training, which takes its part of the epoch: the same number of items
    in each, rounded up. Make the stream after ``init_process_group``. The order is a function of
    seed, epoch and the number of workers and processes.

    Every worker makes batches of its own, so that a ``DataLoader`` with W of them may give up to W
    batches more than its ``len``, small ones, unless it has ``drop_last``.

    Args:
        items: The mix.
        stored: Its synthetic images.
        draws: What is drawn.
        length: Items of an epoch, over all workers and processes.
        seed: Decides the order.
    """

    def __init__(
        self, items: Items, stored: StoredSet, draws: Draws, length: int, seed: int
    ) -> None:
        self._items, self._stored, self._draws = items, stored, draws
        super().__init__()
        self._seed = seed
        # Now, as a loader's worker knows nothing of the other processes of a training.
        self._rank, self._ranks = ranks.group()
        # As many in every process: one that had a batch less would leave the others waiting.
        self._length = math.ceil(length / self._ranks)

    def __len__(self) -> int:
        """Items of an epoch in this process."""
        return self._length

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        place, places = self._rank * workers + worker, self._ranks * workers
        rng = rng_for("mix_stream", self._seed, self.epoch, place, places)
        members = _members(self._draws.real, self._draws.weights.shape[1])
        made: dict[int, Iterator[Tensor]] = {}
        left = len(range(worker, self._length, workers))
        while left > 0:
            kinds = _drawn(self._draws.weights, min(left, DRAWN), rng)
            for kind, label in kinds:
                if kind == 0:
                    yield self._items.real_item(_one_of(members[label], rng))
                    continue
                if label not in made:
                    made[label] = self._images_of(label, rng)
                yield self._items.made_item(next(made[label]), label)
            left -= len(kinds)

    def _images_of(self, label: int, rng: torch.Generator) -> Iterator[Tensor]:
        """Synthetic images of a label without end, uint8 (C, H, W) each."""
        classes = set((self._draws.made == label).nonzero().flatten().tolist())
        shards = self._stored.shards
        numbers = [n for n, shard in enumerate(shards) if shard.class_index in classes]
        if not numbers:
            raise DataError(f"class {label} has no synthetic images to draw")
        counts = torch.tensor([float(shards[number].count) for number in numbers])
        while True:
            # An epoch may end within a pass, so that large shards have to come first more often.
            for place in torch.multinomial(counts, len(counts), generator=rng).tolist():
                images = self._stored.shard_images(numbers[place])
                yield from images[torch.randperm(len(images), generator=rng)]


def _members(labels: Tensor, count: int) -> list[Tensor]:
    """Positions of the items of every label."""
    return [(labels == label).nonzero().flatten() for label in range(count)]


def _drawn(weights: Tensor, count: int, rng: torch.Generator) -> list[tuple[int, int]]:
    """So many pairs of kind (0 real, 1 synthetic) and label."""
    flat = torch.multinomial(weights.flatten(), count, replacement=True, generator=rng)
    return [divmod(one, weights.shape[1]) for one in flat.tolist()]


def _one_of(members: Tensor, rng: torch.Generator) -> int:
    return int(members[torch.randint(len(members), (1,), generator=rng)])
