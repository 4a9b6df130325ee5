"""Where a synthetic set goes: a folder that this process locks, or a URL."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from augmentor.data.remote_folder import RemoteFolder, is_url, local_path
from augmentor.data.remote_set import begin_remote_set, require_fitting_at
from augmentor.data.synthetic_store import BegunSet, Format, Recipe, begin_set, require_fitting
from pipelines.config import ConfigError
from pipelines.interrupt import Watch
from pipelines.run_dir import RunDir


@dataclass(frozen=True)
class Place:
    """Where a set goes.

    Args:
        out: Its folder, or its URL.
        folder: Its folder; for a URL one of this machine, where a shard lies until it is sent.
        remote: The folder that the URL names; None for a set on the disk.
    """

    out: Path | str
    folder: Path
    remote: RemoteFolder | None = None

    def require_fitting(self, recipe: Recipe) -> None:
        """Refuse a place that ``begin`` would, whatever the filter of the recipe is.

        Raises:
            DataError: If other files are there, or a set of another recipe.
        """
        if self.remote is not None:
            require_fitting_at(self.remote, recipe, but=("filter",))
        else:
            require_fitting(self.folder, recipe, but=("filter",))

    def begin(self, recipe: Recipe, trained_on: NDArray[np.int64]) -> BegunSet:
        """Begin a set, or find what an interrupted run left of it.

        Raises:
            DataError: If other files are there, or a set of another recipe.
        """
        if self.remote is not None:
            return begin_remote_set(self.remote, self.folder, recipe, trained_on)
        return begin_set(self.folder, recipe, trained_on)


@contextmanager
def place_for(out: Path | str, form: Format, watch: Watch) -> Iterator[Place]:
    """The place that a path or a URL names.

    A folder is locked. A URL is not: two runs with the same recipe write the same bytes, and
    another recipe is refused.

    Args:
        out: The path or URL.
        form: What is written there.
        watch: Looked at while a server is away.

    Raises:
        ConfigError: If files of their own are asked for at a URL, or it names no folder below the
            bucket.
        RunLockedError: If another process writes to the folder.
    """
    if not is_url(out):
        folder = local_path(out)
        with RunDir(folder).lock():
            yield Place(folder, folder)
        return
    if form != "shards":
        raise ConfigError(f"{out}: a set at a URL is one of shards; add --format shards")
    if "/" not in str(out).partition("://")[2].strip("/"):
        # Its contact sheet lies beside the folder, in the same bucket.
        raise ConfigError(
            f"{out}: a set needs a folder of its own below that; write {str(out).rstrip('/')}/set"
        )
    with tempfile.TemporaryDirectory(prefix="augmentor-") as folder_here:
        remote = RemoteFolder(str(out), watch.check)
        yield Place(remote.url, Path(folder_here) / "set", remote)
