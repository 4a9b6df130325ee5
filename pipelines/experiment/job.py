"""The frame of every job with parts: a locked folder, a store, workers, and a watch for Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pipelines.config import Config, EngineConfig, dump_config
from pipelines.device import threads_of_a_worker
from pipelines.experiment.engine import Engine, Work, engine_of
from pipelines.experiment.parallelism import Parallelism
from pipelines.experiment.parts import FinishedPart, PartStore
from pipelines.experiment.plan import Group, make_missing, read_all
from pipelines.interrupt import Interrupted, Watch, watch_signals
from pipelines.progress import Progress
from pipelines.run_dir import RunDir

T = TypeVar("T")
KEPT = "finished trainings are kept, and the same command resumes"


@dataclass(frozen=True)
class OpenJob(Generic[T]):
    """A job at work in its folder.

    Args:
        store: Its finished parts.
        engine: Who makes the missing ones.
        watch: Whether a signal has come.
        progress: Progress reporter.
    """

    store: PartStore
    engine: Engine[T]
    watch: Watch
    progress: Progress

    def finished(self, groups: Sequence[Group[T]], task: str) -> list[list[FinishedPart]]:
        """Make what is missing of these groups and read all of their parts, group by group.

        Args:
            groups: What is needed.
            task: Name of the progress bar.

        Raises:
            Interrupted: After a signal; finished parts stay.
            PartError: If a part cannot be read back.
        """
        make_missing(groups, self.store, self.engine, self.progress, task)
        return read_all(groups, self.store)


def parts_folder(out: Path) -> Path:
    """Where a job keeps its finished parts."""
    return RunDir(out).parts


@contextmanager
def opened(
    out: Path,
    work: Work[Any],
    progress: Progress,
    *,
    processes: int,
    threads: int | None,
    engine: EngineConfig | None = None,
    device: str = "cpu",
) -> Iterator[OpenJob[Any]]:
    """Lock a folder and start the workers of a job.

    Args:
        out: Folder of the job; made if absent.
        work: What a worker does with a task; a function of a module, as it travels by name.
        progress: Progress reporter.
        processes: Groups made at the same time.
        threads: CPU threads; None is torch's own choice, shared out among workers.
        engine: Where groups are made; processes of this machine unless given.
        device: Where they compute, as torch names it.

    Raises:
        ImportError: If the engine is not installed; says how to install it.
        RunLockedError: If another process works in the folder.
    """
    with threads_of_a_worker(threads, 1), RunDir(out).lock(), watch_signals() as watch:
        chosen = engine_of(engine or EngineConfig(), work, processes, threads, watch, device)
        try:
            with chosen as workers:
                yield OpenJob(PartStore(parts_folder(out)), workers, watch, progress)
        except Interrupted as stop:
            raise Interrupted(stop.signum, KEPT) from stop


@contextmanager
def opened_by(
    config: Config,
    out: Path,
    work: Work[Any],
    progress: Progress,
    *,
    parallelism: Parallelism,
    device: str,
) -> Iterator[OpenJob[Any]]:
    """As ``opened``, with the engine of a configuration, which the folder keeps.

    Args:
        config: Of the job.
        out: As in ``opened``.
        work: As in ``opened``.
        progress: Progress reporter.
        parallelism: Workers of the job.
        device: Where they compute, as torch names it.

    Raises:
        ImportError: If the engine is not installed; says how to install it.
        RunLockedError: If another process works in the folder.
    """
    with opened(
        out,
        work,
        progress,
        processes=parallelism.processes,
        threads=parallelism.threads,
        engine=config.engine,
        device=device,
    ) as job:
        RunDir(out).write_config(dump_config(config))
        yield job
