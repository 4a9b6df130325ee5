"""The N-th write, fsync or rename fails, once or from then on; what was called is recorded with its
file."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Calls:
    """What reached the operating system.

    Args:
        fail_at: Number of the call that fails, counted from 1; 0 lets all pass.
        for_good: All later calls fail too.
        made: ("write" | "fsync" | "rename", path) in order; of a rename the new name.
    """

    fail_at: int = 0
    for_good: bool = False
    made: list[tuple[str, Path]] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return 0 < self.fail_at <= len(self.made)

    def happen(self, kind: str, path: Path) -> None:
        self.made.append((kind, path))
        number = len(self.made)
        if number == self.fail_at or (self.for_good and self.failed):
            raise OSError(errno.EIO, f"{kind} number {number} was made to fail", str(path))


class CountedFile(io.FileIO):
    """A file whose every write(2) is counted; one that fails takes half of its bytes first, as a
    full disk does."""

    def __init__(self, path: Path, mode: str, calls: Calls) -> None:
        super().__init__(path, mode)
        self.calls, self.path = calls, path
        self.pending: OSError | None = None

    def write(self, data: Any) -> int:
        if self.pending is not None:
            error, self.pending = self.pending, None
            raise error
        try:
            self.calls.happen("write", self.path)
        except OSError as error:
            self.pending = error
            return super().write(bytes(data)[: len(data) // 2])
        return super().write(data)


@contextmanager
def counted(calls: Calls) -> Iterator[Calls]:
    """Count, and fail, what ``pathlib`` and ``os`` do in this block."""
    plain_open, fsync, sync, rename, replace = io.open, os.fsync, os.sync, os.rename, os.replace

    def open_counted(
        path: Any, mode: str = "r", buffering: int = -1, *rest: Any, **named: Any
    ) -> Any:
        if not set(mode) & set("wax+"):
            return plain_open(path, mode, buffering, *rest, **named)
        binary = io.BufferedWriter(
            CountedFile(Path(path), mode.replace("b", "").replace("t", ""), calls)
        )
        return binary if "b" in mode else io.TextIOWrapper(binary, *rest, **named)

    def moving(call: Any) -> Any:
        def move(source: Any, target: Any, **named: Any) -> None:
            calls.happen("rename", Path(target))
            call(source, target, **named)

        return move

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io, "open", open_counted)
        patch.setattr(
            os,
            "fsync",
            lambda fd: (calls.happen("fsync", Path(f"/proc/self/fd/{fd}").readlink()), fsync(fd)),
        )
        patch.setattr(os, "sync", lambda: (calls.happen("fsync", Path("/")), sync()))
        patch.setattr(os, "rename", moving(rename))
        patch.setattr(os, "replace", moving(replace))
        yield calls
