"""``metadata.csv`` and ``metadata.jsonl``, the form of Hugging Face's image folders: a row per
image.
"""

from __future__ import annotations

import csv
import io
import json
import posixpath
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augmentor.common.given_files import parse_json, read_bytes
from augmentor.common.types import DataError
from pipelines.image_folder import file_problem, printable, shown

FILES = ("metadata.csv", "metadata.jsonl")
FILE_COLUMN = "file_name"
MOST_BYTES = 256 * 2**20
"""More is refused unread; two million images with ten columns stay below."""
MOST_COLUMNS = 1000


@dataclass(frozen=True)
class Row:
    """What a line says about one image.

    Args:
        line: Number of the line, from 1.
        values: Of the columns asked for, in their order, stripped; "" where there is none.
    """

    line: int
    values: tuple[str, ...]


@dataclass(frozen=True)
class Metadata:
    """The rows of one file.

    Args:
        file: The file.
        rows: By image: its path from the folder of the file, with ``/`` and in NFC spelling.
        problems: Lines that cannot be used, in words, each with its file and line.
        repeated: Lines that say of an image what an earlier line says, which does no harm.
    """

    file: Path
    rows: dict[str, Row]
    problems: tuple[str, ...]
    repeated: int = 0


def find_metadata(folder: Path, home: Path) -> Path | None:
    """The metadata file in a folder, or None.

    Args:
        folder: Where it is looked for.
        home: What a link must not lead out of.

    Raises:
        DataError: If there are two, or what has the name is not a file.
    """
    found = []
    for name in FILES:
        path = folder / name
        if path.is_symlink() or path.exists():
            found.append(path)
    if len(found) > 1:
        raise DataError(f"{shown(folder)}: has both {' and '.join(FILES)}; remove one of them")
    if not found:
        return None
    if problem := file_problem(found[0], home.resolve()):
        raise DataError(f"{shown(found[0])}: {problem}; put the file itself there")
    return found[0]


def read_metadata(file: Path, columns: tuple[str, ...]) -> Metadata:
    """Read some columns of a metadata file.

    Args:
        file: ``metadata.csv`` with a line of column names, or ``metadata.jsonl`` with an object a
            line.
        columns: Which.

    Raises:
        DataError: If the file is too large, no UTF-8, not of its form, or lacks a column.

    Example:
        >>> found = read_metadata(Path("train/metadata.csv"), ("azimuth",))  # doctest: +SKIP
        >>> found.rows["anna/3.png"]  # doctest: +SKIP
        Row(line=4, values=('-25',))
    """
    text = _text(file)
    read = _csv_rows if file.suffix == ".csv" else _json_rows
    lines = read(file, text, columns)
    rows: dict[str, Row] = {}
    problems: list[str] = []
    repeated = 0
    for line, cells in lines:
        name = cells[FILE_COLUMN]
        path = _inside(_with_slashes(name, file.parent))
        row = Row(line, tuple(cells[column] for column in columns))
        if path is None:
            problems.append(
                f"{shown(file)}:{line}: {FILE_COLUMN} {printable(name)!r} is not a path inside "
                "this folder; write it as class/image.png"
            )
        elif rows.setdefault(path, row).values != row.values:
            problems.append(
                f"{shown(file)}:{line}: names {printable(name)} again with other values than line "
                f"{rows[path].line}; remove one of the two lines"
            )
        else:
            repeated += rows[path] is not row
    if not rows and not problems:
        raise DataError(f"{shown(file)}: has no rows; write one for every image")
    return Metadata(file, rows, tuple(problems), repeated)


def _text(file: Path) -> str:
    try:
        size = file.stat().st_size
        if size > MOST_BYTES:
            raise DataError(
                f"{shown(file)}: {size // 2**20} MiB are more than {MOST_BYTES // 2**20}; leave "
                "out the columns that are not needed"
            )
        raw = read_bytes(file, MOST_BYTES)
    except OSError as error:
        raise DataError(f"{shown(file)}: cannot be read: {error.strerror}") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{shown(file)}:{line}: is not UTF-8; save the file as UTF-8") from error


def _csv_rows(
    file: Path, text: str, columns: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Lines and cells; the first line names the columns."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            first, line = line, reader.line_num + 1
            if not cells:
                continue
            if header is None:
                header = _header(file, first, cells)
                _require_columns(file, first, header, columns)
            elif len(cells) != len(header):
                raise DataError(
                    f"{shown(file)}:{first}: has {len(cells)} values for {len(header)} columns; "
                    "give one for each, in quotes where it holds a comma"
                )
            else:
                yield first, dict(zip(header, map(_spelled, cells), strict=True))
    except csv.Error as error:
        raise DataError(
            f"{shown(file)}:{line}: is not CSV ({error}); look at the quotes of this line"
        ) from error


def _header(file: Path, line: int, cells: list[str]) -> list[str]:
    names = [*map(_spelled, cells)]
    if len(names) > MOST_COLUMNS:
        raise DataError(f"{shown(file)}:{line}: names more than {MOST_COLUMNS} columns")
    if len(set(names)) < len(names):
        raise DataError(f"{shown(file)}:{line}: names a column twice; rename one of the two")
    return names


def _json_rows(
    file: Path, text: str, columns: tuple[str, ...]
) -> Iterator[tuple[int, dict[str, str]]]:
    for line, one in enumerate(text.split("\n"), start=1):
        if not one.strip():
            continue
        try:
            found = parse_json(one)
        except ValueError as error:
            raise DataError(
                f"{shown(file)}:{line}: is not JSON; write one object a line"
            ) from error
        if not isinstance(found, dict):
            raise DataError(f"{shown(file)}:{line}: is not a JSON object; write {{...}} on a line")
        cells = {_spelled(name): _plain(value) for name, value in found.items()}
        _require_columns(file, line, cells, columns)
        yield line, cells


def _plain(value: Any) -> str:
    """A JSON value as a cell of CSV has it; lists and objects, such as boxes, as their JSON."""
    if value is None:
        return ""
    return _spelled(value if isinstance(value, str) else json.dumps(value))


def _spelled(text: str) -> str:
    """Without spaces around, and in the one spelling of accents that class names have too."""
    return unicodedata.normalize("NFC", text.strip())


def _require_columns(file: Path, line: int, cells: Iterable[str], columns: tuple[str, ...]) -> None:
    if FILE_COLUMN not in cells:
        raise DataError(
            f"{shown(file)}:{line}: has no column {FILE_COLUMN!r}, but "
            f"{_names(cells)}; name the image of every row there, separated by commas"
        )
    for column in columns:
        if column not in cells:
            raise DataError(
                f"{shown(file)}:{line}: has no column {printable(column)!r}; its columns are "
                f"{_names(name for name in cells if name != FILE_COLUMN)}"
            )


def _names(columns: Iterable[str]) -> str:
    names = [*map(printable, columns)]
    return (", ".join(names[:20]) or "none") + (", …" if len(names) > 20 else "")


def _with_slashes(name: str, folder: Path) -> str:
    r"""The name with ``/`` for ``\``, as Windows separates folders, where that is a file here."""
    plain = name.replace("\\", "/")
    if plain == name or (inside := _inside(plain)) is None:
        return name
    try:
        return plain if (folder / inside).is_file() else name
    except OSError:  # too long, for example
        return name


def _inside(name: str) -> str | None:
    """The path without ``.`` and ``..``; None if it is empty, absolute or leads outside."""
    path = posixpath.normpath(name) if name else "."
    outside = path in {".", ".."} or path.startswith(("../", "/"))
    return None if outside or "\0" in path else path
