"""The encoder q(z | x, c)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from augmentor.networks.blocks import BatchNorm2d, halvings
from augmentor.networks.given import NO_CONDITION, ConditionInput, Given


class Encoder(nn.Module):
    """Strided convolutions; the class is merged before the last fully connected layer, as in the
    paper.

    Args:
        image_shape: (C, H, W), square; see ``blocks.halvings`` for the sizes.
        num_classes: Classes K.
        latent_dim: Length of the latent.
        width: Channels after the first convolution; doubled at every halving, at most eight times.
        condition: Form of the condition beside the class; it is merged where the class is.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        latent_dim: int,
        width: int,
        condition: ConditionInput = NO_CONDITION,
    ) -> None:
        super().__init__()
        self.given = Given(num_classes, condition)
        channels, size, _ = image_shape
        layers: list[nn.Module] = []
        for level in range(halvings(size)):
            out = width * min(2**level, 8)
            layers += [
                nn.Conv2d(channels, out, 4, 2, 1, bias=False),
                BatchNorm2d(out),
                nn.LeakyReLU(0.2),
            ]
            channels = out
        base = size >> halvings(size)
        hidden = 8 * width
        self.convolutions = nn.Sequential(*layers)
        self.flat = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * base**2, hidden), nn.LeakyReLU(0.2)
        )
        self.posterior = nn.Linear(hidden + self.given.num_features, 2 * latent_dim)

    def forward(self, x: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior of images (N, C, H, W) of rows of class probabilities and condition (N, K + D):
        mu and logvar, each float32 (N, latent_dim).
        """
        h = self.flat(self.convolutions(x))
        known = self.given(given).to(h.dtype)
        mu, logvar = self.posterior(torch.cat([h, known], dim=1)).float().chunk(2, dim=1)
        # exp(10) is far beyond any sensible posterior; without the bound one bad batch overflows
        # the KL term.
        return mu, logvar.clamp(-10.0, 10.0)
