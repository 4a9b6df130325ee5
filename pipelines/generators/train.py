"""Training of a source: in memory for the arms of a comparison, or as a run with files."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from augmentor.api import Source, describe, source_of
from augmentor.common.atomic_files import room_for, write_bytes, write_text
from augmentor.common.types import DataError, LabelledImages, SampleSource, StepReport
from augmentor.data.candidates import latents
from augmentor.data.class_names import listed
from augmentor.data.fingerprint import fingerprints
from augmentor.families import FAMILIES
from augmentor.families.family import Family
from augmentor.training.batches import Batches
from augmentor.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from augmentor.training.ema import averaged
from augmentor.training.loop import Trainer, fit
from pipelines.augmentation import classical_of
from pipelines.config import Config, ConfigError, config_from, dump_config, parse_config
from pipelines.datasets import DataBundle, load_data
from pipelines.device import device_of, memory_for, use_threads
from pipelines.interrupt import Watch, watch_signals
from pipelines.report.pictures import png_bytes, sample_grid
from pipelines.pool import pool_labels
from pipelines.progress import Progress, Silent
from pipelines.run_dir import RunDir

OF_OTHER_JOBS = (
    "out",
    "gain",
    "semi",
    "compare",
    "verify",
)  # keys of a config that a training does not read
LOG_EVERY = 20
LOG_BLOCK = 4096  # bytes by which a file grows, however short the line
SAMPLES_A_CLASS = 10
CLASSES_SHOWN = 20


@dataclass
class Session:
    """All that one training needs, in memory."""

    trainer: Trainer
    average: AveragedModel
    batches: Batches
    seed: int


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


@dataclass(frozen=True)
class LoadedRun:
    """A run as the later jobs need it.

    Args:
        source: The averaged model of the newest intact checkpoint.
        config: The run's config, with the device it is used on.
        checkpoint_sha256: Of the checkpoint's tensors.
        trained_on: Fingerprints of every image the source saw, int64 (n,).
        step: Training steps done.
    """

    source: Source
    config: Config
    checkpoint_sha256: str
    trained_on: NDArray[np.int64]
    step: int


def train_source(
    train: LabelledImages,
    labelled_pool: LabelledImages | None,
    config: Config,
    seed: int,
    watch: Watch | None = None,
) -> SampleSource:
    """Train a source in memory.

    Args:
        train: Labelled images.
        labelled_pool: Images with pseudo-labels (``pool.label_pool``), or None.
        config: ``source``, ``device`` and the domain of the augmentation are used.
        seed: Decides weights, batches and noise.
        watch: Checked after every step; stops the training on Ctrl-C.

    Returns:
        The averaged model, in evaluation mode.

    Raises:
        DivergedError: If training stops being finite.
        Interrupted: If ``watch`` was told to stop.
    """
    session = start_session(
        train if labelled_pool is None else train.joined(labelled_pool), config, seed
    )
    with memory_for(config.source.batch_size, "--batch-size"):
        for _ in fit(
            session.trainer, session.average, session.batches, steps=config.source.steps, seed=seed
        ):
            if watch is not None:
                watch.check()
    return cast(SampleSource, session.average.module.eval())


def start_session(images: LabelledImages, config: Config, seed: int) -> Session:
    """Untrained networks, their optimisers, and the batches, all from ``seed``."""
    family, options = chosen_family(config)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # manual_seed would reseed a GPU's too, for good
        model = family.model(images.classes, images.image_shape, options)
    model.to(device_of(config)).to(memory_format=torch.channels_last)
    augment = classical_of(config) if _augments(config) else None
    batches = Batches(images, config.source.batch_size, seed, config.source.class_power, augment)
    return Session(family.trainer(model), averaged(model, options.ema_decay), batches, seed)


def chosen_family(config: Config) -> tuple[Family, Any]:
    """The family a config names, and its options.

    Raises:
        ConfigError: If family, preset or an option is unknown, or a value does not fit; the message
            names what does.
    """
    if config.source.family not in FAMILIES:
        raise ConfigError(
            f"source.family: unknown family {config.source.family!r}; known: {', '.join(FAMILIES)}"
        )
    family = FAMILIES[config.source.family]
    try:
        return family, family.options_for(config.source.preset, config.source.options)
    except ValueError as error:
        raise ConfigError(f"source: {error}") from error


def options_of(config: Config) -> dict[str, Any]:
    """All options of the family, so that the key of a cell changes with a default too, which no
    config names.

    Raises:
        ConfigError: If the family, preset or an option is unknown.
    """
    return asdict(chosen_family(config)[1])


def train_run(
    config: Config, out: Path, *, resume: bool = False, progress: Progress | None = None
) -> TrainResult:
    """Train a source as a run: config, checkpoints, log, sample grids and TensorBoard events under
    ``out``.

    A resumed run equals the uninterrupted one bit for bit on a CPU with the same number of threads.

    Args:
        config: The whole of it; ``data`` and ``seed`` draw the images.
        out: Folder of the run.
        resume: Go on from the newest intact checkpoint; from the start if there is none.
        progress: Progress reporter.

    Raises:
        ConfigError: If ``out`` holds a run and ``resume`` is off, or was made with another config.
        DataError: If the data cannot be used, or no checkpoint is intact.
        DivergedError: If training stops being finite; the last checkpoint stays as it was.
        Interrupted: After a signal; the state was saved.
        MemoryError: If the memory does not suffice; the message names a batch size to try.
        RunLockedError: If another process works in ``out``.
    """
    run, progress, began = RunDir(out), progress or Silent(), time.monotonic()
    chosen_family(config)  # a wrong name is refused before any work
    device_of(config)  # and so is a device that is not on this machine
    use_threads(config)
    with run.lock(), watch_signals() as watch:
        checkpoint = _open_run(run, config, resume)
        bundle = load_data(config.data, config.seed)
        if checkpoint is not None and tuple(checkpoint.meta["classes"]) != bundle.train.classes:
            raise DataError(
                f"{out}: the checkpoint's classes are {listed(checkpoint.meta['classes'])}, the "
                "data's "
                f"{listed(bundle.train.classes)}; train anew into another folder"
            )
        pool = _labelled_pool(bundle, config, checkpoint, progress, watch)
        images = bundle.train if pool is None else bundle.train.joined(_pool_images(bundle, pool))
        session = start_session(images, config, config.seed)
        saved = _Saver(run, session, config, _facts(bundle, pool))
        start = 0 if checkpoint is None else saved.restore(checkpoint)
        with memory_for(config.source.batch_size, "--batch-size"):
            losses = _train(session, saved, run, config, start, progress, watch)
    passed_over = () if checkpoint is None else checkpoint.passed_over
    return TrainResult(out, config.source.steps, time.monotonic() - began, losses, passed_over)


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
    if _same_but_longer(folder.config.read_text(encoding="utf-8"), dump_config(config)) is False:
        raise ConfigError(
            f"{folder.config} differs from the config given; give another --out, or remove {run}"
        )
    if (
        folder.checkpoints.exists()
        and (done := load_checkpoint(folder.checkpoints).step) > config.source.steps
    ):
        raise ConfigError(
            f"source.steps: {run} was trained for {done} already; give as many, or another --out"
        )


def load_source(run: Path, device: str | None = None) -> LoadedRun:
    """Load what a run trained.

    Args:
        run: Folder of the run.
        device: Where it is to compute, as ``Config.device``; where it was trained unless given.

    Raises:
        DataError: If there is no run, or no intact checkpoint; the message names the files.
        ConfigError: If the run's config cannot be read, or this machine does not have the device.
    """
    folder = RunDir(run)
    if not folder.config.exists():
        raise DataError(f"{run}: no run here (config.yaml is missing); augmentor train makes one")
    text = folder.config.read_text(encoding="utf-8")
    config = parse_config(text, where=str(folder.config))
    if device is not None:
        config = config_from(config.model_dump() | {"device": device}, where="options")
    where = device_of(config)  # asked for before the checkpoint is read
    checkpoint = load_checkpoint(folder.checkpoints)
    trained_on = checkpoint.state["facts"]["trained_on"].numpy()
    source = source_of(checkpoint, where)
    return LoadedRun(source, config, checkpoint.sha256, trained_on, checkpoint.step)


class _Saver:
    """Session to checkpoint and back."""

    def __init__(
        self, run: RunDir, session: Session, config: Config, facts: dict[str, Tensor]
    ) -> None:
        self.run, self.session, self.config, self.facts = run, session, config, facts
        self.last = -1

    def save(self, step: int) -> None:
        if step == self.last:
            return
        model = self.session.trainer.model
        meta = describe(self.config.source.family, model) | {
            "source_augment": self.config.source.source_augment
        }
        state = {
            "model": model.state_dict(),
            "average": self.session.average.module.state_dict(),
            "updates": self.session.average.n_averaged,
            "trainer": self.session.trainer.state(),
            "facts": self.facts,
        }
        save_checkpoint(self.run.checkpoints, step, meta, state)
        self.last = step

    def restore(self, checkpoint: Checkpoint) -> int:
        session, state = self.session, checkpoint.state
        session.trainer.model.load_state_dict(state["model"])
        session.average.module.load_state_dict(state["average"])
        session.average.n_averaged.copy_(state["updates"])
        session.trainer.restore(state["trainer"])
        self.last = checkpoint.step
        return checkpoint.step


def _open_run(run: RunDir, config: Config, resume: bool) -> Checkpoint | None:
    """The checkpoint to go on from, after making sure that nothing of another run is
    overwritten.
    """
    wanted = dump_config(config)
    if not resume and run.checkpoints.exists():
        raise ConfigError(
            f"{run.path} holds a run already; give --resume to continue it, or another --out"
        )
    if (
        resume
        and run.config.exists()
        and _same_but_longer(run.config.read_text(encoding="utf-8"), wanted) is False
    ):
        raise ConfigError(
            f"{run.config} differs from the config given; resume with the same one (steps may "
            "differ)"
        )
    write_text(run.config, wanted)
    # A run killed while it saved for the first time has the folder and nothing in it: it begins
    # again.
    return (
        load_checkpoint(run.checkpoints) if resume and any(run.checkpoints.glob("step-*")) else None
    )


def _same_but_longer(found: str, wanted: str) -> bool:
    """Whether two configs differ in nothing but what may change between two sittings of one run."""
    configs = [parse_config(text, where="config.yaml") for text in (found, wanted)]
    free = {"steps": 1, "checkpoint_every": 1, "sample_every": 1}
    first, second = (
        c.model_copy(
            update={"source": c.source.model_copy(update=free)} | dict.fromkeys(OF_OTHER_JOBS)
        )
        for c in configs
    )
    return first == second


def _labelled_pool(
    bundle: DataBundle,
    config: Config,
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
    progress.say(f"labelling {len(bundle.pool)} unlabelled images in {config.pool.rounds} rounds")
    indices, labels = pool_labels(bundle.train, bundle.pool, config, config.seed, watch)
    progress.say(f"kept {len(indices)} of them, those the classifier was sure of")
    return indices, labels


def _pool_images(bundle: DataBundle, pool: tuple[Tensor, Tensor]) -> LabelledImages:
    assert bundle.pool is not None
    return LabelledImages(bundle.pool[pool[0]], pool[1], bundle.train.classes)


def _facts(bundle: DataBundle, pool: tuple[Tensor, Tensor] | None) -> dict[str, Tensor]:
    """What later jobs must know about the images, as tensors."""
    seen = fingerprints(bundle.train.x)
    if pool is None or bundle.pool is None:
        return {"trained_on": torch.from_numpy(seen)}
    # All of the pool counts as seen: it chose the labels even where an image was dropped.
    seen = np.concatenate([seen, fingerprints(bundle.pool)])
    return {"trained_on": torch.from_numpy(seen), "pool_indices": pool[0], "pool_labels": pool[1]}


def _train(
    session: Session,
    saved: _Saver,
    run: RunDir,
    config: Config,
    start: int,
    progress: Progress,
    watch: Watch,
) -> dict[str, float]:
    steps, s = config.source.steps, config.source
    recent: dict[str, float] = {}
    with _log(run, start) as log:
        for report in fit(
            session.trainer,
            session.average,
            session.batches,
            steps=steps,
            seed=session.seed,
            start=start,
        ):
            if report.step % LOG_EVERY == 0 or report.step == steps:
                recent = report.losses
                log(report)
            if report.step % s.checkpoint_every == 0 or report.step == steps:
                saved.save(report.step)
            if report.step % s.sample_every == 0 or report.step == steps:
                _draw_samples(run, report)
            progress.step("train", report.step, steps, _note(report.losses))
            if watch.signum is not None:
                saved.save(report.step)
            watch.check()
    return recent


@contextmanager
def _log(run: RunDir, start: int) -> Iterator[Callable[[StepReport], None]]:
    """A JSONL file and TensorBoard events; lines after step ``start``, of a run that was cut off,
    are dropped.
    """
    if run.log.exists():
        lines = run.log.read_text(encoding="utf-8").splitlines(keepends=True)
        write_text(
            run.log,
            "".join(line for line in lines if line.endswith("\n") and _step_of(line) <= start),
        )
    with room_for(run.log, LOG_BLOCK), run.log.open("a", encoding="utf-8") as file:
        from torch.utils.tensorboard import SummaryWriter

        board = SummaryWriter(str(run.tensorboard), purge_step=start + 1)

        def write(report: StepReport) -> None:
            file.write(json.dumps({"step": report.step, **report.losses}) + "\n")
            file.flush()
            for name, value in report.losses.items():
                board.add_scalar(f"loss/{name}", value, report.step)

        try:
            yield write
        finally:
            board.close()


def _step_of(line: str) -> int:
    record: dict[str, Any] = json.loads(line)
    return int(record["step"])


def _note(losses: dict[str, float]) -> str:
    """The first losses a family names, which are the main ones."""
    return "  ".join(f"{name} {value:.2f}" for name, value in islice(losses.items(), 4))


def _draw_samples(run: RunDir, report: StepReport) -> None:
    """The same latents at every step, one row per class, so that the grids show progress and
    nothing else.
    """
    source: Any = report.model
    device = next(report.model.parameters()).device
    shown = range(min(CLASSES_SHOWN, len(source.classes)))
    rows = []
    for c in shown:
        z = latents(0, c, 0, SAMPLES_A_CLASS, source.latent_dim).to(device)
        rows.append(source.sample(torch.full((SAMPLES_A_CLASS,), c, device=device), z).cpu())
    run.samples.mkdir(exist_ok=True)
    picture = sample_grid(rows, source.classes[: len(shown)])
    write_bytes(run.samples / f"step-{report.step:08d}.png", png_bytes(picture))


def _augments(config: Config) -> bool:
    return config.source.source_augment == "classical"
