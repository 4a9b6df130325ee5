"""The bench on which the arms of the comparison are trained: all share images, source, start and
schedule.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from imblearn.over_sampling import SMOTE, RandomOverSampler
from torch import Tensor, nn

from augmentor.common.types import DataError, EncodingSource, LabelledImages, SampleSource
from augmentor.common.types import device_of as where_it_renders
from augmentor.networks.blocks import class_weights
from augmentor.networks.discriminator import Discriminator
from augmentor.sampling.filters import Realism, both, confidence_filter, realism_filter
from augmentor.sampling.spread_latents import DonatedLatents, ScaledLatents
from augmentor.sampling.synthesize import Accept, render
from downstream.classifier import features
from downstream.consistency import pseudo_labels
from downstream.evaluate import predict_logits
from downstream.retrieval import nearest_labelled
from downstream.train import balanced_weights
from pipelines.config import Config
from pipelines.gain.arm_training import Start, train_arm
from pipelines.gain.joint_labels import OTHER, joint_labels, product, second_opinion
from pipelines.gain.recipes import GENERATOR_FREE, STARTED, Recipe
from pipelines.interrupt import Watch
from pipelines.pool import CLEAREST, graph_labels, label_pool
from pipelines.source.train import train_source

NEIGHBOURS = 5  # SMOTE's own default, fewer in a class that has fewer
LARGEST_SET = 2**30  # bytes of synthetic images held in memory at once
RETRIEVED = 0.5  # most images of a class that are retrieved, in equal shares of the pool
ENCODED_TOGETHER = 256
WELL_COVERED = 0.5  # least size of a class that others get variation from, in that of the largest


@dataclass
class Bench:
    """Everything that the arms trained on one training set share; each part is made when first
    needed.

    Args:
        train: Labelled training images.
        pool: Unlabelled images (N, C, H, W), or None.
        config: The run.
        seed: Decides source, pseudo-labels, first weights and order of the classifiers.
        on_part: Called with a few words when a part is finished.
        watch: Looked at after every step of a training and before every class rendered.
        judge: The arm whose classifier filters synthetic images and finds the neighbours of
            labelled ones.
        seconds: What each part took; filled as parts are made.
        notes: What a reader should know; filled likewise.
    """

    train: LabelledImages
    pool: Tensor | None
    config: Config
    seed: int
    on_part: Callable[[str], None] = lambda part: None
    watch: Watch | None = None
    judge: Recipe = GENERATOR_FREE["classical"]
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _classifiers: dict[Recipe, nn.Module] = field(default_factory=dict)
    _synthetic: dict[tuple[float, str, float, float], LabelledImages] = field(default_factory=dict)
    _jointly_labelled: dict[bool, LabelledImages] = field(default_factory=dict)

    @cached_property
    def labelled_pool(self) -> LabelledImages | None:
        """The confidently labelled part of the pool; None without a pool."""
        if self.pool is None:
            return None
        with self._timed("pseudo-labels"):
            return label_pool(self.train, self.pool, self.config, self.seed, self.watch)

    def jointly_labelled_pool(self, *, generator: bool) -> LabelledImages:
        """The part of the pool that a classifier and a CVAE together are sure of, or two
        classifiers.
        """
        if self.pool is None:
            raise ValueError("there is no pool to label")
        if generator not in self._jointly_labelled:
            with self._timed("joint labels" if generator else "pair labels"):
                self._jointly_labelled[generator] = joint_labels(
                    self.train, self.pool, self.config, self.seed, self.watch, generator=generator
                )
        return self._jointly_labelled[generator]

    @cached_property
    def source(self) -> SampleSource:
        """The generator, trained on the training images and the pool; it never sees a test or
        tuning image.
        """
        labelled_pool = self.labelled_pool
        with self._timed("source"):
            return train_source(self.train, labelled_pool, self.config, self.seed, self.watch)

    @cached_property
    def smote(self) -> LabelledImages:
        """The training images topped up by SMOTE to the size of the largest class."""
        return oversample_by_smote(self.train, self.seed)

    def synthetic(
        self, confidence: float, latents: str = "prior", spread: float = 1.0, realism: float = 0.0
    ) -> LabelledImages:
        """Synthetic images of every class, equally many; the classifier of ``judge`` filters
        them.
        """
        key = (confidence, latents, spread, realism)
        if key not in self._synthetic:
            judged = self._judged(confidence) if confidence else None
            source = self._source_with(latents, spread)
            with self._timed("synthesis"):
                accept = self._realistic(source, realism, judged) if realism else judged
                self._synthetic[key] = self._render_all(source, accept)
        return self._synthetic[key]

    def _source_with(self, latents: str, spread: float) -> SampleSource:
        if latents != "prior":
            return DonatedLatents(self.source, self._donors(latents), spread)
        return self.source if spread == 1 else ScaledLatents(self.source, spread)

    def _donors(self, latents: str) -> list[Tensor]:
        """The latents that each class is rendered from, (n, latent_dim) with n > 0."""
        given = self.labelled_pool if latents == "pool" else self.train
        if given is None or not len(given):
            self.notes.append(f"seed {self.seed}: the pool gave no donors; the labelled images are")
            given = self.train
        encoded = encode_all(self.source, given)
        if latents == "transfer":
            encoded = encoded[well_covered(given)[given.y]]
        of_all = [encoded] * len(given.classes)
        if latents != "encoded":
            return of_all
        # A class without images borrows from all the others.
        return [
            encoded[given.y == index] if count else of_all[index]
            for index, count in given.counts.items()
        ]

    @cached_property
    def retrieved(self) -> LabelledImages:
        """The images of the pool nearest to labelled ones, in the features of the classifier of
        ``judge``.
        """
        if self.pool is None:
            raise ValueError("there is no pool to retrieve from")
        judge = self.classifier(self.judge)
        with self._timed("retrieval"):
            per_class = math.ceil(RETRIEVED * len(self.pool) / len(self.train.classes))
            numbers, labels = nearest_labelled(
                features(judge, self.pool),
                features(judge, self.train.x),
                self.train.y,
                len(self.train.classes),
                per_class,
            )
            return LabelledImages(self.pool[numbers], labels, self.train.classes)

    def classifier(self, recipe: Recipe) -> nn.Module:
        """The classifier trained by a recipe; all have the same start and steps, FixMatch's as it
        says itself.
        """
        if recipe not in self._classifiers:
            images, weights = self.training_set(recipe)
            first = self._synthetic_of(recipe) if recipe.training == "pretrain" else None
            start = self._start_of(recipe)
            with self._timed("classifier"):
                self._classifiers[recipe] = train_arm(
                    recipe,
                    images,
                    weights,
                    self.config,
                    self.seed,
                    pool=self.pool,
                    synthetic=first,
                    start=start,
                    watch=self.watch,
                )
        return self._classifiers[recipe]

    def _start_of(self, recipe: Recipe) -> Start | None:
        """The labels that FixMatch begins with: a graph's, or those of two opinions; ``fixmatch``
        begins with none.
        """
        if self.pool is None or recipe.training not in STARTED:
            return None
        if recipe.training == "graph_fixmatch":
            with self._timed("graph"):
                return graph_labels(self.train, self.pool, self.config, self.seed, CLEAREST)
        opinion = self._two_opinions(self.pool, recipe)
        numbers, _ = pseudo_labels(
            opinion, self.config.pool.threshold, balanced=self.config.pool.balanced
        )
        clear = torch.zeros(len(self.pool), dtype=torch.bool)
        clear[numbers] = True
        return opinion.argmax(dim=1), clear

    def _two_opinions(self, pool: Tensor, recipe: Recipe) -> Tensor:
        """What ``graph_fixmatch`` says of a pool (M, K), times what a CVAE or another such training
        says.
        """
        first = replace(recipe, training="graph_fixmatch")
        logits = predict_logits(self.classifier(first), pool)
        if recipe.training == "joint_fixmatch":
            with self._timed("second opinion"):
                return second_opinion(self.train, pool, logits, self.config, self.seed, self.watch)
        other = replace(
            self, seed=self.seed + OTHER, _classifiers={}
        )  # of all its parts only this one is asked for
        return product(logits, predict_logits(other.classifier(first), pool))

    def training_set(self, recipe: Recipe) -> tuple[LabelledImages, Tensor | None]:
        """Images of a recipe, and how often each is drawn (N,); None is equally often. Of two
        stages, the second's.
        """
        base = self._base_images(recipe.images)
        weights = balanced_weights(base.y, len(base.classes)) if recipe.balanced else None
        if not recipe.share or recipe.training == "pretrain":
            return base, weights
        synthetic = self._synthetic_of(recipe)
        if recipe.short_only:
            return base.joined(synthetic), topped_up_weights(base, synthetic, recipe.share)
        of_real = (
            torch.full((len(base),), 1 / len(base), dtype=torch.float64)
            if weights is None
            else weights
        )
        of_synthetic = balanced_weights(synthetic.y, len(synthetic.classes))
        return base.joined(synthetic), torch.cat(
            [(1 - recipe.share) * of_real, recipe.share * of_synthetic]
        )

    def _synthetic_of(self, recipe: Recipe) -> LabelledImages:
        return self.synthetic(recipe.confidence, recipe.latents, recipe.spread, recipe.realism)

    def _base_images(self, images: str) -> LabelledImages:
        if images == "smote":
            return self.smote
        if images == "retrieval":
            return self.train.joined(self.retrieved)
        if images in ("joint_label", "pair_label"):
            return self.train.joined(self.jointly_labelled_pool(generator=images == "joint_label"))
        if images == "pseudo_label" and self.labelled_pool is not None:
            return self.train.joined(self.labelled_pool)
        return self.train

    def _realistic(self, source: SampleSource, share: float, judged: Accept | None) -> Accept:
        """What the discriminator finds real enough, and the judge sure if there is one."""
        accept = realism_filter(source, discriminator_of(self.source), share, self.seed)
        return accept if judged is None else both(judged, accept)

    def _judged(self, confidence: float) -> Accept:
        judge = self.classifier(self.judge)
        return confidence_filter(lambda x: predict_logits(judge, x), confidence)

    def _render_all(self, source: SampleSource, accept: Accept | None) -> LabelledImages:
        count = self._images_per_class()
        x = torch.cat(
            [self._render(source, index, count, accept) for index in range(len(source.classes))]
        )
        y = torch.arange(len(source.classes)).repeat_interleave(count)
        return LabelledImages(x, y, source.classes)

    def _render(
        self, source: SampleSource, index: int, count: int, accept: Accept | None
    ) -> Tensor:
        if self.watch is not None:
            self.watch.check()
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
        """So many that at a share of one half each is drawn about once, as far as memory allows."""
        draws = self.config.classifier.steps * self.config.classifier.batch_size / 2
        affordable = LARGEST_SET / (4 * math.prod(self.train.image_shape))
        if affordable < draws:
            self.notes.append(
                f"memory: {affordable:.0f} synthetic images for {draws:.0f} draws at a share of "
                "one half"
            )
        return max(1, math.ceil(min(draws, affordable) / len(self.train.classes)))

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start
        self.on_part(part)


def topped_up_weights(base: LabelledImages, synthetic: LabelledImages, share: float) -> Tensor:
    """Drawing weights that give classes equal mass, and synthetic images what a class lacks to the
    largest one.

    Args:
        base: Real images; n of a class.
        synthetic: Synthetic images of every class.
        share: Most of a class's draws that are synthetic, in [0, 1]; a class without real images
            has no others.

    Returns:
        Weights of the real, then of the synthetic images, float64, summing to one. Of a class's
        mass the part min(share, 1 - n / largest n) is synthetic.
    """
    counts = torch.bincount(base.y, minlength=len(base.classes)).double()
    missing = (1 - counts / counts.max()).clamp(max=share)
    missing[counts == 0] = 1
    rendered = torch.bincount(synthetic.y, minlength=len(base.classes)).double()
    of_real, of_synthetic = (1 - missing) / counts.clamp(min=1), missing / rendered.clamp(min=1)
    return torch.cat([of_real[base.y], of_synthetic[synthetic.y]]) / len(base.classes)


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
    device = where_it_renders(source)
    parts = zip(
        torch.split(images.x, ENCODED_TOGETHER),
        torch.split(images.y, ENCODED_TOGETHER),
        strict=True,
    )
    return torch.cat([source.encode(x.to(device), y.to(device)).cpu() for x, y in parts])


def discriminator_of(source: SampleSource) -> Realism:
    """How real a source's own discriminator finds images.

    Raises:
        DataError: If its family has none for images.
    """
    discriminator = getattr(source, "discriminator", None)
    if not isinstance(discriminator, Discriminator):
        raise DataError("realism needs a family whose discriminator sees images; cvae_gan has one")
    device, num_classes = where_it_renders(source), len(source.classes)

    def realism(x: Tensor, y: Tensor) -> Tensor:
        logits: Tensor = discriminator.eval()(
            x.to(device), class_weights(y.to(device), num_classes)
        )[0]
        return logits

    return realism


def oversample_by_smote(train: LabelledImages, seed: int) -> LabelledImages:
    """Top every class up to the largest by SMOTE on the pixels; a class of one image, without
    neighbour, is repeated.

    Args:
        train: Images; classes without any stay empty.
        seed: Draws neighbours and positions between them.

    Returns:
        The given images followed by the new ones.

    Source:
        Chawla et al. 2002, arXiv:1106.1813, in imbalanced-learn's form.
    """
    counts = {index: count for index, count in train.counts.items() if count}
    largest = max(counts.values())
    single = {index: largest for index, count in counts.items() if count == 1}
    several = {index: largest for index, count in counts.items() if 1 < count < largest}
    x, y = train.x.flatten(1).numpy(), train.y.numpy()
    if single and largest > 1:
        x, y = RandomOverSampler(sampling_strategy=single, random_state=seed).fit_resample(x, y)
    for (
        index,
        wanted,
    ) in several.items():  # a small class must not leave the others with few neighbours
        neighbours = min(NEIGHBOURS, counts[index] - 1)
        smote = SMOTE(sampling_strategy={index: wanted}, k_neighbors=neighbours, random_state=seed)
        x, y = smote.fit_resample(x, y)
    images = torch.from_numpy(x).float().reshape(-1, *train.image_shape)
    return LabelledImages(images, torch.from_numpy(y).long(), train.classes)


def predictions(model: nn.Module, x: Tensor) -> list[int]:
    """Predicted classes of images (N, C, H, W), N of them."""
    return [int(index) for index in predict_logits(model, x).argmax(dim=1)]
