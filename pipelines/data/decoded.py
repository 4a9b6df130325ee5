"""Image files that memory does not hold all at once: decoded one time, into a file of the cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from augmentor.common.types import DataError
from augmentor.data.lazy_images import LazyImages
from pipelines.data.pixel_file import PixelFile, Shape, opened, written
from pipelines.image_folder import BadFile, read_squares, shown

CACHE = "AUGMENTOR_CACHE"
"""The variable that names the folder of the cache."""
CODE = 1  # raise it when equal files give other pixels
SUFFIX = ".pixels"
UNUSED = 30  # days after which a file is removed when another one is written
Step = Callable[[int, int], None]


def cache_folder() -> Path:
    """Where decoded images are kept: below ``$AUGMENTOR_CACHE``, else below
    ``~/.cache/augmentor``.
    """
    return Path(os.environ.get(CACHE) or "~/.cache/augmentor").expanduser() / "decoded"


def decoded_squares(
    paths: Sequence[Path], *, size: int, grey: bool, most: int, step: Step | None = None
) -> tuple[Tensor, list[BadFile]]:
    """Images of files, read from the cache as they are used; decoded into it if they are not there.

    Args:
        paths: Image files.
        size: Side of the images.
        grey: One channel or three.
        most: Bytes of them that may be floats at once.
        step: Called with the files decoded and all files.

    Returns:
        A ``LazyImages``, float32 (N, C, size, size) in [-1, 1] in the order of ``paths``, and what
        could not be read (left black).

    Raises:
        DataError: If the cache cannot be written to, or its disk is full.
    """
    shape = (len(paths), 1 if grey else 3, size, size)
    bad: list[BadFile] = []
    images = _squares(paths, size, grey, bad, step)
    try:
        # A file with images that could not be read is not kept: the next run must hear of them too.
        file = _at_hand(_origin(paths, size, grey), shape, images, lambda: not bad)
    except OSError as error:
        raise DataError(
            f"{len(paths)} images do not fit in memory and cannot be kept in "
            f"{shown(cache_folder())}: {error.strerror or error}; name a folder with room by "
            f"${CACHE}, or ask for a smaller --size"
        ) from error
    return LazyImages([file], most=most), bad


def _at_hand(
    origin: bytes, shape: Shape, images: Iterator[Tensor], keep: Callable[[], bool]
) -> PixelFile:
    """The file made from ``origin``; one process writes it while others wait."""
    folder = cache_folder()
    path = folder / f"{origin.hex()[:32]}{SUFFIX}"
    if (file := opened(path, shape, origin)) is not None:
        return file
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(path.with_suffix(".lock")):
        if (file := opened(path, shape, origin)) is not None:
            return file
        _remove_unused(folder)
        return written(path, shape, origin, images, keep)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process holds the lock, which the kernel drops with its holder."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.utime(handle)
        yield
    finally:
        os.close(handle)


def _remove_unused(folder: Path) -> None:
    """Remove what no run has opened for ``UNUSED`` days, and what killed processes left."""
    for path in [*folder.glob(f"*{SUFFIX}"), *folder.glob("*.lock"), *folder.glob(".*.tmp")]:
        try:
            if time.time() - path.stat().st_mtime > UNUSED * 86_400:
                path.unlink()
        except OSError:  # removed by another process, or its own
            continue


def _origin(paths: Sequence[Path], size: int, grey: bool) -> bytes:
    """Changes with the files, as far as their names, sizes and times tell, and with the form."""
    digest = hashlib.sha256(f"{CODE} {size} {grey}".encode())
    for path in paths:
        status = path.stat()
        digest.update(os.fsencode(path.absolute()))
        digest.update(f"\0{status.st_size} {status.st_mtime_ns}\0".encode())
    return digest.digest()


def _squares(
    paths: Sequence[Path], size: int, grey: bool, bad: list[BadFile], step: Step | None
) -> Iterator[Tensor]:
    """Every image, uint8 (C, size, size); files that cannot be read are added to ``bad``."""
    for done, path in enumerate(paths, 1):
        images, damaged = read_squares([path], size=size, grey=grey)
        bad += damaged
        yield images[0]
        if step is not None:
            step(done, len(paths))
