"""Files that somebody else may have made: only regular ones are opened, and only so much is read.

A pipe, a device or an endless file in the place of a manifest would otherwise hang the program for
ever. Every reader of the project opens files here, so the limits of ``SECURITY.md`` hold for all.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path
from typing import Any

MEGABYTE = 2**20
MOST_JSON = 32 * MEGABYTE
"""Bytes of one JSON document: a policy, a recipe, a result, the totals of a plan."""
MOST_IMAGE = 512 * MEGABYTE
"""Bytes of one image file: 64 million pixels of 16-bit colour fit."""
MOST_LINES = 256 * MEGABYTE
"""Bytes of a manifest or a log, which hold a line per shard or step."""
MOST_SHARD = 16 * 2**30
"""Bytes of one tar file."""
MOST_TENSORS = 64 * 2**30
"""Bytes of one file of weights."""

MOST_DEPTH = 100
"""Levels of lists and objects in one JSON document; our deepest, a checkpoint, has about 20."""


class UnusableFileError(OSError):
    """A file is not a regular one, is larger than its kind may be, or lies outside its folder.

    An ``OSError``, so that whoever reads a file reports it like an unreadable one.
    """


def open_given(path: Path, most: int | None = None, inside: Path | None = None) -> BufferedReader:
    """Open a file for reading, if it is a regular one.

    Args:
        path: The file, or a link to it.
        most: Bytes that it may have; None for any number.
        inside: Folder that a link must not lead out of; None where any place is right.

    Returns:
        The open file, at its first byte.

    Raises:
        UnusableFileError: If it is a folder, pipe, device or socket, larger than ``most``, or
            outside of ``inside``.
        OSError: If it is missing or unreadable.

    Example:
        >>> open_given(Path("/dev/null"))
        Traceback (most recent call last):
        augmentor.common.given_files.UnusableFileError: [Errno 22] not a regular file: '/dev/null'
    """
    if inside is not None and leads_outside(path, inside):
        raise _unusable(path, "a link that leads outside the folder")
    _require_regular(path, os.stat(path))  # noqa: PTH116 (before it is opened: a tape would wind)
    # Without O_NONBLOCK a pipe that took the place of the file meanwhile would wait for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    try:
        found = os.fstat(handle)
        _require_regular(path, found)
        if most is not None and found.st_size > most:
            raise _unusable(path, f"larger than {_sized(most)}", errno.EFBIG)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_bytes(path: Path, most: int, inside: Path | None = None) -> bytes:
    """All bytes of a regular file, of which there may be ``most``.

    Args:
        path: The file.
        most: Bytes that it may have.
        inside: As in ``open_given``.

    Raises:
        OSError: As in ``open_given``; also if the file gives more bytes than it says, as some of
            the system's own do without end.
    """
    with open_given(path, most, inside) as file:
        # Not read(most + 1), which takes the memory of the most before it reads a byte.
        said = os.fstat(file.fileno()).st_size
        data = file.read(said + 1)
        while len(data) > said and len(data) <= most and (more := file.read(MEGABYTE)):
            data += more
    if len(data) > most:
        raise _unusable(path, f"larger than {_sized(most)}", errno.EFBIG)
    return data


def read_text(
    path: Path, most: int = MOST_JSON, inside: Path | None = None, errors: str = "strict"
) -> str:
    """The text of a regular file in UTF-8, with line breaks as they are on every system.

    Args:
        path: The file.
        most: Bytes that it may have.
        inside: As in ``open_given``.
        errors: As in ``bytes.decode``.

    Raises:
        OSError: As in ``read_bytes``.
        UnicodeDecodeError: If it is not UTF-8.
    """
    text = read_bytes(path, most, inside).decode("utf-8", errors)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON document, whatever it is; what walks through it needs no great stack.

    Args:
        text: The document.

    Raises:
        ValueError: If it is not JSON, or nested more than ``MOST_DEPTH`` levels deep.

    Example:
        >>> parse_json("[" * 101 + "]" * 101)
        Traceback (most recent call last):
        ValueError: nested more than 100 levels deep
    """
    try:
        value = json.loads(text)
    except RecursionError:
        level: list[Any] = [None]
    else:
        depth, level = 0, _containers([value])
        while level and depth < MOST_DEPTH:
            level = [inner for one in level for inner in _containers(_items(one))]
            depth += 1
    if level:
        raise ValueError(f"nested more than {MOST_DEPTH} levels deep")
    return value


def _containers(values: Iterable[Any]) -> list[Any]:
    return [one for one in values if isinstance(one, list | dict)]


def _items(container: Any) -> Iterable[Any]:
    return container.values() if isinstance(container, dict) else container


def leads_outside(path: Path, folder: Path) -> bool:
    """Whether a path, its links followed, lies outside of a folder. A loop of links does not."""
    if path.is_relative_to(folder) and not _has_link(folder, path.relative_to(folder).parts):
        return False  # far quicker than to follow all parents of the folder
    # Path.resolve() raises RuntimeError on a loop; realpath stops there.
    home = os.path.realpath(folder)
    return not Path(os.path.realpath(path)).is_relative_to(home)


def _has_link(folder: Path, parts: tuple[str, ...]) -> bool:
    if ".." in parts:
        return True
    here = folder
    for part in parts:
        here = here / part
        if here.is_symlink():
            return True
    return False


def _require_regular(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _unusable(path, "not a regular file")


def _unusable(path: Path, reason: str, code: int = errno.EINVAL) -> UnusableFileError:
    return UnusableFileError(code, reason, str(path))


def _sized(count: int) -> str:
    return f"{count // MEGABYTE} MiB" if count >= MEGABYTE else f"{count} bytes"
