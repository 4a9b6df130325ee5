"""MNIST under eight looks, by a stated rule, so that public images have a condition."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, max_pool2d

from augmentor.common.conditions import Conditions
from augmentor.common.randomness import seed_for

COLUMN = "look"
STRIPE = 2
"""Rows of pixels in a stripe."""
DARKEST = 0.2
"""What the shadow leaves of the brightness at the left edge."""


def looks_of(part: str, count: int) -> Tensor:
    """The look of every image of a part.

    The rule: image i of part ``train`` or ``test``, counted from 0 in MNIST's official order, has
    look number ``seed_for("mnist-conditions", part, i) % 8`` of ``LOOKS.categories``: the first
    eight bytes of the SHA-256 of ``mnist-conditions/<part>/<i>``, read as a little-endian number
    and shifted right by one bit, modulo 8.

    Returns:
        int64 (count,).

    Example:
        >>> looks_of("train", 5).equal(looks_of("train", 9)[:5])
        True
    """
    return torch.tensor(
        [seed_for("mnist-conditions", part, i) % LOOKS.size for i in range(count)],
        dtype=torch.int64,
    )


def with_looks(images: Tensor, look: Tensor) -> Tensor:
    """Images as they look under a condition each.

    Args:
        images: White on black, uint8 (N, H, W).
        look: Which of ``LOOKS.categories``, int64 (N,).

    Returns:
        uint8 (N, H, W); image i depends on row i alone.

    Example:
        >>> inverted = torch.tensor([LOOKS.categories.index("inverted")])
        >>> int(with_looks(torch.zeros(1, 28, 28, dtype=torch.uint8), inverted).min())
        255
    """
    done = torch.empty_like(images)
    for number, name in enumerate(LOOKS.categories):
        chosen = look == number
        if bool(chosen.any()):
            changed = _LOOKS[name](images[chosen].float()[:, None])[:, 0]
            done[chosen] = changed.round().clamp(0, 255).to(torch.uint8)
    return done


def _rotated(degrees: float) -> Callable[[Tensor], Tensor]:
    """Around the middle, counter-clockwise as seen, with bilinear interpolation on black."""

    def rotate(x: Tensor) -> Tensor:
        angle = torch.deg2rad(torch.tensor(degrees))
        cos, sin, zero = angle.cos(), angle.sin(), torch.tensor(0.0)
        matrix = torch.stack([torch.stack([cos, -sin, zero]), torch.stack([sin, cos, zero])])
        grid = affine_grid(matrix.expand(len(x), 2, 3), [*x.shape], align_corners=False)
        return grid_sample(x, grid, align_corners=False)

    return rotate


def _blurred(x: Tensor) -> Tensor:
    """A Gaussian of 1.5 pixels on 7 × 7."""
    line = torch.exp(-((torch.arange(7) - 3.0) ** 2) / (2 * 1.5**2))
    line = line / line.sum()
    return conv2d(x, torch.outer(line, line)[None, None], padding=3)


def _thick(x: Tensor) -> Tensor:
    """Every pixel becomes the brightest of its 3 × 3 neighbours."""
    return max_pool2d(x, 3, stride=1, padding=1)


def _inverted(x: Tensor) -> Tensor:
    return 255 - x


def _shadow(x: Tensor) -> Tensor:
    """On a grey ground (the darkest value is 96), darkened in a ramp towards the left edge."""
    ramp = torch.linspace(DARKEST, 1.0, x.shape[-1])
    return (96 + x * (159 / 255)) * ramp


def _stripes(x: Tensor) -> Tensor:
    """Every other two rows are inverted."""
    inverted = (torch.arange(x.shape[-2]) // STRIPE) % 2 == 1
    return torch.where(inverted[:, None], 255 - x, x)


def _plain(x: Tensor) -> Tensor:
    return x


_LOOKS: dict[str, Callable[[Tensor], Tensor]] = {
    "blurred": _blurred,
    "inverted": _inverted,
    "plain": _plain,
    "rotated +45": _rotated(45.0),
    "rotated -45": _rotated(-45.0),
    "shadow": _shadow,
    "stripes": _stripes,
    "thick": _thick,
}
LOOKS = Conditions((COLUMN,), (*_LOOKS,))
"""The condition ``look`` and its eight categories, sorted by name."""
