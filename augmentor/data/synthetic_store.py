"""A synthetic set on disk: a folder of PNG files or of tar shards, with the recipe that made it.

::

    recipe.json               what decides about the pixels
    metadata.csv              of a source with conditions: file_name, label and the condition of
                              every image, as Hugging Face's image folders have it
    trained_on.safetensors    fingerprints of the images the source was trained on
    manifest.jsonl            one line a finished shard: files with their SHA-256, class, range of
    candidates <class>/00000012.png      format "folder": candidate 12 of the class;
    ``torchvision``'s ``ImageFolder`` reads it shard-00003-00000.tar     format "shards":
    WebDataset's layout, key.png + key.cls + key.json

A shard is up to ``shard_size`` images of one class. Its line in the manifest is written once its
files are on the disk, so an interrupted run loses at most the shard it was working on. A finished
set holds no time, host or order of work in its bytes: it is the same however often it was
interrupted.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import itertools
import json
import math
import os
import re
import shutil
import tarfile
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from augmentor.common import atomic_files
from augmentor.common.conditions import NO_CONDITIONS, Conditions
from augmentor.common.given_files import (
    MOST_IMAGE,
    MOST_LINES,
    MOST_SHARD,
    leads_outside,
    open_given,
    parse_json,
    read_bytes,
    read_text,
)
from augmentor.common.tar_files import MOST_MEMBERS, regular_members
from augmentor.common.tensor_files import read_tensors
from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fill import Fill
from augmentor.data.fingerprint import fingerprints, from_uint8, overlap, to_uint8

Format = Literal["folder", "shards"]
RenderShard = Callable[[int, int, int], tuple[Tensor, Tensor]]
"""(class index, n, first candidate to try) to images (n, C, H, W) in [-1, 1] and their candidates
(n,), ascending."""

RECIPE, MANIFEST, TRAINED_ON, PARTIAL = (
    "recipe.json",
    "manifest.jsonl",
    "trained_on.safetensors",
    ".partial",
)
CHECK = "check"
METADATA = "metadata.csv"
CONTACT_SHEET, LOCK = "contact_sheet.png", "lock"
"""What the jobs may lay beside the files of a set."""
ORIGIN_UNKNOWN, UNKNOWN = "origin unknown", "unknown"
"""The family and the augmentation of the source of imported images."""
MOST_PIXELS = 64_000_000
"""Of one image; what a recipe from elsewhere says must not decide how much memory is taken."""
MOST_IMAGES, MOST_SHARDS = 10_000_000, 1_000_000
"""Of one set; its plan is in memory."""
MOST_WORDS = 2**16
"""Bytes that an image of a set may have beside its pixels: headers, class, condition."""
ROUNDING = 1e-3
"""How far beyond [-1, 1] an image may be for its 8-bit pixels to be right."""
PIECE = 1024
"""Images converted at a time."""


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
        batch_size: Images rendered together.
        shard_size: Images of a full shard.
        device: Type of device the set was begun on.
        dtype: Type the source computed in.
        versions: Packages the set was begun with.

    Raises:
        ValueError: If names repeat, a count is negative or of no class, there are more than
            ``MOST_IMAGES`` images or ``MOST_SHARDS`` shards, or the images are neither grey nor
            RGB or have more than 64 million pixels.
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
        if self.shard_size >= 1 and _planned(self) > MOST_SHARDS:
            raise ValueError(
                f"{_planned(self)} shards are more than the {MOST_SHARDS} of one set; raise "
                "shard_size"
            )
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


@dataclass(frozen=True)
class Shard:
    """One line of the manifest.

    Args:
        class_index: Class of all its images.
        number: Position among the shards of its class.
        count: Images in it.
        candidates: First candidate tried and the one after the last kept.
        sha256: SHA-256 of every file, by path relative to the set's folder.
        class_name: Name of the class.
        recipe: Hash of the recipe.
        seed: Seed of the latents.
        device: Type of device it was rendered on.
        dtype: Type the source computed in.
        versions: Packages it was rendered with.
    """

    class_index: int
    number: int
    count: int
    candidates: tuple[int, int]
    sha256: dict[str, str]
    class_name: str
    recipe: str
    seed: int
    device: str
    dtype: str
    versions: dict[str, str]

    def broken_file(self, folder: Path, most: int = MOST_SHARD) -> str | None:
        """The first of its files that is missing or whose bytes have changed; ``None`` if all are
        whole. A file of more than ``most`` bytes is not read.
        """
        for name, digest in self.sha256.items():
            try:
                if leads_outside(folder / name, folder):
                    return name
                if atomic_files.sha256_of(folder / name, most) != digest:
                    return name
            except (
                OSError,
                ValueError,
            ):  # a name too long, or with a NUL or half a surrogate, is not a file either
                return name
        return None

    def well_formed(self) -> bool:
        """Whether the fields are of their types, which a line from elsewhere may not respect."""
        numbers = (self.class_index, self.number, self.count, self.seed, *self.candidates)
        texts = (
            self.class_name,
            self.recipe,
            self.device,
            self.dtype,
            *self.sha256,
            *self.sha256.values(),
        )
        whole = all(type(number) is int and 0 <= number < 2**63 for number in numbers)
        return whole and len(self.candidates) == 2 and all(isinstance(text, str) for text in texts)

    @property
    def line(self) -> str:
        """The shard and its checksum as a line of JSON, without the line break."""
        return json.dumps(_checked(asdict(self)), sort_keys=True)


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
        """
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


