"""What a source is measured by: real and generated images, and what a judge sees in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn

from augmentor.common.randomness import rng_for, seed_for
from augmentor.common.types import LabelledImages, SampleSource
from augmentor.sampling.synthesize import synthesize
from downstream.classifier import features
from pipelines.datasets import DataBundle

Section = dict[str, Any]
Kind = Literal["pixels", "features"]
KINDS: tuple[Kind, ...] = ("pixels", "features")


@dataclass(frozen=True)
class Judged:
    """Images and what the judge sees in them.

    Args:
        images: N images.
        features: Of the judge, float32 (N, D).
    """

    images: LabelledImages
    features: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: Tensor) -> Judged:
        """Some of the images, int64 (M,)."""
        return Judged(self.images.subset(indices), self.features[indices])

    def values(self, kind: Kind) -> Tensor:
        """What distances are measured in: (N, C, H, W) or (N, D)."""
        return self.images.x if kind == "pixels" else self.features


@dataclass(frozen=True)
class Compared:
    """All that is measured, judged once.

    Args:
        source: What renders.
        judge: The classifier that sees the images.
        train: The real training part.
        test: The real test part.
        test_part: Random test images, at most as many as samples.
        equal: Generated images in equal shares of the classes.
        alike: Generated images with the class counts of ``test_part``.
        train_pair: Random training images, class by class as many as ...
        test_pair: ... these of ``test_part``; the two are the reference "real data".
        seen: All images that the source may have learned from, the pool included.
        has_pool: Whether there are such images without a label.
        pool_is_rest: Whether these are all the training images without a label, so that all that
            the source has seen has the classes of the data.
    """

    source: SampleSource
    judge: nn.Module
    train: Judged
    test: Judged
    test_part: Judged
    equal: Judged
    alike: Judged
    train_pair: Judged
    test_pair: Judged
    seen: Mapping[Kind, Tensor]
    has_pool: bool
    pool_is_rest: bool

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by index."""
        return self.train.images.classes


def compared(
    source: SampleSource,
    bundle: DataBundle,
    judge: nn.Module,
    samples: int,
    seed: int,
    batch_size: int,
) -> Compared:
    """Render, draw the subsets, and let the judge see all of it.

    Args:
        source: What renders; its latents come from the whole prior N(0, I).
        bundle: The data.
        judge: A trained classifier.
        samples: Generated images in equal shares of the classes.
        seed: Decides latents and subsets.
        batch_size: Images rendered together.
    """
    num_classes, pool = len(source.classes), 0 if bundle.pool is None else len(bundle.pool)
    train, test = judged(judge, bundle.train), judged(judge, bundle.test)
    rng = rng_for("subsets", seed)
    test_part = test.subset(torch.randperm(len(test), generator=rng)[:samples])
    train_rows, test_rows = matched(train.images.y, test_part.images.y, num_classes, rng)
    shares, asked = equal_shares(samples, num_classes), test_part.images.counts
    wanted = {label: max(share, asked[label]) for label, share in shares.items()}
    drawn = synthesize(source, wanted, seed_for("samples", seed), batch_size=batch_size)
    made = judged(judge, drawn)
    return Compared(
        source=source,
        judge=judge,
        train=train,
        test=test,
        test_part=test_part,
        equal=made.subset(first_of_each(drawn.y, shares)),
        alike=made.subset(first_of_each(drawn.y, asked)),
        train_pair=train.subset(train_rows),
        test_pair=test_part.subset(test_rows),
        seen=_seen(train, bundle.pool, judge),
        has_pool=bundle.pool is not None,
        pool_is_rest=len(bundle.train) + pool == sum(bundle.available),
    )


def judged(judge: nn.Module, images: LabelledImages) -> Judged:
    """Images with the judge's features."""
    return Judged(images, features(judge, images.x))


def _seen(train: Judged, pool: Tensor | None, judge: nn.Module) -> dict[Kind, Tensor]:
    if pool is None or len(pool) == 0:
        return {kind: train.values(kind) for kind in KINDS}
    return {
        "pixels": torch.cat([train.images.x, pool]),
        "features": torch.cat([train.features, features(judge, pool)]),
    }


def equal_shares(total: int, num_classes: int) -> dict[int, int]:
    """Split ``total`` into shares that differ by one at most, the larger ones first."""
    share, rest = divmod(total, num_classes)
    return {label: share + (label < rest) for label in range(num_classes)}


def first_of_each(y: Tensor, counts: Mapping[int, int]) -> Tensor:
    """Indices of the first ``counts[c]`` images of every class c, class after class, int64."""
    return torch.cat(
        [torch.nonzero(y == label).flatten()[:n] for label, n in sorted(counts.items())]
    )


def matched(
    first: Tensor, second: Tensor, num_classes: int, rng: Generator
) -> tuple[Tensor, Tensor]:
    """Random subsets of two sets with the same class counts, as large as possible.

    Args:
        first: Classes of one set, int64 (N,).
        second: Classes of the other, int64 (M,).
        num_classes: Number of classes.
        rng: Draws the subsets.

    Returns:
        Indices into the two sets, of equal length and equal classes position by position.
    """
    of_first = torch.bincount(first, minlength=num_classes)
    of_second = torch.bincount(second, minlength=num_classes)
    counts = dict(enumerate(torch.minimum(of_first, of_second).tolist()))
    chosen = []
    for y in (first, second):
        order = torch.randperm(len(y), generator=rng)
        chosen.append(order[first_of_each(y[order], counts)])
    return chosen[0], chosen[1]


def evenly_spaced(num_classes: int, most: int) -> list[int]:
    """At most ``most`` class indices, evenly spread over all; ascending."""
    n = min(num_classes, most)
    return [position * num_classes // n for position in range(n)]
