"""The shards of a synthetic set, rendered by an engine: the set is the same for every engine, order
and number of workers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from augmentor.common.types import DataError, SampleSource
from augmentor.data.remote_folder import RemoteFolder
from augmentor.data.remote_set import publish_shard
from augmentor.data.synthetic_store import BegunSet, Planned, Recipe, parse_shard, write_shard
from augmentor.sampling.synthesize import Accept, shard_renderer
from pipelines.experiment.engine import PART_MADE, Engine, Needs
from pipelines.interrupt import Watch

TOGETHER = 4
"""Shards of a task at most; at the end of a set, workers wait for the last task."""
ROUNDS = 3
"""How often shards that a server lost are made again."""


@dataclass(frozen=True)
class ShardsTask:
    """Shards of one class that follow each other.

    Args:
        class_name: Of the class.
        folder: Of the set; of one on a server that where a shard lies until it is sent.
        planned: The shards.
        start: First candidate of the first.
        stays: Whether the shards stay in ``folder``; else the worker sends them to a server.
    """

    class_name: str
    folder: Path
    planned: tuple[Planned, ...]
    start: int
    stays: bool = True

    def needs(self) -> Needs:
        """What it leaves on another machine; all that it reads travels with the work."""
        label = f"class {self.class_name!r}, shard {self.planned[0].number}"
        return Needs(label, self.folder, returns=(self.folder,) if self.stays else ())


@dataclass(frozen=True)
class ShardMaker:
    """Renders the shards of tasks. It holds the model, and travels once to every worker.

    Args:
        source: What renders, on the device where it lives.
        recipe: Of the set.
        accept: The filter, or None.
        remote: The server's folder, to which shards are sent; None for a set on the disk.
    """

    source: SampleSource
    recipe: Recipe
    accept: Accept | None = None
    remote: RemoteFolder | None = None

    def __call__(
        self, task: ShardsTask, on_part: Callable[[str], None], watch: Watch | None
    ) -> None:
        """Render the shards of a task; each report is the shard's line of the manifest.

        Raises:
            DataError: If the filter accepts too few of the class.
            DivergedError: If the source renders NaN or infinite pixels.
        """
        render, start = shard_renderer(self.source, self.recipe, self.accept), task.start
        task.folder.mkdir(parents=True, exist_ok=True)
        for planned in task.planned:
            if watch is not None:
                watch.check()
            shard = write_shard(task.folder, self.recipe, planned, start, render)
            if self.remote is not None:
                publish_shard(self.remote, task.folder, shard)
            start = shard.candidates[1]
            on_part(PART_MADE + shard.line)


def render_missing(
    begun: BegunSet,
    engine: Engine[ShardsTask],
    on_images: Callable[[int, int], None],
    *,
    filtered: bool = False,
    remote: RemoteFolder | None = None,
) -> None:
    """Render what is missing of a set, and finish it.

    Args:
        begun: The set.
        engine: Who renders; its work is a ``ShardMaker``.
        on_images: Called with images done and images in all, at first and after every shard; may
            raise to stop.
        filtered: Whether the work has a filter.
        remote: Where the set is on a server; None for one on the disk.

    Raises:
        DataError: If the filter accepts too few of a class, or a server loses shards again and
            again.
        Interrupted: After a signal; finished shards stay.
    """
    total = begun.recipe.total
    done = sum(shard.count for shard in begun.shards.values())
    on_images(done, total)

    def on_part(number: int, note: str) -> None:
        nonlocal done
        if note.startswith(PART_MADE):
            shard = parse_shard(note.removeprefix(PART_MADE))
            known = (shard.class_index, shard.number) in begun.shards
            begun.add(shard)
            done += 0 if known else shard.count
            on_images(done, total)

    for _ in range(ROUNDS):
        # Once, but where a shard that follows a restored one turns out to begin elsewhere.
        while tasks := _missing(begun, filtered=filtered, stays=remote is None):
            engine.run(tasks, on_part)
        if not (lost := begun.drop_lost()):
            return begun.finish()
        done = sum(shard.count for shard in begun.shards.values())
    raise DataError(f"{remote}: lost {lost} shards after they had arrived; see to the server")


def _missing(begun: BegunSet, *, filtered: bool, stays: bool) -> list[ShardsTask]:
    """Tasks for all shards that are not whole.

    With a filter a shard begins where the one before it ended, so those that follow each other are
    one task; otherwise each begins at its number of images.
    """
    tasks: list[ShardsTask] = []
    run: list[Planned] = []
    most = begun.recipe.total if filtered else TOGETHER

    def close() -> None:
        if run:
            start = _start(begun, run[0], chained=filtered) or 0
            name = begun.recipe.classes[run[0].class_index]
            tasks.append(ShardsTask(name, begun.folder, tuple(run), start, stays))
            run.clear()

    for planned in begun.plan:
        if run and (run[0].class_index != planned.class_index or len(run) >= most):
            close()
        if _is_whole(begun, planned, chained=filtered):
            close()
        else:
            run.append(planned)
    close()
    return tasks


def _is_whole(begun: BegunSet, planned: Planned, *, chained: bool) -> bool:
    """Whether a shard is there and begins where it should, as far as that is known."""
    shard = begun.shards.get((planned.class_index, planned.number))
    start = _start(begun, planned, chained=chained)
    return shard is not None and start in (None, shard.candidates[0])


def _start(begun: BegunSet, planned: Planned, *, chained: bool) -> int | None:
    """The first candidate of a shard; None where the one before it is not there to tell."""
    if not chained:
        return planned.number * begun.recipe.shard_size
    if planned.number and (planned.class_index, planned.number - 1) not in begun.shards:
        return None
    return begun.start(planned)
