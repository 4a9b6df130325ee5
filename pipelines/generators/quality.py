"""What a source is worth, measured by a judge of its own: true, varied, useful and new images. No
files here.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import torch
from PIL import Image
from torch import Generator, Tensor, nn

from augmentor.common.types import DataError, LabelledImages, SampleSource, device_of
from augmentor.data.candidates import BATCH_SIZE, latents
from augmentor.quality.fidelity import (
    class_spread,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall_density_coverage,
)
from augmentor.quality.memorisation import copied_share, memorisation_test, nearest
from augmentor.sampling.synthesize import synthesize
from downstream.augment import classical
from downstream.classifier import build_classifier, features
from downstream.evaluate import accuracy, balanced_accuracy, predict_logits
from downstream.train import balanced_weights, train_classifier
from pipelines.config import ClassifierConfig
from pipelines.datasets import DataBundle
from pipelines.report.pictures import class_rows, sample_grid
from pipelines.progress import Progress
from pipelines.train_settings import train_settings

Section = dict[str, Any]
Kind = Literal["pixels", "features"]
KINDS: tuple[Kind, ...] = ("pixels", "features")
JUDGE = ClassifierConfig(steps=1500, batch_size=64, learning_rate=5e-3, strength=0.5)
STUDENT = ClassifierConfig(steps=1500, batch_size=64, learning_rate=5e-3, strength=0.0)


@dataclass(frozen=True)
class EvaluateSettings:
    """How a source is measured.

    Args:
        samples: Generated images for top-1, inception score and classification accuracy score, in
            equal shares of the classes; at most as many real test images go into the comparison of
            the two sets.
        k: Neighbour that sets the radius in precision, recall, density and coverage.
        copies: Most samples and most unseen images in the memorisation test.
        judge: The classifier whose answers and features measure everything; learns from the real
            training part.
        student: The classifier of the classification accuracy score. It gets no augmentation, so
            that only what the images themselves hold counts.
        domain: Which classical augmentation the judge learns with.
        batch_size: Images rendered together, always as many; small for a source to whom every image
            is dear.
    """

    samples: int = 10_000
    k: int = 5
    copies: int = 2_000
    judge: ClassifierConfig = JUDGE
    student: ClassifierConfig = STUDENT
    domain: Literal["digits", "natural"] = "natural"
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
    bundle: DataBundle, settings: EvaluateSettings, seed: int, device: torch.device
) -> Reference:
    """Train what ``evaluate_source`` would train on real images for every source anew.

    Args:
        bundle: The data.
        settings: Those the sources will be measured with; ``samples`` is not used.
        seed: The seed they will be measured with.
        device: Where the sources render.
    """
    judge = _trained(
        settings.judge, bundle.train, settings.domain, derived_seed(seed, "judge"), device
    )
    return Reference(judge, _student(bundle.train, bundle, settings, seed, device))


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
        progress: Told after every part.
        reference: From ``make_reference`` with the same data, settings and seed; made here unless
            given, which takes longer and changes nothing else.

    Raises:
        DataError: If classes or image shape of source and data differ.
    """
    require_same_kind(source, bundle)
    clock = _Clock(progress, total=2 + len(_MEASURES))
    with clock.part("judge"):
        given = reference or make_reference(bundle, settings, seed, device_of(source))
    with clock.part("samples"):
        bench = _prepare(source, bundle, given, settings, seed)
    measured: Section = {}
    for name, measure in _MEASURES.items():
        with clock.part(name):
            measured[name] = measure(bench)
    words = find_warnings(measured, bundle.train.classes)
    result = _circumstances(bench) | {
        "metrics": measured,
        "warnings": words,
        "seconds": clock.seconds,
    }
    return Evaluation(
        result, {"samples": _samples_picture(bench), "neighbours": _neighbours_picture(bench)}
    )


