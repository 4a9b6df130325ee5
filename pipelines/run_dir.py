"""The folder of a run: where its parts lie, and the lock that keeps a second run out."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from augmentor.common.atomic_files import remove_leftovers, room_for, write_bytes, write_text
from augmentor.common.given_files import read_text
from pipelines.config import ConfigError, dump_config, parse_config
from pipelines.strict_yaml import LARGEST_FILE


class RunLockedError(RuntimeError):
    """Another live process works in this folder."""


def require_writable(folder: Path) -> None:
    """Find out before any work whether files can be written to a folder, which is made with its
    parents if absent.

    Raises:
        OSError: If not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".{os.getpid()}.tmp"
    write_bytes(probe, b"")
    probe.unlink()


@dataclass(frozen=True)
class RunDir:
    """Names of the parts of a run.

    Args:
        path: The folder; ``lock`` makes it.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The config the run was started with."""
        return self.path / "config.yaml"

    @property
    def has_work(self) -> bool:
        """Whether anything of a run is finished here."""
        return self.parts.is_dir() or self.checkpoints.is_dir()

    def write_config(self, text: str) -> None:
        """Keep the config that a job runs with; nothing is written where it is there already.

        Raises:
            ConfigError: As ``require_own_config``.
        """
        self.require_own_config(text)
        if not self.config.exists() or self.read_config() != text:
            write_text(self.config, text)

    def require_own_config(self, text: str) -> None:
        """Refuse to replace a ``config.yaml`` that no job wrote.

        Args:
            text: What would be written.

        Raises:
            ConfigError: If there is one, with other content and without any work of a run.
        """
        if not self.config.exists() or self.has_work:
            return
        found = self.read_config()
        if found != text and not _written_by_a_job(found):
            raise ConfigError(
                f"{self.config} was not written by a run, and this one would replace it; give "
                "another --out, or rename the file"
            )

    def read_config(self) -> str:
        """The text of the config.

        Raises:
            ConfigError: If the file cannot be read.
        """
        try:
            return read_text(self.config, LARGEST_FILE)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.config}: cannot be read: {error}") from error

    @property
    def checkpoints(self) -> Path:
        """One folder a saved step."""
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        """Sample grids, one file a saved step."""
        return self.path / "samples"

    @property
    def features(self) -> Path:
        """Frozen features of a trained network, by image and view."""
        return self.path / "features"

    @property
    def parts(self) -> Path:
        """One file per finished part of a comparison."""
        return self.path / "parts"

    @property
    def tensorboard(self) -> Path:
        """Event files."""
        return self.path / "tensorboard"

    @property
    def log(self) -> Path:
        """One JSON object a logged step."""
        return self.path / "log.jsonl"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Make the folder, hold it for this process, and clear away what a killed one left half
        written.

        The kernel drops the lock with its holder, however that ends, so a lock left behind by a
        dead process does not matter.

        Raises:
            RunLockedError: If another process holds it; the message names its pid.
            OSError: If the folder cannot be made or written to.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._take(handle)
            for folder in (self.path, self.checkpoints, self.samples, self.parts):
                remove_leftovers(folder)
            yield
            os.truncate(handle, 0)
        finally:
            os.close(handle)

    def _take(self, handle: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(handle, 20).decode("ascii", "replace").strip() or "unknown"
            raise RunLockedError(
                f"{self.path} is in use by process {holder}; wait for it or give another --out"
            ) from error
        os.truncate(handle, 0)
        # Written at once, so that a folder without room or permission is refused before any work is
        # done.
        with room_for(self.path / "lock", 20):
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            os.fsync(handle)


def _written_by_a_job(text: str) -> bool:
    """Whether a config has the form in which jobs write theirs."""
    try:
        return dump_config(parse_config(text, "config.yaml")) == text
    except ConfigError:
        return False
