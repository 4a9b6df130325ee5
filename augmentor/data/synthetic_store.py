"""A synthetic set on disk: a folder of PNG files or of tar shards, with the recipe that made it.

::

    recipe.json               what decides about the pixels
    metadata.csv              of a source with conditions: file_name, label and the condition of
                              every image, as Hugging Face's image folders have it
    trained_on.safetensors    fingerprints of the images the source was trained on
    manifest.jsonl            one line per finished shard: files with their SHA-256, class, range
                              of candidates
    <class>/00000012.png      format "folder": candidate 12 of the class; torchvision's
                              ``ImageFolder`` reads it
    shard-00003-00000.tar     format "shards": WebDataset's layout, key.png + key.cls + key.json

A shard is up to ``shard_size`` images of one class. Its line in the manifest is written once its
files are on the disk, so an interrupted run loses at most the shard it was working on. A finished
set holds no time, host or order of work in its bytes: it is the same however often it was
interrupted.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from augmentor.common import atomic_files
from augmentor.common.given_files import MOST_IMAGE, read_bytes
from augmentor.common.types import DataError
from augmentor.data.fill import Fill
from augmentor.data.fingerprint import to_uint8
from augmentor.data.manifest import (
    Shard,
    manifest_text,
    most_bytes,
    parse_shard,
    read_manifest,
    require_finished,
)
from augmentor.data.recipe import (
    MOST_IMAGES,
    ORIGIN_UNKNOWN,
    UNKNOWN,
    Format,
    Planned,
    Recipe,
    checked,
    planned_shards,
    read_recipe,
    require_feasible,
    trained_on_digest,
)
from augmentor.data.remote_folder import LocalFolder, is_url, local_path
from augmentor.data.set_layout import (
    AGAIN,
    CONTACT_SHEET,
    LOCK,
    MANIFEST,
    METADATA,
    PARTIAL,
    RECIPE,
    TRAINED_ON,
    folder_names,
    safe_folder_name,
    shard_name,
)
from augmentor.data.stored_set import StoredSet, read_trained_on
from augmentor.data.synthetic_set import PixelImages, SyntheticSet, stored_conditions
from augmentor.data.tar_shards import Sample, ShardReader, decode_png, encode_png, packed_samples

__all__ = [
    "CONTACT_SHEET", "LOCK", "MANIFEST", "METADATA", "MOST_IMAGES", "ORIGIN_UNKNOWN", "RECIPE",
    "TRAINED_ON", "UNKNOWN", "BegunSet", "Format", "PixelImages", "Planned", "Recipe",
    "RenderShard", "Sample", "Shard", "ShardReader", "SyntheticSet", "begin_set", "folder_names",
    "parse_shard", "read_manifest", "read_recipe", "read_set", "require_feasible",
    "safe_folder_name", "trained_on_digest", "write_set", "write_shard",
]  # fmt: skip

RenderShard = Callable[[int, int, int], tuple[Tensor, Tensor]]
"""(class index, n, first candidate to try) to images (n, C, H, W) in [-1, 1] and their candidates
(n,), ascending."""


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
        return planned_shards(self.recipe)

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

    def drop_lost(self) -> int:
        """Forget shards that were lost after they were added; on a disk none are."""
        return 0

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
    pngs = [encode_png(pixels) for pixels in to_uint8(x)]
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


def read_set(folder: str | Path, verify: bool = True, per_class: int | None = None) -> SyntheticSet:
    """Read a finished synthetic set.

    Args:
        folder: Folder of the set, of either format, or a URL such as ``s3://bucket/set``.
        verify: Compare every file with its SHA-256 first.
        per_class: Read only so many images of every class, the first ones.

    Returns:
        The set; it takes the memory of its 8-bit pixels until its ``images`` are asked for.

    Raises:
        DataError: If the folder holds no set, the set is unfinished, or a file is missing, damaged
            or of another shape; the message names the file.
    """
    if is_url(folder):
        return StoredSet(folder, verify=verify).in_memory(per_class)
    folder = local_path(folder)
    recipe, shards = read_recipe(folder), read_manifest(folder)
    require_finished(recipe, shards, folder)
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
    condition, conditions = stored_conditions(recipe, y)
    pixels = flat.reshape(-1, *recipe.image_shape)
    stored = PixelImages(pixels, y, recipe.classes, condition, conditions)
    return SyntheticSet(stored, recipe, read_trained_on(LocalFolder(folder), recipe))


def require_fitting(folder: Path, recipe: Recipe, but: Collection[str] = ()) -> None:
    """Refuse a folder in which a set cannot be begun or finished; nothing is written.

    Args:
        folder: As in ``write_set``.
        recipe: What is to be made.
        but: Keys of the recipe that are not known yet.

    Raises:
        DataError: If the folder holds other files or a set of another recipe.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; choose a folder for the synthetic set")
    if (folder / RECIPE).is_file():
        changed = read_recipe(folder).differences(_as_begun(folder, recipe))
        if changed := [key for key in changed if key not in but]:
            raise DataError(
                f"{folder}: holds a synthetic set of another recipe (different: "
                f"{', '.join(changed)}); "
                "choose a new folder, or delete this one"
            )
        return
    there = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    if foreign := [name for name in there if not name.startswith(".") and name != LOCK]:
        raise DataError(
            f"{folder}: holds other files ({foreign[0]!r}, …); choose a new or empty folder"
        )


