"""A set whose images stay where they are until somebody asks for one."""

from __future__ import annotations

import hashlib
import tempfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augmentor.common.given_files import MEGABYTE, MOST_LINES
from augmentor.common.tensor_files import read_tensors
from augmentor.common.types import DataError
from augmentor.data.manifest import Shard, most_bytes, parse_manifest, require_finished
from augmentor.data.recipe import Recipe, recipe_in, trained_on_digest
from augmentor.data.remote_folder import Folder, LocalFolder, folder_at
from augmentor.data.set_layout import AGAIN, MANIFEST, RECIPE, TRAINED_ON
from augmentor.data.synthetic_set import PixelImages, SyntheticSet, stored_conditions
from augmentor.data.tar_shards import decode_png, png_spans

KEPT = 2000
"""Shards whose offsets are kept, 4 kB each at 256 images."""
MOST_FINGERPRINTS = 256 * MEGABYTE
"""Bytes of the file of fingerprints that is read from a server."""


class StoredSet:
    """The images of a finished set on a disk or a server, read one by one or shard by shard.

    A process keeps the offsets of the shards it has used, so that an image is one read of its bytes
    alone. In random order over many shards most time goes into finding the offsets; whole shards
    are much faster.

    Args:
        place: Folder of the set, or a URL such as ``s3://bucket/set``.
        verify: Compare every shard with its SHA-256 when it is first used.

    Attributes:
        recipe: How the set was made.
        shards: Of the set, class after class, in order.
        y: Class indices of all images, int64 (N,), which need no image to be read.
        condition: Conditions of all images, as ``PixelImages`` has them.

    Raises:
        DataError: If the set is missing or not finished.

    Example:
        >>> images = StoredSet("s3://bucket/set")  # doctest: +SKIP
        >>> images[0].shape, images.shard_images(0).shape  # doctest: +SKIP
        (torch.Size([1, 8, 8]), torch.Size([256, 1, 8, 8]))
    """

    def __init__(self, place: str | Path, verify: bool = True) -> None:
        self.folder, self.verify = folder_at(place), verify
        self.recipe = recipe_at(self.folder)
        shards = manifest_at(self.folder)
        require_finished(self.recipe, shards, self.folder)
        self.shards = sorted(shards, key=lambda shard: (shard.class_index, shard.number))
        counts = np.array([shard.count for shard in self.shards], dtype=np.int64)
        self._ends = counts.cumsum()
        labels = np.array([shard.class_index for shard in self.shards], dtype=np.int64)
        self.y = torch.from_numpy(labels.repeat(counts))
        self.condition, self.conditions = stored_conditions(self.recipe, self.y)
        self._spans: OrderedDict[int, NDArray[np.int64]] = OrderedDict()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; position is index."""
        return self.recipe.classes

    def __len__(self) -> int:
        return self.recipe.total

    def __getitem__(self, index: int) -> Tensor:
        """Image ``index``, uint8 (C, H, W).

        Raises:
            IndexError: If there are not so many.
            DataError: If its shard is missing or damaged.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        number = int(np.searchsorted(self._ends, index, side="right"))
        within = index - int(self._ends[number]) + self.shards[number].count
        if self.recipe.format == "folder":
            return self._of_file(number, sorted(self.shards[number].sha256)[within])
        name, (start, size) = self._tar(number), self._spans_of(number)[within].tolist()
        try:
            data = self.folder.read_range(name, start, size)
        except (OSError, ValueError) as error:
            raise self._unreadable(name, error) from error
        return decode_png(data, self.recipe.image_shape, f"{self.folder}/{name}")

    def shard_images(self, number: int) -> Tensor:
        """All images of a shard, uint8 (n, C, H, W), by one read of its file.

        Args:
            number: Position in ``shards``.

        Raises:
            DataError: If the shard is missing or damaged.
        """
        shard = self.shards[number]
        if self.recipe.format == "folder":
            return torch.stack([self._of_file(number, name) for name in sorted(shard.sha256)])
        name = self._tar(number)
        data, where, images = self._bytes(number, name), f"{self.folder}/{name}", []
        for start, size in self._checked_spans(number, data).tolist():
            images.append(decode_png(data[start : start + size], self.recipe.image_shape, where))
        return torch.stack(images)

    def in_memory(self, per_class: int | None = None) -> SyntheticSet:
        """All images, or the first ``per_class`` of every class, with what their source saw.

        Raises:
            DataError: If a file is missing or damaged.
        """
        taken, parts = dict.fromkeys(range(len(self.classes)), 0), []
        for number, shard in enumerate(self.shards):
            wanted = shard.count if per_class is None else per_class - taken[shard.class_index]
            if wanted > 0:
                parts.append(self.shard_images(number)[:wanted])
                taken[shard.class_index] += len(parts[-1])
        counts = torch.tensor(list(taken.values()))
        y = torch.arange(len(counts)).repeat_interleave(counts)
        empty = torch.empty(0, *self.recipe.image_shape, dtype=torch.uint8)
        condition, conditions = stored_conditions(self.recipe, y)
        stored = PixelImages(torch.cat([empty, *parts]), y, self.classes, condition, conditions)
        return SyntheticSet(stored, self.recipe, read_trained_on(self.folder, self.recipe))

    def __getstate__(self) -> dict[str, Any]:
        """Without the offsets: every worker process finds its own."""
        return self.__dict__ | {"_spans": OrderedDict()}

    def _tar(self, number: int) -> str:
        return next(iter(self.shards[number].sha256))

    def _spans_of(self, number: int) -> NDArray[np.int64]:
        """Where the images of a shard lie in its file, int64 (n, 2)."""
        if number in self._spans:
            self._spans.move_to_end(number)
            return self._spans[number]
        spans = self._checked_spans(number, self._bytes(number, self._tar(number)))
        self._spans[number] = spans
        if len(self._spans) > KEPT:
            self._spans.popitem(last=False)
        return spans

    def _checked_spans(self, number: int, data: bytes) -> NDArray[np.int64]:
        where, count = f"{self.folder}/{self._tar(number)}", self.shards[number].count
        spans = png_spans(data, where)
        if len(spans) != count:
            raise DataError(f"{where}: has {len(spans)} images, not {count}; {AGAIN}")
        return spans

    def _bytes(self, number: int, name: str) -> bytes:
        """A file of a shard, compared with its SHA-256."""
        shard = self.shards[number]
        try:
            data = self.folder.read(name, most_bytes(self.recipe, shard))
        except (OSError, ValueError) as error:
            raise self._unreadable(name, error) from error
        if self.verify and hashlib.sha256(data).hexdigest() != shard.sha256[name]:
            raise DataError(f"{self.folder}/{name}: not the bytes that were written; {AGAIN}")
        return data

    def _of_file(self, number: int, name: str) -> Tensor:
        """The image of a PNG file of its own."""
        data = self._bytes(number, name)
        return decode_png(data, self.recipe.image_shape, f"{self.folder}/{name}")

    def _unreadable(self, name: str, error: Exception) -> DataError:
        return DataError(f"{self.folder}/{name}: cannot be read ({error}); {AGAIN}")


