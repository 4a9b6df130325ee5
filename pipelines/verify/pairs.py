"""Pairs of images for verification: a folder with ``pairs.csv`` (fold,same,first,second) and a
folder per person.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from augmentor.common.given_files import read_text
from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import fingerprints, from_uint8, overlap
from pipelines.image_folder import BadFile, list_images, read_squares, shown

PAIRS = "pairs.csv"
HEADER = ["fold", "same", "first", "second"]
LARGEST_FILE = 50_000_000


@dataclass(frozen=True)
class VerificationPairs:
    """Pairs of images of people, in folds of different people.

    Args:
        name: Name of the folder.
        paths: Files of the images, relative to it, sorted.
        people: Name of the person of every image: that of the file's folder.
        x: Images, float32 (M, C, H, W) in [-1, 1].
        first: Number of every pair's first image, int64 (N,).
        second: Of the second.
        same: Whether the two are one person, bool (N,).
        folds: Fold of every pair, int64 (N,).
    """

    name: str
    paths: tuple[str, ...]
    people: tuple[str, ...]
    x: Tensor
    first: Tensor
    second: Tensor
    same: Tensor
    folds: Tensor

    def __len__(self) -> int:
        return len(self.folds)

    @property
    def fold_numbers(self) -> tuple[int, ...]:
        """The folds there are, ascending."""
        return tuple(sorted(set(self.folds.tolist())))

    def of_folds(self, numbers: Sequence[int]) -> VerificationPairs:
        """The pairs of some folds and their images.

        Raises:
            DataError: If a fold is unknown.
        """
        if lost := sorted(set(numbers) - set(self.fold_numbers)):
            raise DataError(
                f"{self.name}: no fold {lost[0]}; there are "
                f"{', '.join(map(str, self.fold_numbers))}"
            )
        kept = torch.isin(self.folds, torch.tensor(list(numbers), dtype=torch.int64))
        used, numbered = np.unique(
            [self.first[kept].tolist(), self.second[kept].tolist()], return_inverse=True
        )
        images, (first, second) = torch.from_numpy(used), torch.from_numpy(numbered)
        return VerificationPairs(
            self.name,
            tuple(self.paths[i] for i in images.tolist()),
            tuple(self.people[i] for i in images.tolist()),
            self.x[images],
            first,
            second,
            self.same[kept],
            self.folds[kept],
        )

    def labelled(self) -> LabelledImages:
        """The images with their people as classes, sorted by name."""
        classes = tuple(sorted(set(self.people)))
        number = {name: index for index, name in enumerate(classes)}
        return LabelledImages(self.x, torch.tensor([number[name] for name in self.people]), classes)

    def refuse_known(self, classes: Sequence[str], trained_on: np.ndarray, what: str) -> None:
        """Check that nothing learned from these people.

        Args:
            classes: Names of the people learned from.
            trained_on: Fingerprints of the images learned from, as ``fingerprints`` makes them at
                this size.
            what: What learned, for the message.

        Raises:
            DataError: If a name or an image is known.
        """
        if known := sorted(set(classes) & set(self.people)):
            raise DataError(
                f"{self.name}: {what} learned from {known[0]!r}, who is in its pairs "
                f"({len(known)} such people); "
                "score other folds, or train on other people"
            )
        if len(seen := overlap(fingerprints(self.x), trained_on)):
            raise DataError(
                f"{self.name}: {what} learned from the image {self.paths[seen[0]]}; train it "
                "without"
            )


def find_pairs(name: str, root: Path) -> Path:
    """The folder ``name`` means: itself, or the one of this name under the data root.

    Raises:
        DataError: If neither holds a ``pairs.csv``.
    """
    here, there = Path(name).expanduser(), root / name
    for folder in (here, there):
        if (folder / PAIRS).is_file():
            return folder
    raise DataError(
        f"no {PAIRS} in {shown(here)} or {shown(there)}; name the folder that holds it and the "
        "images, "
        "or set --data-root or $AUGMENTOR_DATA"
    )


def read_pairs(folder: Path, image_shape: tuple[int, int, int]) -> VerificationPairs:
    """Read a folder of pairs.

    ``pairs.csv`` has the header ``fold,same,first,second``; fold is a whole number from 0 on, same
    is 0 or 1, and the files are named from the folder on, with slashes. The person of an image is
    its file's folder.

    Args:
        folder: With ``pairs.csv`` and the images.
        image_shape: (C, H, W) to cut and resize to, as training images are.

    Raises:
        DataError: If a row or an image cannot be used, ``same`` is not what the folders say, a pair
            is there twice, a person is in two folds, or a fold lacks one of the two kinds. The
            message names the line or file.
    """
    rows = _rows(folder)
    _refuse_repeats(folder, rows)
    _refuse_shared_people(folder, rows)
    names = tuple(sorted({name for row in rows for name in (row.first, row.second)}))
    x = _read_images(folder, names, image_shape)
    number = {name: index for index, name in enumerate(names)}
    return VerificationPairs(
        folder.resolve().name,
        names,
        tuple(map(_person, names)),
        x,
        torch.tensor([number[row.first] for row in rows]),
        torch.tensor([number[row.second] for row in rows]),
        torch.tensor([row.same for row in rows]),
        torch.tensor([row.fold for row in rows]),
    )


@dataclass(frozen=True)
class _Row:
    line: int
    fold: int
    same: bool
    first: str
    second: str


def _rows(folder: Path) -> list[_Row]:
    path = folder / PAIRS
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise DataError(
                f"{shown(path)}: too large for a list of pairs (more than {LARGEST_FILE} bytes)"
            )
        text = read_text(path, LARGEST_FILE).removeprefix("\ufeff")
        lines = list(csv.reader(io.StringIO(text), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{shown(path)}: cannot be read: {error}") from error
    if not lines or lines[0] != HEADER:
        raise DataError(f"{shown(path)}: must begin with the line {','.join(HEADER)}")
    rows = [_row(path, number, line) for number, line in enumerate(lines[1:], start=2)]
    _refuse_one_kind(path, rows)
    return rows


def _row(path: Path, number: int, line: list[str]) -> _Row:
    where = f"{shown(path)}, line {number}"
    if (
        len(line) != len(HEADER)
        or not line[0].isascii()
        or not line[0].isdigit()
        or line[1] not in ("0", "1")
    ):
        raise DataError(
            f"{where}: must be {','.join(HEADER)} with a whole number and 0 or 1, found "
            f"{','.join(line)!r}"
        )
    for name in line[2:]:
        parts = PurePosixPath(name).parts
        if "\\" in name or name.startswith("/") or ".." in parts or len(parts) < 2:
            raise DataError(
                f"{where}: {name!r} must name a file below the folder, in the folder of its person"
            )
    first, second = (str(PurePosixPath(name)) for name in line[2:])
    if first == second:
        raise DataError(f"{where}: a pair needs two images, found {first} twice")
    if (line[1] == "1") != (_person(first) == _person(second)):
        raise DataError(
            f"{where}: same is {line[1]}, but the folders name {_person(first)} and "
            f"{_person(second)}"
        )
    return _Row(number, int(line[0]), line[1] == "1", first, second)


def _refuse_one_kind(path: Path, rows: Sequence[_Row]) -> None:
    kinds: dict[int, set[bool]] = {}
    for row in rows:
        kinds.setdefault(row.fold, set()).add(row.same)
    if len(kinds) < 2 or any(len(found) < 2 for found in kinds.values()):
        raise DataError(
            f"{shown(path)}: needs two folds or more, each with pairs of one person and pairs of "
            "two"
        )


def _refuse_repeats(folder: Path, rows: Sequence[_Row]) -> None:
    seen: dict[frozenset[str], int] = {}
    for row in rows:
        if (before := seen.setdefault(frozenset((row.first, row.second)), row.line)) != row.line:
            raise DataError(
                f"{shown(folder / PAIRS)}, line {row.line}: the pair of line {before} again"
            )


def _refuse_shared_people(folder: Path, rows: Sequence[_Row]) -> None:
    fold_of: dict[str, int] = {}
    for row in rows:
        for person in (_person(row.first), _person(row.second)):
            if (before := fold_of.setdefault(person, row.fold)) != row.fold:
                raise DataError(
                    f"{shown(folder / PAIRS)}, line {row.line}: {person} is in fold {row.fold} "
                    f"and in fold {before}; "
                    "folds must have different people"
                )


def _read_images(folder: Path, names: Sequence[str], image_shape: tuple[int, int, int]) -> Tensor:
    """Images of the files named; links are followed only inside the folder, as in any data set."""
    found, problems, _ = list_images(folder)
    known: Mapping[Path, str] = {bad.path: bad.reason for bad in problems}
    usable, paths = set(found), [folder / name for name in names]
    bad = [BadFile(path, known.get(path, "no such image")) for path in paths if path not in usable]
    channels, side, _ = image_shape
    if not bad:
        pixels, bad = read_squares(paths, size=side, grey=channels == 1)
    if bad:
        more = f" (and {len(bad) - 3} more)" if len(bad) > 3 else ""
        raise DataError(
            f"{shown(folder / PAIRS)} names what cannot be used: "
            f"{'; '.join(map(str, bad[:3]))}{more}"
        )
    return from_uint8(pixels)


def _person(name: str) -> str:
    return PurePosixPath(name).parent.name
