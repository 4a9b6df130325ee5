"""Tiny faces: a person is a colour and a stripe, a photo of them has its own light and noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 8


def photo(person: int, number: int) -> np.ndarray:
    look, light = np.random.default_rng(person), np.random.default_rng([person, number])
    face = np.ones((SIDE, SIDE, 3)) * look.uniform(60, 190, 3)
    face[look.integers(SIDE - 1)] = look.uniform(0, 255, 3)
    return (
        (face + light.normal(0, 6, face.shape) + light.uniform(-15, 15))
        .clip(0, 255)
        .astype(np.uint8)
    )


def write_photos(folder: Path, names: Sequence[str], photos: int, first: int = 0) -> None:
    for person, name in enumerate(names, start=first):
        (folder / name).mkdir(parents=True)
        for number in range(photos):
            Image.fromarray(photo(person, number)).save(folder / name / f"{number}.png")


def write_people(folder: Path, people: int = 6, photos: int = 6) -> Path:
    """A data set of ``train/`` and ``test/`` with people a0, a1, …"""
    names = [f"a{person}" for person in range(people)]
    write_photos(folder / "train", names, photos)
    for person, name in enumerate(names):
        (folder / "test" / name).mkdir(parents=True)
        Image.fromarray(photo(person, 99)).save(folder / "test" / name / "99.png")
    return folder


def write_pairs(folder: Path, folds: int = 3, people: int = 3, photos: int = 2) -> Path:
    """``pairs.csv`` and photos of other people, all pairs of every fold; people are named
    b<fold>-<person>."""
    lines = ["fold,same,first,second"]
    for fold in range(folds):
        names = [f"b{fold}-{person}" for person in range(people)]
        write_photos(folder / "images", names, photos, first=100 + 10 * fold)
        files = [f"images/{name}/{number}.png" for name in names for number in range(photos)]
        for index, first in enumerate(files):
            for second in files[index + 1 :]:
                same = first.split("/")[1] == second.split("/")[1]
                lines.append(f"{fold},{int(same)},{first},{second}")
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    return folder