def write_set(
    folder: Path,
    recipe: Recipe,
    trained_on: NDArray[np.int64],
    render: RenderShard,
    on_shard: Callable[[int, int], None] | None = None,
) -> None:
    """Write a synthetic set, or finish the one an interrupted run left.

    Shards that are finished and whole are not rendered again; missing or damaged ones are.

    Args:
        folder: Where the set goes; a new or empty folder, or one with a set of the same recipe.
        recipe: What is to be made.
        trained_on: Fingerprints of the images the source was trained on, int64 (M,).
        render: Renders the images of a shard.
        on_shard: Called with images done and images in all, after every shard; may raise to stop
            between two shards.

    Raises:
        DataError: If the folder holds other files or a set of another recipe.
        ValueError: If ``trained_on`` is not what the recipe says.
    """
    begun, done = begin_set(folder, recipe, trained_on), 0
    for planned in begun.plan:
        if not begun.has(planned):
            begun.add(
                write_shard(begun.folder, begun.recipe, planned, begun.start(planned), render)
            )
        done += planned.images
        if on_shard is not None:
            on_shard(done, recipe.total)
    begun.finish()


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


@dataclass
class BegunSet:
    """A set that is being written: what is whole of it, and its manifest.

    Args:
        folder: Of the set.
        recipe: Of the set.
        shards: Those that are whole, by class and number.
    """

    folder: Path
    recipe: Recipe
    shards: dict[tuple[int, int], Shard]

    @property
    def plan(self) -> Iterator[Planned]:
        """All shards of the finished set, in order."""
        return _plan(self.recipe)

    def start(self, planned: Planned) -> int:
        """The first candidate of a shard whose forerunners are all there.

        Raises:
            KeyError: If the shard before it is not.
        """
        before = (planned.class_index, planned.number - 1)
        return self.shards[before].candidates[1] if planned.number else 0

    def has(self, planned: Planned) -> bool:
        """Whether a shard is whole and follows the one before it."""
        shard = self.shards.get((planned.class_index, planned.number))
        return shard is not None and shard.candidates[0] == self.start(planned)

    def add(self, shard: Shard) -> None:
        """Put a shard, whose files are in the folder, into the manifest."""
        self.shards[shard.class_index, shard.number] = shard
        _append_line(self.folder / MANIFEST, shard.line)

    def finish(self) -> None:
        """Put the manifest in order; the set is then the same whatever order it was made in."""
        _write_manifest(self.folder, self.shards.values())
        if self.recipe.fill is not None and self.recipe.format == "folder":
            _write_metadata(self.folder, self.recipe.fill, self.shards.values())
        shutil.rmtree(self.folder / PARTIAL, ignore_errors=True)


def begin_set(folder: Path, recipe: Recipe, trained_on: NDArray[np.int64]) -> BegunSet:
    """Make a folder ready for a set, or find what an interrupted run left of it.

    Args:
        folder: As in ``write_set``.
        recipe: What is to be made.
        trained_on: Fingerprints of the images the source was trained on, int64 (M,).

    Raises:
        DataError: If the folder holds other files or a set of another recipe.
        ValueError: If ``trained_on`` is not what the recipe says.
    """
    if trained_on_digest(trained_on) != recipe.trained_on:
        raise ValueError("trained_on is not the set of fingerprints the recipe names")
    recipe = _as_begun(folder, recipe)
    _begin(folder, recipe, trained_on)
    shards = {(shard.class_index, shard.number): shard for shard in _whole_shards(folder, recipe)}
    _write_manifest(folder, shards.values())
    return BegunSet(folder, recipe, shards)


