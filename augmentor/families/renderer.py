"""What the models of most families are in the end: a generator asked for classes, some with an
encoder.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from augmentor.networks.blocks import class_weights
from augmentor.networks.encoder import Encoder
from augmentor.networks.generator import Generator


class HasLatentDim(Protocol):
    """Options of a family."""

    @property
    def latent_dim(self) -> int:
        """Length of one latent."""


class Renderer(nn.Module):
    """A ``SampleSource``; whoever derives from it makes ``generator`` and the networks that train
    it.

    Args:
        classes: Class names; position is index.
        image_shape: (C, H, W), square, 8 to 128 pixels, any C.
        options: Those of the family.
    """

    generator: Generator

    def __init__(
        self, classes: tuple[str, ...], image_shape: tuple[int, int, int], options: HasLatentDim
    ) -> None:
        super().__init__()
        self.classes, self.image_shape, self.latent_dim = classes, image_shape, options.latent_dim

    @torch.no_grad()
    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        """See ``types.SampleSource.sample``."""
        self.eval()
        image: Tensor = self.generator(z, class_weights(y, len(self.classes)).to(z.device))
        return image


class EncodingRenderer(Renderer):
    """An ``EncodingSource``; whoever derives from it makes ``encoder`` too."""

    encoder: Encoder

    @torch.no_grad()
    def encode(self, x: Tensor, y: Tensor) -> Tensor:
        """See ``types.EncodingSource.encode``."""
        self.eval()
        return self.posterior(x, class_weights(y, len(self.classes)).to(x.device))[0]

    def posterior(self, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """q(z | x, c): mu and logvar, each (N, latent_dim)."""
        mu, logvar = self.encoder(x, weights)
        return mu, logvar
