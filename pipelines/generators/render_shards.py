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

TOGETHER = 16
"""Shards of a task at most; the model travels once with each."""
ROUNDS = 3
"""How often shards that a server lost are made again."""


@dataclass(frozen=True)
class ShardsTask:
    """Shards of one class that follow each other.

    Args:
        source: What renders, on the device where it lives.
        recipe: Of the set.
        folder: Of the set; of one on a server that where a shard lies until it is sent.
        planned: The shards.
        start: First candidate of the first.
        accept: The filter, or None.
        remote: The server's folder, to which the worker sends what it makes; None for a set on the
            disk.
    """

    source: SampleSource
    recipe: Recipe
    folder: Path
    planned: tuple[Planned, ...]
    start: int
    accept: Accept | None
    remote: RemoteFolder | None = None

    def needs(self) -> Needs:
        """What it leaves on another machine; all that it reads travels in itself."""
        first = self.planned[0]
        label = f"class {self.recipe.classes[first.class_index]!r}, shard {first.number}"
        return Needs(label, self.folder, returns=() if self.remote else (self.folder,))


def make_shards(task: ShardsTask, on_part: Callable[[str], None], watch: Watch | None) -> None:
    """Render the shards of a task; each report is the shard's line of the manifest.

    Raises:
        DataError: If the filter accepts too few of the class.
        DivergedError: If the source renders NaN or infinite pixels.
    """
    render, start = shard_renderer(task.source, task.recipe, task.accept), task.start
    task.folder.mkdir(parents=True, exist_ok=True)
    for planned in task.planned:
        if watch is not None:
            watch.check()
        shard = write_shard(task.folder, task.recipe, planned, start, render)
        if task.remote is not None:
            publish_shard(task.remote, task.folder, shard)
        start = shard.candidates[1]
        on_part(PART_MADE + shard.line)


def render_missing(
    begun: BegunSet,
    source: SampleSource,
    accept: Accept | None,
    engine: Engine[ShardsTask],
    on_images: Callable[[int, int], None],
    remote: RemoteFolder | None = None,
) -> None:
    """Render what is missing of a set, and finish it.

    Args:
        begun: The set.
        source: What renders.
        accept: The filter, or None.
        engine: Who renders.
        on_images: Called with images done and images in all, at first and after every shard; may
            raise to stop.
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
        while tasks := _missing(begun, source, accept, remote):
            engine.run(tasks, on_part)
        if not (lost := begun.drop_lost()):
            return begun.finish()
        done = sum(shard.count for shard in begun.shards.values())
    raise DataError(f"{remote}: lost {lost} shards after they had arrived; see to the server")


def _missing(
    begun: BegunSet, source: SampleSource, accept: Accept | None, remote: RemoteFolder | None
) -> list[ShardsTask]:
    """Tasks for all shards that are not whole.

    With a filter a shard begins where the one before it ended, so those that follow each other are
    one task; otherwise each begins at its number of images.
    """
    tasks: list[ShardsTask] = []
    run: list[Planned] = []
    most = TOGETHER if accept is None else begun.recipe.total

    def close() -> None:
        if run:
            start = _start(begun, run[0], chained=accept is not None) or 0
            some = (tuple(run), start, accept, remote)
            tasks.append(ShardsTask(source, begun.recipe, begun.folder, *some))
            run.clear()

    for planned in begun.plan:
        if run and (run[0].class_index != planned.class_index or len(run) >= most):
            close()
        if _is_whole(begun, planned, chained=accept is not None):
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
