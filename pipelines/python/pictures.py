"""An image of any kind as a picture of 8 bits, without loss where it has 8 bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from augmentor.common.value_range import checked_range
from pipelines.image_folder import SUFFIXES
from pipelines.python.items import Items

CHANNELS = (1, 3, 4)
STORED = ("1", "L", "LA", "RGB", "RGBA", "I;16")
LOOKED_AT = 64
TOLERANCE = 1e-3

Range = tuple[float, float]
"""What black and white are in the numbers of images."""


def value_range_of(sets: Sequence[Items], given: Range | None = None) -> Range:
    """What black and white are in the images of several sets, by a look at some of each.

    Args:
        sets: The images.
        given: What the user says they are.

    Returns:
        What is given; else (0, 255) for uint8 or where no image is an array, (0, 1) or (-1, 1) for
        float.

    Raises:
        ValueError: If the numbers do not fit what is given, or none of these; says to give
            ``value_range``.
    """
    numbers = [pixels for items in sets for pixels in _some_arrays(items)]
    low = min((float(pixels.min()) for pixels in numbers), default=0.0)
    high = max((float(pixels.max()) for pixels in numbers), default=0.0)
    if given is not None:
        return checked_range(given, low, high) if numbers else given
    if all(pixels.dtype == np.uint8 for pixels in numbers):
        return 0, 255
    known = all(pixels.dtype.kind == "f" for pixels in numbers)
    if known and low >= -1 - TOLERANCE and high <= 1 + TOLERANCE:
        return (0, 1) if low >= 0 else (-1, 1)
    raise ValueError(
        f"{sets[0].words}: images hold numbers from {low:g} to {high:g}; say what black and white "
        "are by value_range, such as value_range=(0, 255)"
    )


def _some_arrays(items: Items) -> Iterator[NDArray[Any]]:
    for i in range(0, items.count, max(1, items.count // LOOKED_AT)):
        image, _ = items.item(i)
        if isinstance(image, Tensor | np.ndarray):
            yield _numbers(image)


def _numbers(image: Any) -> NDArray[Any]:
    if isinstance(image, Tensor):
        image = image.detach().cpu()
        image = image if not image.is_floating_point() else image.float()
    return np.asarray(image)


NO_WHITE = ("I", "F")
"""Modes of PIL whose numbers may mean anything."""


def picture_of(image: Any, black_white: Range, where: str) -> Image.Image | Path:
    """One image as a picture to store, or the path of its file.

    Args:
        image: PIL image; array or tensor (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels; or
            the path of a file.
        black_white: The numbers of black and white in an array.
        where: The item, for messages.

    Raises:
        ValueError: If it is none of these, or a number lies outside the range.

    Example:
        >>> picture_of(np.ones((3, 8, 8), np.float32), (0, 1), "item 0").getpixel((0, 0))
        (255, 255, 255)
    """
    if isinstance(image, str | Path):
        return _file(Path(image).expanduser(), where)
    if isinstance(image, Image.Image):
        return _stored(image, where)
    if isinstance(image, Tensor | np.ndarray) and image.ndim in (2, 3):
        pixels = _channels_last(_numbers(image), isinstance(image, Tensor), where)
        pixels = _eight_bits(pixels, black_white, where)
        return Image.fromarray(
            pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
        )
    shape = f" of shape {tuple(image.shape)}" if hasattr(image, "shape") else ""
    raise ValueError(
        f"{where}: the image is {type(image).__name__}{shape}; give PIL images, paths, or arrays "
        "(H, W), (H, W, C) or (C, H, W)"
    )


def _file(path: Path, where: str) -> Path:
    if not path.is_file() or path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{where}: {path} is not an image file; correct or remove the row")
    return path


def _stored(image: Image.Image, where: str) -> Image.Image:
    """Upright, and in a mode that PNG keeps."""
    if image.mode in NO_WHITE:
        raise ValueError(
            f"{where}: the image has the mode {image.mode}, whose white is not known; give it as "
            "an array, with value_range"
        )
    upright = ImageOps.exif_transpose(image)
    if upright.mode in STORED:
        return upright
    return upright.convert("RGBA" if "transparency" in upright.info else "RGB")


def _channels_last(pixels: NDArray[Any], first: bool, where: str) -> NDArray[Any]:
    """(H, W) or (H, W, C); ``first`` says where channels are if both ends could be."""
    if pixels.ndim == 2:
        return pixels
    in_front, behind = pixels.shape[0] in CHANNELS, pixels.shape[2] in CHANNELS
    if not in_front and not behind:
        raise ValueError(
            f"{where}: the image has the shape {pixels.shape}; give 1, 3 or 4 channels, first or "
            "last"
        )
    return pixels.transpose(1, 2, 0) if in_front and (first or not behind) else pixels


def _eight_bits(pixels: NDArray[Any], black_white: Range, where: str) -> NDArray[np.uint8]:
    low, high = black_white
    if pixels.dtype == np.uint8 and black_white == (0, 255):
        return np.ascontiguousarray(pixels)
    scaled = (pixels.astype(np.float64) - low) / (high - low)
    if not (scaled.min() >= -TOLERANCE and scaled.max() <= 1 + TOLERANCE):  # NaN is outside too
        raise ValueError(
            f"{where}: the image holds numbers outside of {low:g} to {high:g}; say what black and "
            "white are by value_range"
        )
    whole: NDArray[np.uint8] = np.rint(255 * scaled.clip(0, 1)).astype(np.uint8)
    return whole
