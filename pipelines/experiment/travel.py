"""A task on a machine that has none of its files: what it takes along, and what it brings back.

The driver packs the task with the files it reads. The worker lays them into a folder of its own,
does the work there with all paths moved, and reports every word together with the files that are
new. The driver alone writes to the folder of the job.
"""

from __future__ import annotations

import dataclasses
import pickle
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch
from pydantic import BaseModel

from augmentor.common.atomic_files import write_bytes
from pipelines.config import DataConfig
from pipelines.datasets import AllImages, files_of, images_at_hand
from pipelines.experiment.engine import PART_MADE, Travelling, Work
from pipelines.experiment.provenance import package_versions

DECIDING = ("python", "augmentor", "torch", "torchvision", "timm", "numpy")
"""Packages whose versions must be those of the driver."""
OFTEN = 20.0
"""Seconds after which unfinished files, such as checkpoints, go back too."""

Files = Mapping[str, bytes | None]
"""Contents by path below a folder, with ``/``; None of a file that was removed."""


@dataclass(frozen=True)
class Luggage:
    """A task with the files it reads.

    Args:
        task: With the paths of the driver.
        root: Folder of the job.
        below: Files below ``root``.
        beside: Files of other places; of a single file under the name "".
        returns: Folders below ``root`` whose new files come back.
        versions: Of the packages on the driver.
    """

    task: Any
    root: Path
    below: Files
    beside: Mapping[Path, Files]
    returns: tuple[str, ...]
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Report:
    """What a worker says.

    Args:
        note: A few words; beginning with ``PART_MADE`` where a part is finished.
        files: What is new below the folder of the job.
        last: Whether the task has come to its end.
        error: What the task raised, or None.
    """

    note: str = ""
    files: Files = field(default_factory=dict)
    last: bool = False
    error: BaseException | None = None


def packed(task: Travelling) -> Luggage:
    """A task with the files it reads, as things stand now.

    Raises:
        OSError: If a file cannot be read.
    """
    needs, below = task.needs(), dict[str, bytes | None]()
    for path in needs.below:
        for name, content in _contents(path).items():
            inner = path.relative_to(needs.root) / name
            below[inner.as_posix()] = content
    beside = {path: _contents(path) for path in needs.beside}
    returns = tuple(path.relative_to(needs.root).as_posix() for path in needs.returns)
    versions = package_versions()
    return Luggage(task, needs.root, below, beside, returns, versions)


def data_of(task: object) -> list[DataConfig]:
    """The data sets that a task names, each once, in the form of ``files_of``."""
    found = dict[DataConfig, None]()
    for value in _values(task):
        if isinstance(value, DataConfig):
            found[files_of(value)] = None
    return list(found)


def performed(
    work: Work[Any],
    luggage: Luggage,
    images: Mapping[DataConfig, AllImages],
    threads: int,
) -> Iterator[Report]:
    """Do a task here, in a folder of its own; the reports come while it is at work.

    Args:
        work: What is done with the task.
        luggage: The task and its files.
        images: Of the data sets that it names.
        threads: CPU threads.

    Yields:
        What the driver should hear; the last one has ``last`` or an ``error``.
    """
    reports: SimpleQueue[Report] = SimpleQueue()
    arguments = (work, luggage, images, threads, reports.put)
    threading.Thread(target=_perform, args=arguments, daemon=True).start()
    while True:
        report = reports.get()
        yield report
        if report.last or report.error is not None:
            return


def lay(root: Path, files: Files) -> None:
    """Write files below a folder, each whole or not at all.

    Raises:
        OSError: If one cannot be written.
        ValueError: If a name leads out of the folder.
    """
    for name, content in files.items():
        path = root / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{name}: leads out of {root}")
        if content is None:
            path.unlink(missing_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)


def moved(value: Any, places: Mapping[Path, Path]) -> Any:
    """A value with every path below one of ``places`` moved; what holds none stays the object it
    is.

    Example:
        >>> moved((Path("a/b"), 1), {Path("a"): Path("c")}) == (Path("c/b"), 1)
        True
    """
    if isinstance(value, Path):
        for old, new in places.items():
            if value.is_relative_to(old):
                return new / value.relative_to(old)
        return value
    if isinstance(value, Mapping):
        changed: Any = {key: moved(one, places) for key, one in value.items()}
        same = all(changed[key] is one for key, one in value.items())
        return value if same else changed
    if type(value) in (tuple, list):
        changed = type(value)(moved(one, places) for one in value)
        return value if all(map(_is, changed, value)) else changed
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _moved_fields(value, places)
    return value