def write_shard(
    folder: Path, recipe: Recipe, planned: Planned, start: int, render: RenderShard
) -> Shard:
    """Render a shard and write its files; its line in the manifest is for ``BegunSet.add``.

    Several processes may write different shards into one folder.

    Args:
        folder: Of the set.
        recipe: Of the set.
        planned: Which shard.
        start: First candidate to try.
        render: Renders its images.
    """
    x, candidates = render(planned.class_index, planned.images, start)
    pngs = [_encode(pixels) for pixels in to_uint8(x)]
    write = _write_pngs if recipe.format == "folder" else _write_tar
    digests = write(folder, recipe, planned, pngs, candidates.tolist())
    return Shard(
        class_index=planned.class_index,
        number=planned.number,
        count=len(pngs),
        candidates=(start, int(candidates[-1]) + 1),
        sha256=digests,
        class_name=recipe.classes[planned.class_index],
        recipe=recipe.hash,
        seed=recipe.seed,
        device=recipe.device,
        dtype=recipe.dtype,
        versions=recipe.versions,
    )


def parse_shard(line: str) -> Shard:
    """A shard from its line of the manifest.

    Raises:
        DataError: If the line cannot be read or names a file outside the folder.
    """
    return _parse_line(line, "a shard's line")


def read_set(folder: str | Path, verify: bool = True, per_class: int | None = None) -> SyntheticSet:
    """Read a finished synthetic set.

    Args:
        folder: Folder of the set, of either format.
        verify: Compare every file with its SHA-256 first.
        per_class: Read only so many images of every class, the first ones.

    Returns:
        The set; it takes the memory of its 8-bit pixels until its ``images`` are asked for.

    Raises:
        DataError: If the folder holds no set, the set is unfinished, or a file is missing, damaged
            or of another shape; the message names the file.
    """
    folder = Path(folder)
    recipe, shards = read_recipe(folder), read_manifest(folder)
    if foreign := [shard for shard in shards if shard.recipe != recipe.hash]:
        raise DataError(
            f"{folder / MANIFEST}: {foreign[0].class_name!r} is of another recipe; {_AGAIN}"
        )
    # The number first: a recipe from elsewhere may ask for more shards than memory holds.
    if len(shards) < _planned(recipe) or {
        (s.class_index, s.number, s.count) for s in shards
    } != set(_plan(recipe)):
        done = sum(shard.count for shard in shards)
        raise DataError(
            f"{folder}: unfinished ({done} of {recipe.total} images); run the same synth command "
            "again"
        )
    # Bytes that grow as images are read, and become the tensor: no second copy, and no more than
    # there is on the disk.
    data, labels = bytearray(), []
    for class_index, name in enumerate(recipe.classes):
        wanted = (
            recipe.counts.get(name, 0)
            if per_class is None
            else min(per_class, recipe.counts.get(name, 0))
        )
        for pixels in _read_class(
            folder, recipe, [s for s in shards if s.class_index == class_index], wanted, verify
        ):
            data += pixels.contiguous().numpy().tobytes()
            labels.append(class_index)
    flat = torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
    y = torch.tensor(labels, dtype=torch.int64)
    condition, conditions = _stored_conditions(recipe, y)
    pixels = flat.reshape(-1, *recipe.image_shape)
    stored = PixelImages(pixels, y, recipe.classes, condition, conditions)
    return SyntheticSet(stored, recipe, _read_trained_on(folder, recipe))


def _stored_conditions(recipe: Recipe, y: Tensor) -> tuple[Tensor | None, Conditions]:
    """The conditions of images read: within a class those of the plan, in its order."""
    if recipe.fill is None:
        return None, NO_CONDITIONS
    parts = [recipe.fill.condition_of([])]
    for name, n in zip(recipe.classes, torch.bincount(y).tolist(), strict=False):
        parts.append(recipe.fill.condition(name)[:n])  # none of the classes after the last read
    return torch.cat(parts), recipe.fill.conditions


