"""Synthetic images wherever they come from: a set on disk, images in memory, or a source that
renders on demand.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from augmentor.common.types import LabelledImages, SampleSource, conditions_of, device_of
from augmentor.data.class_names import match_classes
from augmentor.data.fingerprint import to_uint8
from augmentor.data.resize import resize, with_channels
from augmentor.data.synthetic_store import PixelImages, SyntheticSet, read_set

Synthetic = str | Path | SyntheticSet | LabelledImages | SampleSource
"""Folder or shards on disk, the same read into memory, plain images, or a live source."""


class Draw(Protocol):
    """Draws synthetic images of asked classes; the classes are those of the data they are drawn
    for.
    """

    def has(self, y: Tensor) -> Tensor:
        """Whether there is an image to draw for every class in ``y`` (N,), bool (N,)."""

    def __call__(self, y: Tensor, rng: torch.Generator) -> Tensor:
        """One image for every class in ``y`` int64 (N,), uint8 (N, C, H, W); every class must have
        some.
        """


def draw_from(synthetic: Synthetic, classes: Sequence[str]) -> Draw:
    """Make a ``Draw`` for data with these classes, matched by name. Of a class that the synthetic
    images lack, it has none.

    Args:
        synthetic: Where the images come from. Stored images are drawn with replacement; a live
            source renders new ones.
        classes: Class names of the data; position is label.

    Returns:
        The draw.

    Raises:
        DataError: If the data lack a class of the synthetic images, or a stored set cannot be read.
    """
    found = opened(synthetic)
    own_class = match_classes(classes, found.classes)
    if isinstance(found, PixelImages):
        return _StoredDraw(found, own_class, len(classes))
    return _LiveDraw(found, own_class, len(classes))


def opened(synthetic: Synthetic) -> PixelImages | SampleSource:
    """The 8-bit pixels of a stored set or of images in memory, or the live source itself.

    Raises:
        TypeError: If it is neither.
        DataError: If a stored set cannot be read.
        ValueError: If a live source needs a condition for every image.
    """
    if isinstance(synthetic, str | Path):
        synthetic = read_set(synthetic)
    if isinstance(synthetic, SyntheticSet):
        return synthetic.stored
    if isinstance(synthetic, LabelledImages):
        return PixelImages.of(synthetic)
    if not isinstance(synthetic, SampleSource):
        raise TypeError(
            "synthetic must be a path, a SyntheticSet, LabelledImages or a source, got "
            f"{type(synthetic)}"
        )
    if conditions := conditions_of(synthetic):
        raise ValueError(
            f"the source needs a condition ({', '.join(conditions.names)}) for every image: give "
            "a stored set (augmentor synth --fill), or images from "
            "augmentor.sampling.synthesize.synthesize_combinations"
        )
    return synthetic


def fit_shape(pixels: Tensor, image_shape: tuple[int, int, int]) -> Tensor:
    """Bring images to another number of channels and size.

    Args:
        pixels: uint8 (N, C, H, W) with one channel or three.
        image_shape: (C, H, W) wanted, with one channel or three.

    Returns:
        uint8 (N, *image_shape): the channels by ``resize.with_channels``, the size changed
        bicubically with antialiasing.

    Raises:
        ValueError: If a number of channels is neither 1 nor 3.
    """
    channels, height, width = image_shape
    if {pixels.shape[1], channels} - {1, 3}:
        raise ValueError(
            f"images must have one channel or three, got {pixels.shape[1]} and {channels}"
        )
    return resize(with_channels(pixels, channels), (height, width), "bicubic")


class _StoredDraw:
    def __init__(self, images: PixelImages, own_class: list[int], num_classes: int) -> None:
        y = torch.tensor(own_class)[images.y]
        self.pixels, self.order = (
            images.pixels,
            y.argsort(stable=True),
        )  # sorted pixels would be a second copy
        self.counts = torch.bincount(y, minlength=num_classes)
        self.starts = self.counts.cumsum(0) - self.counts

    def has(self, y: Tensor) -> Tensor:
        return self.counts[y] > 0

    def __call__(self, y: Tensor, rng: torch.Generator) -> Tensor:
        position = torch.rand(len(y), generator=rng, dtype=torch.float64) * self.counts[y]
        return self.pixels[self.order[self.starts[y] + position.long()]]


class _LiveDraw:
    def __init__(self, source: SampleSource, own_class: list[int], num_classes: int) -> None:
        self.source = source
        self.source_class = torch.full((num_classes,), -1)
        self.source_class[own_class] = torch.arange(len(own_class))

    def has(self, y: Tensor) -> Tensor:
        return self.source_class[y] >= 0

    def __call__(self, y: Tensor, rng: torch.Generator) -> Tensor:
        device = device_of(self.source)
        z = torch.randn(len(y), self.source.latent_dim, generator=rng).to(device)
        return to_uint8(self.source.sample(self.source_class[y].to(device), z)).cpu()
