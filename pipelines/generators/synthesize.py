"""The job ``synth``: from a run to a synthetic set on disk. Running it again finishes what is
missing.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import nn

from augmentor.common.atomic_files import sha256_of, write_bytes
from augmentor.common.types import DataError, LabelledImages, device_of
from augmentor.data.class_counts import read_strategy, resolve_counts
from augmentor.data.class_names import class_index, listed
from augmentor.data.fingerprint import fingerprints
from augmentor.data.synthetic_store import (
    CONTACT_SHEET,
    Format,
    Recipe,
    read_manifest,
    read_set,
    trained_on_digest,
)
from augmentor.sampling.filters import confidence_filter
from augmentor.sampling.synthesize import Accept, synthesize_set
from downstream.classifier import build_classifier
from downstream.evaluate import predict_logits
from downstream.train import balanced_weights, train_classifier
from pipelines.augmentation import classical_of, domain_of
from pipelines.config import Config, ConfigError
from pipelines.datasets import load_data
from pipelines.device import use_threads
from pipelines.interrupt import Watch, on_step, watch_signals
from pipelines.report.pictures import class_rows, png_bytes, sample_grid
from pipelines.progress import Progress, Silent
from pipelines.run_dir import RunDir
from pipelines.generators.train import LoadedRun, load_source
from pipelines.train_settings import train_settings

SHEET_COLUMNS, SHEET_ROWS = 10, 200
JUDGE_SEED = 7919
"""Added to the run's seed, so that the judge isn't the classifier that labelled the pool."""

Training = Callable[[], LabelledImages]


@dataclass(frozen=True)
class SynthesisReport:
    """What a set holds.

    Args:
        out: Folder of the set.
        counts: Images per class name; classes without any are left out.
        tried: Candidates tried per class name; more than ``counts`` where a filter refused some.
        recipe: Hash of the recipe.
        contact_sheet: Picture with the first images of every class.
        seconds: Of this call.
    """

    out: Path
    counts: dict[str, int]
    tried: dict[str, int]
    recipe: str
    contact_sheet: Path
    seconds: float


def synthesize_run(
    run: Path,
    out: Path,
    *,
    strategy: str | None = None,
    per_class: int | None = None,
    ratio: float | None = None,
    classes: Sequence[str] | None = None,
    filter: str | None = None,
    seed: int = 0,
    format: Format = "folder",
    device: str | None = None,
    progress: Progress | None = None,
) -> SynthesisReport:
    """Write synthetic images of a run's source, or finish the set an interrupted call left.

    How many is said by one of ``strategy``, ``per_class`` and ``ratio``; ``strategy="auto"`` if by
    none.

    Args:
        run: Folder of the run.
        out: Folder of the set; new, empty, or with a set of the same recipe.
        strategy: Class balance, as ``data.class_counts.read_strategy`` reads it.
        per_class: Synthetic images of every class.
        ratio: Synthetic images per real training image, in every class.
        classes: Names of the classes to render; all unless given.
        filter: ``confidence=P``: keep images that a classifier, trained on the run's training part
            only, gives at least the probability P of their class.
        seed: Seed of the latents; another seed is another set.
        format: A folder of PNG files per class, or tar shards in WebDataset's layout.
        device: Where to compute, as ``Config.device``; where the run was trained unless given.
        progress: Progress reporter.

    Returns:
        What the set holds.

    Raises:
        ConfigError: If an option cannot be read, or names an unknown class or a device that is not
            here.
        DataError: If there is nothing to add, ``out`` holds something else, or the filter accepts
            too few of a class.
        Interrupted: After a signal; finished shards stay.
        RunLockedError: If another process writes to ``out``.
    """
    began, progress, loaded = time.monotonic(), progress or Silent(), load_source(run, device)
    use_threads(loaded.config)
    training = functools.cache(functools.partial(_training_part, loaded))
    counts = _counts(loaded.source.classes, training, strategy, per_class, ratio, classes)
    threshold = _threshold(filter)

    with RunDir(out).lock(), watch_signals() as watch:
        rule, accept = None, None
        if threshold is not None:
            rule, accept = _judged_filter(run, loaded, training(), threshold, progress, watch)
        recipe = recipe_of(loaded, counts, rule, seed, format)

        def on_shard(done: int, total: int) -> None:
            progress.step("synth", done, total)
            watch.check()

        synthesize_set(loaded.source, recipe, out, loaded.trained_on, accept, on_shard)
        write_contact_sheet(out)
    return report_on(out, recipe, time.monotonic() - began)


def write_contact_sheet(folder: Path) -> Path:
    """Draw the first images of every class of a set, one row per class with its name beside it.

    Args:
        folder: Folder of a finished set.

    Returns:
        Path of the picture, in that folder. Equal sets give equal bytes.
    """
    images = read_set(folder, verify=False, per_class=SHEET_COLUMNS).images
    shown = [c for c, n in images.counts.items() if n][:SHEET_ROWS]
    # A name read from a file system may hold half surrogates, which no font can draw.
    names = [images.classes[c].encode("utf-8", "replace").decode() for c in shown]
    picture = sample_grid(class_rows(images.x, images.y, shown, SHEET_COLUMNS), names)
    write_bytes(folder / CONTACT_SHEET, png_bytes(picture))
    return folder / CONTACT_SHEET


def _training_part(loaded: LoadedRun) -> LabelledImages:
    train = load_data(loaded.config.data, loaded.config.seed).train
    if train.classes != loaded.source.classes:
        raise DataError(
            f"the data's classes are {listed(train.classes)}, the source was trained on "
            f"{listed(loaded.source.classes)}; restore the data or train a new source"
        )
    return train


def _counts(
    names: tuple[str, ...],
    training: Training,
    strategy: str | None,
    per_class: int | None,
    ratio: float | None,
    classes: Sequence[str] | None,
) -> dict[str, int]:
    """Images per class name, without zeros. The training part is loaded only if its counts
    matter.
    """
    if sum(way is not None for way in (strategy, per_class, ratio)) > 1:
        raise ConfigError("give one of --class-balance, --per-class and --ratio")
    chosen = {name: class_index(name, names) for name in classes or ()}
    if unknown := [name for name, index in chosen.items() if index is None]:
        raise ConfigError(f"--classes: unknown class {unknown[0]!r}; known are {listed(names)}")
    if (per_class is not None and per_class < 0) or (
        ratio is not None and not 0 <= ratio < float("inf")
    ):
        raise ConfigError("--per-class and --ratio must not be negative")
    if per_class is not None:
        added = dict.fromkeys(range(len(names)), per_class)
    elif ratio is not None:
        added = {c: round(ratio * n) for c, n in training().counts.items()}
    else:
        added = _balanced(strategy or "auto", training())
    counts = {
        names[c]: n for c, n in added.items() if n > 0 and (classes is None or c in chosen.values())
    }
    if not counts:
        raise DataError(
            "there is nothing to add to these classes; say how many images with --per-class or "
            "--ratio"
        )
    return counts


def _balanced(strategy: str, train: LabelledImages) -> dict[int, int]:
    try:
        return resolve_counts(read_strategy(strategy), train.counts, train.classes)
    except ValueError as error:
        raise ConfigError(f"--class-balance: {error}") from error


def _threshold(text: str | None) -> float | None:
    if text is None:
        return None
    name, _, value = text.partition("=")
    try:
        threshold = float(value)
    except ValueError:
        threshold = float("nan")
    if name != "confidence" or not 0 <= threshold <= 1:
        raise ConfigError(f"--filter: expected confidence=P with P from 0 to 1, got {text!r}")
    return threshold


def recipe_of(
    loaded: LoadedRun, counts: dict[str, int], rule: dict[str, Any] | None, seed: int, form: Format
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
        device=device_of(loaded.source).type,
    )


def _judged_filter(
    run: Path,
    loaded: LoadedRun,
    train: LabelledImages,
    threshold: float,
    progress: Progress,
    watch: Watch,
) -> tuple[dict[str, Any], Accept]:
    """The filter as the recipe knows it, and as a function.

    The judge is kept in the run's folder: later calls filter by the very same weights, whatever
    machine they run on.
    """
    config, facts = (
        loaded.config,
        [loaded.config.classifier.model_dump(mode="json"), loaded.config.seed],
    )
    facts += [domain_of(config), trained_on_digest(fingerprints(train.x))]
    path = run / f"judge-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]}.safetensors"
    if not path.is_file():
        progress.say(f"training the filter's judge on {len(train)} images")
        judge = _new_judge(config, train)
        _train_judge(judge, config, train, watch)
        state = {name: value.cpu().contiguous() for name, value in judge.state_dict().items()}
        write_bytes(path, safetensors.torch.save(state))
    judge = _new_judge(config, train)
    try:
        judge.load_state_dict(safetensors.torch.load(path.read_bytes()))
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise DataError(
            f"{path}: cannot be read as the filter's judge; delete it, then run again"
        ) from error
    judge.to(device_of(loaded.source)).eval()
    rule = {"confidence": threshold, "judge_sha256": sha256_of(path)}
    return rule, confidence_filter(functools.partial(predict_logits, judge), threshold)


def _new_judge(config: Config, train: LabelledImages) -> nn.Module:
    seed = config.seed + JUDGE_SEED
    return build_classifier(
        config.classifier.name, len(train.classes), train.image_shape, seed=seed
    )


def _train_judge(judge: nn.Module, config: Config, train: LabelledImages, watch: Watch) -> None:
    train_classifier(
        judge,
        train.x,
        train.y,
        train_settings(config.classifier),
        seed=config.seed + JUDGE_SEED,
        draw_weights=balanced_weights(train.y, len(train.classes)),
        augment=classical_of(config),
        on_step=on_step(watch),
    )


def report_on(out: Path, recipe: Recipe, seconds: float) -> SynthesisReport:
    """What a finished set holds."""
    # Shards of a class follow each other, so the last one's end is the number of candidates tried.
    tried = {shard.class_name: shard.candidates[1] for shard in read_manifest(out)}
    return SynthesisReport(out, recipe.counts, tried, recipe.hash, out / CONTACT_SHEET, seconds)
