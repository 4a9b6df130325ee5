"""Decoded images in a file, from which those are read that are used.

A file holds the 8-bit pixels of images one after the other, a checksum of each, and the SHA-256 of
the checksums and of what the images were made from. It is whole or not there; an image that is
damaged later is noticed when it is read. It is read and not mapped into memory, since a file that
is cut off would end the process.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augmentor.common.atomic_files import DiskFullError, room_for, sync
from augmentor.common.given_files import open_given
from augmentor.common.types import DataError
from augmentor.data.fingerprint import from_uint8
from augmentor.data.lazy_images import RowsInMemory

SEAL = 32  # bytes of a SHA-256
CHECKSUM = np.dtype("<u4")
Shape = tuple[int, int, int, int]


class PixelFile:
    """The images of an open file.

    It stays readable when its name is taken away; it is closed when nobody uses it any more.

    Args:
        file: The file, open.
        path: Its name.
        shape: (N, C, H, W) of its images.
        checksums: CRC-32 of each, uint32 (N,).
    """

    def __init__(
        self, file: BufferedReader, path: Path, shape: Shape, checksums: NDArray[np.uint32]
    ) -> None:
        self.path, self.shape = path, shape
        self._file, self._checksums = file, checksums

    def __del__(self) -> None:
        self._file.close()

    def __reduce__(self) -> Any:
        """To another machine the pixels travel, since it does not have the file."""
        return RowsInMemory, (self.pixels(torch.arange(self.shape[0])),)

    def pixels(self, rows: Tensor) -> Tensor:
        """Some images, uint8 (n, C, H, W); ``rows`` are numbers, int64 (n,).

        Raises:
            DataError: If one of them is damaged; the file loses its name, so that the next run
                decodes the images again.
        """
        found = torch.empty(len(rows), *self.shape[1:], dtype=torch.uint8)
        for image, row in zip(found.numpy(), rows.tolist(), strict=True):
            read = os.preadv(self._file.fileno(), [image.reshape(-1)], row * image.nbytes)
            if read != image.nbytes or zlib.crc32(image) != self._checksums[row]:
                self._refuse(row)
        return found

    def floats(self, rows: Tensor) -> Tensor:
        """As ``pixels``, float32 in [-1, 1]."""
        return from_uint8(self.pixels(rows))

    def _refuse(self, row: int) -> None:
        self.path.unlink(missing_ok=True)
        raise DataError(
            f"{self.path}: image {row} of these decoded images was damaged on the disk; the file "
            "has been removed: run again, which decodes the images anew"
        )


def opened(path: Path, shape: Shape, origin: bytes) -> PixelFile | None:
    """The file of these images; None where it is missing, damaged, or made of something else.

    Args:
        path: The file.
        shape: (N, C, H, W) of its images.
        origin: What they were made from.
    """
    pixels, whole = int(np.prod(shape)), _size(shape)
    try:
        file = open_given(path)
        end = b""
        if os.fstat(file.fileno()).st_size == whole:
            end = os.pread(file.fileno(), whole - pixels, pixels)
    except OSError:
        return None
    if end[-SEAL:] != _seal(origin, end[:-SEAL]):
        file.close()
        return None
    with suppress(OSError):  # another user's
        os.utime(path)  # it is in use, and stays
    return PixelFile(file, path, shape, np.frombuffer(end[:-SEAL], CHECKSUM))


def written(
    path: Path, shape: Shape, origin: bytes, images: Iterable[Tensor], keep: Callable[[], bool]
) -> PixelFile:
    """Write the file of these images and open it; one process at a time.

    Args:
        path: The file; its folder must exist.
        shape: (N, C, H, W) of its images.
        origin: What they are made from.
        images: Every image, uint8 (C, H, W), in their order.
        keep: Asked when all are written; whether the file gets its name, or only stays open.

    Raises:
        OSError: If the folder cannot be written to, or the disk is full.
    """
    size, free = _size(shape), shutil.disk_usage(path.parent).free
    if size > free:
        raise DiskFullError(
            errno.ENOSPC, f"disk full: {size} bytes are needed, {free} are free", str(path)
        )
    temporary = path.with_name(f".{path.stem}.tmp")  # a killed process's is written over
    try:
        with room_for(path, size):
            _write(temporary, origin, images)
        found = opened(temporary, shape, origin)
        if found is None:
            raise OSError(errno.EIO, "was changed while it was written", str(temporary))
        found.path = path
        if keep():
            temporary.replace(path)
            sync(path.parent)
        return found
    finally:
        temporary.unlink(missing_ok=True)


def _size(shape: Shape) -> int:
    """Bytes of a file."""
    return int(np.prod(shape)) + shape[0] * CHECKSUM.itemsize + SEAL


def _write(path: Path, origin: bytes, images: Iterable[Tensor]) -> None:
    checksums = []
    with path.open("wb") as file:
        for one in images:
            pixels = one.contiguous().numpy().tobytes()
            checksums.append(zlib.crc32(pixels))
            file.write(pixels)
        table = np.array(checksums, CHECKSUM).tobytes()
        file.write(table + _seal(origin, table))
        file.flush()
        os.fsync(file.fileno())


def _seal(origin: bytes, checksums: bytes) -> bytes:
    return hashlib.sha256(origin + checksums).digest()
