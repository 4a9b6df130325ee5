"""A source whose code is easy to work out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot


class Levels:
    """The latent is half the mean of each row of pixels, less the class's level; rendering adds the
    level again."""

    classes = ("low", "high")
    image_shape = (1, 4, 4)
    latent_dim = 4

    def level(self, y: Tensor) -> Tensor:
        class_probs = y if y.is_floating_point() else one_hot(y, 2).float()
        return (class_probs @ torch.tensor([-0.25, 0.25]))[:, None]

    def encode(self, x: Tensor, y: Tensor) -> Tensor:
        return x.mean(dim=(1, 3)) / 2 - self.level(y)

    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        return (z + self.level(y))[:, None, :, None].expand(-1, 1, 4, 4).clamp(-1, 1).clone()


@pytest.fixture
def source() -> Levels:
    return Levels()


@pytest.fixture
def x() -> Tensor:
    return torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def y() -> Tensor:
    return torch.tensor([0, 1, 0])
