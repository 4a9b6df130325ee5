"""The sets of the table that torchvision knows: opened, downloaded if need be, and read."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import from_uint8
from augmentor.data.resize import fit_square
from augmentor.data.splits import stratified_split
from pipelines.config import DataConfig, data_root
from pipelines.data.full import (
    SPLIT_SEED,
    FullData,
    images_of_pixels,
    require_memory,
    side_for,
)
from pipelines.data.table import NAMED_DATA, Keywords
from pipelines.image_folder import pixels_of

FIRST_PART = 0.75  # of a set without an official split


def load_torchvision(data: DataConfig) -> FullData:
    """Read a set of the table.

    Raises:
        DataError: If it is neither there nor to be downloaded, cannot be read, or does not fit in
            memory.
    """
    known = NAMED_DATA[data.data]
    train, test = ([open_set(data, one) for one in part] for part in known.keywords)
    size, grey = side_for(data, known.side), known.grey if data.grey is None else data.grey
    require_memory(data.data, sum(map(len, [*train, *test])), size, grey=grey)
    names = known.classes or class_names([*train, *test])
    first = _joined([_read(data, one, names) for one in train])
    if test:
        second = _joined([_read(data, one, names) for one in test])
        return FullData(data.data, first, second, known.split)
    fit, held_out = stratified_split(first.y, FIRST_PART, SPLIT_SEED)
    note = f"{known.split}, seed {SPLIT_SEED}"
    return FullData(data.data, first.subset(fit), first.subset(held_out), note)


def open_set(data: DataConfig, keywords: Keywords) -> Any:
    """One data set of torchvision, downloaded if it is not there.

    Raises:
        DataError: If it is neither there nor to be downloaded.
    """
    from torchvision import datasets

    known = NAMED_DATA[data.data]
    kind, root = getattr(datasets, known.torchvision), data_root(data)
    more = {"download": True} if known.downloads else {}  # fetches only what is missing
    try:
        # torchvision prints, and standard output is for results
        with contextlib.redirect_stdout(sys.stderr):
            return kind(root / known.folder, **keywords, **more)
    except Exception as error:  # urllib, checksum, permission and parse errors alike
        reason = str(error).strip().partition("\n")[0].rstrip(":.")
        raise DataError(
            f"{data.data}: neither in {root} nor to be downloaded ({reason}); "
            f"put the files in {root / known.files} or set --data-root"
        ) from error


def class_names(parts: Sequence[Any]) -> tuple[str, ...]:
    """Names of the classes as torchvision has them: ``7 - seven`` is class 7, and of several names
    the first counts.

    Raises:
        DataError: If two parts disagree.
    """
    found = [_names_of(part) for part in parts]
    for names in found[1:]:
        if lost := sorted(set(names) ^ set(found[0])):
            raise DataError(f"class {lost[0]!r} is in one part of the data only; repair the files")
    return found[0]


def _names_of(part: Any) -> tuple[str, ...]:
    first = [one if isinstance(one, str) else one[0] for one in part.classes]
    return tuple(name.split(" - ")[0] for name in first)


def _read(data: DataConfig, found: Any, names: Sequence[str]) -> LabelledImages:
    """All images of one data set, in the form asked for."""
    known = NAMED_DATA[data.data]
    stored = getattr(found, "data", None)
    if stored is None:
        return _read_files(data, found, names)
    pixels = _channels_first(torch.as_tensor(np.asarray(stored)))
    labels = found.targets if hasattr(found, "targets") else found.labels
    y = torch.as_tensor(np.asarray(labels)).long() - known.first_label
    return images_of_pixels(data, pixels.mT if known.transposed else pixels, y, names)


def _channels_first(stored: Tensor) -> Tensor:
    """uint8 (N, H, W), (N, H, W, 3) or (N, 3, H, W) as (N, C, H, W)."""
    if stored.ndim == 3:
        return stored[:, None]
    return stored if stored.shape[1] == 3 else stored.permute(0, 3, 1, 2)


def _read_files(data: DataConfig, found: Any, names: Sequence[str]) -> LabelledImages:
    """Images that lie in files: decoded and resized one at a time."""
    known = NAMED_DATA[data.data]
    size = side_for(data, known.side)
    grey = known.grey if data.grey is None else data.grey
    images = torch.empty(len(found), 1 if grey else 3, size, size, dtype=torch.uint8)
    y = torch.empty(len(found), dtype=torch.int64)
    for index in range(len(found)):
        try:
            picture, label = found[index]
            images[index] = fit_square(pixels_of(picture, grey=grey)[None], size)[0]
        except Exception as error:  # Pillow's decoders raise a dozen types on damaged files
            raise DataError(
                f"{data.data}: image {index} cannot be read ({error}); put its file in "
                f"{data_root(data) / known.files} anew"
            ) from error
        y[index] = label
    return LabelledImages(from_uint8(images), y, (*names,))


def _joined(parts: Sequence[LabelledImages]) -> LabelledImages:
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.joined(part)
    return whole
