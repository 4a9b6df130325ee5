"""Batches addressed by their step."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from augmentor.common.randomness import rng_for, seed_for, uniform
from augmentor.common.types import LabelledImages

MOST_DRAWN_FROM = 2**24  # items that torch.multinomial takes
MEMORY_LEFT = 4
"""Images stay on a GPU where its free memory is as many times as large as they are."""

Augment = Callable[[Tensor, torch.Generator], Tensor]


class Batches:
    """The batch of step s is a pure function of (images, seed, s): that is what makes a resumed run
    exact.

    Images are drawn with replacement. A class of n images is drawn with a share proportional to n
    ** power: 1 is the natural share, 0 is all classes alike, and 0.5 the square-root sampling of
    the long-tail literature.

    Args:
        images: The training part.
        batch_size: Images in a batch.
        seed: Addresses the whole sequence.
        power: In [0, 1], see above.
        augment: Applied to every batch with a generator of its own; None leaves the images as they
            are.
        device: Where batches are wanted. A GPU gets the images once, where they fit and nothing
            augments them, and draws from them itself; else they come from the CPU, batch by batch.
            The batches of a CPU and of a GPU differ.
    """

    def __init__(
        self,
        images: LabelledImages,
        batch_size: int,
        seed: int,
        power: float = 1.0,
        augment: Augment | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.images, self.batch_size, self.seed, self.augment = images, batch_size, seed, augment
        counts = torch.bincount(images.y, minlength=len(images.classes)).double()
        self.shares = (counts.clamp(min=1) ** (power - 1))[images.y]
        # Of fewer images `multinomial` draws, as it always did: batches are to stay what they were.
        self.ends = self.shares.cumsum(dim=0) if len(images) > MOST_DRAWN_FROM else None
        on_card = augment is None and _fits_on_card(images.x, torch.device(device))
        self.there = DrawnThere(images, self.shares, torch.Generator(device)) if on_card else None

    def __call__(self, step: int) -> tuple[Tensor, ...]:
        """Images (batch_size, C, H, W) and labels (batch_size,) of step ``step``, and their
        conditions where these are known.
        """
        if self.there is not None:
            return self.there.batch(self.batch_size, seed_for("batch", self.seed, step))
        rng = rng_for("batch", self.seed, step)
        if self.ends is None:
            size = self.batch_size
            indices = torch.multinomial(self.shares, size, replacement=True, generator=rng)
        else:
            # float32 knows no more numbers in [0, 1) than that many images
            where = torch.rand(self.batch_size, generator=rng, dtype=torch.float64)
            indices = _at(where, self.ends)
        x, y = self.images.x[indices], self.images.y[indices]
        if self.augment is not None:
            x = self.augment(x, rng)
        if self.images.condition is None:
            return x, y
        return x, y, self.images.condition[indices]


class DrawnThere:
    """Images on the device that trains on them, drawn from by its own generator.

    Args:
        images: Moved to where the generator lives.
        shares: How often each image is drawn, relative to the others; shape (N,), above 0.
        rng: Seeded anew for every batch.
    """

    def __init__(self, images: LabelledImages, shares: Tensor, rng: torch.Generator) -> None:
        parts = (images.x, images.y, images.condition)
        self.parts = [part.to(rng.device) for part in parts if part is not None]
        self.ends, self.rng = shares.to(rng.device).cumsum(dim=0), rng

    def batch(self, size: int, seed: int) -> tuple[Tensor, ...]:
        """``size`` images drawn with replacement, a function of ``seed``; as ``Batches`` returns
        them. Nothing is read back from the device.
        """
        self.rng.manual_seed(seed)
        chosen = _at(uniform(size, rng=self.rng).double(), self.ends)
        return tuple(part[chosen] for part in self.parts)


def _at(where: Tensor, ends: Tensor) -> Tensor:
    """The numbers int64 (n,) in whose part of the running sum ``ends`` (N,) the places ``where``
    (n,), in [0, 1), lie.
    """
    found = torch.searchsorted(ends, where * ends[-1], right=True)
    return found.clamp(max=len(ends) - 1)


def _fits_on_card(x: Tensor, device: torch.device) -> bool:
    """Whether images leave most of a GPU's free memory to the training; never on a CPU."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return x.numel() * x.element_size() * MEMORY_LEFT < free


class SemiBatches:
    """Labelled and unlabelled images of step s, a pure function of (images, seed, s).

    Both come in rounds that show every image once, in an order of their own; a batch may span
    rounds.

    Args:
        labelled: Labelled images.
        unlabelled: Images (M, C, H, W), M > 0.
        labelled_size: Labelled images in a batch.
        unlabelled_size: Unlabelled images in a batch.
        seed: Addresses the whole sequence.
        augment: Applied to both with a generator of their own; None leaves the images as they are.
    """

    def __init__(
        self,
        labelled: LabelledImages,
        unlabelled: Tensor,
        labelled_size: int,
        unlabelled_size: int,
        seed: int,
        augment: Augment | None = None,
    ) -> None:
        self.labelled, self.unlabelled, self.seed, self.augment = (
            labelled,
            unlabelled,
            seed,
            augment,
        )
        self.labelled_size, self.unlabelled_size = labelled_size, unlabelled_size

    def __call__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Images (labelled_size, C, H, W), their labels, and images (unlabelled_size, C, H, W) of
        step ``step``.
        """
        chosen = in_rounds(len(self.labelled), self.labelled_size, step, self.seed, "labelled")
        unlabelled = in_rounds(
            len(self.unlabelled), self.unlabelled_size, step, self.seed, "unlabelled"
        )
        x, y, x_unlabelled = (
            self.labelled.x[chosen],
            self.labelled.y[chosen],
            self.unlabelled[unlabelled],
        )
        if self.augment is not None:
            rng = rng_for("semi-batch", self.seed, step)
            x, x_unlabelled = self.augment(x, rng), self.augment(x_unlabelled, rng)
        return x, y, x_unlabelled


def in_rounds(count: int, size: int, step: int, seed: int, stream: str) -> Tensor:
    """Numbers of the batch of a step when every round of ``count`` draws is a fresh permutation.

    Args:
        count: Images there are, at least 1.
        size: Numbers in a batch.
        step: Which batch, from 0.
        seed: Addresses the permutations, together with ``stream``.
        stream: Sequences of different names are independent.

    Returns:
        int64 (size,), each in [0, count).
    """
    first, last = step * size, (step + 1) * size - 1
    rounds = [
        _permutation(count, seed, stream, number)
        for number in range(first // count, last // count + 1)
    ]
    start = first % count
    return torch.cat(rounds)[start : start + size]


@lru_cache(maxsize=16)
def _permutation(count: int, seed: int, stream: str, number: int) -> Tensor:
    return torch.randperm(count, generator=rng_for("round", stream, seed, number))
