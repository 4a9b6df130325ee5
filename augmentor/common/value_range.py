"""What black and white are in the numbers of images, as a user says it."""

from __future__ import annotations

import math
import warnings

from torch import Tensor

ROUNDING = 1e-3
"""Part of the range by which numbers may lie outside it."""
NARROWEST = 0.02
"""Part of the range that images fill at least; those in [0, 1] fill 0.4 % of (0, 255)."""


def require_usual_range(x: Tensor) -> None:
    """Refuse images that are not in [-1, 1], with -1 for black, as all of this library takes them.

    Images without one pixel below middle grey are nearly always in [0, 1]; there may be such
    pictures, so that they are but warned of.

    Args:
        x: Images, float, of any shape.

    Raises:
        ValueError: If a number lies outside; the message says what to do.

    Example:
        >>> import torch
        >>> require_usual_range(torch.tensor([-1.0, 0.5]))
    """
    if not x.numel():
        return
    low, high = map(float, x.aminmax())
    if low < -1 - ROUNDING or high > 1 + ROUNDING:
        scaled = "x / 127.5 - 1" if low >= 0 else "them in [-1, 1]"
        raise ValueError(
            f"images hold numbers from {low:g} to {high:g}, not in [-1, 1] with -1 for black: give "
            f"{scaled}"
        )
    if 0 <= low < high:
        warnings.warn(
            f"images hold numbers from {low:g} to {high:g}, and -1 is black: if they are in "
            "[0, 1], give 2 * x - 1",
            stacklevel=3,
        )


def checked_range(value_range: tuple[float, float], low: float, high: float) -> tuple[float, float]:
    """The range, once it is clear that the numbers of images can be meant by it.

    Args:
        value_range: The numbers of black and of white.
        low: Smallest number in the images.
        high: Largest number.

    Raises:
        ValueError: If black is not below white, the numbers lie outside, or they fill so little of
            the range that all images would be of one grey.

    Example:
        >>> checked_range((0, 255), 3, 250)
        (0, 255)
    """
    black, white = value_range
    if not (math.isfinite(black) and math.isfinite(white) and black < white):
        raise ValueError(
            f"value_range={(black, white)}: give the number of black, then the larger one of white"
        )
    width, room = white - black, ROUNDING * (white - black)
    if low < black - room or high > white + room:
        raise ValueError(
            f"value_range={(black, white)}: images hold numbers from {low:g} to {high:g}"
        )
    if 0 < high - low < NARROWEST * width:
        raise ValueError(
            f"value_range={(black, white)}: images hold numbers from {low:g} to {high:g} only, "
            "which would all be one grey; give the range of these numbers"
        )
    return black, white
