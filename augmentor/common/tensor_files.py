"""Files of tensors from elsewhere: safetensors whose header is looked at before it is read.

The format lets a header name millions of tensors of one byte, which take minutes and gigabytes to
read.
"""

from __future__ import annotations

import operator
import os
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from augmentor.common.given_files import MOST_TENSORS, open_given, parse_json, read_bytes

MOST_NAMES = 20_000
"""Tensors in one file."""
MOST_HEADER = 8 * 2**20
"""Bytes of the header that names them."""
METADATA = "__metadata__"
LENGTH = 8  # bytes of a file that say how long its header is


class TensorFileError(ValueError):
    """A file is not one of safetensors, is damaged, or names too many tensors."""


def read_tensors(path: Path, inside: Path | None = None) -> dict[str, Tensor]:
    """The tensors in a file, in memory of their own.

    Args:
        path: The file.
        inside: Folder that a link must not lead out of; None where any place is right.

    Raises:
        OSError: If the file cannot be read, or is not a regular one.
        TensorFileError: If it is damaged, or names more than ``MOST_NAMES`` tensors.
    """
    require_whole(path, inside)
    try:
        found: dict[str, Tensor] = safetensors.torch.load(read_bytes(path, MOST_TENSORS, inside))
    except safetensors.SafetensorError as error:
        raise TensorFileError(str(error)) from error
    return found


def mapped_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors in a file, as the system maps it into memory, and what it says about itself.

    The file must not be changed while they are in use; nothing here changes one in place.

    Args:
        path: The file.

    Raises:
        OSError: As ``read_tensors``.
        TensorFileError: As ``read_tensors``.
    """
    require_whole(path)
    try:
        with safetensors.safe_open(path, "pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return found, file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise TensorFileError(str(error)) from error


def require_whole(path: Path, inside: Path | None = None) -> None:
    """Look at a file's header and size, and at nothing else of it.

    Args:
        path: The file.
        inside: As in ``read_tensors``.

    Raises:
        OSError: As ``read_tensors``.
        TensorFileError: If its header is damaged or names more tensors than are read in two
            seconds, or the file is not as long as the header says.
    """
    with open_given(path, MOST_TENSORS, inside) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(LENGTH), "little")
        if length > MOST_HEADER:
            raise TensorFileError(f"its header has {length} bytes, at most {MOST_HEADER} are read")
        head = file.read(length)
    try:
        found = parse_json(head)
    except ValueError as error:
        raise TensorFileError("its header is damaged") from error
    if not isinstance(found, dict):
        raise TensorFileError("its header is not a JSON object")
    if len(found) > MOST_NAMES:
        raise TensorFileError(f"it names {len(found)} tensors, at most {MOST_NAMES} are read")
    wanted = LENGTH + length + _end(found)
    if size != wanted:
        raise TensorFileError(f"it has {size} bytes, its header says {wanted}")


def _end(header: dict[str, Any]) -> int:
    """Where the last tensor ends, in bytes behind the header."""
    try:
        ends = [one["data_offsets"][1] for name, one in header.items() if name != METADATA]
        return max(map(operator.index, ends), default=0)
    except (KeyError, IndexError, TypeError) as error:
        raise TensorFileError("its header is damaged") from error
