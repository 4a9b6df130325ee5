"""``hf:OWNER/NAME[/CONFIG][#COLUMN]``: a data set of the Hugging Face hub, or one that ``datasets``
saved in a folder.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import from_uint8
from augmentor.data.resize import fit_square
from augmentor.data.splits import stratified_split
from pipelines.config import DataConfig
from pipelines.data.folders import chosen_form
from pipelines.data.full import (
    SPLIT_SEED,
    FullData,
    refuse_fraction,
    require_memory,
    without_twins,
)
from pipelines.data.table import HUB, short_name
from pipelines.image_folder import Header, ImageFileError, read_header, read_pixels

TEST_SPLITS = ("test", "validation", "valid", "val")
"""Names of the split that is taken for testing; the first one whose labels are told."""


@dataclass(frozen=True)
class HubName:
    """What follows ``hf:``.

    Args:
        path: Name on the hub, or a folder.
        config: Which configuration of it; None for its only one.
        columns: The columns to use where there are several that could be meant.
    """

    path: str
    config: str | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Columns:
    """The column of images and that of classes, with the names of the classes."""

    image: str
    label: str
    classes: tuple[str, ...]


def hub_name(name: str) -> HubName:
    """Read ``hf:OWNER/NAME[/CONFIG][#COLUMN[,COLUMN]]`` or ``hf:FOLDER[#…]``.

    Raises:
        DataError: If nothing is named.

    Example:
        >>> hub_name("hf:ufldl-stanford/svhn/cropped_digits").config
        'cropped_digits'
    """
    whole, _, columns = name.removeprefix(HUB).partition("#")
    if not whole.strip("/"):
        raise DataError(f"{name}: names no data set; write {HUB}OWNER/NAME or {HUB}FOLDER")
    chosen = tuple(one.strip() for one in columns.split(",") if one.strip())
    parts = whole.split("/")
    if Path(whole).expanduser().is_dir() or len(parts) != 3:
        return HubName(whole, None, chosen)
    return HubName("/".join(parts[:2]), parts[2], chosen)


def load_hugging_face(data: DataConfig) -> FullData:
    """Read a data set of the hub: its splits ``train`` and ``test`` (or ``validation``); a set of
    one split is split here.

    Test images that are training images too are left out, which the note tells.

    Raises:
        DataError: If ``datasets`` is not installed, the set is not to be had, has no or several
            columns of images or classes, is damaged, or does not fit in memory.
    """
    wanted = hub_name(data.data)
    splits = _splits_of(data.data, _opened(data.data, wanted))
    train_name = _train_split(data.data, splits)
    columns = _columns_of(data.data, splits[train_name].features, wanted.columns)
    test_name = _test_split(splits, train_name, columns)
    if test_name is None:
        [whole] = _read_all(data, [splits[train_name]], columns)
        return without_twins(_split_here(data, whole, train_name))
    parts = f"splits {train_name} and {test_name}"
    refuse_fraction(data, f"{data.data} with {parts}")
    train, test = _read_all(data, [splits[train_name], splits[test_name]], columns)
    return without_twins(FullData(short_name(data.data), train, test, parts))


def _split_here(data: DataConfig, whole: LabelledImages, split: str) -> FullData:
    """A set of one split, of which ``data.test_fraction`` of every class is for testing."""
    fit, held_out = stratified_split(whole.y, 1 - data.test_fraction, SPLIT_SEED)
    note = f"split {split}, {data.test_fraction:g} of a class is test, seed {SPLIT_SEED}"
    train, test = whole.subset(fit), whole.subset(held_out)
    return FullData(short_name(data.data), train, test, note)


def _opened(name: str, wanted: HubName) -> Any:
    """What ``datasets`` makes of the name."""
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"{name}: needs the package datasets; pip install datasets") from error
    folder = Path(wanted.path).expanduser()
    saved = any((folder / one).is_file() for one in ("dataset_dict.json", "state.json"))
    try:
        # what it prints is not a result
        with contextlib.redirect_stdout(sys.stderr):
            if saved:
                return datasets.load_from_disk(str(folder))
            path = str(folder) if folder.is_dir() else wanted.path
            return datasets.load_dataset(path, wanted.config)
    except Exception as error:  # network, name, configuration and parse errors alike
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(
            f"{name}: cannot be loaded ({reason[:300]}); check the name and the network, or name a "
            f"folder that datasets saved, as {HUB}FOLDER"
        ) from error


def _splits_of(name: str, found: Any) -> dict[str, Any]:
    """The splits that have rows, by name."""
    if not isinstance(found, Mapping):
        return {"train": found}
    splits = {str(key): part for key, part in found.items() if len(part)}
    if not splits:
        raise DataError(f"{name}: holds no rows")
    return splits


def _columns_of(name: str, features: Mapping[str, Any], chosen: tuple[str, ...]) -> Columns:
    """The columns of images and classes, found by their features.

    Raises:
        DataError: If there is none or more than one of a kind.
    """
    import datasets

    for one in chosen:
        if one not in features:
            raise DataError(f"{name}: no column {one!r}; its columns are {', '.join(features)}")
    image = _only(name, features, datasets.Image, "images (Image)", chosen)
    label = _only(name, features, datasets.ClassLabel, "classes (ClassLabel)", chosen)
    return Columns(image, label, tuple(features[label].names))


def _only(
    name: str, features: Mapping[str, Any], kind: type, words: str, chosen: tuple[str, ...]
) -> str:
    found = [key for key, feature in features.items() if isinstance(feature, kind)]
    meant = [key for key in found if key in chosen] or found
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise DataError(
            f"{name}: {len(meant)} columns of {words}, {', '.join(meant)}; say which, as in "
            f"{name.partition('#')[0]}#{meant[0]}"
        )
    raise DataError(
        f"{name}: no column of {words}; its columns are {', '.join(features)}; "
        "make one by datasets' cast_column or class_encode_column and save_to_disk"
    )


def _train_split(name: str, splits: Mapping[str, Any]) -> str:
    """The split to learn from: ``train``, or the only one."""
    if len(splits) == 1:
        return next(iter(splits))
    if "train" not in splits:
        raise DataError(f"{name}: none of its splits is called train: {', '.join(splits)}")
    return "train"


def _test_split(splits: Mapping[str, Any], train: str, columns: Columns) -> str | None:
    """The split to test on; None if none has labels. A label of -1 is one that is not told."""
    for name in TEST_SPLITS:
        if name not in splits or name == train:
            continue
        has_both = {columns.image, columns.label} <= set(splits[name].features)
        if has_both and _all_told(splits[name][columns.label]):
            return name
    return None


def _all_told(labels: Sequence[int | None]) -> bool:
    return all(label is not None and label >= 0 for label in labels)


def _read_all(data: DataConfig, parts: list[Any], columns: Columns) -> list[LabelledImages]:
    """All parts in one form, with the classes that have an image."""
    encoded = [_encoded(part, columns) for part in parts]
    headers = []
    for part in encoded:
        headers += _headers(data.data, part, columns)
    size, grey = chosen_form(data, headers)
    require_memory(data.data, len(headers), size, grey=grey)
    read = [_read(data.data, part, columns, size, grey) for part in encoded]
    return _with_used_classes(data.data, read)


def _encoded(part: Any, columns: Columns) -> Any:
    """Rows whose images are still files, so that each is decoded alone."""
    import datasets

    part = part.select_columns([columns.image, columns.label])
    return part.cast_column(columns.image, datasets.Image(decode=False))


def _images_of(part: Any, columns: Columns) -> Iterator[Path | BinaryIO]:
    """The image files of a split, one at a time: in memory, or beside the table."""
    for row in part:
        stored = row[columns.image] or {}
        inside, path = stored.get("bytes"), stored.get("path")
        yield io.BytesIO(inside) if inside is not None else Path(path or "")


def _headers(name: str, part: Any, columns: Columns) -> list[Header]:
    found = []
    for row, file in enumerate(_images_of(part, columns)):
        with _told(name, row):
            found.append(read_header(file))
    return found


def _read(name: str, part: Any, columns: Columns, size: int, grey: bool) -> LabelledImages:
    """All images of a split as squares, and their labels."""
    images = torch.empty(len(part), 1 if grey else 3, size, size, dtype=torch.uint8)
    for row, file in enumerate(_images_of(part, columns)):
        with _told(name, row):
            images[row] = fit_square(read_pixels(file, grey=grey)[None], size)[0]
    y = _labels(name, part, columns)
    return LabelledImages(from_uint8(images), y, columns.classes)


def _labels(name: str, part: Any, columns: Columns) -> Tensor:
    """Class indices among ``columns.classes``, int64 (N,). A split may number the names its own
    way, as one that was encoded by itself and lacks a class does.
    """
    own = getattr(part.features[columns.label], "names", columns.classes)
    place = {name: index for index, name in enumerate(columns.classes)}
    found = []
    for row, label in enumerate(part[columns.label]):
        if label is None or label < 0:
            raise DataError(f"{name}: row {row} has no class in {columns.label!r}; leave it out")
        if own[label] not in place:
            raise DataError(f"{name}: row {row} is of class {own[label]!r}, which training lacks")
        found.append(place[own[label]])
    return torch.tensor(found, dtype=torch.int64)


@contextlib.contextmanager
def _told(name: str, row: int) -> Iterator[None]:
    """Name the row whose image cannot be used."""
    try:
        yield
    except ImageFileError as error:
        raise DataError(f"{name}: the image of row {row} cannot be used: {error}") from error


def _with_used_classes(name: str, parts: list[LabelledImages]) -> list[LabelledImages]:
    """Leave out classes without a training image, which no part may have images of.

    Raises:
        DataError: If a class has test images alone, or fewer than two are left.
    """
    trained = [label for label, count in parts[0].counts.items() if count]
    classes = parts[0].classes
    for part in parts[1:]:
        if lost := [c for c, count in part.counts.items() if count and c not in trained]:
            raise DataError(f"{name}: class {classes[lost[0]]!r} has test images alone")
    if len(trained) < 2:
        raise DataError(f"{name}: {len(trained)} class has images; a classifier needs two at least")
    places = torch.zeros(len(classes), dtype=torch.int64)
    places[trained] = torch.arange(len(trained))
    kept = tuple(classes[label] for label in trained)
    return [LabelledImages(part.x, places[part.y], kept) for part in parts]
