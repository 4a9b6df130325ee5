"""The job ``synth``: from a run to a synthetic set on disk. Running it again finishes what is
missing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, overload

from augmentor.common.types import DataError, LabelledImages, device_of
from augmentor.data.class_counts import read_strategy, resolve_counts
from augmentor.data.class_names import class_index, listed
from augmentor.data.fill import Fill, fill_up_to, spread_evenly
from augmentor.data.remote_folder import folder_at
from augmentor.data.stored_set import manifest_at
from augmentor.data.synthetic_store import (
    Format,
    Recipe,
    read_set,
    require_feasible,
    trained_on_digest,
)
from downstream.arms.table import FILL_SPREAD
from pipelines.config import ConfigError, EngineConfig
from pipelines.datasets import load_data
from pipelines.device import use_threads
from pipelines.experiment.engine import engine_of
from pipelines.generators.contact_sheet import lay_beside, sheet_path, write_matrix
from pipelines.generators.filter_judge import judged_filter, read_threshold
from pipelines.generators.load import LoadedRun, load_source, require_images_of
from pipelines.generators.places import place_for
from pipelines.generators.render_shards import ShardMaker, render_missing
from pipelines.interrupt import watch_signals
from pipelines.progress import Progress, Silent
from pipelines.report.pictures import class_rows, sample_grid

SHEET_COLUMNS, SHEET_ROWS = 10, 200

Training = Callable[[], LabelledImages]


@dataclass(frozen=True)
class Wish:
    """How many images of which classes, as ``synthesize_run`` takes it.

    Args:
        strategy: Class balance.
        per_class: Of every class.
        ratio: Per real one.
        fill: Of every combination of class and condition, real ones included.
        classes: Names; all unless given.
    """

    strategy: str | None = None
    per_class: int | None = None
    ratio: float | None = None
    fill: int | None = None
    classes: Sequence[str] | None = None


@dataclass(frozen=True)
class SynthesisReport:
    """What a set holds.

    Args:
        out: Folder of the set, or its URL.
        counts: Images per class name; classes without any are left out.
        tried: Candidates tried per class name; more than ``counts`` where a filter refused some.
        recipe: Hash of the recipe.
        contact_sheet: Picture with the first images of every class.
        seconds: Of this call.
    """

    out: Path | str
    counts: dict[str, int]
    tried: dict[str, int]
    recipe: str
    contact_sheet: Path | str
    seconds: float


def synthesize_run(
    run: Path,
    out: Path | str,
    *,
    strategy: str | None = None,
    per_class: int | None = None,
    ratio: float | None = None,
    fill: int | None = None,
    classes: Sequence[str] | None = None,
    filter: str | None = None,
    spread: float | None = None,
    seed: int = 0,
    format: Format = "folder",
    device: str | None = None,
    processes: int = 1,
    engine: EngineConfig | None = None,
    progress: Progress | None = None,
) -> SynthesisReport:
    """Write synthetic images of a run's source, or finish the set an interrupted call left.

    How many is said by one of ``strategy``, ``per_class``, ``ratio`` and ``fill``;
    ``strategy="auto"`` if by none. Of a source with conditions, the images of a class are spread
    evenly over the conditions it was trained on, or go by ``fill`` where they are missing.

    Args:
        run: Folder of the run.
        out: Folder of the set; new, empty, or with a set of the same recipe. Or a URL such as
            ``s3://bucket/set``, whose shards the workers send there themselves.
        strategy: Class balance, as ``data.class_counts.read_strategy`` reads it.
        per_class: Synthetic images of every class.
        ratio: Synthetic images per real training image, in every class.
        fill: Of a source with conditions: real and synthetic images of every combination of class
            and condition in all; 0 for as many as the fullest has.
        classes: Names of the classes to render; all unless given.
        filter: ``confidence=P``: keep images that a classifier, trained on the run's training part
            only, gives at least the probability P of their class.
        spread: Standard deviation of the latents: 1 unless given, with ``fill`` that of the arm
            ``factored``, 0.8.
        seed: Seed of the latents; another seed is another set.
        format: A folder of PNG files per class, or tar shards in WebDataset's layout.
        device: Where to compute, as ``Config.device``; where the run was trained unless given.
        processes: Shards that are rendered at the same time.
        engine: Where they are rendered; this machine unless given. The set is the same.
        progress: Progress reporter.

    Returns:
        What the set holds.

    Raises:
        ConfigError: If an option cannot be read, or names an unknown class or a device that is not
            here; if files of their own are asked for at a URL.
        ImportError: If the package for the URL's scheme is not installed.
        DataError: If there is nothing to add, ``out`` holds something else, or the filter accepts
            too few of a class.
        Interrupted: After a signal; finished shards stay.
        RunLockedError: If another process writes to ``out``.
    """
    began, progress, loaded = time.monotonic(), progress or Silent(), load_source(run, device)
    use_threads(loaded.config.threads)
    if words := loaded.unfinished(run):
        progress.say(words)
    training, threshold = cache(partial(training_part, loaded)), read_threshold(filter)
    counts, plan = counts_of(loaded, Wish(strategy, per_class, ratio, fill, classes), training)
    if plan is not None and threshold is not None:
        raise ConfigError(
            "--filter asks a classifier that has not seen the missing combinations, and would drop "
            "what is right; leave it out for a source with conditions"
        )
    with watch_signals() as watch, place_for(out, format, watch) as place:
        rule, accept = None, None
        recipe = recipe_of(loaded, counts, None, seed, format, plan, spread_of(spread, fill))
        if threshold is not None:
            place.require_fitting(recipe)  # before a judge is trained in vain
            rule, accept = judged_filter(run, loaded, training(), threshold, progress, watch.check)
            recipe = replace(recipe, filter=rule)

        def on_images(done: int, total: int) -> None:
            progress.step("synth", done, total)
            watch.check()

        begun, where = place.begin(recipe, loaded.trained_on), str(device_of(loaded.source))
        settings, threads = engine or EngineConfig(), loaded.config.threads
        work = ShardMaker(loaded.source, begun.recipe, accept, place.remote)
        with engine_of(settings, work, processes, threads, watch, where) as workers:
            filtered = accept is not None
            render_missing(begun, workers, on_images, filtered=filtered, remote=place.remote)
        if plan is None or loaded.seen is None:
            write_contact_sheet(place.out)
        else:
            write_matrix(place.out, loaded.seen, _pictures(training))
    return report_on(place.out, begun.recipe, time.monotonic() - began)


@overload
def write_contact_sheet(folder: Path) -> Path: ...
@overload
def write_contact_sheet(folder: str) -> str: ...
def write_contact_sheet(folder: Path | str) -> Path | str:
    """Draw the first images of every class of a set, one row per class with its name beside it.

    Args:
        folder: Folder of a finished set, or its URL.

    Returns:
        Path or URL of the picture, beside that folder. Equal sets give equal bytes.
    """
    images = read_set(folder, verify=False, per_class=SHEET_COLUMNS).images
    shown, names = [], []
    for label in sorted(set(images.y.tolist()))[:SHEET_ROWS]:
        shown.append(label)
        # A name read from a file system may hold half surrogates, which no font can draw.
        names.append(images.classes[label].encode("utf-8", "replace").decode())
    picture = sample_grid(class_rows(images.x, images.y, shown, SHEET_COLUMNS), names)
    return lay_beside(folder, picture)


def counts_of(
    loaded: LoadedRun, wish: Wish, training: Training
) -> tuple[dict[str, int], Fill | None]:
    """Images per class name, and under which conditions of a source that knows them.

    Raises:
        ConfigError: If the wish contradicts itself or names an unknown class.
        DataError: If there is nothing to add.
    """
    chosen = _chosen(loaded, wish.classes)
    if wish.fill is not None:
        _require_one_way(wish.strategy, wish.per_class, wish.ratio, wish.fill)
        plan = _filled(loaded, wish.fill, chosen)
        return plan.totals, plan
    counts = _counts(chosen, training, wish.strategy, wish.per_class, wish.ratio)
    return counts, spread_evenly(loaded.seen, counts) if loaded.seen is not None else None


def spread_of(spread: float | None, fill: int | None) -> float:
    """How far latents are drawn from the prior's mean: as asked for, or as ``gain`` measured it.

    Raises:
        ConfigError: If it is negative or not finite.
    """
    if spread is None:
        return 1.0 if fill is None else FILL_SPREAD
    if not 0 <= spread < math.inf:
        raise ConfigError("--spread must be 0 or more")
    return spread


def training_part(loaded: LoadedRun) -> LabelledImages:
    """The images that a run was trained on, loaded anew.

    Raises:
        DataError: If classes or images are not those of the source.
    """
    bundle = load_data(loaded.config.data, loaded.config.seed)
    require_images_of(loaded, bundle)
    return bundle.train


def _filled(loaded: LoadedRun, total: int, chosen: Sequence[str]) -> Fill:
    """The plan of ``fill``.

    Raises:
        ConfigError: If the source knows classes alone, or the total is negative.
        DataError: If no combination lacks an image.
    """
    if loaded.seen is None:
        raise ConfigError(
            "--fill needs a source that knows conditions; train one with --condition and a family "
            "that takes them, such as cvae_gan"
        )
    if total < 0:
        raise ConfigError("--fill must not be negative")
    _require_feasible(total)
    plan = fill_up_to(loaded.seen, total or None, chosen)
    if not plan.totals:
        raise DataError(
            "no combination of these classes lacks an image; say how many images with --fill N or "
            "--per-class"
        )
    _require_feasible(sum(plan.totals.values()))
    return plan


def _pictures(training: Training) -> LabelledImages | None:
    """The training images for the contact sheet, which can do without them."""
    try:
        return training()
    except (DataError, ConfigError):
        return None


def _require_one_way(
    strategy: str | None, per_class: int | None, ratio: float | None, fill: int | None = None
) -> None:
    """Refuse two ways to say how many, and numbers below zero."""
    ways = (strategy, per_class, ratio, fill)
    if len(ways) - ways.count(None) > 1:
        raise ConfigError("give one of --class-balance, --per-class, --ratio and --fill")
    too_few = per_class is not None and per_class < 0
    if too_few or (ratio is not None and not 0 <= ratio < float("inf")):
        raise ConfigError("--per-class and --ratio must not be negative")


def _chosen(loaded: LoadedRun, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The source's names of the classes that are asked for; all unless any are."""
    known = loaded.source.classes
    if wanted is None:
        return known
    indices = set()
    for name in wanted:
        index = class_index(name, known)
        if index is None:
            raise ConfigError(f"--classes: unknown class {name!r}; known are {listed(known)}")
        indices.add(index)
    return tuple(known[index] for index in sorted(indices))


