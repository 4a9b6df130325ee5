"""Folders that a set can lie in: one of this machine, or a place that fsspec reaches by a URL.

No other module knows fsspec.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from augmentor.common.given_files import MOST_JSON, MOST_SHARD, open_given, read_bytes
from augmentor.common.types import DataError

T = TypeVar("T")

PATIENCE = 120.0
"""Seconds that a server may be away before a read or write fails."""
PAUSE, LOOK = 2.0, 0.2
"""Seconds between two tries, and between two looks at the signals meanwhile."""
FINAL = (
    FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, ImportError,
    TypeError, AttributeError, NotImplementedError,
)  # fmt: skip
"""Errors that do not go away by waiting."""


class Folder(Protocol):
    """A folder whose files can be read whole or in part."""

    def read(self, name: str, most: int = MOST_JSON) -> bytes:
        """All bytes of a file, of which there may be ``most``."""

    def read_range(self, name: str, start: int, size: int) -> bytes:
        """``size`` bytes of a file from ``start`` on."""


@dataclass(frozen=True)
class LocalFolder:
    """A folder of this machine.

    Args:
        path: The folder.
    """

    path: Path

    def read(self, name: str, most: int = MOST_JSON) -> bytes:
        """As ``given_files.read_bytes``; links out of the folder are refused."""
        return read_bytes(self.path / name, most, inside=self.path)

    def read_range(self, name: str, start: int, size: int) -> bytes:
        """As ``Folder.read_range``."""
        with open_given(self.path / name, MOST_SHARD, inside=self.path) as file:
            file.seek(start)
            return file.read(size)

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class RemoteFolder:
    """A folder on a server; a file there is whole or absent.

    Every call waits while the server is away, up to ``PATIENCE`` seconds.

    Args:
        url: Such as ``s3://bucket/set``; accounts and addresses of servers are those of fsspec's
            own settings, for S3 the variables ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and
            ``AWS_ENDPOINT_URL``.
        check: Called while waiting; raises to stop.

    Raises:
        DataError: If fsspec does not know the URL's scheme, or a server stays away.
        ImportError: If the package for the scheme is not installed.

    Example:
        >>> folder = RemoteFolder("memory://only-in-this-example")
        >>> folder.write("a.txt", b"abc")
        >>> folder.read("a.txt"), folder.read_range("a.txt", 1, 2), folder.sizes()
        (b'abc', b'bc', {'a.txt': 3})
    """

    url: str
    check: Callable[[], None] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", self.url.rstrip("/"))

    def __getstate__(self) -> dict[str, Any]:
        """Without ``check``, which belongs to this process."""
        return {"url": self.url, "check": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what ``__getstate__`` gave."""
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        return self.url

    def read(self, name: str, most: int = MOST_JSON) -> bytes:
        """All bytes of a file.

        Raises:
            FileNotFoundError: If it is not there.
            ValueError: If it has more than ``most`` bytes.
        """

        def read() -> bytes:
            files, path = self._files(name)
            data: bytes = files.cat_file(path, end=most + 1)
            return data

        data = self._patient(read)
        if len(data) > most:
            raise ValueError(f"larger than {most} bytes: {self.url}/{name}")
        return data

    def read_range(self, name: str, start: int, size: int) -> bytes:
        """``size`` bytes of a file from ``start`` on.

        Raises:
            FileNotFoundError: If it is not there.
        """

        def read() -> bytes:
            files, path = self._files(name)
            data: bytes = files.cat_file(path, start=start, end=start + size)
            return data

        return self._patient(read)

    def read_all(self, names: list[str]) -> dict[str, bytes]:
        """The bytes of those of some files that are there, many at a time."""

        def read() -> dict[str, bytes]:
            files, _ = self._files("")
            paths = [self._files(name)[1] for name in names]
            # Not cat(), which takes brackets and stars in names for patterns.
            nothing = [None] * len(paths)
            found = files.cat_ranges(paths, nothing, nothing, on_error="return") if paths else []
            there = {}
            for name, data in zip(names, found, strict=True):
                if isinstance(data, FileNotFoundError):
                    continue
                if isinstance(data, Exception):
                    raise data
                there[name] = data
            return there

        return self._patient(read)

    def put(self, name: str, path: Path) -> None:
        """Publish a local file, whole.

        Raises:
            OSError: If less of it arrived than was sent.
        """

        def put() -> None:
            files, target = self._files(name)
            files.put_file(str(path), target)
            arrived, sent = files.info(target)["size"], path.stat().st_size
            if arrived != sent:
                raise OSError(f"{self.url}/{name}: {arrived} bytes of {sent} arrived")

        self._patient(put, also=FileNotFoundError)  # a server that starts again lacks its buckets

    def write(self, name: str, data: bytes) -> None:
        """Write a small file, whole."""

        def write() -> None:
            files, path = self._files(name)
            files.pipe_file(path, data)

        self._patient(write, also=FileNotFoundError)

    def create(self, name: str, data: bytes) -> bool:
        """Write a small file unless there is one; whether it was written."""

        def create() -> bool:
            files, path = self._files(name)
            if files.exists(path):
                return False
            try:
                files.pipe_file(path, data, mode="create")
            except FileExistsError:
                return False
            return True

        return self._patient(create)

    def sizes(self, below: str = "") -> dict[str, int]:
        """Bytes of all files of the folder, or of one below it, by name."""

        def list_() -> dict[str, int]:
            files, path = self._files(below)
            files.invalidate_cache()
            found = files.find(path, detail=True)
            start = len(files._strip_protocol(self.url).rstrip("/")) + 1
            return {name[start:]: int(info["size"]) for name, info in found.items()}

        return self._patient(list_)

    def _files(self, name: str) -> tuple[Any, str]:
        """The file system, and the path of a file in it."""
        import fsspec

        scheme = self.url.partition("://")[0]
        try:
            # Made anew in every process and thread; fsspec keeps one of each.
            found: tuple[Any, str] = fsspec.core.url_to_fs(f"{self.url}/{name}".rstrip("/"))
        except ImportError as error:
            raise ImportError(
                f"{self.url}: {scheme}:// needs a package that is not installed ({error}); for S3 "
                "install augmentor-synth[cloud]"
            ) from error
        except ValueError as error:
            raise DataError(f"{self.url}: not a place that fsspec knows ({error})") from error
        return found

    def _patient(self, call: Callable[[], T], also: type[Exception] | None = None) -> T:
        """What a call returns; again and again while the server is away.

        Args:
            call: What is done.
            also: One of ``FINAL`` that is waited for all the same.
        """
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return call()
            except DataError:
                raise
            except Exception as error:
                final = isinstance(error, FINAL) and not (also and isinstance(error, also))
                if final or type(error).__name__ in NEVER or time.monotonic() > end:
                    raise _plain(self.url, error) from error
            self._pause()

    def _pause(self) -> None:
        end = time.monotonic() + PAUSE
        while time.monotonic() < end:
            if self.check is not None:
                self.check()
            time.sleep(LOOK)


