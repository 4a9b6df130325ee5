"""The manifest of a synthetic set: a line of JSON per finished shard."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from augmentor.common import atomic_files
from augmentor.common.given_files import (
    MOST_IMAGE,
    MOST_LINES,
    MOST_SHARD,
    leads_outside,
    parse_json,
    read_text,
)
from augmentor.common.tar_files import MOST_SAMPLES
from augmentor.common.types import DataError
from augmentor.data.recipe import Recipe, checked, planned_shards, shard_count, unchecked
from augmentor.data.set_layout import AGAIN, MANIFEST

MOST_WORDS = 2**16
"""Bytes that an image of a set may have beside its pixels: headers, class, condition."""


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
        return json.dumps(checked(asdict(self)), sort_keys=True)


def parse_shard(line: str) -> Shard:
    """A shard from its line of the manifest.

    Raises:
        DataError: If the line cannot be read or names a file outside the folder.
    """
    return parse_line(line, "a shard's line")


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
        raise DataError(f"{path}: cannot be read ({error.strerror}); {AGAIN}") from error
    return parse_manifest(text, str(path))


def parse_manifest(text: str, where: str) -> list[Shard]:
    """The shards of a manifest, without a half-written last line.

    Raises:
        DataError: If a line cannot be read or names a file outside the folder.
    """
    lines = text.split("\n")
    return [
        parse_line(line, f"{where}, line {number}")
        for number, line in enumerate(lines[:-1], start=1)
    ]


def manifest_text(shards: Iterable[Shard]) -> str:
    """The manifest of shards, in order of class and number."""
    ordered = sorted(shards, key=lambda shard: (shard.class_index, shard.number))
    return "".join(shard.line + "\n" for shard in ordered)


def require_finished(recipe: Recipe, shards: list[Shard], folder: object) -> None:
    """Refuse a set that lacks shards, or has shards of another recipe.

    Raises:
        DataError: If so; ``folder`` says where.
    """
    if foreign := [shard for shard in shards if shard.recipe != recipe.hash]:
        raise DataError(
            f"{folder}/{MANIFEST}: {foreign[0].class_name!r} is of another recipe; {AGAIN}"
        )
    # The number first: a recipe from elsewhere may ask for more shards than memory holds.
    there = {(shard.class_index, shard.number, shard.count) for shard in shards}
    if len(shards) < shard_count(recipe) or there != set(planned_shards(recipe)):
        done = sum(shard.count for shard in shards)
        raise DataError(
            f"{folder}: unfinished ({done} of {recipe.total} images); run the same synth command "
            "again"
        )


def most_bytes(recipe: Recipe, shard: Shard) -> int:
    """Bytes that a file of a shard can have: twice its raw pixels, and what is said about them."""
    image = 2 * math.prod(recipe.image_shape) + MOST_WORDS
    if recipe.format == "folder":
        return min(MOST_IMAGE, image)
    samples = min(shard.count, MOST_SAMPLES)
    return min(MOST_SHARD, samples * (image + 12 * len(shard.class_name)) + MOST_WORDS)


def parse_line(line: str, where: str) -> Shard:
    """A shard from its line; ``where`` says in an error which.

    Raises:
        DataError: As ``parse_shard``.
    """
    try:
        stored = unchecked(parse_json(line))
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
