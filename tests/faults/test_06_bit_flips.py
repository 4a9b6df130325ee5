"""Two hundred single bits flipped in checkpoints, manifests, shards and images."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from augmentor.common.types import DataError
from augmentor.data.synthetic_store import Recipe, read_set, trained_on_digest, write_set
from augmentor.training.checkpoint import load_checkpoint, save_checkpoint

FLIPS = 200
SEEN = np.arange(5, dtype=np.int64)


def random_images(class_index, n, start):
    rng = torch.Generator().manual_seed(class_index)
    return torch.rand((start + n, 1, 6, 6), generator=rng)[start:] * 2 - 1, torch.arange(
        start, start + n
    )


def checkpoint(folder):
    for step in (1, 2):
        save_checkpoint(folder, step, {"classes": ["a", "b"]}, {"w": torch.arange(12.0), "n": step})
    return folder / "step-00000002"


def synthetic_set(folder, form):
    words = {
        "family": "vae",
        "source_sha256": "ab",
        "seed": 1,
        "source_augment": "none",
        "format": form,
    }
    of = {
        "classes": ("cat", "dog"),
        "image_shape": (1, 6, 6),
        "counts": {"cat": 3, "dog": 2},
        "shard_size": 2,
    }
    write_set(
        folder, Recipe(**words, **of, trained_on=trained_on_digest(SEEN)), SEEN, random_images
    )
    return folder


def flipped(path, position):
    """The file's bytes with one bit changed."""
    content = bytearray(path.read_bytes())
    content[position // 8] ^= 1 << position % 8
    return bytes(content)


def undetected(paths, flips, seed, notices):
    """Flip bits of randomly chosen files, one at a time; those that ``notices()`` did not see."""
    chance, missed = random.Random(seed), []
    for number in range(flips):
        path = paths[number % len(paths)]
        whole = path.read_bytes()
        position = chance.randrange(8 * len(whole))
        path.write_bytes(flipped(path, position))
        if not notices():
            missed.append(
                (path.name, position // 8, whole[position // 8 : position // 8 + 1], position % 8)
            )
        path.write_bytes(whole)
    return missed


def test_in_checkpoints(tmp_path, tally):
    paths = sorted(checkpoint(tmp_path).iterdir())

    def notices():
        found = load_checkpoint(tmp_path)
        return found.step == 1 and len(found.passed_over) == 1

    missed = undetected(paths, 80, 1, notices)
    tally(80, 80 - len(missed), "one bit flipped in a checkpoint or its manifest: detected")
    assert missed == []
    assert load_checkpoint(tmp_path).passed_over == ()


@pytest.mark.parametrize("form", ["folder", "shards"])
def test_in_synthetic_sets(tmp_path, tally, form):
    folder = synthetic_set(tmp_path, form)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    assert {"recipe.json", "manifest.jsonl", "trained_on.safetensors"} < {
        path.name for path in paths
    }

    def notices():
        try:
            read_set(folder)
        except DataError:
            return True
        return False

    missed = undetected(paths, 60, 2, notices)
    tally(
        60,
        60 - len(missed),
        f"one bit flipped in a synthetic set ({form}), its manifest or recipe: detected",
    )
    assert missed == []
    assert not notices()


@pytest.mark.faults
@pytest.mark.parametrize("name", ["recipe.json", "manifest.jsonl", "manifest.json"])
def test_every_single_byte_of_what_describes_the_rest(tmp_path, tally, name):
    path = (
        checkpoint(tmp_path) / name
        if name == "manifest.json"
        else synthetic_set(tmp_path, "shards") / name
    )
    whole, caught, chance = path.read_bytes(), 0, random.Random(3)
    for place in range(len(whole)):
        path.write_bytes(flipped(path, 8 * place + chance.randrange(8)))
        try:
            caught += name == "manifest.json" and load_checkpoint(tmp_path).step == 1
            if name != "manifest.json":
                read_set(tmp_path)
        except DataError:
            caught += 1
        path.write_bytes(whole)
    tally(len(whole), caught, f"a bit in every byte of {name} flipped, one at a time: detected")
    assert caught == len(whole)