def read_recipe(folder: Path) -> Recipe:
    """The recipe of a set, finished or not.

    Raises:
        DataError: If the folder holds no set, or its recipe cannot be read.
    """
    try:
        stored = _unchecked(parse_json(read_text(folder / RECIPE, inside=folder)))
        _require_types(stored)
        stored["classes"], stored["image_shape"] = (
            tuple(stored["classes"]),
            tuple(stored["image_shape"]),
        )
        stored.setdefault("mixtures", None)  # written since there are mixed classes
        if stored.setdefault("fill", None) is not None:  # since there are conditions
            stored["fill"] = Fill.from_json(stored["fill"])
        stored.setdefault("prompts", None)  # since there are pipelines of others
        stored.setdefault("numbered", False)  # since folders sort as the classes do
        if unknown := stored.keys() - {f.name for f in fields(Recipe)}:
            raise ValueError(f"unknown key {min(unknown)!r}")
        return Recipe(**{f.name: stored[f.name] for f in fields(Recipe)})
    except FileNotFoundError as error:
        raise DataError(
            f"{folder}: no {RECIPE} there, so no synthetic set; write one with augmentor synth"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{folder / RECIPE}: cannot be read ({error}); synthesize again into a new folder"
        ) from error


def read_manifest(folder: Path) -> list[Shard]:
    """The finished shards of a set, in the order of their lines; a half-written last line does not
    count.

    Raises:
        DataError: If a line cannot be read or names a file outside the folder.
    """
    path = folder / MANIFEST
    try:
        text = read_text(path, MOST_LINES, inside=folder, errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {_AGAIN}") from error
    lines = text.split("\n")
    return [
        _parse_line(line, f"{path}, line {number}")
        for number, line in enumerate(lines[:-1], start=1)
    ]


def safe_folder_name(name: str, index: int) -> str:
    """A class's folder name: the class's own if it is harmless on every system, else
    ``class_<index>``.

    Args:
        name: Any string.
        index: Index of the class.

    Returns:
        One path component that neither leads elsewhere nor is special; different for different
        indices unless two names are equal but for case or Unicode form (:func:`folder_names` sees
        to those).
    """
    own_file = name.casefold() in (RECIPE, MANIFEST, TRAINED_ON, METADATA, CONTACT_SHEET, LOCK)
    reserved = re.fullmatch(
        r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?|class_\d+", name, re.IGNORECASE | re.DOTALL
    )
    odd = (
        not name.isprintable()
        or re.search(r'[<>:"/\\|?*]', name)
        or re.search(r"^[. ]|[. ]$|^$", name)
    )
    if own_file or reserved or odd or len(name.encode("utf-8", "replace")) > 200:
        return f"class_{index:04d}"
    return name


def folder_names(classes: Sequence[str], *, numbered: bool = False) -> list[str]:
    """Folder names of all classes: safe, and different even where case and Unicode form do not
    count.

    Args:
        classes: Names of the classes, in order.
        numbered: Begin each with the number of its class: readers that sort folders then give the
            classes the order of ``classes``.

    Example:
        >>> folder_names(["b/c", "a"]), folder_names(["b/c", "a"], numbered=True)
        (['class_0000', 'a'], ['class_0000', 'class_0001_a'])
    """
    taken: set[str] = set()
    names = []
    for index, name in enumerate(classes):
        folder = safe_folder_name(name, index)
        if _folded(folder) in taken:
            folder = f"class_{index:04d}"
        taken.add(_folded(folder))
        names.append(folder)
    if not numbered:
        return names
    digits = max(4, len(str(len(names) - 1)))
    for index, name in enumerate(names):
        rest = "" if name == f"class_{index:04d}" else f"_{name}"
        names[index] = f"class_{index:0{digits}d}{rest}"
    return names


@dataclass(frozen=True)
class Sample:
    """One sample of a tar shard.

    Args:
        key: Its key, such as ``00003-00000012``.
        pixels: 8-bit pixels, uint8 (C, H, W).
        class_index: Index of its class.
        info: Class name, candidate, seed and hash of the recipe; of a source with conditions the
            condition too, by column.
    """

    key: str
    pixels: Tensor
    class_index: int
    info: dict[str, Any]


class ShardReader:
    """Random access to the samples of one tar shard; only offsets are kept, so that worker
    processes share it cheaply.

    Args:
        path: The tar file; nothing of it is ever extracted to disk.
        image_shape: (C, H, W) every image must have.

    Raises:
        DataError: If the file is missing or no whole tar file of WebDataset's layout.
    """

    def __init__(self, path: Path, image_shape: tuple[int, int, int]) -> None:
        self.path, self.image_shape = path, image_shape
        members: dict[str, dict[str, tuple[int, int]]] = {}
        try:
            for member in regular_members(path):
                key, _, extension = member.name.partition(".")
                members.setdefault(key, {})[extension] = (member.offset_data, member.size)
        except (OSError, tarfile.TarError) as error:
            raise DataError(f"{path}: cannot be read as a tar shard ({error}); {_AGAIN}") from error
        if any(not parts.keys() >= {"png", "cls", "json"} for parts in members.values()):
            raise DataError(f"{path}: a sample lacks its png, cls or json; {_AGAIN}")
        self._keys = list(members)
        self._spans = np.array(
            [[members[k][e] for e in ("png", "cls", "json")] for k in members], dtype=np.int64
        )
        if (
            self._spans.sum(-1) > path.stat().st_size
        ).any():  # a sparse member says more than there is
            raise DataError(f"{path}: a sample is longer than the file; {_AGAIN}")

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> Sample:
        key = self._keys[index]
        with open_given(self.path) as file:
            png, label, info = (self._read(file, *span) for span in self._spans[index].tolist())
        pixels = _decode(png, self.image_shape, f"{self.path}, {key}")
        try:
            return Sample(key, pixels, int(label), parse_json(info))
        except ValueError as error:
            raise DataError(
                f"{self.path}, {key}: its cls or json cannot be read ({error}); {_AGAIN}"
            ) from error

    @staticmethod
    def _read(file: BinaryIO, offset: int, size: int) -> bytes:
        file.seek(offset)
        return file.read(size)


_AGAIN = "run the same synth command again to restore it"


def _as_begun(folder: Path, recipe: Recipe) -> Recipe:
    """The recipe with the folder names of the set that was begun, if one was."""
    if not (folder / RECIPE).is_file():
        return recipe
    return replace(recipe, numbered=read_recipe(folder).numbered)


def _begin(folder: Path, recipe: Recipe, trained_on: NDArray[np.int64]) -> None:
    """Make the folder ready, or refuse it."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; choose a folder for the synthetic set")
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / RECIPE).is_file():
        if changed := read_recipe(folder).differences(recipe):
            raise DataError(
                f"{folder}: holds a synthetic set of another recipe (different: "
                f"{', '.join(changed)}); "
                "choose a new folder, or delete this one"
            )
    elif foreign := sorted(
        p.name for p in folder.iterdir() if not p.name.startswith(".") and p.name != LOCK
    ):
        raise DataError(
            f"{folder}: holds other files ({foreign[0]!r}, …); choose a new or empty folder"
        )
    else:
        atomic_files.write_json(folder / RECIPE, _checked(asdict(recipe)))
    shutil.rmtree(folder / PARTIAL, ignore_errors=True)
    atomic_files.remove_leftovers(folder)
    stored = {"fingerprints": np.unique(trained_on)}
    atomic_files.write_bytes(folder / TRAINED_ON, safetensors.numpy.save(stored))


def _plan(recipe: Recipe) -> Iterator[Planned]:
    """Every shard, in order."""
    for class_index, name in enumerate(recipe.classes):
        for number, first in enumerate(range(0, recipe.counts.get(name, 0), recipe.shard_size)):
            count = min(recipe.shard_size, recipe.counts[name] - first)
            yield Planned(class_index, number, count)


def _planned(recipe: Recipe) -> int:
    """Shards of a finished set."""
    return sum(-(-n // recipe.shard_size) for n in recipe.counts.values())


def _whole_shards(folder: Path, recipe: Recipe) -> list[Shard]:
    planned = set(_plan(recipe))
    shards = [s for s in read_manifest(folder) if s.recipe == recipe.hash]
    return [
        s
        for s in shards
        if (s.class_index, s.number, s.count) in planned
        and s.broken_file(folder, _most_bytes(recipe, s)) is None
    ]


def _most_bytes(recipe: Recipe, shard: Shard) -> int:
    """Bytes that a file of a shard can have: twice its raw pixels, and what is said about them."""
    image = 2 * math.prod(recipe.image_shape) + MOST_WORDS
    if recipe.format == "folder":
        return min(MOST_IMAGE, image)
    samples = min(shard.count, MOST_MEMBERS // 3)
    return min(MOST_SHARD, samples * (image + 12 * len(shard.class_name)) + MOST_WORDS)


def _write_pngs(
    folder: Path, recipe: Recipe, planned: Planned, pngs: list[bytes], candidates: list[int]
) -> dict[str, str]:
    """Write files beside the class folder, then move them into it: whoever looks there sees whole
    images only.
    """
    class_folder = recipe.folders[planned.class_index]
    partial = folder / PARTIAL / f"{planned.class_index}-{planned.number}"
    final = folder / class_folder
    partial.mkdir(parents=True, exist_ok=True)
    final.mkdir(exist_ok=True)
    names = [f"{candidate:08d}.png" for candidate in candidates]
    with atomic_files.room_for(final, sum(map(len, pngs))):
        for name, png in zip(names, pngs, strict=True):
            (partial / name).write_bytes(png)
    os.sync()  # once a shard: measured 15 times faster than a flush of every file
    for name in names:
        (partial / name).replace(final / name)
    atomic_files.sync(final)
    return {
        f"{class_folder}/{name}": hashlib.sha256(png).hexdigest()
        for name, png in zip(names, pngs, strict=True)
    }


def _write_tar(
    folder: Path, recipe: Recipe, planned: Planned, pngs: list[bytes], candidates: list[int]
) -> dict[str, str]:
    class_index, number = planned.class_index, planned.number
    buffer = io.BytesIO()
    common = {"class": recipe.classes[class_index], "recipe": recipe.hash, "seed": recipe.seed}
    known = _infos(recipe, class_index, candidates)
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for png, candidate, more in zip(pngs, candidates, known, strict=True):
            key = f"{class_index:05d}-{candidate:08d}"
            _add(tar, f"{key}.cls", str(class_index).encode())
            _add(
                tar,
                f"{key}.json",
                json.dumps(common | {"candidate": candidate} | more, sort_keys=True).encode(),
            )
            _add(tar, f"{key}.png", png)
    name = f"shard-{class_index:05d}-{number:05d}.tar"
    atomic_files.write_bytes(folder / name, buffer.getvalue())
    return {name: hashlib.sha256(buffer.getvalue()).hexdigest()}


def _infos(recipe: Recipe, class_index: int, candidates: list[int]) -> list[dict[str, Any]]:
    """What a sample's json says of its condition; nothing where there are none."""
    if recipe.fill is None:
        return [{} for _ in candidates]
    condition = recipe.fill.condition(recipe.classes[class_index])[candidates]
    return [{"condition": words} for words in recipe.fill.words(condition)]


def _write_metadata(folder: Path, fill: Fill, shards: Iterable[Shard]) -> None:
    """The condition of every image file, in the order of the manifest."""
    buffer = io.StringIO()
    columns = fill.columns
    label = [] if "label" in columns else ["label"]
    writer = csv.DictWriter(buffer, ["file_name", *label, *columns], lineterminator="\n")
    writer.writeheader()
    done = dict.fromkeys(fill.counts, 0)
    for shard in sorted(shards, key=lambda shard: (shard.class_index, shard.number)):
        name, first = shard.class_name, done[shard.class_name]
        done[name] = first + shard.count
        condition = fill.condition(name)[first : first + shard.count]
        for file, words in zip(sorted(shard.sha256), fill.words(condition), strict=True):
            of = dict.fromkeys(label, name)
            writer.writerow({"file_name": file, **of, **words})
    # A name read from a file system may hold half surrogates, which UTF-8 has not.
    atomic_files.write_bytes(folder / METADATA, buffer.getvalue().encode("utf-8", "replace"))


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # time, user and group stay zero: equal samples, equal bytes
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _write_manifest(folder: Path, shards: Iterable[Shard]) -> None:
    ordered = sorted(shards, key=lambda shard: (shard.class_index, shard.number))
    atomic_files.write_text(folder / MANIFEST, "".join(shard.line + "\n" for shard in ordered))


def _append_line(path: Path, line: str) -> None:
    with atomic_files.room_for(path, len(line)), path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


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
    }
    if wrong := [name for name, fits in forms.items() if not fits]:
        raise TypeError(f"{wrong[0]} is of another type")


