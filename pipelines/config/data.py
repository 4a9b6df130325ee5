"""The section ``data``: which images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pipelines.config.section import FilePath, Section
from pipelines.data.table import NAMED_DATA

GeneratedSize = Literal[8, 16, 28, 32, 64, 128]
GENERATED_SIZES: tuple[GeneratedSize, ...] = (8, 16, 28, 32, 64, 128)
"""Sides of the images that a generator can make."""
ImageSize = Literal[8, 16, 28, 32, 64, 128, 160, 192, 224, 256]
IMAGE_SIZES: tuple[ImageSize, ...] = (8, 16, 28, 32, 64, 128, 160, 192, 224, 256)
"""Sides of images in memory; the large ones are for classifiers that see as much."""
FOLDER_LEVEL = "folder"
"""The condition that is not a column of metadata but the folder below the class."""
Range = Annotated[tuple[float, float], Field(strict=False)]


class RareConfig(Section):
    """Combinations that are hidden from training, to measure what fills them.

    Drawn by the seed of the replicate: some classes keep few training images, from few conditions;
    all other classes keep theirs. The test part stays as it is.

    Example:
        >>> RareConfig(classes=9, images=4, within={"azimuth": (-25, 25)}).images
        4
    """

    classes: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] = Field(
        description="How many classes are rare: a number, or a part such as 0.5."
    )
    images: int | None = Field(
        default=None,
        ge=1,
        description="Training images that a rare class keeps at most; default: all there are in "
        "its conditions.",
    )
    conditions: int | None = Field(
        default=None,
        ge=1,
        description="Conditions that a rare class keeps images of, drawn for each class; for "
        "conditions that are words.",
    )
    within: dict[str, Range] | None = Field(
        default=None,
        description="{column: [lowest, highest]}: the conditions that a rare class keeps images "
        "of; for conditions that are numbers.",
    )

    def __hash__(self) -> int:
        """The ranges are a dict, which has no hash of its own."""
        return hash(self.model_dump_json())

    @model_validator(mode="after")
    def _hides_something(self) -> RareConfig:
        if self.images is None and self.conditions is None and not self.within:
            raise ValueError("rare hides nothing; give images, conditions or within")
        if self.conditions is not None and self.within:
            raise ValueError("rare.conditions is for words and rare.within for numbers; give one")
        for name, (low, high) in (self.within or {}).items():
            if low > high:
                raise ValueError(f"rare.within.{name} is empty: {low:g} lies above {high:g}")
        return self


class DataConfig(Section):
    """Which images, in which form, and how many of them keep their labels."""

    data: str = Field(
        default="digits",
        min_length=1,
        description=f"{', '.join(NAMED_DATA)}; hf:OWNER/NAME[/CONFIG][#COLUMN] of the Hugging Face "
        "hub; or a folder: train/ and test/ with one folder per class, or one folder per class "
        "that is split here. A path that does not exist is looked for under "
        "data_root. Commands want it named.",
    )
    data_root: FilePath | None = Field(
        default=None,
        description="Where data sets live; else $AUGMENTOR_DATA, else ~/.cache/augmentor.",
    )
    size: ImageSize | None = Field(
        default=None,
        description="Side of the square images; default: the largest of 8, 16, 28, 32, 64, 128 "
        "that the data fill, and of 160, 192, 224, 256 where the classifier sees as much.",
    )
    max_size: int = Field(
        default=128,
        ge=8,
        le=256,
        description="Largest side that is chosen where size is not given; raised to 256 where "
        "the classifier sees more than 128 pixels.",
    )
    memory: float | None = Field(
        default=None,
        gt=0,
        description="GB of memory that the images of a folder may take; where they need more, they "
        "are decoded once into $AUGMENTOR_CACHE, else ~/.cache/augmentor, and read from there as "
        "they are used. Default: a quarter of what the machine has. Results do not depend on it.",
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
    condition: tuple[str, ...] | None = Field(
        default=None,
        strict=False,
        min_length=1,
        description="What is known beside the class: columns of metadata.csv or metadata.jsonl "
        "beside the images, or folder for the level class/condition/file.",
    )
    categories: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="Those of condition whose numbers are names, such as cameras 1, 2 and 3. Other "
        "numbers are values: 2 lies between 1 and 3.",
    )
    rare: RareConfig | None = Field(
        default=None,
        description="{classes: 0.5, images: 4, conditions: 3, within: {column: [low, high]}}: "
        "hide combinations of class and condition from training, to measure what fills them.",
    )

    @field_validator("condition", "categories", mode="before")
    @classmethod
    def _one_name(cls, names: Any) -> Any:
        return (names,) if isinstance(names, str) else names

    @field_validator("condition")
    @classmethod
    def _columns(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is None:
            return None
        if not all(names) or len(set(names)) < len(names):
            raise ValueError("every condition needs a name, and each is named once")
        if FOLDER_LEVEL in names and len(names) > 1:
            raise ValueError(
                f"{FOLDER_LEVEL!r} is the folder level below the class and stands alone; name "
                "columns of the metadata without it"
            )
        if "file_name" in names:
            raise ValueError("file_name says which image a row is of; it is not a condition")
        return names

    @model_validator(mode="after")
    def _categories_are_conditions(self) -> DataConfig:
        if unknown := [name for name in self.categories if name not in (self.condition or ())]:
            raise ValueError(f"categories names {unknown[0]!r}, which is not one of the conditions")
        return self

    @model_validator(mode="after")
    def _rare_fits(self) -> DataConfig:
        if self.rare is None:
            return self
        if self.condition is None:
            raise ValueError("rare hides combinations of class and condition; give condition too")
        if self.labels is not None or self.unlabelled == "rest":
            raise ValueError(
                "rare hides images; labels and unlabelled: rest would bring them back as a pool: "
                "leave these out"
            )
        if unknown := [name for name in self.rare.within or {} if name not in self.condition]:
            raise ValueError(
                f"rare.within names {unknown[0]!r}, which is not one of the conditions: "
                f"{', '.join(self.condition)}"
            )
        return self

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
