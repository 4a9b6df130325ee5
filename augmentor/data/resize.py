"""Images brought to another size or number of channels, with torch alone: importing torchvision
takes seconds.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional


def resize(
    pixels: Tensor, size: tuple[int, int], mode: Literal["bilinear", "bicubic"] = "bilinear"
) -> Tensor:
    """Resize with antialiasing, as torchvision's and Pillow's ``resize`` do.

    Args:
        pixels: uint8 (N, C, H, W) on the CPU.
        size: (height, width) wanted.
        mode: How pixels between the given ones are found.

    Returns:
        uint8 (N, C, *size); the input itself where it already has this size.
    """
    if tuple(pixels.shape[-2:]) == size:
        return pixels
    return functional.interpolate(pixels, size=size, mode=mode, antialias=True)


def fit_square(pixels: Tensor, size: int) -> Tensor:
    """Cut the central square and resize it bilinearly.

    Cutting first gives the same picture as resizing the short side first, and bounds the memory of
    a very long image.

    Args:
        pixels: uint8 (N, C, H, W) on the CPU.
        size: Side of the result.

    Returns:
        uint8 (N, C, size, size); a view of the input where it already has this size.
    """
    height, width = pixels.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(pixels[..., top : top + side, left : left + side], (size, size))


def with_channels(pixels: Tensor, channels: int) -> Tensor:
    r"""Images with one or three channels; grey is repeated, and RGB becomes Pillow's luma.

    .. math:: L = (19595 R + 38470 G + 7471 B + 2^{15}) / 2^{16}

    Args:
        pixels: uint8 (N, C, H, W) with one channel or three.
        channels: 1 or 3.

    Returns:
        uint8 (N, channels, H, W); a view where the channels are there already, or repeated. Grey
        that was stored as RGB is the same grey again.
    """
    if pixels.shape[1] == channels:
        return pixels
    if channels == 3:
        return pixels.expand(-1, 3, -1, -1)
    red, green, blue = pixels.unbind(dim=1)
    total = red.int().mul_(19595).add_(green, alpha=38470).add_(blue, alpha=7471)
    return (total.add_(2**15) >> 16).to(torch.uint8).unsqueeze(1)
