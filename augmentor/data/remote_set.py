"""A synthetic set of tar shards on a server: its shards are written by many, in any order.

Beside the files of a set on a disk there is one manifest per shard, ``shards/00003-00012.json``:
the shard's line, written once its tar file has arrived. Who makes a shard writes both, so nothing
goes through one machine but the lines. The finished set has a ``manifest.jsonl`` as on a disk.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from augmentor.common.atomic_files import json_bytes
from augmentor.common.types import DataError
from augmentor.data.manifest import Shard, manifest_text, parse_line
from augmentor.data.recipe import (
    Recipe,
    checked,
    planned_shards,
    trained_on_digest,
)
from augmentor.data.remote_folder import RemoteFolder
from augmentor.data.set_layout import MANIFEST, RECIPE, SHARDS, TRAINED_ON, shard_name
from augmentor.data.stored_set import manifest_at, recipe_at
from augmentor.data.synthetic_store import BegunSet

MOST_READ = 1000
"""Manifests of shards that are asked for at a time."""


@dataclass
class RemoteBegunSet(BegunSet):
    """A set that is being written to a server.

    Args:
        folder: Of this machine, where a shard lies until it is sent.
        recipe: Of the set.
        shards: Those that are there, by class and number.
        remote: Where the set goes.
        trained_on: Fingerprints of the images the source was trained on, int64 (M,).
    """

    remote: RemoteFolder
    trained_on: NDArray[np.int64]

    def add(self, shard: Shard) -> None:
        """Note a shard that has been published."""
        self.shards[shard.class_index, shard.number] = shard

    def drop_lost(self) -> int:
        """Forget the shards whose files the server has not; how many they are."""
        there = self.remote.sizes()
        lost = []
        for key, shard in self.shards.items():
            if not all(there.get(name) for name in shard.sha256):
                lost.append(key)
        for key in lost:
            del self.shards[key]
        return len(lost)

    def finish(self) -> None:
        """Write the manifest, and what the server may have lost meanwhile."""
        _publish_recipe(self.remote, self.recipe, self.trained_on)
        self.remote.write(MANIFEST, manifest_text(self.shards.values()).encode())


def begin_remote_set(
    remote: RemoteFolder, staging: Path, recipe: Recipe, trained_on: NDArray[np.int64]
) -> RemoteBegunSet:
    """Begin a set on a server, or find what an interrupted run left of it.

    Args:
        remote: Where it goes; new, empty, or with a set of the same recipe.
        staging: Folder of this machine, where a shard lies until it is sent.
        recipe: What is to be made, as shards.
        trained_on: Fingerprints of the images the source was trained on, int64 (M,).

    Raises:
        DataError: If there are other files or a set of another recipe.
        ValueError: If the recipe asks for a folder of files, or ``trained_on`` is not what it says.
    """
    if recipe.format != "shards":
        raise ValueError("a set on a server is one of shards")
    if trained_on_digest(trained_on) != recipe.trained_on:
        raise ValueError("trained_on is not the set of fingerprints the recipe names")
    there = _sizes_of_a_set(remote)
    _publish_recipe(remote, recipe, trained_on)
    stored = _stored_recipe(remote, recipe)  # perhaps of somebody who began at the same time
    begun = RemoteBegunSet(staging, stored, {}, remote, trained_on)
    planned = set(planned_shards(recipe))
    for shard in _published(remote, there):
        key = (shard.class_index, shard.number, shard.count)
        if key in planned and shard.recipe == stored.hash:
            begun.add(shard)
    begun.drop_lost()
    return begun


def require_fitting_at(remote: RemoteFolder, recipe: Recipe, but: Collection[str] = ()) -> None:
    """Refuse a place on a server in which a set cannot be begun or finished; nothing is written.

    Args:
        remote: As in ``begin_remote_set``.
        recipe: What is to be made.
        but: Keys of the recipe that are not known yet.

    Raises:
        DataError: If there are other files or a set of another recipe.
    """
    if RECIPE in _sizes_of_a_set(remote):
        _stored_recipe(remote, recipe, but)


def publish_shard(remote: RemoteFolder, staging: Path, shard: Shard) -> None:
    """Send a shard to a server, its tar file first, and remove it here.

    Args:
        remote: Place of the set.
        staging: Folder of this machine that holds its file.
        shard: The shard.
    """
    for name in shard.sha256:
        remote.put(name, staging / name)
        (staging / name).unlink()
    remote.write(manifest_name(shard.class_index, shard.number), (shard.line + "\n").encode())


def manifest_name(class_index: int, number: int) -> str:
    """The manifest of one shard, below the folder of its set.

    Example:
        >>> manifest_name(3, 12)
        'shards/00003-00012.json'
    """
    words = shard_name(class_index, number).removeprefix("shard-").removesuffix(".tar")
    return f"{SHARDS}/{words}.json"


def _sizes_of_a_set(remote: RemoteFolder) -> dict[str, int]:
    """Bytes of every file of a place that is empty or holds a set; any other is refused."""
    there = remote.sizes()
    if RECIPE not in there and there:
        raise DataError(f"{remote}: holds other files ({min(there)!r}, …); choose another place")
    return there


def _stored_recipe(remote: RemoteFolder, recipe: Recipe, but: Collection[str] = ()) -> Recipe:
    """The recipe of the set that is there; one that differs in another key is refused."""
    stored = recipe_at(remote)
    if changed := [key for key in stored.differences(recipe) if key not in but]:
        raise DataError(
            f"{remote}: holds a synthetic set of another recipe (different: {', '.join(changed)}); "
            "choose another place, or delete this one"
        )
    return stored


def _publish_recipe(remote: RemoteFolder, recipe: Recipe, trained_on: NDArray[np.int64]) -> None:
    remote.create(RECIPE, json_bytes(checked(asdict(recipe))))
    remote.create(TRAINED_ON, safetensors.numpy.save({"fingerprints": np.unique(trained_on)}))


def _published(remote: RemoteFolder, there: dict[str, int]) -> list[Shard]:
    """The shards that have a manifest; one that is damaged counts as missing."""
    if MANIFEST in there:
        return manifest_at(remote)
    names = [name for name in there if name.startswith(f"{SHARDS}/")]
    shards = []
    for first in range(0, len(names), MOST_READ):
        for name, data in sorted(remote.read_all(names[first : first + MOST_READ]).items()):
            try:
                shards.append(parse_line(data.decode().strip(), f"{remote}/{name}"))
            except (DataError, UnicodeDecodeError):
                continue
    return shards