def _counts(
    chosen: Sequence[str],
    training: Training,
    strategy: str | None,
    per_class: int | None,
    ratio: float | None,
) -> dict[str, int]:
    """Images per class name, without zeros. The training part is loaded only if its counts
    matter.
    """
    _require_one_way(strategy, per_class, ratio)
    if per_class is not None:
        added = dict.fromkeys(chosen, per_class)
    elif ratio is not None:
        added = {name: round(ratio * count) for name, count in training().counts_by_name.items()}
    else:
        added = _balanced(strategy or "auto", training())
    counts = {name: count for name, count in added.items() if count > 0 and name in chosen}
    if not counts:
        raise DataError(
            "there is nothing to add to these classes; say how many images with --per-class or "
            "--ratio"
        )
    _require_feasible(sum(counts.values()))
    return counts


def _balanced(strategy: str, train: LabelledImages) -> dict[str, int]:
    try:
        added = resolve_counts(read_strategy(strategy), train.counts, train.classes)
    except ValueError as error:
        raise ConfigError(f"--class-balance: {error}") from error
    return {train.classes[label]: count for label, count in added.items()}


def _require_feasible(images: int) -> None:
    try:
        require_feasible(images)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def recipe_of(
    loaded: LoadedRun,
    counts: dict[str, int],
    rule: dict[str, Any] | None,
    seed: int,
    form: Format,
    fill: Fill | None = None,
    spread: float = 1.0,
) -> Recipe:
    """The recipe of a set of a run's own classes."""
    return Recipe(
        family=loaded.config.source.family,
        source_sha256=loaded.checkpoint_sha256,
        classes=loaded.source.classes,
        image_shape=loaded.source.image_shape,
        counts=counts,
        seed=seed,
        source_augment=loaded.config.source.source_augment,
        trained_on=trained_on_digest(loaded.trained_on),
        filter=rule,
        format=form,
        fill=fill,
        spread=spread,
        device=device_of(loaded.source).type,
    )


def report_on(out: Path | str, recipe: Recipe, seconds: float) -> SynthesisReport:
    """What a finished set holds."""
    # Shards of a class follow each other, so the last one's end is the number of candidates tried.
    tried = {}
    for shard in manifest_at(folder_at(out)):
        tried[shard.class_name] = shard.candidates[1]
    return SynthesisReport(out, recipe.counts, tried, recipe.hash, sheet_path(out), seconds)