def _parse_line(line: str, where: str) -> Shard:
    try:
        stored = _unchecked(parse_json(line))
        stored["candidates"] = tuple(stored["candidates"])
        shard = Shard(**stored)
        if not shard.well_formed():
            raise TypeError("a field is of another type")
        paths = [PurePosixPath(name) for name in shard.sha256]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{where}: cannot be read ({error}); synthesize again into a new folder"
        ) from error
    if any(path.is_absolute() or ".." in path.parts or "\\" in str(path) for path in paths):
        raise DataError(
            f"{where}: names a file outside the folder; this set was tampered with, do not use it"
        )
    return shard


def _checked(record: dict[str, Any]) -> dict[str, Any]:
    """The record with a checksum of itself, so that a changed bit shows even where no file's hash
    depends on it.
    """
    return record | {CHECK: hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()}


def _unchecked(record: Any) -> dict[str, Any]:
    """The record without its checksum, which must be right; the first sets had none."""
    if not isinstance(record, dict):
        raise ValueError("it is not a JSON object")
    plain = {name: value for name, value in record.items() if name != CHECK}
    if CHECK in record and record != _checked(plain):
        raise ValueError("it is not what was written, its checksum differs")
    return plain


def _read_class(
    folder: Path, recipe: Recipe, shards: list[Shard], wanted: int, verify: bool
) -> Iterator[Tensor]:
    """The first images of a class, uint8 (C, H, W) each."""
    read = 0
    for shard in sorted(shards, key=lambda shard: shard.number):
        if read >= wanted:
            break
        if verify and (broken := shard.broken_file(folder, _most_bytes(recipe, shard))):
            raise DataError(
                f"{folder / broken}: missing or not the bytes that were written; {_AGAIN}"
            )
        for pixels in itertools.islice(_read_shard(folder, recipe, shard), wanted - read):
            yield pixels
            read += 1
    if read < wanted:
        raise DataError(
            f"{folder}: class {shards[0].class_name!r} has {read} images, not {wanted}; {_AGAIN}"
        )