def _is(one: object, other: object) -> bool:
    return one is other


def _moved_fields(value: Any, places: Mapping[Path, Path]) -> Any:
    changes = {}
    for one in dataclasses.fields(value):
        before = getattr(value, one.name)
        if one.init and (after := moved(before, places)) is not before:
            changes[one.name] = after
    return dataclasses.replace(value, **changes) if changes else value


def _values(value: Any) -> Iterator[Any]:
    """A value and all that it holds, of dataclasses, sections and containers."""
    yield value
    inner: Any = ()
    if isinstance(value, BaseModel):
        inner = [getattr(value, name) for name in type(value).model_fields]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        inner = [getattr(value, one.name) for one in dataclasses.fields(value)]
    elif isinstance(value, Mapping):
        inner = value.values()
    elif isinstance(value, tuple | list):
        inner = value
    for one in inner:
        yield from _values(one)


def _perform(
    work: Work[Any],
    luggage: Luggage,
    images: Mapping[DataConfig, AllImages],
    threads: int,
    report: Callable[[Report], None],
) -> None:
    """The thread that works: whatever ends it is reported."""
    try:
        _require_same(luggage.versions)
        torch.set_num_threads(threads)
        with tempfile.TemporaryDirectory(prefix="augmentor-") as folder, images_at_hand(images):
            root = Path(folder) / "job"
            task, news = _unpacked(luggage, Path(folder), root), _News(root, luggage.returns)
            news.files()  # what was brought along is not new
            work(task, lambda note: report(Report(note, news.due(note))), None)
            report(Report(files=news.files(), last=True))
    except BaseException as error:
        report(Report(error=_portable(error)))


def _require_same(versions: Mapping[str, str]) -> None:
    own = package_versions()
    for name in DECIDING:
        if own[name] != versions[name]:
            raise RuntimeError(
                f"a worker has {name} {own[name]}, the driver {versions[name]}: parts would "
                "differ; install the same versions on every machine of the cluster"
            )


def _unpacked(luggage: Luggage, folder: Path, root: Path) -> Any:
    """Lay the files down; the task with its paths moved to them."""
    root.mkdir()
    lay(root, luggage.below)
    places = dict[Path, Path]()
    for number, (path, files) in enumerate(luggage.beside.items()):
        place = folder / f"beside-{number}" / path.name
        place.parent.mkdir()
        lay(place.parent, {f"{path.name}/{name}".rstrip("/"): one for name, one in files.items()})
        places[path] = place
    places[luggage.root] = root  # last: what is beside may lie below it
    return moved(luggage.task, places)


@dataclass
class _News:
    """Which files below some folders are new, changed or gone since the last look."""

    root: Path
    folders: tuple[str, ...]
    _known: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    _looked: float = field(default_factory=time.monotonic)

    def due(self, note: str) -> Files:
        """The news where a part is finished or the last look was long ago."""
        if note.startswith(PART_MADE) or time.monotonic() - self._looked > OFTEN:
            return self.files()
        return {}

    def files(self) -> Files:
        """All news."""
        found, news = dict[str, tuple[int, int, int]](), dict[str, bytes | None]()
        for path in self._paths():
            name, state = path.relative_to(self.root).as_posix(), path.stat()
            found[name] = (state.st_ino, state.st_mtime_ns, state.st_size)
            if self._known.get(name) != found[name]:
                news[name] = path.read_bytes()
        news |= dict.fromkeys(self._known.keys() - found.keys())
        self._known, self._looked = found, time.monotonic()
        return news

    def _paths(self) -> Iterator[Path]:
        """Files of the folders, without locks and what is half written."""
        for folder in self.folders:
            for path in sorted((self.root / folder).rglob("*")):
                inner = path.relative_to(self.root).parts
                hidden = any(part.startswith(".") for part in inner)
                if path.is_file() and not hidden and path.name != "lock":
                    yield path


def _contents(path: Path) -> Files:
    """The files of a folder by their paths in it; of a file itself under the name ""."""
    if path.is_file():
        return {"": path.read_bytes()}
    found = {}
    for inner in sorted(path.rglob("*")):
        if inner.is_file() and not inner.name.startswith(".") and inner.name != "lock":
            found[inner.relative_to(path).as_posix()] = inner.read_bytes()
    return found


def _portable(error: BaseException) -> BaseException:
    """An exception that survives the way to the driver; its words where it does not."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
