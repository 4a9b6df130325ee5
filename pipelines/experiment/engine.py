"""Who makes the tasks of a job: processes of this machine, or a Ray cluster; stopped by a signal.

Both engines make the same parts with the same bytes on one type of device. What is of Ray stays in
``ray_engine``; what a task takes to another machine and brings back is in ``travel``.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

import torch

from pipelines.config import EngineConfig
from pipelines.device import usable_cores
from pipelines.interrupt import Watch

T = TypeVar("T")
Task = TypeVar("Task", contravariant=True)
OnPart = Callable[[str], None]
OnJob = Callable[[int, str], None]
Work = Callable[[T, OnPart, Watch | None], None]
"""A job: its description, a progress reporter, and a watch to check (None in a worker)."""

POLL = 0.2  # seconds between two looks at the watch
PART_MADE = "\x01"
"""First character of a worker's report that a part, and not only a step on the way, is finished."""
LATE = 10.0
"""Seconds that the last words of a job may take."""
BEGUN = "\x02"
"""What a process of this machine reports first of a job; nobody else hears it."""
MOST_RETRIES = 3
"""How often a part is begun again after its worker died."""


class Engine(Protocol[Task]):
    """Runs independent tasks at the same time."""

    @property
    def places(self) -> int:
        """Tasks that run at the same time, at most, as things stand now."""

    def run(self, jobs: Sequence[Task], on_part: OnJob) -> None:
        """Run all tasks; a failing one stops those that have not begun.

        Args:
            jobs: What to do.
            on_part: Called here with the number of a task and a few words when a part of it is
                finished and its files are here, and with an empty text when all of it is.

        Raises:
            Interrupted: If a signal came; running tasks are cut off.
            RuntimeError: If a worker died too often; names what it was making.
            Exception: What the first failing task raised.
        """


@dataclass(frozen=True)
class Needs:
    """What a task reads and leaves, for a machine that has none of it.

    Args:
        label: What it makes next, for people.
        root: Folder that it works in.
        below: Files and folders below ``root`` that it reads, as far as they are there.
        beside: Other files and folders that it reads.
        returns: Folders below ``root`` whose new files are the result.
    """

    label: str
    root: Path
    below: tuple[Path, ...] = ()
    beside: tuple[Path, ...] = ()
    returns: tuple[Path, ...] = ()


class Travelling(Protocol):
    """A task that can be done on another machine."""

    def needs(self) -> Needs:
        """What it reads and leaves, as things stand now."""


def engine_of(
    settings: EngineConfig,
    work: Work[Any],
    processes: int,
    threads: int | None,
    watch: Watch,
    device: str = "cpu",
) -> AbstractContextManager[Engine[Any]]:
    """The engine that a configuration names.

    Args:
        settings: Its name, and what a task takes of a cluster.
        work: What a worker does with a task; it travels once to every worker.
        processes: Tasks that are made at the same time, at most.
        threads: CPU threads of a worker; None shares the cores out evenly.
        watch: Looked at while tasks run.
        device: Where tasks compute, as torch names it.

    Raises:
        ImportError: If Ray is asked for and not installed.
    """
    if settings.name == "local":
        return Workers(work, processes, threads, watch, device)
    from pipelines.experiment.ray_engine import RayWorkers

    return RayWorkers(work, processes, threads, watch, settings, device)


_parts: Any = None  # in a worker: the queue to the parent
_work: Any = None  # in a worker: what it does with a job


