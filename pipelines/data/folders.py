"""Folders of images: which files are for training and for test, and their images as tensors."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import fingerprints, from_uint8, overlap
from pipelines.conditions.attach import FoundConditions, find_conditions
from pipelines.config import DataConfig, data_root
from pipelines.data.decoded import cache_folder, decoded_squares
from pipelines.data.full import (
    FullData,
    image_bytes,
    in_bytes,
    most_in_memory,
    refuse_fraction,
    side_for,
    without_twins,
)
from pipelines.data.table import near_names
from pipelines.image_folder import (
    BadFile,
    Header,
    ImageFileError,
    ImageTree,
    entries,
    hashed_split,
    list_tree,
    read_header,
    read_squares,
    shown,
)
from pipelines.progress import QUIET, Lines, Silent

TOLD_EVERY = 30.0  # seconds between two lines while images are decoded to disk
TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "testing", "val", "valid", "validation")
"""Folders of the two parts, the first that there is; the note of the data names the others."""
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx")
"""Endings of files that users name instead of a folder."""
MOST_NAMED = 10
"""Files that one message names."""


@dataclass(frozen=True)
class FolderLayout:
    """Training and test files of a folder; one tree for both if the folder has one level."""

    train: ImageTree
    test: ImageTree
    train_index: list[int]
    test_index: list[int]
    note: str


def layout_conditions(root: Path, layout: FolderLayout, data: DataConfig) -> FoundConditions:
    """The conditions of the images of a folder.

    Args:
        root: The folder.
        layout: Its files.
        data: Names the conditions.

    Raises:
        ConditionsError: If they are not known of every image, or do not fit together.
    """
    train, test = (layout.train, layout.train_index), (layout.test, layout.test_index)
    return find_conditions(root, train, test, data.condition or (), data.categories)


def find_folder(data: DataConfig) -> Path:
    """The folder ``data.data`` means: itself, or the one of this name under the data root.

    Raises:
        DataError: If neither exists.
    """
    return existing_folder(data, data.data)


def folder_layout(root: Path, data: DataConfig) -> FolderLayout:
    """Find the training and test files of a folder.

    Args:
        root: The folder.
        data: Says how much of it is for testing, if it has no part of its own for that.

    Raises:
        DataError: If the folder is not an image tree, the class lists of ``train`` and ``test``
            differ, or a ``test_fraction`` is given beside them.
    """
    first, second = part_folder(root, TRAIN_NAMES), part_folder(root, TEST_NAMES)
    by_hash = "files sorted by SHA-256 of <class>/<file>"
    if first is None and second is not None and _folders_in(second):
        raise DataError(
            f"{shown(root)}: has {second.name}/ and no train/; call the training part train/, or "
            f"if {second.name} is a class, rename its folder"
        )
    if first is None:
        return _one_level(root, data.test_fraction, by_hash)
    if second is None:
        _require_no_class_beside(root, first)
        return _one_level(first, data.test_fraction, f"{first.name}/ alone, {by_hash}")
    parts = f"{first.name}/ and {second.name}/"
    refuse_fraction(data, f"{shown(root)} with {parts}")
    train, test = list_tree(first), list_tree(second)
    unread = [name for name in _part_names(root) if name not in (first.name, second.name)]
    if lost := sorted(set(train.classes) ^ set(test.classes)):
        side = first if lost[0] in train.classes else second
        raise DataError(
            f"{shown(root)}: class {lost[0]!r} is only in {side.name}/; {parts} need the same "
            "classes"
        )
    return FolderLayout(
        train,
        test,
        list(range(len(train.paths))),
        list(range(len(test.paths))),
        parts + "".join(f"; {name}/ is not read" for name in unread),
    )


def part_folder(root: Path, names: Sequence[str]) -> Path | None:
    """The folder of a part of the data, by the first of these names that there is, in upper or
    lower case; None without one.

    Raises:
        DataError: If two folders have the name.
    """
    by_name: dict[str, list[Path]] = {}
    for path in sorted(entries(root)):
        if path.is_dir():
            by_name.setdefault(path.name.lower(), []).append(path)
    for name in names:
        if len(found := by_name.get(name, [])) > 1:
            raise DataError(
                f"{shown(root)}: has both {found[0].name}/ and {found[1].name}/; merge them"
            )
        if found:
            return found[0]
    return None


def _part_names(root: Path) -> list[str]:
    """The folders that bear the name of a part."""
    names = sorted(path.name for path in entries(root) if path.is_dir())
    return [name for name in names if name.lower() in (*TRAIN_NAMES, *TEST_NAMES)]


def _require_no_class_beside(root: Path, train: Path) -> None:
    """Refuse a part under a name that is not known, and a class that happens to be called train."""
    inside = _folders_in(train)
    for path in sorted(entries(root)):
        if path != train and path.is_dir() and inside & _folders_in(path):
            raise DataError(
                f"{shown(root)}: {path.name}/ has the same folders as {train.name}/, which is read "
                f"as the training part; call the other part test/, or if {train.name} is a class, "
                "rename its folder"
            )


def _folders_in(folder: Path) -> set[str]:
    return {one.name for one in entries(folder) if one.is_dir() and not one.name.startswith(".")}


def layout_problems(layout: FolderLayout) -> list[str]:
    """What keeps a layout from being used, in words; empty if nothing does. Bad files are listed
    apart.
    """
    problems = []
    if len(layout.train.classes) < 2:
        problems.append(
            f"only one class, {layout.train.classes[0]!r}; a classifier needs two at least"
        )
    one_level = layout.train is layout.test
    for tree in [layout.train] if one_level else [layout.train, layout.test]:
        needed = 2 if one_level else 1
        few = {name: n for name, n in tree.counts().items() if n < needed}
        problems += [
            f"class {name!r} in {shown(tree.root)} has {n} images, needs {needed}; add images or "
            "remove the folder"
            for name, n in few.items()
        ]
    return problems


def read_headers(paths: Sequence[Path]) -> tuple[dict[Path, Header], list[BadFile]]:
    """Headers of the readable files, and the others."""
    headers: dict[Path, Header] = {}
    bad: list[BadFile] = []
    for path in paths:
        try:
            headers[path] = read_header(path)
        except ImageFileError as problem:
            bad.append(BadFile(path, str(problem)))
    return headers, bad


def chosen_form(data: DataConfig, headers: Sequence[Header]) -> tuple[int, bool]:
    """Side and greyness: as asked for, else the largest size that the smallest image fills, grey if
    every file is.
    """
    smallest = min(min(header.width, header.height) for header in headers)
    size = side_for(data, min(smallest, data.max_size))
    grey = data.grey if data.grey is not None else all(header.grey for header in headers)
    return size, grey


def same_pictures(
    train: NDArray[np.int64],
    train_paths: Sequence[Path],
    test: NDArray[np.int64],
    test_paths: Sequence[Path],
) -> list[str]:
    """A sentence for every test image whose pixels are also a training image's: memory would count
    as success.

    Args:
        train: Fingerprints of the training images, as used (resized).
        train_paths: Their files.
        test: Fingerprints of the test images.
        test_paths: Their files.
    """
    known = dict(zip(train.tolist(), train_paths, strict=True))
    return [
        f"test image {shown(test_paths[i])} is the same picture as training image "
        f"{shown(known[int(test[i])])}; "
        "remove one of them"
        for i in overlap(test, train).tolist()
    ]


def load_folder(data: DataConfig) -> FullData:
    """Read the folder that ``data.data`` means.

    Raises:
        DataError: If it cannot be used, or fits neither in memory nor on the disk of the cache.
    """
    root = find_folder(data)
    layout = folder_layout(root, data)
    bad = [*layout.train.bad, *(layout.test.bad if layout.test is not layout.train else ())]
    refuse_files(root, layout_problems(layout), bad)
    train_paths = [layout.train.paths[i] for i in layout.train_index]
    test_paths = [layout.test.paths[i] for i in layout.test_index]
    found = layout_conditions(root, layout, data) if data.condition else None
    headers, bad = read_headers([*train_paths, *test_paths])
    refuse_files(root, [], bad)
    size, grey = chosen_form(data, list(headers.values()))
    reader = reader_for(data, len(headers), size, grey=grey)
    train = _read(root, layout.train, layout.train_index, reader)
    test = _read(root, layout.test, layout.test_index, reader)
    note = f"{layout.note}; {size}x{size} {'grey' if grey else 'RGB'}{reader.note}"
    full = FullData(root.resolve().name, train, test, note, tuple(test_paths))
    if found is not None:
        full = _with_conditions(full, found)
        if layout.train is layout.test:
            full = without_twins(full)
    _refuse_leak(full.train.x, train_paths, full.test.x, full.test_paths or ())
    return full


def _with_conditions(full: FullData, found: FoundConditions) -> FullData:
    return replace(
        full,
        train=replace(full.train, condition=found.train, conditions=found.conditions),
        test=replace(full.test, condition=found.test, conditions=found.conditions),
        note=f"{full.note}; {found.note()}",
    )


def _one_level(root: Path, test_fraction: float, rule: str) -> FolderLayout:
    tree = list_tree(root)
    train, test = hashed_split(tree, test_fraction)
    return FolderLayout(
        tree, tree, train, test, f"{rule}, first {test_fraction:g} of a class is test"
    )


@dataclass(frozen=True)
class ImageReader:
    """How the files of a folder become images.

    Args:
        size: Side of the images.
        grey: One channel or three.
        most: Bytes of them that may be floats at once, where they are read from disk as they are
            used; None for all in memory.
        note: Says so, for the note of the data; empty in memory.
    """

    size: int
    grey: bool
    most: int | None = None
    note: str = ""

    def read(
        self, paths: Sequence[Path], step: Callable[[int, int], None] | None = None
    ) -> tuple[Tensor, list[BadFile]]:
        """Images, float32 (N, C, size, size) in [-1, 1], and what could not be read (left black).

        Args:
            paths: The files.
            step: Called with the files decoded and all files, where they go to disk.
        """
        if self.most is None:
            pixels, bad = read_squares(paths, size=self.size, grey=self.grey)
            return from_uint8(pixels), bad
        lines = Silent() if os.environ.get(QUIET) else Lines(every=TOLD_EVERY)
        step = step or partial(lines.step, f"decoding to {cache_folder()}")
        return decoded_squares(paths, size=self.size, grey=self.grey, most=self.most, step=step)


def reader_for(data: DataConfig, count: int, size: int, *, grey: bool) -> ImageReader:
    """The reader for so many images: in memory, or from disk where they need more than they may
    take.
    """
    needed, most = image_bytes(count, size, grey=grey), most_in_memory(data)
    if needed <= most:
        return ImageReader(size, grey)
    note = (
        f"; read from disk as they are used, since {in_bytes(needed)} of memory are more than "
        f"data.memory allows, {in_bytes(most)}"
    )
    return ImageReader(size, grey, most, note)


def _read(root: Path, tree: ImageTree, index: list[int], reader: ImageReader) -> LabelledImages:
    images, bad = reader.read([tree.paths[i] for i in index])
    refuse_files(root, [], bad)
    return LabelledImages(
        images,
        torch.tensor([tree.y[i] for i in index], dtype=torch.int64),
        tree.classes,
    )


def refuse_files(root: Path, problems: Sequence[str], bad: Sequence[BadFile]) -> None:
    """Name the first problems and damaged files, if there are any.

    Raises:
        DataError: If there are.
    """
    lines = [*problems, *map(str, bad)]
    if not lines:
        return
    more = f" (and {len(lines) - MOST_NAMED} more)" if len(lines) > MOST_NAMED else ""
    raise DataError(
        f"{shown(root)}: {'; '.join(lines[:MOST_NAMED])}{more}; repair or remove them, "
        "`augmentor check` lists everything"
    )


def _refuse_leak(
    train: Tensor, train_paths: Sequence[Path], test: Tensor, test_paths: Sequence[Path]
) -> None:
    if twins := same_pictures(fingerprints(train), train_paths, fingerprints(test), test_paths):
        more = f" (and {len(twins) - 1} more)" if len(twins) > 1 else ""
        raise DataError(f"{twins[0]}{more}; `augmentor check` lists everything")


def existing_folder(data: DataConfig, name: str) -> Path:
    """The folder itself, or the one of this name under the data root.

    Raises:
        DataError: If neither exists; names of the table that are nearly this one are told.
    """
    here, there = Path(name).expanduser(), data_root(data) / name
    for folder in (here, there):
        if folder.is_dir():
            return folder
    if here.is_file():
        raise DataError(f"{shown(here)}: {_instead_of(here)}")
    raise DataError(
        f"no folder {shown(here)} and no {shown(there)}; name a folder, or set --data-root or "
        f"$AUGMENTOR_DATA{near_names(name)}"
    )


def _instead_of(file: Path) -> str:
    """What to do with a file that was named in the place of a folder."""
    suffix = file.suffix.lower()
    if suffix in ARCHIVES:
        return "is an archive; unpack it, and name the folder that holds one folder per class"
    if suffix in TABLES:
        return (
            "is a table; name a folder that holds one folder per class, or give a table of paths "
            "and labels to the functions of Python, such as pipelines.gain"
        )
    return "is a file; name a folder that holds one folder per class"
