"""Holes filled by a source that is told the class."""

from __future__ import annotations

import torch
from torch import Tensor

from augmentor.common.types import EncodingSource
from augmentor.editing.reconstruct import reconstruct, require_images


def inpaint(
    source: EncodingSource,
    x: Tensor,
    y: Tensor,
    mask: Tensor,
    rounds: int,
    condition: Tensor | None = None,
) -> Tensor:
    r"""Fill holes by encoding and rendering again and again, with the pixels outside the hole put
    back every time.

    .. math:: x_0 = M\,\bar x + (1 - M)\,x, \qquad x_{r+1} = M\,G(\mu(x_r, y), y) + (1 - M)\,x

    At first the hole holds :math:`\bar x`, the mean of the image's visible pixels, channel by
    channel.

    Args:
        source: A source with an encoder.
        x: Images, float32 (N, C, H, W) in [-1, 1], on the source's device. Pixels in the hole are
            never looked at.
        y: Their classes, int64 (N,), or mixtures, float (N, K).
        mask: True in the hole, bool (H, W), or (N, H, W) with a hole an image.
        rounds: How often the hole is filled, 0 or more; the paper shows 1, 5 and 10.
        condition: Conditions of the images, as ``Conditions.rows`` takes them; None for a source
            without.

    Returns:
        Images after 0 to ``rounds`` rounds, float32 (rounds + 1, N, C, H, W) in [-1, 1]; outside
        the hole they are x.

    Raises:
        ValueError: If shapes or labels do not fit, the mask isn't boolean or leaves nothing, or
            rounds is negative.

    Source:
        Bao et al. 2017, arXiv:1703.10155, section 4.4.
    """
    require_images(source, x)
    hole = _holes(x, mask)
    if rounds < 0:
        raise ValueError(f"rounds must be 0 or more, got {rounds}")
    images = [torch.where(hole, _visible_mean(x, hole), x)]
    for _ in range(rounds):
        images.append(torch.where(hole, reconstruct(source, images[-1], y, condition), x))
    return torch.stack(images)


def box_mask(size: int, left: int, top: int, width: int, height: int) -> Tensor:
    """A rectangular hole in a square image.

    Args:
        size: Side of the image in pixels.
        left: Columns left of the hole, 0 or more.
        top: Rows above it, 0 or more.
        width: Its columns, 1 or more.
        height: Its rows, 1 or more.

    Returns:
        True inside the box, bool (size, size), width * height times.

    Raises:
        ValueError: If the box is empty or leaves the image.
    """
    if min(left, top) < 0 or min(width, height) < 1 or left + width > size or top + height > size:
        raise ValueError(
            f"the box {left},{top},{width},{height} does not lie inside {size}x{size} pixels"
        )
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[top : top + height, left : left + width] = True
    return mask


def _holes(x: Tensor, mask: Tensor) -> Tensor:
    """The mask as (N, 1, H, W)."""
    n, _, height, width = x.shape
    if mask.dtype != torch.bool or tuple(mask.shape) not in ((height, width), (n, height, width)):
        raise ValueError(
            f"mask must be bool ({height}, {width}) or ({n}, {height}, {width}), got {mask.dtype} "
            f"{tuple(mask.shape)}"
        )
    return mask.to(x.device).expand(n, height, width)[:, None]


def _visible_mean(x: Tensor, hole: Tensor) -> Tensor:
    """Mean of the pixels outside the hole, (N, C, 1, 1)."""
    seen = (~hole).sum(dim=(2, 3), keepdim=True)
    if not bool(seen.all()):
        raise ValueError("the mask must leave some pixels of every image to see")
    return x.masked_fill(hole, 0).sum(dim=(2, 3), keepdim=True) / seen
