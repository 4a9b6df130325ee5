"""Synthetic images for the arms: where their latents come from, what filters them, how many."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from augmentor.common.conditions import COVERED
from augmentor.common.randomness import rng_for
from augmentor.common.types import DataError, EncodingSource, LabelledImages, SampleSource
from augmentor.common.types import device_of as device_of_source
from augmentor.data.candidates import latents, sample
from augmentor.data.combinations import Bins, combinations_of
from augmentor.data.fingerprint import from_uint8, to_uint8
from augmentor.networks.blocks import as_class_probs
from augmentor.networks.discriminator import Discriminator
from augmentor.sampling.filters import Realism, both, realism_filter
from augmentor.sampling.spread_latents import DonatedLatents, ScaledLatents
from augmentor.sampling.synthesize import Accept, render
from downstream.arms.recipe import Recipe
from pipelines.generators.in_memory import at_side

LARGEST_SET = 2**30  # bytes of synthetic images held in memory at once, as float32
ENCODED_TOGETHER = 256
WELL_COVERED = 0.5  # least size of a class that others get variation from, in that of the largest


@dataclass
class SyntheticImages:
    """Renders what recipes ask for from one generator.

    Args:
        source: The generator.
        train: The labelled images, whose latents recipes may ask for.
        seed: Of the latents.
        draws: How many synthetic images one training draws at a share of one half.
        check: Called before every class; may raise to stop.
        notes: What a reader should know; added to.
        bins: Of the conditions, where the source knows them.
        side: Of the images in memory, which the generator's are scaled to.
    """

    source: SampleSource
    train: LabelledImages
    seed: int
    draws: int
    check: Callable[[], None] | None = None
    notes: list[str] = field(default_factory=list)
    bins: Bins | None = None
    side: int | None = None

    def images(
        self, recipe: Recipe, accept: Accept | None, labelled_pool: LabelledImages | None
    ) -> LabelledImages:
        """Synthetic images of every class, equally many, in the 256 levels that a stored set has.

        Args:
            recipe: ``latents``, ``spread`` and ``realism`` are used.
            accept: A classifier's filter, or None.
            labelled_pool: Whose latents the recipe may ask for.
        """
        if recipe.fill:
            return self._scaled(self._of_all_combinations(recipe))
        source = self._with_latents(recipe, labelled_pool)
        if recipe.realism:
            real = realism_filter(source, discriminator_of(self.source), recipe.realism, self.seed)
            accept = real if accept is None else both(accept, real)
        count = self._images_per_class()
        parts = []
        for index in range(len(source.classes)):
            if self.check is not None:
                self.check()
            parts.append(self._render(source, index, count, accept))
        y = torch.arange(len(source.classes)).repeat_interleave(count)
        x = from_uint8(to_uint8(torch.cat(parts)))
        return self._scaled(LabelledImages(x, y, source.classes))

    def _scaled(self, images: LabelledImages) -> LabelledImages:
        side = images.image_shape[1] if self.side is None else self.side
        return replace(images, x=at_side(images.x, side))

    def _of_all_combinations(self, recipe: Recipe) -> LabelledImages:
        """Equally many images of every class under every condition that any class was seen in, or
        of the combinations that training lacks alone.
        """
        train, count = self.train, self._images_per_class()
        if self.bins is None or train.condition is None:
            raise DataError("the conditions of the images are not known; give --condition")
        device, parts, conditions = device_of_source(self.source), [], []
        wanted = conditions_to_fill(train, self.bins, missing_only=recipe.missing_only)
        for index, pools in wanted.items():
            if self.check is not None:
                self.check()
            condition = even_conditions(train.condition, pools, count, self.seed, index)
            for start in range(0, count, ENCODED_TOGETHER):
                some = condition[start : start + ENCODED_TOGETHER].to(device)
                z = latents(self.seed, index, start, len(some), self.source.latent_dim).to(device)
                y = torch.full((len(some),), index, device=device)
                parts.append(sample(self.source, y, recipe.spread * z, some).cpu())
            conditions.append(condition)
        y = torch.tensor(list(wanted)).repeat_interleave(count)
        x = from_uint8(to_uint8(torch.cat(parts)))
        return LabelledImages(x, y, train.classes, torch.cat(conditions), train.conditions)

    def _with_latents(self, recipe: Recipe, labelled_pool: LabelledImages | None) -> SampleSource:
        if recipe.latents != "prior":
            donors = self._donors(recipe.latents, labelled_pool)
            return DonatedLatents(self.source, donors, recipe.spread)
        if recipe.spread == 1:
            return self.source
        return ScaledLatents(self.source, recipe.spread)

    def _donors(self, latents: str, labelled_pool: LabelledImages | None) -> list[Tensor]:
        """The latents that each class is rendered from, (n, latent_dim) with n > 0."""
        given = labelled_pool if latents == "pool" else self.train
        if given is None or not len(given):
            self.notes.append(f"seed {self.seed}: the pool gave no donors; the labelled images are")
            given = self.train
        encoded = encode_all(self.source, given)
        if latents == "transfer":
            encoded = encoded[well_covered(given)[given.y]]
        if latents != "encoded":
            return [encoded] * len(given.classes)
        donors = []
        for index, count in given.counts.items():
            # A class without images borrows from all the others.
            donors.append(encoded[given.y == index] if count else encoded)
        return donors

    def _render(
        self, source: SampleSource, index: int, count: int, accept: Accept | None
    ) -> Tensor:
        try:
            return render(source, index, count, self.seed, accept=accept)[0]
        except DataError as error:
            if accept is None:
                raise
            # The policy was frozen before this source existed: a judge that knows a class badly
            # must not stop the run.
            self.notes.append(f"seed {self.seed}: filter left out, {error}")
            return render(source, index, count, self.seed)[0]

    def _images_per_class(self) -> int:
        """As many as make each drawn about once at a share of one half, as far as memory allows."""
        channels, own, _ = self.source.image_shape
        affordable = LARGEST_SET / (4 * channels * max(own, self.side or 0) ** 2)
        if affordable < self.draws:
            self.notes.append(
                f"memory: {affordable:.0f} synthetic images for {self.draws} draws at a share of "
                "one half"
            )
        return max(1, math.ceil(min(self.draws, affordable) / len(self.source.classes)))


def images_by_bin(condition: Tensor, bins: Bins) -> list[Tensor]:
    """Numbers of the images in every bin that has images, int64 each."""
    place = bins.of(condition)
    return [(place == number).nonzero()[:, 0] for number in torch.unique(place).tolist()]


def conditions_to_fill(
    train: LabelledImages, bins: Bins, *, missing_only: bool
) -> dict[int, list[Tensor]]:
    """For every class to render, the images whose conditions it is rendered under, bin by bin.

    Args:
        train: Training images with conditions.
        bins: Of the conditions.
        missing_only: Leave out the bins that a class covers, and classes that cover all.

    Returns:
        By class index, from ``images_by_bin``; not empty.

    Raises:
        DataError: If the conditions are not known, or every class covers all of them.
    """
    if train.condition is None:
        raise DataError("the conditions of the images are not known; give --condition")
    pools = images_by_bin(train.condition, bins)
    if not missing_only:
        return dict.fromkeys(range(len(train.classes)), pools)
    coverage = combinations_of(train, bins).coverage
    places, found = torch.unique(bins.of(train.condition)).tolist(), {}
    for index in range(len(train.classes)):
        lacking = []
        for place, pool in zip(places, pools, strict=True):
            if int(coverage[index, place]) != COVERED:
                lacking.append(pool)
        if lacking:
            found[index] = lacking
    if not found:
        raise DataError("no combination is missing or thin; leave factored_missing out")
    return found


def even_conditions(
    condition: Tensor, pools: list[Tensor], count: int, seed: int, class_index: int
) -> Tensor:
    """Conditions to render a class under: every bin equally often, each time one that occurs.

    Args:
        condition: Those of the training images.
        pools: From ``images_by_bin``.
        count: How many.
        seed: Draws them, together with the class.
        class_index: Of the class.
    """
    rng = rng_for("conditions to fill", seed, class_index)
    rounds = math.ceil(count / len(pools))
    order = torch.cat([torch.randperm(len(pools), generator=rng) for _ in range(rounds)])[:count]
    chosen = []
    for place in order.tolist():
        pool = pools[place]
        chosen.append(pool[torch.randint(len(pool), (1,), generator=rng)])
    return condition[torch.cat(chosen)]


def well_covered(images: LabelledImages) -> Tensor:
    """Which classes have at least half as many images as the largest, bool (K,)."""
    counts = torch.bincount(images.y, minlength=len(images.classes))
    return counts >= WELL_COVERED * counts.max()


def encode_all(source: SampleSource, images: LabelledImages) -> Tensor:
    """The latents of images, float32 (N, latent_dim), on the CPU.

    Raises:
        DataError: If the source has no encoder.
    """
    if not isinstance(source, EncodingSource):
        raise DataError("the latents of images need a family with an encoder; cvae_gan has one")
    device = device_of_source(source)
    found = []
    for start in range(0, len(images), ENCODED_TOGETHER):
        rows = slice(start, start + ENCODED_TOGETHER)
        found.append(source.encode(images.x[rows].to(device), images.y[rows].to(device)).cpu())
    return torch.cat(found)


def discriminator_of(source: SampleSource) -> Realism:
    """How real a source's own discriminator finds images.

    Raises:
        DataError: If its family has none for images.
    """
    discriminator = getattr(source, "discriminator", None)
    if not isinstance(discriminator, Discriminator):
        raise DataError("realism needs a family whose discriminator sees images; cvae_gan has one")
    device, num_classes = device_of_source(source), len(source.classes)

    def realism(x: Tensor, y: Tensor) -> Tensor:
        class_probs = as_class_probs(y.to(device), num_classes)
        logits: Tensor = discriminator.eval()(x.to(device), class_probs)[0]
        return logits

    return realism
