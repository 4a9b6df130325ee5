"""Arrays, lists and DataFrames of images as users hold them, and the form in which models take
them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from augmentor.common.types import LabelledImages
from augmentor.common.value_range import checked_range

PIECE = 1024  # images scaled in one go
CHANNELS = (1, 3)
"""Where an axis may hold the channels of images whose shape is not known."""


def checked(images: ArrayLike, labels: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Images and labels as arrays.

    Args:
        images: Shape (N, C*H*W), (N, H, W), (N, C, H, W) or (N, H, W, C).
        labels: Shape (N,) or (N, 1), or a column of zeros and ones per class.

    Returns:
        The images, and labels of shape (N,); of columns per class the number of the column.

    Raises:
        ValueError: If shapes do not fit, numbers are not finite, or labels are not class names or
            whole numbers.
    """
    x, y = np.asarray(images), _label_of_rows(np.asarray(labels))
    if x.ndim not in (2, 3, 4) or y.shape != x.shape[:1] or not len(y):
        raise ValueError(
            f"X must be (N, C*H*W), (N, H, W) or (N, C, H, W) and y (N,), got {x.shape} and "
            f"{y.shape}"
        )
    kind = x.dtype == np.bool_ or np.issubdtype(x.dtype, np.number)
    if not kind or not np.isfinite(x).all():
        raise ValueError("X must hold finite numbers, or true and false")
    if np.issubdtype(y.dtype, np.floating) and (y != y.round()).any():
        raise ValueError("Unknown label type: labels are class names or whole numbers")
    return x, y


def _label_of_rows(labels: NDArray[Any]) -> NDArray[Any]:
    if labels.ndim != 2:
        return labels
    if labels.shape[1] == 1:
        return labels[:, 0]
    if not (np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all()):
        raise ValueError("Multilabel and multioutput targets are not supported")
    one_hot: NDArray[Any] = labels.argmax(1)
    return one_hot


def shape_of(images: NDArray[Any]) -> tuple[int, int, int]:
    """(C, H, W) of images that tell it by their axes.

    Raises:
        ValueError: If they are flattened, or their channels are neither one nor three.
    """
    if images.ndim == 3:
        return (1, images.shape[1], images.shape[2])
    if images.ndim == 4 and images.shape[1] in CHANNELS:
        return (images.shape[1], images.shape[2], images.shape[3])
    if images.ndim == 4 and images.shape[3] in CHANNELS:
        return (images.shape[3], images.shape[1], images.shape[2])
    raise ValueError(
        f"X of shape {images.shape} does not tell channels, height and width: say image_shape"
    )


def require_shape(images: NDArray[Any], image_shape: tuple[int, int, int]) -> None:
    """Refuse images that do not fit a source.

    Raises:
        ValueError: With both shapes.
    """
    channels, height, width = image_shape
    fitting: dict[int, tuple[Any, ...]] = {
        2: ((channels * height * width,),),
        3: ((height, width),) if channels == 1 else (),
        4: (tuple(image_shape), (height, width, channels)),
    }
    if images.shape[1:] not in fitting[images.ndim]:
        raise ValueError(
            f"images of shape {images.shape[1:]} do not fit the source, which renders {image_shape}"
        )


def range_of(images: NDArray[Any], given: tuple[float, float] | None = None) -> tuple[float, float]:
    """What black and white are: as given, else 0 and 255 for uint8, 0 and 1 for bool, and for
    floats 0 and 1, or -1 and 1.

    Raises:
        ValueError: If the range does not fit the numbers, or has to be given.
    """
    if given is not None:
        return checked_range(given, float(images.min()), float(images.max()))
    if images.dtype in (np.uint8, np.bool_):
        return 0, 255 if images.dtype == np.uint8 else 1
    low, high = float(images.min()), float(images.max())
    if not np.issubdtype(images.dtype, np.floating) or low < -1 or high > 1:
        raise ValueError(
            f"X holds numbers from {low:g} to {high:g}: say what black and white are by value_range"
        )
    return (0, 1) if low >= 0 else (-1, 1)


def labelled(
    images: NDArray[Any],
    labels: NDArray[Any],
    image_shape: tuple[int, int, int],
    value_range: tuple[float, float],
) -> LabelledImages:
    """Images as models take them; classes are the labels in their order.

    Args:
        images: As ``checked`` gives them, of ``image_shape``.
        labels: Likewise.
        image_shape: (C, H, W).
        value_range: What black and white are, as of ``range_of``.
    """
    known, y = np.unique(labels, return_inverse=True)
    classes = tuple(map(class_name, known.tolist()))
    return LabelledImages(as_tensor(images, image_shape, value_range), torch.from_numpy(y), classes)


def as_tensor(
    images: NDArray[Any], image_shape: tuple[int, int, int], value_range: tuple[float, float]
) -> torch.Tensor:
    """Images as float32 (N, C, H, W) in [-1, 1]; arguments as of ``labelled``."""
    if is_channels_last(images, image_shape):
        images = images.transpose(0, 3, 1, 2)
    low, high = value_range
    found = np.empty((len(images), *image_shape), np.float32)
    # All in float64 at once would be eight times as much as they were given.
    for first in range(0, len(images), PIECE):
        piece = images[first : first + PIECE].reshape(-1, *image_shape).astype(np.float64)
        found[first : first + PIECE] = (piece - low) * (2 / (high - low)) - 1
    return torch.from_numpy(found)


def as_given(
    x: torch.Tensor, images: NDArray[Any], value_range: tuple[float, float]
) -> NDArray[Any]:
    """Images of a model in the shape, type and range of those a user gave.

    Args:
        x: Float32 (N, C, H, W) in [-1, 1].
        images: Those that were given.
        value_range: What black and white are there.
    """
    low, high = value_range
    pixels = low + (x.numpy() + 1.0) * ((high - low) / 2)
    if is_channels_last(images, tuple(x.shape[1:])):
        pixels = pixels.transpose(0, 2, 3, 1)
    if not np.issubdtype(images.dtype, np.floating):
        pixels = pixels.round()
    found: NDArray[Any] = pixels.reshape(-1, *images.shape[1:]).astype(images.dtype)
    return found


def is_channels_last(images: NDArray[Any], image_shape: tuple[int, ...]) -> bool:
    """Whether images that fit the shape (C, H, W) are (N, H, W, C)."""
    return images.ndim == 4 and images.shape[1:] != tuple(image_shape)


def images_like(given: Any, images: NDArray[Any]) -> Any:
    """Images as a list or DataFrame where such were given."""
    return _like(given, images)


def labels_like(given: Any, labels: NDArray[Any]) -> Any:
    """Labels (N,) as a list, Series, DataFrame or columns per class where such were given."""
    columns = np.asarray(given)
    if columns.ndim == 2 and columns.shape[1] > 1:
        labels = np.eye(columns.shape[1], dtype=columns.dtype)[labels]
    return _like(given, labels)


def _like(given: Any, values: NDArray[Any]) -> Any:
    """Told without importing pandas."""
    if isinstance(given, list):
        return values.tolist()
    if hasattr(given, "columns"):
        table = type(given)(values.reshape(len(values), -1), columns=given.columns)
        return table.astype(dict(given.dtypes))
    if hasattr(given, "to_frame"):
        return type(given)(values, name=given.name, dtype=given.dtype)
    return values


def class_name(label: Any) -> str:
    """A label as a class name; whole floats as y often holds them lose their point."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)
