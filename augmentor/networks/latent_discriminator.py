"""The discriminator of latents, D(z, c)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LatentDiscriminator(nn.Module):
    """Four fully connected hidden layers, as in Tolstikhin et al. 2018, arXiv:1711.01558, appendix
    C.

    Args:
        latent_dim: Length of the latent.
        num_classes: Classes K.
        hidden: Length of the hidden layers.
    """

    def __init__(self, latent_dim: int, num_classes: int, hidden: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(latent_dim + num_classes, hidden), nn.ReLU()]
        for _ in range(3):
            layers += [nn.Linear(hidden, hidden), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, 1))

    def forward(self, z: Tensor, class_probs: Tensor) -> Tensor:
        """Logits float32 (N,) of latents (N, latent_dim) of class probabilities (N, K), large for
        the prior's.
        """
        logits: Tensor = self.layers(torch.cat([z, class_probs], dim=1))
        return logits.squeeze(1).float()
