"""A loader that says which item it was at when one of its workers crashed, hung or raised."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from augmentor.common.types import DataError
from augmentor.data.item_form import base_of


class WatchedLoader:
    """PyTorch's ``DataLoader`` with a timeout, and with the paths of the items in work in whatever
    error it ends with.

    By itself a ``DataLoader`` waits for a hung worker for ever, and of a crashed one it tells the
    process id only.

    Args:
        dataset: With ``samples`` of (path, label), as ``ImageFolder`` and ``SyntheticMix`` have,
            paths are named, else positions.
        timeout: Seconds to wait for a batch of the workers, above 0; without workers nothing is
            waited for.
        options: All else that a ``DataLoader`` takes. Its workers must not be persistent.

    Raises:
        ValueError: If ``timeout`` is not above 0, or workers are to persist.

    Example:
        >>> loader = WatchedLoader(mix, batch_size=64, num_workers=2)  # doctest: +SKIP
    """

    def __init__(self, dataset: Dataset[Any], *, timeout: float = 120.0, **options: Any) -> None:
        if not timeout > 0 or options.get("persistent_workers"):
            raise ValueError(
                f"timeout must be above 0, got {timeout}, and workers must not be persistent"
            )
        workers = options.get("num_workers", 0)
        self.dataset = dataset
        # What every worker is reading and where it failed first; shared memory, so that it outlives
        # the worker.
        self._reading = torch.full((2, max(1, workers)), -1, dtype=torch.int64)
        self._reading.share_memory_()  # type: ignore[no-untyped-call]
        noted = _Noted(dataset, self._reading)
        self._loader: DataLoader[Any] = DataLoader(
            noted, timeout=timeout if workers else 0, **options
        )

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        """The batches of an epoch.

        Raises:
            DataError: If an item raises, or a worker crashes or takes longer than ``timeout``; the
                message names the items that were being read. No worker is left.
        """
        self._reading.fill_(-1)
        before = set(multiprocessing.active_children())
        batches: Iterator[Any] | None = None
        workers = set[Any]()
        try:
            try:
                batches = iter(self._loader)
            finally:
                workers = set(multiprocessing.active_children()) - before
            while True:
                if dead := [worker for worker in workers if worker.exitcode]:
                    raise RuntimeError(f"a worker ended with code {dead[0].exitcode}")
                try:
                    batch = next(batches)
                except StopIteration:
                    return
                with _no_news_of_children():
                    yield batch
        except Exception as error:
            with _no_news_of_children():
                # The loader's iterator, which asks its workers to end when it goes, is in the
                # traceback's frames too.
                batches = None
                traceback.clear_frames(error.__traceback__)
                for worker in workers:  # others may be the user's own
                    worker.kill()  # it did not hear that
                    worker.join()
            raise DataError(f"{self._in_work()}: {_reason(error)}") from error

    def _in_work(self) -> str:
        reading, failed = ([i for i in row if i >= 0] for row in self._reading.tolist())
        positions = failed or reading
        return (
            ", ".join(_name(self.dataset, position) for position in positions) or "no item in work"
        )


@contextmanager
def _no_news_of_children() -> Iterator[None]:
    """Hold PyTorch back from raising in the middle of anything, the user's own code too, when a
    worker has died.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, former or signal.SIG_DFL)


class _Noted(Dataset[Any]):
    """Writes down which item is being read, and which one raised; its worker continues with the
    next batch.
    """

    def __init__(self, dataset: Dataset[Any], reading: Tensor) -> None:
        self.dataset, self.reading = dataset, reading

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Any:
        worker = get_worker_info()
        slot = 0 if worker is None else worker.id
        reading, failed = self.reading[:, slot]
        reading.fill_(index)
        try:
            item = self.dataset[index]
        except Exception:
            if failed < 0:
                failed.fill_(index)
            raise
        reading.fill_(-1)
        return item


def _name(dataset: Dataset[Any], position: int) -> str:
    base, indices = base_of(dataset)
    samples = getattr(base, "samples", None)
    if samples is None:
        return f"item {position}"
    return str(samples[position if indices is None else int(indices[position])][0])


def _reason(error: Exception) -> str:
    """The error's own words: a worker's comes wrapped in its traceback, the last line of which says
    it.
    """
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1] if lines[0].startswith("Caught ") else lines[0]
