"""Synthetic images of any origin in the form of real ones: classes by name, pixels as the data have
them.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augmentor.common.types import DataError, LabelledImages
from augmentor.data.class_names import listed, match_classes
from augmentor.data.fingerprint import fingerprints, from_uint8
from augmentor.data.synthetic_images import fit_shape
from augmentor.data.synthetic_store import (
    ORIGIN_UNKNOWN,
    RECIPE,
    UNKNOWN,
    Format,
    PixelImages,
    Recipe,
    read_manifest,
    read_set,
    trained_on_digest,
    write_set,
)
from pipelines.image_folder import shown
from pipelines.outside.files import find_images, folded, form_of

OnImage = Callable[[int, int], None]
"""Images read, and images in all."""
NOTHING_SEEN = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class OutsideSet:
    """Synthetic images in the form of the real ones they are measured beside.

    Args:
        name: For people; that of the folder.
        folder: Where they lie.
        is_set: Whether it is a synthetic set; else a folder of images or tar shards.
        digest: Sixteen hex digits that change with any pixel or label.
        stored: The images, in the classes and the shape of the data.
        files: Their files, in this order.
        origin: Family of the source, or ``ORIGIN_UNKNOWN``.
        trained_on: Fingerprints of the images that the source saw, in the set's own shape.
        made_at: (C, H, W) as they are stored.
    """

    name: str
    folder: Path
    is_set: bool
    digest: str
    stored: PixelImages
    files: tuple[str, ...]
    origin: str
    trained_on: NDArray[np.int64]
    made_at: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.stored.y)

    def images(self) -> LabelledImages:
        """The images as float32 in [-1, 1]."""
        return LabelledImages(from_uint8(self.stored.pixels), self.stored.y, self.stored.classes)

    def counts(self) -> dict[str, int]:
        """Images per class."""
        numbers = torch.bincount(self.stored.y, minlength=len(self.stored.classes)).tolist()
        return dict(zip(self.stored.classes, numbers, strict=True))


def open_set(
    folder: Path,
    classes: Sequence[str],
    image_shape: tuple[int, int, int],
    on_image: OnImage | None = None,
) -> OutsideSet:
    """Read a synthetic set, or a folder of another generator's images, in the form of real ones.

    Args:
        folder: A set, class folders, or tar shards in WebDataset's layout.
        classes: Those of the real images.
        image_shape: (C, H, W) of the real images, which are square.
        on_image: Called as images are read; may raise to stop.

    Raises:
        DataError: If it cannot be read, its classes are not those of the data, or its images have
            another aspect or mode.
    """
    if (folder / RECIPE).is_file():
        return _open_stored(folder, classes, image_shape)
    images = find_images(folder)
    number = classes_in_data(folder, images.classes, classes)
    form = form_of(images)
    require_form(folder, form.shape, image_shape)
    pixels = torch.empty(len(images.places), *image_shape, dtype=torch.uint8)
    for place, where in enumerate(images.places):
        pixels[place] = fit_shape(form.read(where)[None], image_shape)[0]
        if on_image is not None:
            on_image(place + 1, len(pixels))
    y = torch.tensor(number)[torch.tensor(images.y, dtype=torch.int64)]
    files = tuple(str(where) for where in images.places)
    return _outside_set(folder, False, PixelImages(pixels, y, tuple(classes)), files, form.shape)


def _open_stored(
    folder: Path, classes: Sequence[str], image_shape: tuple[int, int, int]
) -> OutsideSet:
    whole = read_set(folder)
    recipe, stored = whole.recipe, whole.stored
    number = classes_in_data(folder, stored.classes, classes)
    require_form(folder, recipe.image_shape, image_shape)
    y = torch.tensor(number, dtype=torch.int64)[stored.y]
    pixels = fit_shape(stored.pixels, image_shape)
    files = tuple(stored_names(folder))
    return _outside_set(
        folder,
        True,
        PixelImages(pixels, y, tuple(classes)),
        files,
        recipe.image_shape,
        recipe.family,
        whole.trained_on,
    )


def _outside_set(
    folder: Path,
    is_set: bool,
    stored: PixelImages,
    files: tuple[str, ...],
    made_at: tuple[int, int, int],
    origin: str = ORIGIN_UNKNOWN,
    trained_on: NDArray[np.int64] = NOTHING_SEEN,
) -> OutsideSet:
    if not len(stored.y):
        raise DataError(f"{shown(folder)}: the synthetic set is empty")
    digest = _digest(stored)
    name = folder.resolve().name
    return OutsideSet(name, folder, is_set, digest, stored, files, origin, trained_on, made_at)


def _digest(stored: PixelImages) -> str:
    """Of classes, labels and pixels, whatever the order of the images."""
    prints, y = fingerprints(stored.pixels), stored.y.numpy()
    order = np.lexsort((prints, y))
    found = hashlib.sha256(prints[order].tobytes() + y[order].tobytes())
    found.update(json.dumps(stored.classes).encode())
    return found.hexdigest()[:16]


def classes_in_data(folder: Path, theirs: Sequence[str], ours: Sequence[str]) -> list[int]:
    """For every class of synthetic images its number in the data, by name.

    Raises:
        DataError: If a class is unknown or spelled in another way; says which.
    """
    try:
        return match_classes(ours, theirs)
    except DataError as error:
        raise DataError(f"{shown(folder)}: {_difference(theirs, ours)}") from error


def _difference(theirs: Sequence[str], ours: Sequence[str]) -> str:
    """What is wrong with classes of synthetic images that the data lack, and what to do."""
    unknown = [name for name in theirs if name not in ours]
    known = {folded(name): name for name in ours if name not in theirs}
    for name in unknown:
        if folded(name) in known:
            right = known[folded(name)]
            return f"the class {name!r} is spelled {right!r} in the data; rename its folder"
    return (
        f"the data have no class {listed(unknown)}; their classes are {listed(ours)}: rename or "
        "remove the others"
    )


def require_form(
    folder: Path,
    shape: tuple[int, int, int],
    image_shape: tuple[int, int, int],
    data: str = "DATA",
) -> None:
    """Refuse images of another aspect or mode than the real ones.

    Args:
        folder: Where they lie.
        shape: Theirs, (C, H, W).
        image_shape: (C, H, W) of the real images.
        data: The real images as the user named them.

    Raises:
        DataError: Saying how to bring them into it.
    """
    channels, height, width = shape
    command = f"augmentor import {shown(folder)} --data {shlex.quote(data)}"
    if height != width:
        raise DataError(
            f"{shown(folder)}: the images are {width}x{height}, those of the data are square; "
            f"`{command} --size {min(height, width)} --out SET` cuts the central square, then give "
            "SET"
        )
    if channels != image_shape[0]:
        theirs, ours = (("grey" if one == 1 else "colour") for one in (channels, image_shape[0]))
        raise DataError(
            f"{shown(folder)}: the images are stored in {theirs}, those of the data in {ours}; "
            f"`{command} --{ours} --out SET` changes that, then give SET"
        )


def stored_names(folder: Path) -> list[str]:
    """Names of the images of a stored set, in the order in which they are read."""
    names = []
    shards = sorted(read_manifest(folder), key=lambda shard: (shard.class_index, shard.number))
    for shard in shards:
        if len(shard.sha256) == shard.count:
            names += [shown(folder / name) for name in sorted(shard.sha256)]
        else:
            tar = shown(folder / min(shard.sha256))
            names += [f"{tar}, image {number}" for number in range(shard.count)]
    return names


def write_copy(found: OutsideSet, out: Path) -> None:
    """Keep images as a set of unknown origin, in the form of the data.

    Args:
        found: The images.
        out: Folder of the set; one that is there already is checked and finished.
    """
    stored, order = found.stored, found.stored.y.argsort(stable=True)
    y, prints = stored.y[order], fingerprints(stored.pixels)
    first = torch.searchsorted(y, torch.arange(len(stored.classes))).tolist()
    shape = stored.pixels.shape
    recipe = import_recipe(
        stored.classes, found.counts(), (shape[1], shape[2], shape[3]), prints[order.numpy()]
    )

    def render(class_index: int, n: int, start: int) -> tuple[Tensor, Tensor]:
        begin = first[class_index] + start
        rows = order[begin : begin + n]
        return from_uint8(stored.pixels[rows]), torch.arange(start, start + n)

    write_set(out, recipe, prints, render)


def import_recipe(
    classes: Sequence[str],
    counts: dict[str, int],
    image_shape: tuple[int, int, int],
    prints: NDArray[np.int64],
    format: Format = "folder",
) -> Recipe:
    """The recipe of imported images: origin unknown, told apart by their pixels.

    Args:
        classes: Names; position is index.
        counts: Images per class.
        image_shape: (C, H, W).
        prints: Fingerprints of the images, class after class, int64 (N,).
        format: PNG files or tar shards.
    """
    content = json.dumps([list(classes), counts]).encode() + prints.tobytes()
    return Recipe(
        family=ORIGIN_UNKNOWN,
        source_sha256=hashlib.sha256(content).hexdigest(),
        classes=tuple(classes),
        image_shape=image_shape,
        counts={name: n for name, n in counts.items() if n},
        seed=0,
        source_augment=UNKNOWN,
        trained_on=trained_on_digest(prints),
        format=format,
    )
