"""The job ``train``: a generator trained as a run with files."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augmentor.common import ranks
from augmentor.common.types import DataError, LabelledImages, StepReport
from augmentor.data.class_names import listed
from augmentor.families import FAMILIES
from augmentor.trained import Session
from augmentor.training.checkpoint import Checkpoint, load_checkpoint
from augmentor.training.loop import fit
from downstream.trainer import memory_for
from pipelines.config import Config, ConfigError, SourceConfig, dump_config
from pipelines.datasets import DataBundle, load_data
from pipelines.device import use_threads
from pipelines.experiment.place import require_outside_data
from pipelines.experiment.setting import Setting, setting_of
from pipelines.generators.in_memory import (
    chosen_family,
    require_generated,
    start_session,
    unused_conditions,
)
from pipelines.generators.load import images_seen, training_config
from pipelines.generators.run_files import Saver, draw_samples, open_log, seen_facts
from pipelines.interrupt import Watch, watch_signals
from pipelines.pool import pool_labels
from pipelines.progress import Progress, Silent
from pipelines.run_dir import RunDir

LOG_EVERY = 20


@dataclass(frozen=True)
class TrainResult:
    """What a run ended with.

    Args:
        run: Folder of the run.
        step: Training steps done.
        seconds: Of this call.
        losses: Means over the last logged steps.
        passed_over: Corrupted files found when the run was resumed.
    """

    run: Path
    step: int
    seconds: float
    losses: dict[str, float]
    passed_over: tuple[str, ...] = ()


def train_run(
    config: Config, out: Path, *, resume: bool = False, progress: Progress | None = None
) -> TrainResult:
    """Train a generator as a run: config, checkpoints, log, sample grids and TensorBoard events
    under ``out``.

    A resumed run equals the uninterrupted one bit for bit on a CPU with the same number of threads.
    Processes that ``torchrun`` started train together, with equal shares of every batch; the first
    of them writes the files, and a run can be resumed with another number of processes.

    Args:
        config: The whole of it; ``data`` and ``seed`` draw the images.
        out: Folder of the run.
        resume: Continue from the newest intact checkpoint; from the start if there is none.
        progress: Progress reporter.

    Raises:
        ConfigError: If ``out`` holds a run and ``resume`` is off, was made with another config, or
            lies among the images; or if several processes cannot share the batches.
        DataError: If the data cannot be used, or no checkpoint is intact.
        DivergedError: If training stops being finite; the last checkpoint stays as it was.
        Interrupted: After a signal; the state was saved.
        MemoryError: If the memory does not suffice; the message names a batch size to try.
        RunLockedError: If another process works in ``out``.
    """
    run, progress, began = RunDir(out), progress or Silent(), time.monotonic()
    config = config.with_family()
    chosen_family(config.source)  # a wrong name is refused before any work
    setting = setting_of(config)  # and so is a device that is not on this machine
    require_outside_data(config.data, out)
    use_threads(config.threads)
    with ranks.joined(setting.device), _first_locks(run), watch_signals() as watch:
        _require_shareable(config.source)
        progress = progress if ranks.rank() == 0 else Silent()
        steps = config.source.steps
        checkpoint = ranks.of_first(lambda: _open_run(run, dump_config(config), resume, steps))
        bundle = load_data(config.data, config.seed)
        require_generated(config.source, bundle.train)
        if words := unused_conditions(bundle.train, config.source):
            progress.say(words)
        _require_classes_of(checkpoint, bundle.train.classes, out)
        pool = _labelled_pool(bundle, setting, checkpoint, progress, watch)
        session = _start(_images_seen(bundle, pool), setting)
        facts = _facts(bundle, pool) | seen_facts(session.images)
        _require_images_of(checkpoint, facts["trained_on"], out)
        saver = Saver(run, session, config.source, facts)
        start = saver.restore(checkpoint) if checkpoint else 0
        with memory_for(config.source.batch_size, "--batch-size"):
            losses = _train(session, saver, config.source, start, progress, watch)
    passed_over = checkpoint.passed_over if checkpoint else ()
    return TrainResult(out, config.source.steps, time.monotonic() - began, losses, passed_over)


@contextmanager
def _first_locks(run: RunDir) -> Iterator[None]:
    """The lock of the folder, which the first of several processes holds for all."""
    with ExitStack() as held:
        ranks.of_first(lambda: held.enter_context(run.lock()))
        yield


def _require_shareable(source: SourceConfig) -> None:
    """Refuse a training that several processes cannot share.

    Raises:
        ConfigError: If the family has steps that need the whole batch, or the batch has no equal
            shares.
    """
    if ranks.size() == 1:
        return
    family, _ = chosen_family(source)
    if not family.across_processes:
        able = [name for name, one in FAMILIES.items() if one.across_processes]
        raise ConfigError(
            f"source.family: {source.family} trains in one process; families that several share: "
            f"{', '.join(able)}"
        )
    if source.batch_size % ranks.size():
        raise ConfigError(
            f"source.batch_size: {source.batch_size} images have no equal shares for "
            f"{ranks.size()} processes"
        )


def require_run_of(run: Path, config: Config) -> None:
    """Refuse a folder whose training cannot be resumed with this config.

    Args:
        run: Folder of a run, which need not exist.
        config: Of the training; may ask for more steps than were done.

    Raises:
        ConfigError: If the folder's config differs in more than steps, or more steps were done than
            are asked for.
    """
    folder = RunDir(run)
    if not folder.config.exists():
        return
    if changed := _differences(folder.read_config(), dump_config(config)):
        raise ConfigError(
            f"{folder.config} differs from the config given in {changed}; give another --out, or "
            f"remove {run}"
        )
    if not folder.checkpoints.exists():
        return
    done = load_checkpoint(folder.checkpoints).step
    if done > config.source.steps:
        raise ConfigError(
            f"source.steps: {run} was trained for {done} already; give as many, or another --out"
        )


def _open_run(run: RunDir, wanted: str, resume: bool, steps: int) -> Checkpoint | None:
    """Write the config; nothing of another run is overwritten.

    Args:
        run: Folder of the run.
        wanted: The config as YAML.
        resume: Whether a run may be there already.
        steps: Wanted in all.

    Returns:
        The checkpoint to resume from, if there is one.
    """
    if not resume and run.checkpoints.exists():
        raise ConfigError(
            f"{run.path} holds a run already; give --resume to continue it, or another --out"
        )
    found = run.read_config() if run.config.exists() else wanted
    if resume and (changed := _differences(found, wanted)):
        raise ConfigError(
            f"{run.config} differs from the config given in {changed}; resume with the same one "
            f"(steps may differ), or by --resume --out {run.path} alone"
        )
    run.write_config(wanted)
    # A run killed while it saved for the first time has an empty folder: it begins again.
    if not resume or not any(run.checkpoints.glob("step-*")):
        return None
    found_there = load_checkpoint(run.checkpoints)
    if found_there.step > steps:
        raise ConfigError(
            f"source.steps: {run.path} was trained for {found_there.step} already; give as many, "
            "or another --out"
        )
    return found_there


def _differences(found: str, wanted: str) -> str:
    """Where two configs differ beyond what may change when a run is resumed: keys and both values,
    in words; empty if nowhere.
    """
    there, given = _fixed_part(found), _fixed_part(wanted)
    words = []
    for key in dict.fromkeys([*there, *given]):
        if there.get(key) != given.get(key):
            words.append(f"{key} ({there.get(key)} there, {given.get(key)} given)")
    return ", ".join(words)


def _fixed_part(text: str) -> dict[str, Any]:
    """Values by key, such as ``source.family``, without those that may change."""
    config = training_config(text, where="config.yaml")
    found = _flat(config.model_dump(mode="json"))
    for name in ("steps", "checkpoint_every", "sample_every"):
        del found[f"source.{name}"]
    return found


def _flat(values: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    found = dict[str, Any]()
    for name, value in values.items():
        inner = isinstance(value, Mapping)
        found |= _flat(value, f"{section}{name}.") if inner else {f"{section}{name}": value}
    return found


def _require_classes_of(checkpoint: Checkpoint | None, classes: tuple[str, ...], out: Path) -> None:
    if checkpoint is None or tuple(checkpoint.meta["classes"]) == classes:
        return
    raise DataError(
        f"{out}: the checkpoint's classes are {listed(checkpoint.meta['classes'])}, the data's "
        f"{listed(classes)}; train anew into another folder"
    )


def _require_images_of(checkpoint: Checkpoint | None, seen: Tensor, out: Path) -> None:
    """Refuse to resume with other images than a run began with: nobody could say any more what
    its generator saw.
    """
    known = None if checkpoint is None else checkpoint.state.get("facts", {}).get("trained_on")
    if known is not None and not np.array_equal(np.unique(known.numpy()), np.unique(seen.numpy())):
        raise DataError(
            f"{out}: was trained on other images than these; train anew into another folder"
        )


def _labelled_pool(
    bundle: DataBundle,
    setting: Setting,
    checkpoint: Checkpoint | None,
    progress: Progress,
    watch: Watch,
) -> tuple[Tensor, Tensor] | None:
    """Positions and labels in the pool; a resumed run keeps those it began with."""
    if bundle.pool is None:
        return None
    if checkpoint is not None:
        facts = checkpoint.state["facts"]
        return facts["pool_indices"], facts["pool_labels"]
    progress.say(f"labelling {len(bundle.pool)} unlabelled images in {setting.pool.rounds} rounds")
    given, s = (bundle.train, bundle.pool), setting
    indices, labels = ranks.of_first(
        lambda: pool_labels(*given, s.pool, s.trainer, s.seed, watch.check)
    )
    progress.say(f"kept {len(indices)} of them, those the classifier was sure of")
    return indices, labels


def _images_seen(bundle: DataBundle, pool: tuple[Tensor, Tensor] | None) -> LabelledImages:
    """The training images and those of the pool that have a label now."""
    if pool is None or bundle.pool is None:
        return bundle.train
    if bundle.train.condition is not None:
        raise ConfigError(
            "the conditions of images without labels are not known; leave out --unlabelled, or "
            "--condition"
        )
    indices, labels = pool
    return bundle.train.joined(LabelledImages(bundle.pool[indices], labels, bundle.train.classes))


def _facts(bundle: DataBundle, pool: tuple[Tensor, Tensor] | None) -> dict[str, Tensor]:
    """What later jobs must know about the images, as tensors."""
    seen = {"trained_on": torch.from_numpy(images_seen(bundle))}
    return seen if pool is None else seen | {"pool_indices": pool[0], "pool_labels": pool[1]}


def _start(images: LabelledImages, setting: Setting) -> Session:
    names = ("classical",) if setting.source.source_augment == "classical" else ()
    augment = setting.trainer.augmentation(names)
    return start_session(
        images, setting.source, setting.seed, device=setting.device, augment=augment
    )


def _train(
    session: Session,
    saver: Saver,
    settings: SourceConfig,
    start: int,
    progress: Progress,
    watch: Watch,
) -> dict[str, float]:
    """Take the steps that are missing; returns the losses logged last."""
    steps, seed, recent = settings.steps, session.seed, dict[str, float]()
    note = ""
    first = ranks.rank() == 0  # which alone writes
    reports = fit(
        session.trainer, session.average, session.batches, steps=steps, seed=seed, start=start
    )
    with open_log(saver.run, start) if first else nullcontext(_no_log) as log:
        for report in reports:
            last = report.step == steps
            # The losses are read when they are shown or written: a GPU is waited for.
            if last or not note or report.step % LOG_EVERY == 0:
                note = _note(report)
            if last or report.step % LOG_EVERY == 0:
                recent = dict(report.losses)
                log(report)
            if first and (last or report.step % settings.checkpoint_every == 0):
                report.look()
                saver.save(report.step)
            if first and (last or report.step % settings.sample_every == 0):
                report.look()
                draw_samples(saver.run, report, session.images)
            progress.step("train", report.step, steps, note)
            watch.signum = ranks.most(watch.signum or 0) or None  # all stop at one step
            if watch.signum is not None and first:
                report.look()
                saver.save(report.step)
            watch.check()
    return recent


def _no_log(report: StepReport) -> None:
    """What processes after the first write."""


def _note(report: StepReport) -> str:
    """The first losses that a family names, which are the main ones."""
    main = islice(report.losses.items(), 4)
    return "  ".join(f"{name} {value:.2f}" for name, value in main)