class Workers(Generic[T]):
    """Runs jobs; with one process in this one, else in others, which are kept from call to call.

    On Linux these are copies of a process that has imported the work and done nothing else: imports
    take longer than many a job. Elsewhere, and for a GPU, which does not survive a fork, each is
    started anew.

    Args:
        work: What is done with a job; it travels once to every worker, so that what all jobs need
            belongs into it: a function of a module, or an object that can be called.
        processes: Jobs that run at the same time.
        threads: CPU threads of a worker; None shares the cores out evenly.
        watch: Looked at while jobs run.
        device: Where jobs compute, as torch names it.
    """

    def __init__(
        self,
        work: Work[T],
        processes: int,
        threads: int | None,
        watch: Watch,
        device: str = "cpu",
    ) -> None:
        self._work, self._processes, self._watch = work, processes, watch
        self._forks = sys.platform == "linux" and device == "cpu"
        self._threads = threads or max(1, usable_cores() // processes)
        self._before = set(multiprocessing.active_children())
        self._pool: ProcessPoolExecutor | None = None
        self._queue: Any = None
        self._call, self._heard, self._begun = 0, list[int](), set[int]()

    def __enter__(self) -> Workers[T]:
        """The workers themselves; they start with the first jobs."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Let the workers go; at an error or a signal at once."""
        if self._pool is None:
            return
        if kind is not None:
            for child in set(multiprocessing.active_children()) - self._before:
                child.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def places(self) -> int:
        """As ``Engine.places``."""
        return self._processes

    def run(self, jobs: Sequence[T], on_part: OnJob) -> None:
        """Run all jobs.

        A failing job stops those that have not begun; those that have run to their end first. A
        job whose process died begins again, up to three more times since its last finished part.

        Args:
            jobs: What to do, in this order.
            on_part: Called here with the number of a job and a few words when a part of it is
                finished, and with an empty text when all of it is.

        Raises:
            Interrupted: If a signal came; running jobs are cut off.
            RuntimeError: If a worker died too often; names what it was making.
            Exception: What the first failing job raised.
        """
        if self._processes == 1:
            for index, job in enumerate(jobs):
                self._work(job, self._reporter(on_part, index), self._watch)
                on_part(index, "")
        elif jobs:
            self._run_in_workers(jobs, on_part)

    def _reporter(self, on_part: OnJob, index: int) -> OnPart:
        """Passes the parts of one job on, and stops it at a signal."""

        def report(part: str) -> None:
            on_part(index, part)
            self._watch.check()

        return report

    def _run_in_workers(self, jobs: Sequence[T], on_part: OnJob) -> None:
        left, deaths = list(range(len(jobs))), Counter[int]()

        def hear(index: int, part: str) -> None:
            if part.startswith(PART_MADE):
                del deaths[index]
            on_part(index, part)

        while left := self._attempt(jobs, left, hear):
            # All processes of a pool end with the first of them; any that was at work may be why.
            self._end_pool()
            suspects = [index for index in left if index in self._begun]
            for index in suspects or left[: self._processes]:
                deaths[index] += 1
            if named := [index for index in left if deaths[index] > MOST_RETRIES]:
                raise RuntimeError(_death_words([jobs[index] for index in named]))

    def _attempt(self, jobs: Sequence[T], left: list[int], on_part: OnJob) -> list[int]:
        """Run some jobs until all are done or a worker dies; the jobs that are left then."""
        pool = self._started()
        self._call += 1
        waiting: dict[Future[int], int] = {}
        self._heard, self._begun = [0] * len(jobs), set()
        for index in left:
            waiting[pool.submit(_run_one, (self._call, index), jobs[index])] = index
        failure: BaseException | None = None
        unfinished = list[int]()
        while waiting:
            done, _ = wait(waiting, timeout=POLL, return_when=FIRST_COMPLETED)
            self._hear(on_part)
            self._watch.check()
            for future in done:
                index = waiting.pop(future)
                error = None if future.cancelled() else future.exception()
                if isinstance(error, BrokenProcessPool):
                    unfinished.append(index)
                elif error is None and not future.cancelled():
                    self._hear_all(index, future.result(), on_part)
                    on_part(index, "")
                elif failure is None and error is not None:
                    failure = error
                    for other in waiting:
                        other.cancel()
        if failure is not None:
            raise failure
        return sorted(unfinished)

    def _end_pool(self) -> None:
        """Let a broken pool go; its queue may hold half a word."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._queue = None

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            forks = self._forks and _template_runs(self._work.__module__)
            context = multiprocessing.get_context("forkserver" if forks else "spawn")
            self._queue = context.Queue()
            # What is copied has the environment of when it began, which was perhaps long ago.
            # Plain bytes: torch would hand every tensor over as an open file, and a new process
            # takes 256 of them at most.
            work = pickle.dumps(self._work)
            given = (self._queue, work, self._threads, dict(os.environ))
            self._pool = ProcessPoolExecutor(self._processes, context, _start_worker, given)
        return self._pool

    def _hear(self, on_part: OnJob) -> None:
        while True:
            try:
                (call, index), part = self._queue.get_nowait()
            except queue.Empty:
                return
            if call != self._call:  # a word can arrive after the call it is about has failed
                continue
            if part == BEGUN:
                self._begun.add(index)
                continue
            self._heard[index] += 1
            on_part(index, part)

    def _hear_all(self, index: int, words: int, on_part: OnJob) -> None:
        """Wait for the last words of a job, which can arrive after its end; those of a process
        that has died meanwhile may not arrive.
        """
        end = time.monotonic() + LATE
        while self._heard[index] < words and time.monotonic() < end:
            self._hear(on_part)
            self._watch.check()
            time.sleep(POLL / 20)


def _death_words(jobs: Sequence[object]) -> str:
    labels = []
    for job in jobs:
        needs = getattr(job, "needs", None)
        labels.append(needs().label if needs else "a job")
    return (
        f"{' or '.join(labels)}: its worker died {MOST_RETRIES + 1} times, perhaps for want of "
        "memory; what is finished is kept"
    )


def _template_runs(module: str) -> bool:
    """Start the process that workers are copies of, unless it runs.

    It must import what is installed, never a folder of the same name where the user happens to be.
    A process that was forked itself cannot look after the one that its parent started.
    """
    former = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        multiprocessing.get_context("forkserver").set_forkserver_preload([module])
        ensure_running()
    except ChildProcessError:
        return False
    else:
        return True
    finally:
        if former is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = former


def _start_worker(parts: Any, work: bytes, threads: int, environment: Mapping[str, str]) -> None:
    global _parts, _work
    _parts = parts
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the parent decides
    torch.set_num_threads(threads)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _work = pickle.loads(work)


def _die_with_parent() -> None:
    """A worker whose parent was killed would wait for jobs for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_one(number: tuple[int, int], job: object) -> int:
    """Do a job in a worker; returns how many words were sent of it."""
    words = 0
    _parts.put((number, BEGUN))

    def report(part: str) -> None:
        nonlocal words
        words += 1
        _parts.put((number, part))

    _work(job, report, None)
    return words