def read_trained_on(folder: Folder, recipe: Recipe) -> NDArray[np.int64]:
    """Fingerprints of the images that the source of a set was trained on, int64 (M,).

    Raises:
        DataError: If they cannot be read, or are not those that the recipe names.
    """
    try:
        trained_on = _fingerprints(folder)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder}/{TRAINED_ON}: cannot be read ({error}); {AGAIN}") from error
    if trained_on_digest(trained_on) != recipe.trained_on:
        raise DataError(f"{folder}/{TRAINED_ON}: not the fingerprints the recipe names; {AGAIN}")
    return trained_on


def recipe_at(folder: Folder) -> Recipe:
    """The recipe of a set, finished or not, as ``recipe.read_recipe``."""
    return recipe_in(lambda: folder.read(RECIPE).decode(), folder, f"{folder}/{RECIPE}")


def manifest_at(folder: Folder) -> list[Shard]:
    """The shards of a finished set; none of one on a server that is not finished.

    Raises:
        DataError: If a line cannot be read.
    """
    try:
        text = folder.read(MANIFEST, MOST_LINES).decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}/{MANIFEST}: cannot be read ({error}); {AGAIN}") from error
    return parse_manifest(text, f"{folder}/{MANIFEST}")


def _fingerprints(folder: Folder) -> NDArray[np.int64]:
    if isinstance(folder, LocalFolder):
        stored = read_tensors(folder.path / TRAINED_ON, inside=folder.path)
    else:
        with tempfile.TemporaryDirectory(prefix="augmentor-") as here:
            path = Path(here) / TRAINED_ON
            path.write_bytes(folder.read(TRAINED_ON, MOST_FINGERPRINTS))
            stored = read_tensors(path)
    found: NDArray[np.int64] = stored["fingerprints"].numpy().astype(np.int64)
    return found
