"""The section ``data``: which images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from pipelines.config.section import FilePath, Section

ImageSize = Literal[8, 16, 28, 32, 64, 128]
IMAGE_SIZES: tuple[ImageSize, ...] = (8, 16, 28, 32, 64, 128)
NAMED_DATA = {"digits": "digits", "mnist": "digits", "fashion-mnist": "natural"}
"""Data sets by name, and the domain of the augmentation that suits each."""


class DataConfig(Section):
    """Which images, in which form, and how many of them keep their labels."""

    data: str = Field(
        default="digits",
        min_length=1,
        description=f"{', '.join(NAMED_DATA)}, or a folder: train/ and test/ with one folder "
        "per class, or one "
        "folder per class that is split here. A path that does not exist is looked for under "
        "data_root.",
    )
    data_root: FilePath | None = Field(
        default=None,
        description="Where data sets live; else $AUGMENTOR_DATA, else ~/.cache/augmentor.",
    )
    size: ImageSize | None = Field(
        default=None,
        description="Side of the square images; default: the largest of 8, 16, 28, 32, 64, 128 "
        "the data fill.",
    )
    grey: bool | None = Field(
        default=None,
        description="One channel or three; default: one if every image is stored grey.",
    )
    per_class: int | None = Field(
        default=None,
        ge=1,
        description="Labelled training images of the largest class; default: all there are.",
    )
    imbalance: float = Field(
        default=1.0,
        ge=1,
        description="Largest class over smallest class of the exponential long tail; needs "
        "per_class.",
    )
    labels: int | None = Field(
        default=None,
        ge=1,
        description="Labelled training images in all, equally many per class; the rest is the "
        "pool.",
    )
    unlabelled: str | None = Field(
        default=None,
        description="rest: the training images left over, without labels; or a folder of images.",
    )
    max_pool: int | None = Field(
        default=None, ge=1, description="Most unlabelled images to keep, drawn by the seed."
    )
    test_fraction: float = Field(
        default=0.25,
        gt=0,
        lt=1,
        description="Test part of every class, for a folder without train/ and test/.",
    )

    @model_validator(mode="after")
    def _one_regime(self) -> DataConfig:
        if self.labels is not None and self.per_class is not None:
            raise ValueError("labels and per_class are two regimes; give one of them")
        if self.imbalance > 1 and self.per_class is None:
            raise ValueError("imbalance needs per_class, the size of the largest class")
        if self.unlabelled == "rest" and self.labels is None and self.per_class is None:
            raise ValueError(
                "unlabelled: rest needs per_class or labels, otherwise nothing is left over"
            )
        return self


def data_root(data: DataConfig) -> Path:
    """Where data sets live: the config's ``data_root``, else ``$AUGMENTOR_DATA``, else
    ``~/.cache/augmentor``.
    """
    return (
        data.data_root or Path(os.environ.get("AUGMENTOR_DATA") or "~/.cache/augmentor")
    ).expanduser()
