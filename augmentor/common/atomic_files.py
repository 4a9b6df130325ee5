"""Files that are either wholly there or not there at all, whatever stops the program."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from augmentor.common.given_files import open_given


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that a crash leaves the old content or the new, never a part.

    The bytes go to a temporary file in the same folder, reach the disk, and take the name by a
    rename. A failure (a full disk) removes the temporary file and leaves an existing ``path`` as it
    was.

    Args:
        path: Where to write; its folder must exist. Gets the mode any new file of this process
            would get.
        data: The whole content.

    Raises:
        OSError: If the folder is missing, not writable, or the disk is full.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with room_for(path, len(data)):
            with temporary.open("xb") as file:  # not tempfile: that makes mode 0600
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


class DiskFullError(OSError):
    """A file does not fit on the disk; names it, the bytes it needs and those that are free."""


@contextmanager
def room_for(path: Path, size: int) -> Iterator[None]:
    """Say what was needed where a write in the block fails for want of room; the system does not.

    Args:
        path: What is being written.
        size: Bytes it takes.

    Raises:
        DiskFullError: If the disk is full.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, DiskFullError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(path.parent).free
        raise DiskFullError(
            error.errno, f"disk full: {size} bytes are needed, {free} are free", str(path)
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 by :func:`write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: object, *, sort_keys: bool = True) -> None:
    """Write ``value`` as indented JSON with a final newline, in UTF-8.

    Args:
        path: The file.
        value: What to write.
        sort_keys: Whether equal values give equal bytes; otherwise keys keep their order.

    Raises:
        TypeError: If ``value`` holds something JSON has no word for.
        ValueError: If it holds NaN or an infinity, which JSON lacks too.
    """
    write_bytes(path, json_bytes(value, sort_keys=sort_keys))


def json_bytes(value: object, *, sort_keys: bool = True) -> bytes:
    """What :func:`write_json` writes."""
    text = json.dumps(value, indent=2, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False)
    text += "\n"
    # Names of files may hold half surrogates, which UTF-8 lacks; a backslash escape is how JSON
    # writes them.
    return text.encode("utf-8", "backslashreplace")


def publish_folder(temporary: Path, final: Path) -> None:
    """Give a finished folder its name once everything in it has reached the disk.

    Args:
        temporary: The folder with all its files, on the same file system as ``final``.
        final: The name to take; absent, or an empty folder.

    Raises:
        OSError: If ``final`` is there with content, or the rename fails; ``temporary`` then stays.
    """
    for folder, _, names in os.walk(temporary):
        for name in names:
            sync(Path(folder) / name)
        sync(Path(folder))
    temporary.rename(final)
    sync(final.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders that a killed process left; for one who holds the
    folder alone.
    """
    for path in folder.glob(".*.tmp"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Make the content of a file, or the names in a folder, reach the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path, most: int | None = None) -> str:
    """SHA-256 of the bytes of a regular file, as 64 hex digits.

    Args:
        path: The file.
        most: Bytes that it may have; None for any number.

    Raises:
        OSError: If it cannot be read, is not a regular file, or is larger.
    """
    with open_given(path, most) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
