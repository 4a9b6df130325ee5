"""From metadata or the level of folders below the class to the condition of every image."""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from augmentor.common.conditions import Conditions
from augmentor.common.types import DataError
from augmentor.data.combinations import MOST_COLUMNS
from pipelines.conditions.metadata import FILES, Metadata, find_metadata, read_metadata
from pipelines.config.data import FOLDER_LEVEL
from pipelines.image_folder import ImageTree, printable, shown

MOST_NUMBER = 1e30
"""Larger numbers would overflow where float32 squares them."""
LEAST_SCALE = 1e-30
MANY = 20
"""Images from which on it is odd that nearly every one has a word of its own."""
MISSING_WORDS = frozenset({"nan", "null", "nat", "n/a", "#n/a", "<na>"})
"""What tables are often written with where a value is not known."""
SHOWN = 5
"""Problems of one kind that are told one by one."""


class ConditionsError(DataError):
    """The conditions of a folder cannot be used; every problem is a sentence."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        more = f" (and {len(problems) - 3} more; `augmentor check --condition` lists them)"
        super().__init__("; ".join(problems[:3]) + (more if len(problems) > 3 else ""))


@dataclass(frozen=True)
class FoundConditions:
    """The conditions of the images of a data set.

    Args:
        conditions: What they mean.
        train: Those of the training images: categories, int64 (N,), or numbers, float32 (N, D).
        test: Those of the test images, in the same form.
        remarks: What is odd in the metadata and does no harm.
    """

    conditions: Conditions
    train: Tensor
    test: Tensor
    remarks: tuple[str, ...] = ()

    def note(self) -> str:
        """What they are, in words, and how many test images nothing can be learned for."""
        joined = ", ".join(map(printable, self.conditions.names))
        if self.conditions.are_numbers:
            return f"condition {joined}, numbers"
        words = f"condition {joined}, {self.conditions.size} categories"
        if alone := self.in_test_alone():
            names = ", ".join(printable(self.conditions.categories[i]) for i in alone[:3])
            more = ", …" if len(alone) > 3 else ""
            words += f", {len(alone)} in the test part alone: cannot be learned ({names}{more})"
        return words

    def in_test_alone(self) -> list[int]:
        """Categories that no training image has; none of numbers."""
        if self.conditions.are_numbers:
            return []
        known = torch.bincount(self.train, minlength=self.conditions.size)
        asked = torch.bincount(self.test, minlength=self.conditions.size)
        alone: list[int] = ((known == 0) & (asked > 0)).nonzero()[:, 0].tolist()
        return alone


@dataclass(frozen=True)
class _Cell:
    """What is known of one image, and where it is written."""

    values: tuple[str, ...]
    where: str


def find_conditions(
    root: Path,
    train: tuple[ImageTree, Sequence[int]],
    test: tuple[ImageTree, Sequence[int]],
    names: tuple[str, ...],
    categories: tuple[str, ...] = (),
) -> FoundConditions:
    """The condition of every training and test image.

    Args:
        root: The folder of the data, where a metadata file for both parts may lie.
        train: A tree and which of its files are the training images, in order.
        test: The same of the test images; the tree may be the same.
        names: Columns of ``metadata.csv`` or ``metadata.jsonl``, or ``folder`` alone.
        categories: Those of them whose numbers are names, such as cameras 1, 2 and 3.

    Raises:
        ConditionsError: If the metadata are missing, a column is unknown, an image has no row, or
            values do not fit together.
    """
    trees = [train[0]] if train[0] is test[0] else [train[0], test[0]]
    remarks: list[str] = []
    try:
        if names == (FOLDER_LEVEL,):
            cells, problems = _cells_of_folders(trees)
        else:
            cells, problems, remarks = _cells_of_metadata(root, trees, names)
    except DataError as error:
        raise ConditionsError([str(error)]) from error
    if problems:
        raise ConditionsError(problems)
    parts = []
    for tree, index in (train, test):
        parts.append([cells[tree.paths[i]] for i in index])
    found = _understood(names, parts[0], parts[1], categories)
    return replace(found, remarks=(*remarks, *_odd(found)))


def _odd(found: FoundConditions) -> list[str]:
    """A remark on every word for a missing value, and one where nearly every image has a word of
    its own.
    """
    remarks = []
    for name in found.conditions.categories:
        if not MISSING_WORDS.isdisjoint(name.casefold().split(", ")):
            remarks.append(
                f"the condition {printable(name)!r} is a category of its own; write what is true "
                "of its images, or remove them, if it stands for a missing value"
            )
    return remarks + _own_words(found)


def _own_words(found: FoundConditions) -> list[str]:
    """A remark where nearly every image has a word of its own."""
    count = len(found.train)
    if found.conditions.are_numbers or 2 * found.conditions.size < count or count < MANY:
        return []
    joined = ", ".join(map(printable, found.conditions.names))
    return [
        f"{joined} has {found.conditions.size} different words for {count} training images, so "
        "nothing can be learned of most of them; numbers need a decimal point and no unit"
    ]


def _cells_of_folders(trees: Sequence[ImageTree]) -> tuple[dict[Path, _Cell], list[str]]:
    cells: dict[Path, _Cell] = {}
    loose = []
    for tree in trees:
        for path in tree.paths:
            inside = path.relative_to(tree.root).parts
            if len(inside) < 3:
                loose.append(
                    f"{shown(path)}: lies in the folder of its class; put it into the folder of "
                    "its condition, class/condition/file"
                )
                continue
            name = unicodedata.normalize("NFC", inside[1])
            name = os.fsencode(name).decode("utf-8", "backslashreplace")
            cells[path] = _Cell((name,), shown(path))
    return cells, _few(loose, "images outside of a condition's folder")


def _cells_of_metadata(
    root: Path, trees: Sequence[ImageTree], names: tuple[str, ...]
) -> tuple[dict[Path, _Cell], list[str], list[str]]:
    """Of every image that has a row; what is wrong with rows and images; and remarks."""
    cells: dict[Path, _Cell] = {}
    problems, lost, remarks = list[str](), list[str](), list[str]()
    files: dict[Path, Metadata] = {}
    known: dict[Path, set[str]] = {}
    for tree in trees:
        file = _metadata_of(root, tree)
        if file not in files:
            files[file] = read_metadata(file, names)
        found, seen = files[file], known.setdefault(file, set())
        seen.update(_relative(one.path, file.parent) for one in tree.bad)
        for path in tree.paths:
            name = _relative(path, file.parent)
            seen.add(name)
            if row := found.rows.get(name):
                cells[path] = _Cell(row.values, f"{shown(file)}:{row.line}")
            else:
                lost.append(
                    f"{shown(file)}: has no row for the image {printable(name)}; add one with this "
                    "file_name, or remove the image"
                )
    for file, found in files.items():
        problems += _few(found.problems, f"lines of {shown(file)}")
        problems += _few([*_missing(found, known[file])], f"rows of {shown(file)}")
        if found.repeated:
            remarks.append(f"{shown(file)}: {found.repeated} lines repeat an earlier one")
    return cells, problems + _few(lost, "images without a row"), remarks


def _metadata_of(root: Path, tree: ImageTree) -> Path:
    """The metadata file of a part: the nearest."""
    for folder in dict.fromkeys([tree.root, root]):
        if file := find_metadata(folder, root):
            return file
    raise DataError(
        f"{shown(tree.root)}: has no {' or '.join(FILES)}, which says the condition of every "
        f"image; write one, or use --condition {FOLDER_LEVEL} for folders class/condition/file"
    )


def _missing(found: Metadata, known: set[str]) -> Iterator[str]:
    """Rows whose image is not there; one that lies outside the class folders is ignored."""
    folder = found.file.parent
    for name, row in found.rows.items():
        if name not in known and not os.path.lexists(folder / name):
            yield (
                f"{shown(found.file)}:{row.line}: names {printable(name)}, which is not in "
                f"{shown(folder)}; correct file_name or remove the line"
            )


def _relative(path: Path, folder: Path) -> str:
    return unicodedata.normalize("NFC", path.relative_to(folder).as_posix())


def _few(problems: Sequence[str], kind: str) -> list[str]:
    rest = len(problems) - SHOWN
    return [*problems[:SHOWN], *([f"{rest} more {kind} of the same kind"] if rest > 0 else [])]


def _understood(
    names: tuple[str, ...],
    train: Sequence[_Cell],
    test: Sequence[_Cell],
    categories: tuple[str, ...],
) -> FoundConditions:
    """Numbers or categories, by what the values look like, or as ``categories`` says."""
    columns: list[list[float | None]] = []
    problems = []
    for column, name in enumerate(names):
        read = _no_number if name in categories else _number
        numbers = [read(cell.values[column]) for cell in chain(train, test)]
        columns.append(numbers)
        problems += _column_problems(name, column, numbers, [*train, *test])
    if problems:
        raise ConditionsError(problems)
    kinds = [numbers[0] is not None for numbers in columns]
    if all(kinds):
        _require_bins(names)
        values = torch.tensor(columns, dtype=torch.float64).T.contiguous()
        _require_apart(names, values)
        values = values.float()
        return _numbers(names, values[: len(train)], values[len(train) :])
    if any(kinds):
        raise ConditionsError(
            [
                f"{names[kinds.index(True)]} holds numbers and {names[kinds.index(False)]} holds "
                "words; name columns of one kind, or make categories of the numbers: --categories "
                f"{names[kinds.index(True)]}"
            ]
        )
    return _words(names, train, test)


def _require_bins(names: tuple[str, ...]) -> None:
    if len(names) > MOST_COLUMNS:
        raise ConditionsError(
            [
                f"{len(names)} columns of numbers have too many combinations; name {MOST_COLUMNS} "
                "at most"
            ]
        )


def _require_apart(names: tuple[str, ...], values: Tensor) -> None:
    """Refuse numbers that float32 cannot tell apart, such as dates written as 20240101."""
    for name, column in zip(names, values.T, strict=True):
        distinct = torch.unique(column)
        if len(torch.unique(distinct.float())) < len(distinct):
            raise ConditionsError(
                [
                    f"{printable(name)} holds numbers that are too near each other for their size, "
                    f"such as {float(distinct[-1]):.17g}; subtract a constant, or make categories "
                    f"of them: --categories {printable(name)}"
                ]
            )


def _no_number(text: str) -> float | None:
    return None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    # Python reads 2024_01 as a number; whoever writes that means a name.
    return value if math.isfinite(value) and abs(value) <= MOST_NUMBER and "_" not in text else None


def _column_problems(
    name: str, column: int, numbers: Sequence[float | None], cells: Sequence[_Cell]
) -> list[str]:
    """Cells without a value, and numbers among words or words among numbers."""
    empty = []
    for cell in cells:
        if not cell.values[column]:
            empty.append(f"{cell.where}: has no {printable(name)}; write its value")
    if empty:
        return _few(empty, f"lines without {printable(name)}")
    count = sum(number is not None for number in numbers)
    if count in {0, len(cells)}:
        return []
    odd_is_number = count < len(cells) / 2
    odd = []
    for cell, number in zip(cells, numbers, strict=True):
        if (number is not None) == odd_is_number:
            most = "no numbers" if odd_is_number else "finite numbers"
            odd.append(
                f"{cell.where}: {printable(name)} is {printable(cell.values[column])!r}, but most "
                f"values of this column are {most}; write all as numbers, or make categories of "
                f"them: --categories {printable(name)}"
            )
    return _few(odd, f"values of {printable(name)}")


def _numbers(names: tuple[str, ...], train: Tensor, test: Tensor) -> FoundConditions:
    low, high = train.min(dim=0).values.double(), train.max(dim=0).values.double()
    if bool((low == high).all()):
        _refuse_one(names, ", ".join(f"{value:g}" for value in low.tolist()))
    half = (high - low) / 2
    # A column that never changes is not scaled.
    scale = torch.where(half > LEAST_SCALE, half, torch.ones_like(half))
    centre = (low + high) / 2
    found = Conditions(names, centre=(*centre.tolist(),), scale=(*scale.tolist(),))
    return FoundConditions(found, train, test)


def _words(
    names: tuple[str, ...], train: Sequence[_Cell], test: Sequence[_Cell]
) -> FoundConditions:
    joined: dict[str, tuple[str, ...]] = {}
    for cell in chain(train, test):
        other = joined.setdefault(", ".join(cell.values), cell.values)
        if other != cell.values:
            raise ConditionsError(
                [
                    f"{cell.where}: {' + '.join(map(repr, cell.values))} and "
                    f"{' + '.join(map(repr, other))} are both called {', '.join(other)!r}; leave "
                    "the commas out of the values"
                ]
            )
    categories = tuple(sorted(joined))
    number = {joined[name]: place for place, name in enumerate(categories)}
    known = torch.tensor([number[cell.values] for cell in train], dtype=torch.int64)
    asked = torch.tensor([number[cell.values] for cell in test], dtype=torch.int64)
    if len(torch.unique(known)) < 2:
        _refuse_one(names, ", ".join(train[0].values))
    return FoundConditions(Conditions(names, categories), known, asked)


def _refuse_one(names: tuple[str, ...], value: str) -> None:
    raise ConditionsError(
        [
            f"{', '.join(map(printable, names))} is {printable(value)!r} for every training image, "
            "so there is nothing to tell apart; name another condition, or leave it out"
        ]
    )
