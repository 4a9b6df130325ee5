"""A small source whose images tell their class and latent."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from augmentor.common.types import LabelledImages


class Painter:
    """Renders a grey level per class, with the latent in the first pixels, so that images
    differ."""

    def __init__(self, classes: tuple[str, ...], image_shape: tuple[int, int, int]) -> None:
        self.classes, self.image_shape, self.latent_dim = classes, image_shape, 3

    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        level = y.float() / len(self.classes) - 0.5
        x = level[:, None, None, None].repeat(1, *self.image_shape)
        x[:, :, 0, : self.latent_dim] += 0.4 * z.tanh()[:, None]
        return x


def painted_class(image: Tensor, num_classes: int) -> int:
    """The class a ``Painter`` painted, from an image in [-1, 1]."""
    return round((float(image.mean()) + 0.5) * num_classes)


@pytest.fixture
def painter() -> type[Painter]:
    return Painter


@pytest.fixture
def class_of():
    return painted_class


@pytest.fixture
def images():
    """Makes synthetic images: so many of every class."""

    def make(
        counts: dict[str, int], image_shape: tuple[int, int, int] = (1, 8, 8)
    ) -> LabelledImages:
        y = torch.tensor(
            [c for c, n in enumerate(counts.values()) for _ in range(n)], dtype=torch.int64
        )
        z = torch.randn(len(y), 3, generator=torch.Generator().manual_seed(5))
        return LabelledImages(Painter(tuple(counts), image_shape).sample(y, z), y, tuple(counts))

    return make