NEVER = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "ParamValidationError")
"""Errors of botocore, by name, that do not go away by waiting."""


def _plain(url: str, error: Exception) -> Exception:
    """An error that says where, and that pickle can carry, as botocore's cannot always be."""
    if isinstance(error, ImportError):
        return error
    if isinstance(error, FINAL):
        return type(error)(f"{url}: {error}")
    return DataError(f"{url}: cannot be reached ({type(error).__name__}: {error}); try again")


def is_url(place: object) -> bool:
    """Whether a place is a URL of another machine, and not a path.

    Example:
        >>> is_url("s3://bucket/set"), is_url("runs/set"), is_url("file:///data/set")
        (True, False, False)
    """
    return isinstance(place, str) and "://" in place and not place.startswith("file://")


def folder_at(place: str | Path) -> LocalFolder | RemoteFolder:
    """The folder that a path or a URL names.

    Example:
        >>> folder_at("runs/set"), folder_at("s3://bucket/set/")
        (LocalFolder(path=PosixPath('runs/set')), RemoteFolder(url='s3://bucket/set'))
    """
    if is_url(place):
        return RemoteFolder(str(place))
    return LocalFolder(local_path(place))


def local_path(place: str | Path) -> Path:
    """The path that a text names; ``file://`` before it may be."""
    return Path(place.removeprefix("file://")) if isinstance(place, str) else place
