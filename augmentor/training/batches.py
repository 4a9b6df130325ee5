"""Batches addressed by their step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from augmentor.randomness import generator_for
from augmentor.types import LabelledImages

Augment = Callable[[Tensor, torch.Generator], Tensor]


class Batches:
    """The batch of step s is a pure function of (images, seed, s): that is what makes a resumed run exact.

    Images are drawn with replacement. A class of n images is drawn with a share proportional to n ** power: 1 is
    the natural share, 0 is all classes alike, and 0.5 the square-root sampling of the long-tail literature.

    Args:
        images: The training part.
        batch_size: Images in a batch.
        seed: Addresses the whole sequence.
        power: In [0, 1], see above.
        augment: Applied to every batch with a generator of its own; None leaves the images as they are.
    """

    def __init__(
        self, images: LabelledImages, batch_size: int, seed: int, power: float = 1.0, augment: Augment | None = None
    ) -> None:
        self.images, self.batch_size, self.seed, self.augment = images, batch_size, seed, augment
        counts = torch.bincount(images.y, minlength=len(images.classes)).double()
        self.shares = (counts.clamp(min=1) ** (power - 1))[images.y]

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Images (batch_size, C, H, W) and labels (batch_size,) of step ``step``."""
        generator = generator_for("batch", self.seed, step)
        indices = torch.multinomial(self.shares, self.batch_size, replacement=True, generator=generator)
        x, y = self.images.x[indices], self.images.y[indices]
        return (x if self.augment is None else self.augment(x, generator)), y
