"""The generator of codes, G(z, c)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LatentGenerator(nn.Module):
    """Three fully connected hidden layers, from a latent of the prior to a code of an autoencoder.

    Args:
        latent_dim: Length of the latent.
        num_classes: Classes K.
        code_dim: Length of the code.
        hidden: Length of the hidden layers.
    """

    def __init__(self, latent_dim: int, num_classes: int, code_dim: int, hidden: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(latent_dim + num_classes, hidden), nn.ReLU()]
        for _ in range(2):
            layers += [nn.Linear(hidden, hidden), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, code_dim))

    def forward(self, z: Tensor, class_probs: Tensor) -> Tensor:
        """Codes float32 (N, code_dim) of latents (N, latent_dim) of class probabilities (N, K)."""
        codes: Tensor = self.layers(torch.cat([z, class_probs], dim=1))
        return codes.float()
