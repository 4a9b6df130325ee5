"""A synthetic set in memory."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augmentor.common.conditions import NO_CONDITIONS, Conditions
from augmentor.common.types import DataError, LabelledImages
from augmentor.common.value_range import ROUNDING, require_usual_range
from augmentor.data.fingerprint import fingerprints, from_uint8, overlap, to_uint8
from augmentor.data.recipe import Recipe

PIECE = 1024
"""Images converted at a time."""


@dataclass(frozen=True)
class PixelImages:
    """Images as a set on disk holds them: a quarter of the memory of ``LabelledImages``.

    Args:
        pixels: 8-bit pixels, uint8 (N, C, H, W).
        y: Class indices, int64 (N,).
        classes: Class names; position is index.
        condition: Conditions of the images, as ``LabelledImages`` has them; None if not known.
        conditions: What ``condition`` means.
    """

    pixels: Tensor
    y: Tensor
    classes: tuple[str, ...]
    condition: Tensor | None = None
    conditions: Conditions = NO_CONDITIONS

    @classmethod
    def of(cls, images: LabelledImages) -> PixelImages:
        """Images in memory as their 8-bit pixels, a part at a time: of all at once the floats would
        be there twice.

        Raises:
            ValueError: If a number does not lie in [-1, 1].
        """
        if not hasattr(images.x, "kept_pixels"):  # of LazyImages, whose pixels are as they are
            require_usual_range(images.x)
        pixels = torch.empty(images.x.shape, dtype=torch.uint8)
        for some, x in zip(torch.split(pixels, PIECE), torch.split(images.x, PIECE), strict=True):
            some.copy_(to_uint8(x))
        return cls(pixels, images.y, images.classes, images.condition, images.conditions)


@dataclass(frozen=True)
class SyntheticSet:
    """A synthetic set in memory.

    Args:
        stored: Its images, class after class, in the order of candidates, as 8-bit pixels.
        recipe: How it was made.
        trained_on: Fingerprints of the images its source was trained on, int64 (M,).
    """

    stored: PixelImages
    recipe: Recipe
    trained_on: NDArray[np.int64]

    @functools.cached_property
    def images(self) -> LabelledImages:
        """All its images as float32 in [-1, 1]: four times the memory of the pixels, taken when
        first asked for.
        """
        s = self.stored
        return LabelledImages(from_uint8(s.pixels), s.y, s.classes, s.condition, s.conditions)

    def refuse_seen(self, x: Tensor) -> None:
        """Check that the source never saw images, such as those of a test set.

        Only equal pixels are found: another way of resizing gives others, so load images as those
        of the source were, by ``pipelines.datasets.load_data``.

        Args:
            x: Images, shape (N, C, H, W) with the set's (C, H, W), float in [-1, 1] or uint8.

        Raises:
            DataError: If one of them is among those the source was trained on.
            ValueError: If the images are of another shape or range, so that they would never be
                found.
        """
        _require_comparable(x, self.recipe.image_shape)
        seen = overlap(fingerprints(x), self.trained_on)
        if len(seen):
            first = ", ".join(map(str, seen[:3])) + (
                f" and {len(seen) - 3} more" if len(seen) > 3 else ""
            )
            raise DataError(
                f"the source of this synthetic set was trained on {len(seen)} of these {len(x)} "
                "images (number "
                f"{first}); train a source on the training part only and synthesize again"
            )


def _require_comparable(x: Tensor, image_shape: tuple[int, int, int]) -> None:
    """Refuse images whose fingerprints could not be in a set of this shape, whatever they show.

    Raises:
        ValueError: As ``SyntheticSet.refuse_seen`` says.
    """
    if x.ndim != 4 or tuple(x.shape[1:]) != tuple(image_shape):
        raise ValueError(
            f"give images (N, {', '.join(map(str, image_shape))}) as the set's, got "
            f"{tuple(x.shape)}"
        )
    if x.dtype == torch.uint8 or not len(x):
        return
    low, high = float(x.min()), float(x.max())
    # Images in [-1, 1] without one pixel below middle grey are as good as none; if there are, uint8
    # says what they are.
    if not x.is_floating_point() or low >= 0 or low < -1 - ROUNDING or high > 1 + ROUNDING:
        raise ValueError(
            f"the images hold {x.dtype} numbers from {low:g} to {high:g}: give floats in [-1, 1], "
            "with -1 for black, "
            f"or uint8 in [0, 255]; those in [0, 1] are 2 * x - 1"
        )


def stored_conditions(recipe: Recipe, y: Tensor) -> tuple[Tensor | None, Conditions]:
    """The conditions of images read: within a class those of the plan, in its order."""
    if recipe.fill is None:
        return None, NO_CONDITIONS
    parts = [recipe.fill.condition_of([])]
    for name, n in zip(recipe.classes, torch.bincount(y).tolist(), strict=False):
        parts.append(recipe.fill.condition(name)[:n])  # none of the classes after the last read
    return torch.cat(parts), recipe.fill.conditions
