"""The recipe of a synthetic set: all that decides about its pixels, and the shards it plans."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from augmentor.common.given_files import parse_json, read_text
from augmentor.common.tar_files import MOST_SAMPLES
from augmentor.common.types import DataError
from augmentor.data.fill import Fill
from augmentor.data.set_layout import RECIPE, folder_names

Format = Literal["folder", "shards"]
CHECK = "check"
ORIGIN_UNKNOWN, UNKNOWN = "origin unknown", "unknown"
"""The family and the augmentation of the source of imported images."""
MOST_PIXELS = 64_000_000
"""Of one image; what a recipe from elsewhere says must not decide how much memory is taken."""
MOST_IMAGES, MOST_SHARDS = 10_000_000, 1_000_000
"""Of one set; its plan is in memory."""


def installed_versions() -> dict[str, str]:
    """Versions of the packages that decide about the last bit of a pixel or the bytes of a PNG."""
    return {name: version(name) for name in ("torch", "numpy", "pillow")}


def trained_on_digest(trained_on: NDArray[np.int64]) -> str:
    """SHA-256 of a set of fingerprints; order and repeats don't matter."""
    return hashlib.sha256(np.unique(trained_on).astype("<i8").tobytes()).hexdigest()


@dataclass(frozen=True)
class Recipe:
    """All that decides about a synthetic set.

    Args:
        family: Kind of source; ``ORIGIN_UNKNOWN`` of images that were imported.
        source_sha256: SHA-256 of the source's checkpoint; of imported images that of their pixels.
        classes: Class names of the source; position is index.
        image_shape: (C, H, W) with one channel or three.
        counts: Images per class name; classes left out have none.
        seed: Seed of the latents.
        source_augment: ``none`` or ``classical``: what the source's training images went through;
            ``unknown`` of imported images.
        trained_on: ``trained_on_digest`` of the images the source was trained on; of imported
            images these images themselves, the only ones their source is known to have seen.
        filter: What was kept, such as ``{"confidence": 0.5, "judge_sha256": …}``; ``None`` for
            everything.
        format: PNG files or tar shards.
        mixtures: Of mixed classes: the weight of the source's own classes in each; ``None`` where
            they are its own.
        fill: Of a source with conditions: the images of every combination; its totals are the
            counts. ``None`` where the source knows classes alone.
        prompts: Of a pipeline that draws what it is asked for: the prompt or the number by which
            it was asked for each class. ``None`` for all others.
        numbered: Whether folders bear the number of their class, so that they sort as the classes
            do. ``None`` says so for a folder where a class whose name cannot be a folder's would
            end up elsewhere; sets from before this key have False.
        spread: Standard deviation of the latents; 1 is the prior's.
        batch_size: Images rendered together.
        shard_size: Images of a full shard.
        device: Type of device the set was begun on.
        dtype: Type the source computed in.
        versions: Packages the set was begun with.

    Raises:
        ValueError: If names repeat, a count is negative or of no class, there are more than
            ``MOST_IMAGES`` images or ``MOST_SHARDS`` shards, the images are neither grey nor RGB
            or have more than 64 million pixels, or the spread is negative or not finite.
    """

    family: str
    source_sha256: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    counts: dict[str, int]
    seed: int
    source_augment: str
    trained_on: str
    filter: dict[str, Any] | None = None
    format: Format = "folder"
    mixtures: dict[str, dict[str, float]] | None = None
    fill: Fill | None = None
    prompts: dict[str, str | int] | None = None
    numbered: bool | None = None
    spread: float = 1.0
    batch_size: int = 128
    shard_size: int = 256
    device: str = "cpu"
    dtype: str = "float32"
    versions: dict[str, str] = field(default_factory=installed_versions)

    def __post_init__(self) -> None:
        if self.numbered is None:
            numbered = self.format == "folder" and _sorts_otherwise(self.classes)
            object.__setattr__(self, "numbered", numbered)
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(f"class names must differ, got {self.classes}")
        if unknown := sorted(set(self.counts) - set(self.classes)):
            raise ValueError(
                f"counts name unknown classes {unknown}; known are {list(self.classes)}"
            )
        if any(n < 0 for n in self.counts.values()):
            raise ValueError(f"counts must not be negative, got {self.counts}")
        require_feasible(self.total)
        if self.shard_size >= 1 and shard_count(self) > MOST_SHARDS:
            raise ValueError(
                f"{shard_count(self)} shards are more than the {MOST_SHARDS} of one set; raise "
                "shard_size"
            )
        if self.format == "shards" and self.shard_size > MOST_SAMPLES:
            raise ValueError(
                f"shard_size is {self.shard_size}; shards of more than {MOST_SAMPLES} images "
                "are not read again"
            )
        if not 0 <= self.spread < math.inf:
            raise ValueError(f"the spread must be 0 or more, got {self.spread}")
        if self.fill is not None:
            _require_totals(self.fill, self.counts)
        channels, height, width = self.image_shape
        if channels not in (1, 3) or min(height, width) < 1 or height * width > MOST_PIXELS:
            raise ValueError(
                "images must have one channel or three and sides of use, got the shape "
                f"{self.image_shape}"
            )
        if self.format not in ("folder", "shards") or self.batch_size < 1 or self.shard_size < 1:
            raise ValueError(
                "format must be folder or shards, batch_size and shard_size at least 1"
            )

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of the recipe without device, dtype and versions, which change a pixel by
        rounding at most.
        """
        return hashlib.sha256(json.dumps(self._deciding(), sort_keys=True).encode()).hexdigest()

    @functools.cached_property
    def folders(self) -> tuple[str, ...]:
        """Folder of every class, as :func:`folder_names` gives them."""
        return tuple(folder_names(self.classes, numbered=bool(self.numbered)))

    @property
    def total(self) -> int:
        """Images of all classes."""
        return sum(self.counts.values())

    def differences(self, other: Recipe) -> list[str]:
        """Names of the fields, among those in the hash, in which two recipes differ."""
        mine, others = self._deciding(), other._deciding()
        return [name for name in {**mine, **others} if mine.get(name) != others.get(name)]

    def _deciding(self) -> dict[str, Any]:
        left_out = {"device", "dtype", "versions"}
        for name in ("mixtures", "fill", "prompts"):
            if getattr(self, name) is None:
                left_out.add(name)  # so that sets without keep the hash of before there were any
        if not self.numbered:
            left_out.add("numbered")
        if self.spread == 1:
            left_out.add("spread")
        return {name: value for name, value in asdict(self).items() if name not in left_out}


def _sorts_otherwise(classes: Sequence[str]) -> bool:
    """Whether a folder that cannot bear its class's name brings the classes into another order."""
    folders = folder_names(classes)
    return folders != list(classes) and folders != sorted(folders)


