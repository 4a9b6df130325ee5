"""What a synthetic set will take, before it is made: shards, bytes, time and cost."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from augmentor.common.types import device_of
from augmentor.data.recipe import Planned, Recipe, planned_shards, shard_count
from augmentor.data.synthetic_store import Format, write_shard
from augmentor.sampling.synthesize import shard_renderer
from pipelines.config import ConfigError
from pipelines.device import use_threads
from pipelines.generators.filter_judge import read_threshold
from pipelines.generators.load import LoadedRun, load_source
from pipelines.generators.render_shards import TOGETHER
from pipelines.generators.synthesize import Wish, counts_of, recipe_of, training_part

TIMED = 5
"""Small shards that are rendered and written to know the rate; the first one warms up."""
MILLION = 1_000_000


@dataclass(frozen=True)
class WorkersRow:
    """What a number of workers takes.

    Args:
        workers: How many.
        seconds: Until the last is done.
        cost: Of all their hours; None without a price.
        cost_per_million: The same for a million images.
    """

    workers: int
    seconds: float
    cost: float | None
    cost_per_million: float | None


@dataclass(frozen=True)
class SynthPlan:
    """What a set will take.

    Args:
        images: Of all classes.
        shards: Files, or groups of files, that are written as a whole.
        bytes: Of the set, about.
        images_per_second: Of one worker, rendered, encoded and written here.
        timed_images: Images that the rate was measured on.
        device: Where it was measured.
        filtered: Whether a filter drops some of what is rendered, which the times leave out.
        rows: By number of workers.
    """

    images: int
    shards: int
    bytes: int
    images_per_second: float
    timed_images: int
    device: str
    filtered: bool
    rows: tuple[WorkersRow, ...]


def synth_plan_run(
    run: Path,
    wish: Wish,
    *,
    filter: str | None = None,
    seed: int = 0,
    format: Format = "folder",
    device: str | None = None,
    workers: int = 1,
    price: float | None = None,
) -> SynthPlan:
    """What a set of a run will take; nothing of it is kept.

    Args:
        run: Folder of the run.
        wish: How many images of which classes.
        filter: As in ``synthesize_run``; what it drops is not foreseen.
        seed: Seed of the latents.
        format: As in ``synthesize_run``.
        device: Where to compute; where the run was trained unless given.
        workers: For how many workers, beside one.
        price: Of an hour of a worker, in any currency.

    Raises:
        ConfigError: If an option cannot be read.
        DataError: If there is nothing to add.
    """
    if price is not None and not 0 <= price < math.inf:
        raise ConfigError("--price must not be negative")
    loaded = load_source(run, device)
    use_threads(loaded.config.threads)
    filtered = read_threshold(filter) is not None
    counts, fill = counts_of(loaded, wish, cache(partial(training_part, loaded)))
    recipe = recipe_of(loaded, counts, None, seed, format, fill)
    timed = _timed(loaded, recipe)
    shards = shard_count(recipe)
    rows = []
    for number in sorted({1, workers}):
        seconds = _seconds(recipe.total, shards, timed.seconds, number)
        cost = None if price is None else price * seconds * number / 3600
        million = None if cost is None else cost * MILLION / recipe.total
        rows.append(WorkersRow(number, seconds, cost, million))
    size = round(timed.bytes * recipe.total)
    rate, where = 1 / timed.seconds, str(device_of(loaded.source))
    return SynthPlan(recipe.total, shards, size, rate, timed.images, where, filtered, tuple(rows))


@dataclass(frozen=True)
class _Timed:
    """Seconds and bytes per image, and the images they were measured on."""

    seconds: float
    bytes: float
    images: int


def _timed(loaded: LoadedRun, recipe: Recipe) -> _Timed:
    """Render and write a few small shards of the first class."""
    first = next(planned_shards(recipe))
    small = Planned(first.class_index, 0, min(first.images, recipe.batch_size))
    render = shard_renderer(loaded.source, recipe, None)
    seconds, size = list[float](), 0
    with tempfile.TemporaryDirectory(prefix="augmentor-") as here:
        for _ in range(TIMED):
            start = time.perf_counter()
            shard = write_shard(Path(here), recipe, small, 0, render)
            seconds.append(time.perf_counter() - start)
        size = sum((Path(here) / name).stat().st_size for name in shard.sha256)
    typical = statistics.median(seconds[1:])
    return _Timed(typical / small.images, size / small.images, small.images * (TIMED - 1))


def _seconds(images: int, shards: int, per_image: float, workers: int) -> float:
    """Until the last worker is done: a task is some shards, and is made by one worker."""
    tasks = max(1, -(-shards // TOGETHER))
    return -(-tasks // workers) * (images / tasks) * per_image


def plan_text(plan: SynthPlan, duration: Sequence[str]) -> str:
    """The plan as a table of at most 80 columns.

    Args:
        plan: The plan.
        duration: Time of every row, in words.
    """
    per_image = plan.bytes / plan.images
    lines = [
        f"{plan.images:,} images in {plan.shards:,} shards, about {_sized(plan.bytes)} "
        f"({_sized(per_image)} per image)",
        f"{plan.images_per_second:,.0f} images per second per worker, timed on "
        f"{plan.timed_images} images here ({plan.device})",
    ]
    if plan.filtered:
        lines.append("A filter drops images: it takes up to 20 times as long.")
    priced = plan.rows[0].cost is not None
    lines += ["", f"{'workers':>7}  {'time':>14}" + ("      cost  cost per million" * priced)]
    for row, words in zip(plan.rows, duration, strict=True):
        line = f"{row.workers:>7,}  {words:>14}"
        if row.cost is not None and row.cost_per_million is not None:
            line += f"  {row.cost:>8,.2f}  {row.cost_per_million:>16,.2f}"
        lines.append(line)
    return "\n".join(
        lines if priced else [*lines, "", "--price P adds the cost, P per worker hour"]
    )


def _sized(count: float) -> str:
    """Bytes in a unit that fits."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
