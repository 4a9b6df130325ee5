"""One row of a comparison: a family trained, or a finished run, measured by the judge of all; done
in a worker.

A row leaves a cell, a small JSON file with all that the table, the pictures and the report need of
it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from augmentor.api import Source
from augmentor.common.atomic_files import write_bytes, write_text
from augmentor.common.types import DivergedError, EncodingSource, LabelledImages
from augmentor.editing.reconstruct import reconstruct
from augmentor.sampling.synthesize import synthesize
from augmentor.training.loop import fit
from downstream.classifier import build_classifier
from pipelines.augmentation import domain_of
from pipelines.config import Config
from pipelines.datasets import DataBundle, load_data
from pipelines.device import device_of, use_threads
from pipelines.interrupt import Watch
from pipelines.report.pictures import packed
from pipelines.results import device_name, package_versions
from pipelines.generators.quality import (
    JUDGE,
    STUDENT,
    EvaluateSettings,
    Reference,
    Section,
    derived_seed,
    evaluate_source,
    evenly_spaced,
    first_of_each,
    make_reference,
    summary,
)
from pipelines.generators.train import LoadedRun, load_source, start_session, train_run

MOST_OF_PIXEL_CNN = 500  # samples of a family that takes a pass of the network a pixel
PIXEL_CNN_BATCH = 32
POINTS = {"train": 40, "evaluate": 9}  # parts of a row, of which progress is told
COLUMNS = 20  # pictures in a row
WARM_UP, TIMED = 3, 20  # steps
MEASURED = (
    *(
        "top1",
        "inception_score",
        "fid",
        "kid",
        "precision",
        "recall",
        "density",
        "coverage",
        "diversity",
        "cas",
    ),
    *("memorisation_p", "memorisation_p_features", "copied_share", "images_per_second"),
)


@dataclass(frozen=True)
class CompareJob:
    """One row to make, or what all of them need first.

    Args:
        config: Of the row's training, with the data and the seed of the comparison; ``compare``
            says how it is measured.
        row: Its name; empty for the reference.
        run: Folder of its training.
        trains: Whether the training belongs to the job; else the run is a finished one.
        reference: File of the judge.
        path: The cell's file; the reference's own for the reference.
    """

    config: Config
    row: str
    run: Path
    trains: bool
    reference: Path
    path: Path


def make_cell(job: CompareJob, on_part: Callable[[str], None], watch: Watch | None) -> None:
    """Do one job and leave its file; runs in a worker."""
    use_threads(job.config)
    if not job.row:
        on_part("judge")
        bundle, settings = load_data(job.config.data, job.config.seed), settings_of(job.config)
        made = make_reference(bundle, settings, job.config.seed, device_of(job.config))
        return save_reference(job.path, made)
    told = _Told(job.row, on_part, watch)
    try:
        cell = _measured(job, told)
    except DivergedError as error:  # a result too; the other rows go on
        cell = _unmeasured(job, f"training diverged: {error}")
    where = {"device": device_name(str(device_of(job.config))), "versions": package_versions()}
    write_text(job.path, json.dumps(cell | where, allow_nan=False))


def settings_of(config: Config, family: str = "") -> EvaluateSettings:
    """How a family is measured in the comparison ``config`` declares; all alike but the PixelCNN,
    which is slow.
    """
    c, slow = config.compare, family == "pixel_cnn"
    settings = EvaluateSettings(
        samples=min(c.samples, MOST_OF_PIXEL_CNN) if slow else c.samples,
        judge=JUDGE.model_copy(update={"steps": c.judge_steps}),
        student=STUDENT.model_copy(update={"steps": c.student_steps}),
        domain=domain_of(config),
    )
    return replace(settings, batch_size=PIXEL_CNN_BATCH) if slow else settings


def shown_counts(num_classes: int) -> dict[int, int]:
    """How many pictures of which classes a row shows: about twenty in all, whatever the number of
    classes.
    """
    shown = evenly_spaced(num_classes, COLUMNS)
    return dict.fromkeys(shown, max(1, COLUMNS // len(shown)))


def shown_images(images: LabelledImages) -> LabelledImages:
    """The real images at the top of the pictures: the first of every class shown."""
    return images.subset(first_of_each(images.y, shown_counts(len(images.classes))))


def save_reference(path: Path, reference: Reference) -> None:
    """Write judge and usefulness as one safetensors file."""
    weights = {
        name: tensor.cpu().contiguous() for name, tensor in reference.judge.state_dict().items()
    }
    write_bytes(path, save(weights, metadata={"usefulness": json.dumps(reference.usefulness)}))


def load_reference(
    path: Path, bundle: DataBundle, settings: EvaluateSettings, device: torch.device
) -> Reference:
    """Read what ``save_reference`` wrote."""
    with safe_open(path, "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}
        usefulness = json.loads(file.metadata()["usefulness"])
    judge = build_classifier(
        settings.judge.name, len(bundle.train.classes), bundle.train.image_shape, seed=0
    )
    judge.load_state_dict(weights)
    return Reference(judge.to(device).to(memory_format=torch.channels_last).eval(), usefulness)


def seconds_per_1000_steps(images: LabelledImages, config: Config) -> float:
    """What 1,000 training steps take, by twenty steps of a training begun anew.

    On a CPU processor time, so that what else the machine does is left out; else wall-clock time.
    """
    session = start_session(images, config, config.seed)
    steps = fit(
        session.trainer, session.average, session.batches, steps=WARM_UP + TIMED, seed=config.seed
    )
    for _ in range(WARM_UP):
        next(steps)
    now = _clock_of(device_of(config))
    start = now()
    for _ in steps:  # reads the losses of every step, so that nothing is left queued on a GPU
        pass
    return 1000 * (now() - start) / TIMED


@dataclass
class Stopwatch:
    """A source that counts the images it renders, and the seconds they take, from the second batch
    on.

    Args:
        source: What renders.
    """

    source: Source
    images: int = 0
    seconds: float = 0.0
    _warm: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """See ``types.SampleSource``."""
        return self.source.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """See ``types.SampleSource``."""
        return self.source.image_shape

    @property
    def latent_dim(self) -> int:
        """See ``types.SampleSource``."""
        return self.source.latent_dim

    @property
    def device(self) -> torch.device:
        """Where the images are rendered."""
        return self.source.device

    @property
    def images_per_second(self) -> float | None:
        """By processor time on a CPU, else wall-clock time; None before the second batch."""
        return self.images / self.seconds if self.seconds else None

    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        """See ``types.SampleSource.sample``."""
        now = _clock_of(self.device)
        start = now()
        x = self.source.sample(y, z)
        if self._warm:
            self.images, self.seconds = self.images + len(x), self.seconds + now() - start
        self._warm = True
        return x


@dataclass
class _Told:
    """Progress of a training and of an evaluation as parts of one job."""

    row: str
    on_part: Callable[[str], None]
    watch: Watch | None
    _points: dict[str, int] = field(default_factory=dict)

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        if self.watch is not None:
            self.watch.check()
        points, before = done * POINTS[task] // total, self._points.get(task, 0)
        for _ in range(points - before):
            self.on_part(f"{self.row}: {task} {done} of {total}")
        self._points[task] = max(points, before)

    def say(self, line: str) -> None:
        """Nobody listens in a worker."""


def _measured(job: CompareJob, told: _Told) -> Section:
    config, start = job.config, time.perf_counter()
    if job.trains:
        train_run(config, job.run, resume=True, progress=told)
    seconds = {"train": time.perf_counter() - start}
    loaded = load_source(job.run, config.device)
    bundle = load_data(config.data, config.seed)
    settings = settings_of(config, loaded.config.source.family)
    reference = load_reference(job.reference, bundle, settings, loaded.source.device)
    timed = Stopwatch(loaded.source)
    result = evaluate_source(timed, bundle, settings, config.seed, told, reference).result
    metrics = result["metrics"]
    numbers = summary(metrics, "generated") | {
        "memorisation_p": metrics["memorisation"]["pixels"]["p"],
        "memorisation_p_features": metrics["memorisation"]["features"]["p"],
        "copied_share": metrics["memorisation"]["pixels"]["copied_share"],
        "images_per_second": timed.images_per_second,
    }
    return {
        **_described(job, loaded),
        **numbers,
        "samples": settings.samples,
        "train_seconds_per_1000": seconds_per_1000_steps(bundle.train, config),
        **_likelihood(loaded.source, bundle.test),
        "warnings": result["warnings"],
        "real": summary(metrics, "real"),
        "measured_by": {name: result[name] for name in ("judge", "student", "images", "k")},
        "pictures": _pictures(loaded.source, bundle, settings, config.seed),
        "seconds": {name: round(value, 1) for name, value in (seconds | result["seconds"]).items()},
    }


def _unmeasured(job: CompareJob, warning: str) -> Section:
    """The cell of a training that came to nothing."""
    source = job.config.source
    session = start_session(
        load_data(job.config.data, job.config.seed).train, job.config, job.config.seed
    )
    return {
        "row": job.row,
        "family": source.family,
        "preset": source.preset,
        "options": source.options,
        "step": source.steps,
        "batch_size": source.batch_size,
        "equal_budget": job.trains,
        "parameters": _parameters(session.trainer.model),
        **dict.fromkeys((*MEASURED, "train_seconds_per_1000")),
        "samples": 0,
        "warnings": [warning],
        "real": None,
        "measured_by": None,
        "pictures": {},
        "seconds": {},
    }


def _described(job: CompareJob, loaded: LoadedRun) -> Section:
    source = loaded.config.source
    model: Any = loaded.source.model
    return {
        "row": job.row,
        "family": source.family,
        "preset": source.preset,
        "options": source.options,
        "all_options": asdict(model.options),
        "step": loaded.step,
        "batch_size": source.batch_size,
        "equal_budget": job.trains,
        "parameters": _parameters(model),
        "checkpoint_sha256": loaded.checkpoint_sha256,
    }


def _parameters(model: torch.nn.Module) -> dict[str, int]:
    """Weights of every network of a model, and of all of them."""
    counts = {
        name: sum(weight.numel() for weight in part.parameters())
        for name, part in model.named_children()
    }
    return {name: count for name, count in counts.items() if count} | {"all": sum(counts.values())}


def _likelihood(source: Source, test: LabelledImages, batch_size: int = 256) -> Section:
    """``bits_per_dimension`` of all test images, of a family that knows it."""
    model: Any = source.model
    if not hasattr(model, "bits_per_dimension"):
        return {}
    batches = zip(torch.split(test.x, batch_size), torch.split(test.y, batch_size), strict=True)
    bits = [
        model.bits_per_dimension(x.to(source.device), y.to(source.device)).cpu() for x, y in batches
    ]
    return {"bits_per_dimension": float(torch.cat(bits).double().mean())}


def _pictures(
    source: Source, bundle: DataBundle, settings: EvaluateSettings, seed: int
) -> dict[str, str]:
    """The first samples of every class shown, not picked, and the real images at their side encoded
    and rendered.
    """
    counts = shown_counts(len(bundle.train.classes))
    batch_size = min(settings.batch_size, max(counts.values()))
    samples = synthesize(source, counts, derived_seed(seed, "samples"), batch_size=batch_size)
    pictures = {"samples": packed(samples.x)}
    if isinstance(source, EncodingSource):
        real, device = shown_images(bundle.test), source.device
        rendered = reconstruct(cast(EncodingSource, source), real.x.to(device), real.y.to(device))
        pictures["reconstructions"] = packed(rendered.cpu())
    return pictures


def _clock_of(device: torch.device) -> Callable[[], float]:
    """Seconds of work done; on a GPU only when nothing is queued."""
    if device.type == "cpu":
        return time.process_time

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return now