def summary(metrics: Section, row: Literal["real", "generated"]) -> Section:
    """One row of a table: what ``evaluate_source`` measured, flat.

    Args:
        metrics: ``metrics`` of its result.
        row: The real data, or what the source made of them. Real data are as varied as they are.
    """
    answers, fidelity, usefulness = (
        metrics[part][row] for part in ("answers", "fidelity", "usefulness")
    )
    return {
        "top1": answers["top1"],
        "inception_score": answers["inception_score"],
        **{
            name: fidelity[name]
            for name in ("fid", "kid", "precision", "recall", "density", "coverage")
        },
        "diversity": metrics["diversity"]["pixels_ratio"] if row == "generated" else 1.0,
        "cas": usefulness["accuracy"],
    }


def find_warnings(metrics: Section, classes: tuple[str, ...]) -> list[str]:
    """What in the numbers should stop a reader, in words; empty if nothing does.

    Args:
        metrics: The sections ``answers``, ``diversity`` and ``memorisation`` as ``evaluate_source``
            makes them.
        classes: Class names by index.
    """
    real, made = metrics["answers"]["real"]["top1"], metrics["answers"]["generated"]["top1"]
    label_effect, pixels = metrics["diversity"]["label_effect"], metrics["memorisation"]["pixels"]
    ratios = zip(classes, metrics["diversity"]["pixels_ratio_of_class"], strict=True)
    flat = [name for name, ratio in ratios if ratio is not None and ratio < 0.1]
    chance = 1 / len(classes)
    words = []
    if real < 0.9:
        words.append(
            f"weak judge: it recognises {real:.1%} of the real test images; the other numbers are "
            "as unsure"
        )
    if flat:
        words.append(f"collapsed: images of {_some(flat)} are almost the same whatever the latent")
    if label_effect < 0.1:
        words.append("deaf to the label: a latent gives almost the same image for every class")
    if made < chance + 0.1 * (1 - chance):
        words.append(
            f"deaf to the label: the judge finds the asked class in {made:.1%}, hardly more than "
            "by chance"
        )
    copied, error = pixels["copied_share"], pixels["copied_share_error"]
    if copied is not None and copied > 0.1 + 3 * error:
        words.append(
            f"memorised: about {copied:.0%} of the samples look like copies of training images"
        )
    if pixels["near_copies"] > 0.1:
        words.append(
            f"near copies: {pixels['near_copies']:.1%} of the samples are as near to an "
            "image the source has "
            "seen as only 1 % of unseen images are; blurred samples can do that too"
        )
    return words


