"""What the models of most families are in the end: a generator asked for classes, some with an
encoder.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from augmentor.common.conditions import NO_CONDITIONS, Conditions
from augmentor.networks.blocks import as_class_probs, as_class_weights
from augmentor.networks.encoder import Encoder
from augmentor.networks.generator import Generator
from augmentor.networks.given import ConditionInput


class HasLatentDim(Protocol):
    """Options of a family."""

    @property
    def latent_dim(self) -> int:
        """Length of one latent."""


def require_square(image_shape: tuple[int, int, int]) -> None:
    """Refuse (C, H, W) of other images than square ones, which no family would be loaded with.

    Raises:
        ValueError: With the shape.
    """
    if image_shape[1] != image_shape[2]:
        raise ValueError(f"images must be square, found the shape {tuple(image_shape)}")


class Renderer(nn.Module):
    """A ``SampleSource``; whoever derives from it makes ``generator`` and the networks that train
    it.

    Args:
        classes: Class names; position is index.
        image_shape: (C, H, W), square, 8 to 128 pixels, any C.
        options: Those of the family.
        conditions: What the generator knows beside the class; families that take none leave it
            out.

    Raises:
        ValueError: If the images are not square.
    """

    generator: Generator

    def __init__(
        self,
        classes: tuple[str, ...],
        image_shape: tuple[int, int, int],
        options: HasLatentDim,
        conditions: Conditions = NO_CONDITIONS,
    ) -> None:
        super().__init__()
        require_square(image_shape)
        self.classes, self.image_shape, self.latent_dim = classes, image_shape, options.latent_dim
        self.conditions = conditions

    @property
    def condition_input(self) -> ConditionInput:
        """The form in which the networks get the condition."""
        return ConditionInput(self.conditions.size, self.conditions.are_numbers)

    def given(self, y: Tensor, condition: Tensor | None, *, render: bool = False) -> Tensor:
        """Class probabilities and condition as one row per image, float32 (N, K + D).

        Args:
            y: As ``as_class_probs`` takes it.
            condition: As ``Conditions.rows`` takes it; None if there are none.
            render: Take weights of classes too, as ``as_class_weights`` does.

        Raises:
            ValueError: If a condition is missing, or given to a source without conditions.
        """
        as_rows = as_class_weights if render else as_class_probs
        class_probs = as_rows(y, len(self.classes))
        if condition is None:
            if self.conditions:
                names = ", ".join(self.conditions.names)
                raise ValueError(f"the source needs a condition ({names}) beside the class")
            return class_probs
        return torch.cat(
            [class_probs, self.conditions.rows(condition).to(class_probs.device)], dim=1
        )

    @torch.no_grad()
    def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """See ``types.SampleSource.sample``."""
        self.eval()
        return self.decode(z, self.given(y, condition, render=True).to(z.device))

    def decode(self, z: Tensor, given: Tensor) -> Tensor:
        """Images (N, C, H, W) of latents (N, latent_dim) and rows as ``given`` returns them."""
        image: Tensor = self.generator(z, given)
        return image


class EncodingRenderer(Renderer):
    """An ``EncodingSource``; whoever derives from it makes ``encoder`` too."""

    encoder: Encoder

    @torch.no_grad()
    def encode(self, x: Tensor, y: Tensor, condition: Tensor | None = None) -> Tensor:
        """See ``types.EncodingSource.encode``."""
        self.eval()
        return self.posterior(x, self.given(y, condition).to(x.device))[0]

    def posterior(self, x: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """q(z | x, given): mu and logvar, each (N, latent_dim)."""
        mu, logvar = self.encoder(x, given)
        return mu, logvar
