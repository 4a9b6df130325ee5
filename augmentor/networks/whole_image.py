"""What a condition does to an image as a whole, whatever the image shows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOWER = 0.1
"""The six numbers of the map move every pixel: at the pace of the others they turn an image over
before its gains have learned to invert it.
"""


class OnWholeImage(nn.Module):
    """An affine map of the plane, then a gain and an offset per pixel, told by the condition alone.

    A light, a camera, a slant or a turn changes images of every class in the same way. What is
    learned of it from classes that were seen under many conditions holds for the others too. It
    starts as no change at all. The map of the plane is a spatial transformer's (Jaderberg et al.
    2015, arXiv:1506.02025).

    Args:
        image_shape: (C, H, W).
        num_features: Columns of the embedding of the condition.

    Example:
        >>> change = OnWholeImage((1, 8, 8), 4)
        >>> image = torch.rand(2, 1, 8, 8)
        >>> torch.allclose(change(image, torch.rand(2, 4)), image, atol=1e-6)
        True
    """

    identity: Tensor

    def __init__(self, image_shape: tuple[int, int, int], num_features: int) -> None:
        super().__init__()
        channels, height, width = image_shape
        self.plane = nn.Linear(num_features, 6)
        self.pixels = nn.Linear(num_features, 2 * channels * height * width)
        for layer in (self.plane, self.pixels):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        identity = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        self.register_buffer("identity", identity, persistent=False)

    def forward(self, image: Tensor, embedding: Tensor) -> Tensor:
        """Images, or what a tanh makes images of, float32 (N, C, H, W), under rows of the embedding
        (N, num_features).
        """
        maps = SLOWER * self.plane(embedding).to(image.dtype).view(-1, 2, 3) + self.identity
        grid = functional.affine_grid(maps, list(image.shape), align_corners=False)
        moved = functional.grid_sample(
            image.contiguous(), grid, padding_mode="border", align_corners=False
        )
        gain, offset = self.pixels(embedding).to(image.dtype).chunk(2, dim=1)
        return torch.addcmul(offset.view_as(moved), moved, 1 + gain.view_as(moved))