def derived_seed(seed: int, purpose: str) -> int:
    """A seed of its own for every purpose, so that no two draws share a stream; in [0, 2³¹)."""
    digest = hashlib.sha256(f"evaluate/{purpose}/{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "little") % 2**31


def equal_shares(total: int, num_classes: int) -> dict[int, int]:
    """Split ``total`` into shares that differ by one at most, the larger ones first."""
    return {
        index: total // num_classes + (index < total % num_classes) for index in range(num_classes)
    }


def first_of_each(y: Tensor, counts: dict[int, int]) -> Tensor:
    """Indices of the first ``counts[c]`` images of every class c, class after class, int64."""
    return torch.cat(
        [torch.nonzero(y == index).flatten()[:n] for index, n in sorted(counts.items())]
    )


def matched(
    first: Tensor, second: Tensor, num_classes: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Random subsets of two sets with the same class counts, as large as possible.

    Args:
        first: Classes of one set, int64 (N,).
        second: Classes of the other, int64 (M,).
        num_classes: Number of classes.
        generator: Draws the subsets.

    Returns:
        Indices into the two sets, of equal length and equal classes position by position.
    """
    sizes = torch.minimum(
        torch.bincount(first, minlength=num_classes), torch.bincount(second, minlength=num_classes)
    )
    counts = dict(enumerate(sizes.tolist()))
    orders = [torch.randperm(len(y), generator=generator) for y in (first, second)]
    one, other = (
        order[first_of_each(y[order], counts)]
        for y, order in zip((first, second), orders, strict=True)
    )
    return one, other


@dataclass(frozen=True)
class _Judged:
    """Images and what the judge sees in them: features (N, D)."""

    images: LabelledImages
    features: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: Tensor) -> _Judged:
        return _Judged(self.images.subset(indices), self.features[indices])

    def values(self, kind: Kind) -> Tensor:
        return self.images.x if kind == "pixels" else self.features


@dataclass(frozen=True)
class _Bench:
    """All that is measured, judged once.

    Args:
        train: The real training part.
        test: The real test part.
        test_part: Random test images, at most as many as samples.
        equal: Generated images in equal shares of the classes.
        alike: Generated images with the class counts of ``test_part``.
        train_pair: Random training images, class by class as many as ...
        test_pair: ... these of ``test_part``; the two are the reference "real data".
        seen: All images the source may have learnt from, the pool included.
        real_usefulness: What a student learns from the real training part.
    """

    source: SampleSource
    bundle: DataBundle
    judge: nn.Module
    settings: EvaluateSettings
    seed: int
    train: _Judged
    test: _Judged
    test_part: _Judged
    equal: _Judged
    alike: _Judged
    train_pair: _Judged
    test_pair: _Judged
    seen: dict[Kind, Tensor]
    real_usefulness: Section

    @property
    def classes(self) -> tuple[str, ...]:
        return self.bundle.train.classes

    def generator(self, purpose: str) -> Generator:
        return Generator().manual_seed(derived_seed(self.seed, purpose))


def _prepare(
    source: SampleSource,
    bundle: DataBundle,
    reference: Reference,
    settings: EvaluateSettings,
    seed: int,
) -> _Bench:
    judge = reference.judge
    train, test = _judged(judge, bundle.train), _judged(judge, bundle.test)
    draw = Generator().manual_seed(derived_seed(seed, "subsets"))
    test_part = test.subset(torch.randperm(len(test), generator=draw)[: settings.samples])
    train_rows, test_rows = matched(train.images.y, test_part.images.y, len(source.classes), draw)
    shares, asked = equal_shares(settings.samples, len(source.classes)), test_part.images.counts
    wanted = {index: max(share, asked[index]) for index, share in shares.items()}
    drawn = synthesize(
        source, wanted, derived_seed(seed, "samples"), batch_size=settings.batch_size
    )
    made = _judged(judge, drawn)
    return _Bench(
        source=source,
        bundle=bundle,
        judge=judge,
        settings=settings,
        seed=seed,
        train=train,
        test=test,
        test_part=test_part,
        equal=made.subset(first_of_each(made.images.y, shares)),
        alike=made.subset(first_of_each(made.images.y, asked)),
        train_pair=train.subset(train_rows),
        test_pair=test_part.subset(test_rows),
        seen=_seen(train, bundle.pool, judge),
        real_usefulness=reference.usefulness,
    )


def _judged(judge: nn.Module, images: LabelledImages) -> _Judged:
    return _Judged(images, features(judge, images.x))


def _seen(train: _Judged, pool: Tensor | None, judge: nn.Module) -> dict[Kind, Tensor]:
    if pool is None or len(pool) == 0:
        return {kind: train.values(kind) for kind in KINDS}
    return {
        "pixels": torch.cat([train.images.x, pool]),
        "features": torch.cat([train.features, features(judge, pool)]),
    }


def _answers(bench: _Bench) -> Section:
    """What the judge says of all test images and of generated ones in equal shares of the
    classes.
    """
    return {
        row: _answers_on(bench, part.images)
        for row, part in (("real", bench.test), ("generated", bench.equal))
    }


def _answers_on(bench: _Bench, images: LabelledImages) -> Section:
    logits = predict_logits(bench.judge, images.x)
    predictions = logits.argmax(dim=1)
    return {
        "images": len(images),
        "top1": accuracy(predictions, images.y),
        "balanced_top1": balanced_accuracy(predictions, images.y, len(bench.classes)),
        "inception_score": inception_score(logits),
    }


def _fidelity(bench: _Bench) -> Section:
    """How far generated images lie from test images in features, beside how far training images
    do.
    """
    k = bench.settings.k
    return {
        "real": _fidelity_of(bench.test_pair.features, bench.train_pair.features, k),
        "generated": _fidelity_of(bench.test_part.features, bench.alike.features, k),
    }


def _fidelity_of(real: Tensor, fake: Tensor, k: int) -> Section:
    result: Section = {"images": len(fake)}
    if len(real) <= k:  # as many fake ones; too few for any of these numbers
        return result | dict.fromkeys(("fid", "kid", "precision", "recall", "density", "coverage"))
    distances = {"fid": frechet_distance(real, fake), "kid": kernel_distance(real, fake)}
    return result | distances | precision_recall_density_coverage(real, fake, k)


def _diversity(bench: _Bench) -> Section:
    """Mean distance of two images of one class, generated over real; and how far the label moves an
    image.
    """
    result: Section = {"images": len(bench.alike), "label_effect": _label_effect(bench)}
    for kind in KINDS:
        made, real = (
            class_spread(judged.values(kind), judged.images.y, len(bench.classes))
            for judged in (bench.alike, bench.test_part)
        )
        result[f"{kind}_ratio"] = _number(made.nanmean() / real.nanmean())
        result[f"{kind}_ratio_of_class"] = [_number(ratio) for ratio in made / real]
    return result


def _label_effect(bench: _Bench, draws: int = 16, most_classes: int = 32) -> float:
    """Distance of images of one latent under different labels, over that of real images of any
    labels.
    """
    source, device = bench.source, device_of(bench.source)
    chosen = evenly_spaced(len(bench.classes), most_classes)
    z = latents(derived_seed(bench.seed, "labels"), 0, 0, draws, source.latent_dim)
    y = torch.tensor(chosen).repeat(draws)
    rendered = source.sample(y.to(device), z.repeat_interleave(len(chosen), dim=0).to(device)).cpu()
    latent_of = torch.arange(draws).repeat_interleave(len(chosen))
    real = bench.test_part.images.x[:1000]
    usual = class_spread(real, torch.zeros(len(real), dtype=torch.int64), 1)
    return float(class_spread(rendered, latent_of, draws).mean() / usual)


def _memorisation(bench: _Bench) -> Section:
    """Do samples lie nearer to what the source has seen than unseen real images do? In pixels and
    in features.
    """
    n, pool = bench.settings.copies, bench.bundle.pool
    rows = torch.randperm(len(bench.alike), generator=bench.generator("copies"))[:n]
    samples, unseen = (
        bench.alike.subset(rows),
        bench.test_part.subset(torch.arange(min(n, len(bench.test_part)))),
    )
    result: Section = {
        "seen": len(bench.seen["pixels"]),
        "unseen": len(unseen),
        "samples": len(samples),
    }
    # Labels of the pool are unknown; with it, what the source has seen has the classes of the test
    # part anyhow.
    classes = (
        None if pool is not None else (bench.train.images.y, bench.test.images.y, samples.images.y)
    )
    for kind in KINDS:
        seen, drawn = bench.seen[kind], samples.values(kind)
        test = memorisation_test(seen, unseen.values(kind), drawn)
        share, error = map(_number, copied_share(seen, bench.test.values(kind), drawn, classes))
        result[kind] = asdict(test) | {"copied_share": share, "copied_share_error": error}
    return result


def _usefulness(bench: _Bench) -> Section:
    """Classification accuracy score: learn from one kind of image only, answer on the real test
    part.
    """
    made = _student(
        bench.equal.images, bench.bundle, bench.settings, bench.seed, device_of(bench.source)
    )
    return {"real": bench.real_usefulness, "generated": made}


def _student(
    images: LabelledImages,
    bundle: DataBundle,
    settings: EvaluateSettings,
    seed: int,
    device: torch.device,
) -> Section:
    test = bundle.test
    student = _trained(
        settings.student, images, settings.domain, derived_seed(seed, "student"), device
    )
    predictions = predict_logits(student, test.x).argmax(dim=1)
    return {
        "images": len(images),
        "accuracy": accuracy(predictions, test.y),
        "balanced_accuracy": balanced_accuracy(predictions, test.y, len(test.classes)),
    }


_MEASURES: dict[str, Callable[[_Bench], Section]] = {
    "answers": _answers,
    "fidelity": _fidelity,
    "diversity": _diversity,
    "memorisation": _memorisation,
    "usefulness": _usefulness,
}


def _trained(
    config: ClassifierConfig, images: LabelledImages, domain: str, seed: int, device: torch.device
) -> nn.Module:
    """A classifier trained on these images, every class drawn equally often."""
    model = build_classifier(config.name, len(images.classes), images.image_shape, seed=seed).to(
        device
    )
    # Smoothing would take the certainty out of the inception score.
    settings = replace(train_settings(config), label_smoothing=0.0)
    weights = balanced_weights(images.y, len(images.classes))
    augment = classical(domain, config.strength)
    return train_classifier(
        model, images.x, images.y, settings, seed=seed, draw_weights=weights, augment=augment
    )


def _circumstances(bench: _Bench) -> Section:
    """What was measured with what; with the seeds enough to do it again."""
    domain = {"domain": bench.settings.domain}
    purposes = ("judge", "student", "samples", "subsets", "labels", "copies")
    return {
        "dataset": bench.bundle.name,
        "regime": bench.bundle.regime,
        "classes": list(bench.classes),
        "image_shape": list(bench.bundle.train.image_shape),
        "images": {
            "train": len(bench.train),
            "test": len(bench.test),
            "seen": len(bench.seen["pixels"]),
        },
        "samples": bench.settings.samples,
        "k": bench.settings.k,
        "judge": bench.settings.judge.model_dump()
        | domain
        | {"features": bench.test.features.shape[1]},
        "student": bench.settings.student.model_dump() | domain,
        "seed": bench.seed,
        "seeds": {purpose: derived_seed(bench.seed, purpose) for purpose in purposes},
    }


def _samples_picture(bench: _Bench, columns: int = 12) -> Image.Image:
    images = bench.equal.images
    return sample_grid(
        class_rows(images.x, images.y, range(len(bench.classes)), columns), bench.classes
    )


def _neighbours_picture(bench: _Bench, samples: int = 4, most_classes: int = 10) -> Image.Image:
    """Rows of (sample, nearest seen image in pixels, nearest in features)."""
    chosen = evenly_spaced(len(bench.classes), most_classes)
    shown = bench.equal.subset(first_of_each(bench.equal.images.y, dict.fromkeys(chosen, samples)))
    found = [
        bench.seen["pixels"][nearest(shown.values(kind), bench.seen[kind])[1]] for kind in KINDS
    ]
    triples = torch.stack([shown.images.x, *found], dim=1)
    rows = [triples[shown.images.y == index].flatten(0, 1) for index in chosen]
    names = ["sample", *KINDS] * samples
    return sample_grid(
        rows, [bench.classes[index] for index in chosen], column_names=names, group=3
    )


@dataclass
class _Clock:
    """Seconds of every part, told to the progress as they pass."""

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


def evenly_spaced(num_classes: int, most: int) -> list[int]:
    """At most ``most`` class indices, evenly spread over all; ascending."""
    n = min(num_classes, most)
    return [index * num_classes // n for index in range(n)]


def _number(value: Tensor | float) -> float | None:
    """A number JSON has a word for."""
    return float(value) if math.isfinite(float(value)) else None


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more classes" if len(names) > 5 else "")
