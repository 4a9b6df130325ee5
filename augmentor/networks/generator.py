"""The generator G(z, c)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from augmentor.networks.blocks import ConditionalBatchNorm2d, PlainBatchNorm2d, halvings


class UpBlock(nn.Module):
    """Double the side by nearest neighbours, convolve, normalise, rectify."""

    def __init__(self, channels: int, out: int, num_classes: int, conditional_norm: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, out, 3, padding=1, bias=False)
        self.norm = ConditionalBatchNorm2d(out, num_classes) if conditional_norm else PlainBatchNorm2d(out)

    def forward(self, h: Tensor, weights: Tensor) -> Tensor:
        """(N, C, H, W) and class weights (N, K) to (N, out, 2H, 2W)."""
        h = self.convolution(interpolate(h, scale_factor=2.0, mode="nearest"))
        return torch.relu(self.norm(h, weights))


class Generator(nn.Module):
    """Two fully connected layers, then upsampling convolutions, one a doubling, and one to the image.

    The class enters beside the latent and, with ``conditional_norm``, in every normalisation.

    Args:
        image_shape: (C, H, W), square; see ``blocks.halvings`` for the sizes.
        num_classes: Classes K.
        latent_dim: Length of the latent.
        width: Channels at full resolution; doubled at every halving, at most eight times.
        conditional_norm: Class-conditional batch norm instead of plain batch norm.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        latent_dim: int,
        width: int,
        conditional_norm: bool,
    ) -> None:
        super().__init__()
        channels, size, _ = image_shape
        steps = halvings(size)
        widths = [width * min(2**level, 8) for level in range(steps, -1, -1)]
        self.base = size >> steps
        hidden = 8 * width
        self.first = nn.Sequential(nn.Linear(latent_dim + num_classes, hidden), nn.ReLU())
        self.second = nn.Linear(hidden, widths[0] * self.base**2, bias=False)
        self.norm = ConditionalBatchNorm2d(widths[0], num_classes) if conditional_norm else PlainBatchNorm2d(widths[0])
        self.blocks = nn.ModuleList(UpBlock(a, b, num_classes, conditional_norm) for a, b in pairwise(widths))
        self.to_image = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, z: Tensor, weights: Tensor) -> Tensor:
        """Render latents (N, latent_dim) of classes weights (N, K): float32 (N, C, H, W) in [-1, 1]."""
        h = self.second(self.first(torch.cat([z, weights], dim=1)))
        h = h.view(len(z), -1, self.base, self.base).contiguous(memory_format=torch.channels_last)
        h = torch.relu(self.norm(h, weights))
        for block in self.blocks:
            h = block(h, weights)
        return torch.tanh(self.to_image(h).float())