def _read_shard(folder: Path, recipe: Recipe, shard: Shard) -> Iterator[Tensor]:
    if recipe.format == "shards":
        for name in shard.sha256:
            reader = ShardReader(folder / name, recipe.image_shape)
            yield from (reader[index].pixels for index in range(len(reader)))
        return
    for name in sorted(shard.sha256):
        try:
            data = read_bytes(folder / name, MOST_IMAGE, inside=folder)
        except (OSError, ValueError) as error:
            raise DataError(f"{folder / name}: cannot be read ({error}); {_AGAIN}") from error
        yield _decode(data, recipe.image_shape, str(folder / name))


def _read_trained_on(folder: Path, recipe: Recipe) -> NDArray[np.int64]:
    try:
        stored = read_tensors(folder / TRAINED_ON, inside=folder)
        trained_on: NDArray[np.int64] = stored["fingerprints"].numpy().astype(np.int64)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder / TRAINED_ON}: cannot be read ({error}); {_AGAIN}") from error
    if trained_on_digest(trained_on) != recipe.trained_on:
        raise DataError(f"{folder / TRAINED_ON}: not the fingerprints the recipe names; {_AGAIN}")
    return trained_on


def _encode(pixels: Tensor) -> bytes:
    """PNG of uint8 pixels (C, H, W)."""
    buffer = io.BytesIO()
    array = pixels.permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(
        buffer, "png", compress_level=6
    )
    return buffer.getvalue()


def _decode(data: bytes, image_shape: tuple[int, int, int], where: str) -> Tensor:
    """Pixels uint8 (C, H, W) of a PNG that must have this shape; the header is checked before
    pixels are unpacked.
    """
    channels, height, width = image_shape
    try:
        with _quiet(), Image.open(io.BytesIO(data), formats=("png",)) as image:
            if image.size != (width, height) or image.mode != {1: "L", 3: "RGB"}[channels]:
                raise DataError(
                    f"{where}: is {image.mode} {image.size}, the recipe says {image_shape}; "
                    f"{_AGAIN}"
                )
            array = np.array(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: no whole PNG image ({error}); {_AGAIN}") from error
    return torch.from_numpy(array).reshape(height, width, channels).permute(2, 0, 1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow only warns of an image of 90 million pixels; here the recipe says what is too
    large.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