def _as_begun(folder: Path, recipe: Recipe) -> Recipe:
    """The recipe with the folder names of the set that was begun, if one was."""
    if not (folder / RECIPE).is_file():
        return recipe
    return replace(recipe, numbered=read_recipe(folder).numbered)


def _begin(folder: Path, recipe: Recipe, trained_on: NDArray[np.int64]) -> None:
    """Make the folder ready, or refuse it."""
    require_fitting(folder, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / RECIPE).is_file():
        atomic_files.write_json(folder / RECIPE, checked(asdict(recipe)))
    shutil.rmtree(folder / PARTIAL, ignore_errors=True)
    atomic_files.remove_leftovers(folder)
    stored = {"fingerprints": np.unique(trained_on)}
    atomic_files.write_bytes(folder / TRAINED_ON, safetensors.numpy.save(stored))


def _whole_shards(folder: Path, recipe: Recipe) -> list[Shard]:
    planned = set(planned_shards(recipe))
    shards = [s for s in read_manifest(folder) if s.recipe == recipe.hash]
    return [
        s
        for s in shards
        if (s.class_index, s.number, s.count) in planned
        and s.broken_file(folder, most_bytes(recipe, s)) is None
    ]


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
    label = planned.class_index
    common = {"class": recipe.classes[label], "recipe": recipe.hash, "seed": recipe.seed}
    samples = []
    for png, candidate, more in zip(
        pngs, candidates, _infos(recipe, label, candidates), strict=True
    ):
        info = common | {"candidate": candidate} | more
        samples.append((f"{label:05d}-{candidate:08d}", label, info, png))
    name, data = shard_name(label, planned.number), packed_samples(samples)
    atomic_files.write_bytes(folder / name, data)
    return {name: hashlib.sha256(data).hexdigest()}


def _infos(recipe: Recipe, class_index: int, candidates: list[int]) -> list[dict[str, Any]]:
    """What a sample's json says of its condition; nothing where there are none."""
    if recipe.fill is None:
        return [{} for _ in candidates]
    slots = recipe.fill.slots(recipe.classes[class_index])
    condition = recipe.fill.condition_of([slots[candidate] for candidate in candidates])
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
        condition = fill.condition_of(fill.slots(name)[first : first + shard.count])
        for file, words in zip(sorted(shard.sha256), fill.words(condition), strict=True):
            of = dict.fromkeys(label, name)
            writer.writerow({"file_name": file, **of, **words})
    # A name read from a file system may hold half surrogates, which UTF-8 has not.
    atomic_files.write_bytes(folder / METADATA, buffer.getvalue().encode("utf-8", "replace"))


def _write_manifest(folder: Path, shards: Iterable[Shard]) -> None:
    atomic_files.write_text(folder / MANIFEST, manifest_text(shards))


def _append_line(path: Path, line: str) -> None:
    with atomic_files.room_for(path, len(line)), path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def _read_class(
    folder: Path, recipe: Recipe, shards: list[Shard], wanted: int, verify: bool
) -> Iterator[Tensor]:
    """The first images of a class, uint8 (C, H, W) each."""
    read = 0
    for shard in sorted(shards, key=lambda shard: shard.number):
        if read >= wanted:
            break
        if verify and (broken := shard.broken_file(folder, most_bytes(recipe, shard))):
            raise DataError(
                f"{folder / broken}: missing or not the bytes that were written; {AGAIN}"
            )
        for pixels in itertools.islice(_read_shard(folder, recipe, shard), wanted - read):
            yield pixels
            read += 1
    if read < wanted:
        raise DataError(
            f"{folder}: class {shards[0].class_name!r} has {read} images, not {wanted}; {AGAIN}"
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
            raise DataError(f"{folder / name}: cannot be read ({error}); {AGAIN}") from error
        yield decode_png(data, recipe.image_shape, str(folder / name))