def require_feasible(images: int) -> None:
    """Refuse more images than one set may have, before anything is planned.

    Raises:
        ValueError: If there are more than ``MOST_IMAGES``.
    """
    if images > MOST_IMAGES:
        raise ValueError(
            f"{images} synthetic images are more than the {MOST_IMAGES} of one set; ask for fewer, "
            "or make several sets with other seeds"
        )


def _require_totals(fill: Fill, counts: dict[str, int]) -> None:
    if fill.totals != {name: n for name, n in counts.items() if n}:
        raise ValueError(f"counts must be those of the combinations, {fill.totals}, got {counts}")


class Planned(NamedTuple):
    """A shard to be.

    Attributes:
        class_index: Class of all its images.
        number: Position among the shards of its class.
        images: How many are in it.
    """

    class_index: int
    number: int
    images: int


def planned_shards(recipe: Recipe) -> Iterator[Planned]:
    """Every shard, in order."""
    for class_index, name in enumerate(recipe.classes):
        for number, first in enumerate(range(0, recipe.counts.get(name, 0), recipe.shard_size)):
            count = min(recipe.shard_size, recipe.counts[name] - first)
            yield Planned(class_index, number, count)


def shard_count(recipe: Recipe) -> int:
    """Shards of a finished set."""
    return sum(-(-n // recipe.shard_size) for n in recipe.counts.values())


def read_recipe(folder: Path) -> Recipe:
    """The recipe of a set, finished or not.

    Raises:
        DataError: If the folder holds no set, or its recipe cannot be read.
    """
    return recipe_in(lambda: read_text(folder / RECIPE, inside=folder), folder, folder / RECIPE)


def recipe_in(read: Callable[[], str], folder: object, path: object) -> Recipe:
    """The recipe that a text holds.

    Args:
        read: Gives the text.
        folder: Place of the set, for errors.
        path: Place of the text, for errors.

    Raises:
        DataError: As ``read_recipe``.
    """
    try:
        return _parsed(read())
    except FileNotFoundError as error:
        raise DataError(
            f"{folder}: no {RECIPE} there, so no synthetic set; augmentor synth writes one of a "
            "trained run, into RUN/synthetic: give that folder; augmentor import FOLDER --out SET "
            "makes one of another generator's images: give SET"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); synthesize again into a new folder"
        ) from error


def _parsed(text: str) -> Recipe:
    stored = unchecked(parse_json(text))
    _require_types(stored)
    stored["classes"] = tuple(stored["classes"])
    stored["image_shape"] = tuple(stored["image_shape"])
    stored.setdefault("mixtures", None)  # written since there are mixed classes
    if stored.setdefault("fill", None) is not None:  # since there are conditions
        stored["fill"] = Fill.from_json(stored["fill"])
    stored.setdefault("prompts", None)  # since there are pipelines of others
    stored.setdefault("numbered", False)  # since folders sort as the classes do
    stored.setdefault("spread", 1.0)  # since latents may be drawn closer or wider
    if unknown := stored.keys() - {f.name for f in fields(Recipe)}:
        raise ValueError(f"unknown key {min(unknown)!r}")
    return Recipe(**{f.name: stored[f.name] for f in fields(Recipe)})


def _require_types(stored: dict[str, Any]) -> None:
    """Check the types of a recipe read from a file, where a wrong one would do harm later.

    Raises:
        TypeError: Naming the first key that is of another type.
    """
    texts, wholes = (
        ("family", "source_sha256", "source_augment", "trained_on", "device", "dtype"),
        ("seed", "batch_size"),
    )
    forms = {
        **{name: isinstance(stored[name], str) for name in texts},
        **{name: type(stored[name]) is int for name in (*wholes, "shard_size")},
        "classes": isinstance(stored["classes"], list)
        and all(isinstance(name, str) for name in stored["classes"]),
        "image_shape": len(stored["image_shape"]) == 3
        and all(type(side) is int for side in stored["image_shape"]),
        "counts": all(type(n) is int for n in stored["counts"].values()),
        "numbered": type(stored.get("numbered", False)) is bool,
        "spread": type(stored.get("spread", 1.0)) in (int, float),
    }
    if wrong := [name for name, fits in forms.items() if not fits]:
        raise TypeError(f"{wrong[0]} is of another type")


def checked(record: dict[str, Any]) -> dict[str, Any]:
    """The record with a checksum of itself, so that a changed bit shows even where no file's hash
    depends on it.
    """
    return record | {CHECK: hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()}


def unchecked(record: Any) -> dict[str, Any]:
    """The record without its checksum, which must be right; the first sets had none."""
    if not isinstance(record, dict):
        raise ValueError("it is not a JSON object")
    plain = {name: value for name, value in record.items() if name != CHECK}
    if CHECK in record and record != checked(plain):
        raise ValueError("it is not what was written, its checksum differs")
    return plain
