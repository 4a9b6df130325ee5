"""What a source is worth, measured by a judge of its own: true, varied, useful and new images. No
files here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from PIL import Image
from torch import nn

from augmentor.common.randomness import seed_for
from augmentor.common.types import DataError, LabelledImages, SampleSource, device_of
from augmentor.data.candidates import BATCH_SIZE
from downstream.evaluate import predict_logits
from downstream.metrics import METRICS, Outputs
from downstream.train import balanced_weights
from pipelines.config import ClassifierConfig, DataConfig
from pipelines.datasets import DataBundle
from pipelines.experiment.setting import trainer_of
from pipelines.generators import measures
from pipelines.generators.compared import Compared, Section, compared
from pipelines.generators.findings import find_warnings, neighbours_picture, samples_picture
from pipelines.progress import Progress

JUDGE = ClassifierConfig(steps=1500, strength=0.5)
STUDENT = ClassifierConfig(steps=1500, strength=0.0)
PURPOSES = ("judge", "student", "samples", "subsets", "labels", "copies", "membership")
"""What the seed of an evaluation is asked for."""
MEASURES = ("answers", "fidelity", "diversity", "memorisation", "usefulness")


@dataclass(frozen=True)
class EvaluateSettings:
    """How a source is measured.

    Args:
        samples: Generated images for top-1, inception score and classification accuracy score, in
            equal shares of the classes; at most as many real test images go into the comparison of
            the two sets.
        k: Neighbour that sets the radius in precision, recall, density and coverage.
        copies: Most samples and most unseen images in the memorisation test; most training and most
            unseen images in the membership inference attack.
        judge: The classifier whose answers and features measure everything; learns from the real
            training part.
        student: The classifier of the classification accuracy score. It gets no augmentation, so
            that only what the images themselves hold counts.
        domain: Which classical augmentation the judge learns with.
        batch_size: Images rendered together, always as many; small for a source that renders
            slowly.
    """

    samples: int = 10_000
    k: int = 5
    copies: int = 2_000
    judge: ClassifierConfig = JUDGE
    student: ClassifierConfig = STUDENT
    domain: str = "natural"
    batch_size: int = BATCH_SIZE


@dataclass(frozen=True)
class Evaluation:
    """Everything measured.

    Args:
        result: The numbers, ready for JSON.
        pictures: ``samples`` (one row per class) and ``neighbours`` (samples beside their nearest
            training images).
    """

    result: Section
    pictures: dict[str, Image.Image]


@dataclass(frozen=True)
class Reference:
    """What several sources of one data set are measured by, made once.

    Args:
        judge: A classifier trained on the real training part.
        usefulness: What a student learns from the real training part: ``images``, ``accuracy``,
            ``balanced_accuracy``.
    """

    judge: nn.Module
    usefulness: Section


def make_reference(
    bundle: DataBundle, settings: EvaluateSettings, seed: int, device: torch.device | str
) -> Reference:
    """Train what ``evaluate_source`` would train on real images for every source anew.

    Args:
        bundle: The data.
        settings: Those the sources will be measured with; ``samples`` is not used.
        seed: The seed they will be measured with.
        device: Where the sources render.
    """
    judge = _trained(
        settings.judge, bundle.train, settings.domain, seed_for("judge", seed), str(device)
    )
    return Reference(judge, _usefulness(bundle.train, bundle.test, settings, seed, str(device)))


def evaluate_source(
    source: SampleSource,
    bundle: DataBundle,
    settings: EvaluateSettings,
    seed: int,
    progress: Progress,
    reference: Reference | None = None,
) -> Evaluation:
    """Measure a source against real data; its latents always come from the whole prior N(0, I).

    Args:
        source: What renders.
        bundle: The data. The judge learns from the training part alone; the pool counts as seen by
            the source.
        settings: How much of what.
        seed: Decides everything random.
        progress: Progress reporter.
        reference: From ``make_reference`` with the same data, settings and seed; made here unless
            given, which takes longer and changes nothing else.

    Raises:
        DataError: If classes or image shape of source and data differ.
    """
    require_same_kind(source, bundle)
    clock = _Clock(progress, total=2 + len(MEASURES))
    with clock.part("judge"):
        given = reference or make_reference(bundle, settings, seed, device_of(source))
    with clock.part("samples"):
        sets = compared(source, bundle, given.judge, settings.samples, seed, settings.batch_size)
    metrics: Section = {}
    for name in MEASURES:
        with clock.part(name):
            metrics[name] = _measured(name, sets, settings, seed, given.usefulness)
    result = _circumstances(bundle, sets, settings, seed)
    result["metrics"] = metrics
    result["warnings"] = find_warnings(metrics, bundle.train.classes)
    result["seconds"] = clock.seconds
    pictures = {"samples": samples_picture(sets), "neighbours": neighbours_picture(sets)}
    return Evaluation(result, pictures)


def require_same_kind(source: SampleSource, bundle: DataBundle) -> None:
    """Refuse a source of other classes or another image shape than the data's.

    Raises:
        DataError: With both.
    """
    for name, mine, theirs in (
        ("classes", source.classes, bundle.train.classes),
        ("image shape", source.image_shape, bundle.train.image_shape),
    ):
        if mine != theirs:
            raise DataError(
                f"{bundle.name}: the source has {name} {mine}, the data have {theirs}; "
                "evaluate it on the data it was trained on, or train it again"
            )


def _measured(
    name: str, sets: Compared, settings: EvaluateSettings, seed: int, usefulness: Section
) -> Section:
    """One measure by name; ``usefulness`` is that of the real images."""
    if name == "answers":
        return measures.answers(sets)
    if name == "fidelity":
        return measures.fidelity(sets, settings.k)
    if name == "diversity":
        return measures.diversity(sets, seed)
    if name == "memorisation":
        return measures.memorisation(sets, settings.copies, seed)
    device, test = str(device_of(sets.source)), sets.test.images
    made = _usefulness(sets.equal.images, test, settings, seed, device)
    return {"real": usefulness, "generated": made}


def _usefulness(
    images: LabelledImages,
    test: LabelledImages,
    settings: EvaluateSettings,
    seed: int,
    device: str,
) -> Section:
    """Classification accuracy score: learn from these images only, answer on the real test part."""
    student = _trained(settings.student, images, settings.domain, seed_for("student", seed), device)
    probs = predict_logits(student, test.x).softmax(dim=1)
    outputs = Outputs(y=test.y, class_probs=probs)
    scores = {name: METRICS[name].of(outputs) for name in ("accuracy", "balanced_accuracy")}
    return {"images": len(images), **scores}


def _trained(
    config: ClassifierConfig, images: LabelledImages, domain: str, seed: int, device: str
) -> nn.Module:
    """A classifier trained on these images, every class drawn equally often."""
    trainer = trainer_of(config, DataConfig(), device)
    # Smoothing would take the certainty out of the inception score.
    certain = replace(trainer.settings, label_smoothing=0.0)
    trainer = replace(trainer, settings=certain, domain=domain)
    weights = balanced_weights(images.y, len(images.classes))
    return trainer.train(images, seed, draw_weights=weights, augment=("classical",))


def _circumstances(
    bundle: DataBundle, sets: Compared, settings: EvaluateSettings, seed: int
) -> Section:
    """What was measured with what; with the seeds enough to do it again."""
    judge = settings.judge.told() | {"domain": settings.domain}
    student = settings.student.told() | {"domain": settings.domain}
    sizes = {"train": len(sets.train), "test": len(sets.test), "seen": len(sets.seen["pixels"])}
    return {
        "dataset": bundle.name,
        "regime": bundle.regime,
        "classes": list(sets.classes),
        "image_shape": list(bundle.train.image_shape),
        "images": sizes,
        "samples": settings.samples,
        "k": settings.k,
        "judge": judge | {"features": sets.test.features.shape[1]},
        "student": student,
        "seed": seed,
        "seeds": {purpose: seed_for(purpose, seed) for purpose in PURPOSES},
    }


@dataclass
class _Clock:
    """Seconds of every part, shown by the progress reporter as they pass."""

    progress: Progress
    total: int
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self.progress.step("evaluate", len(self.seconds), self.total, name)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 2)
        self.progress.step("evaluate", len(self.seconds), self.total, name)
