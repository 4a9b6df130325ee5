"""The arms of the comparison, and the bench on which they are trained: all share images, source, start and schedule."""

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

from augmentor.sampling.filters import confidence_filter
from augmentor.sampling.synthesize import Accept, render
from augmentor.types import DataError, LabelledImages, SampleSource
from downstream.augment import classical
from downstream.classifier import build_classifier
from downstream.evaluate import predict_logits
from downstream.train import TrainSettings, balanced_weights, train_classifier
from pipelines.config import Config
from pipelines.device import device_of, domain_of, memory_for
from pipelines.interrupt import Watch, on_step
from pipelines.pool import label_pool
from pipelines.train import train_source

NEIGHBOURS = 5  # SMOTE's own default, fewer where the smallest class has fewer
LARGEST_SET = 2**28  # bytes of synthetic images held in memory at once


@dataclass(frozen=True)
class Recipe:
    """How the training set of an arm is put together.

    Args:
        images: ``labelled``, ``smote`` (topped up to the largest class) or ``pseudo_label`` (with the labelled pool).
        balanced: Draw every class equally often; else every image equally often.
        augmented: Classical augmentation of every image drawn.
        share: Part of the draws that are synthetic images, in [0, 1], every class equally often.
        confidence: Least probability of its class that a judge must give a synthetic image; 0 keeps all.
    """

    images: str
    balanced: bool
    augmented: bool
    share: float = 0.0
    confidence: float = 0.0


GENERATOR_FREE = {
    "real": Recipe("labelled", balanced=False, augmented=False),
    "oversample": Recipe("labelled", balanced=True, augmented=False),
    "classical": Recipe("labelled", balanced=True, augmented=True),
    "smote": Recipe("smote", balanced=False, augmented=False),  # the set itself is balanced
    "smote+classical": Recipe("smote", balanced=False, augmented=True),
    "pseudo_label": Recipe("pseudo_label", balanced=True, augmented=True),
}
ARMS = (*GENERATOR_FREE, "synthetic", "synthetic+classical", "auto")


@dataclass(frozen=True)
class Policy:
    """What ``auto`` does: a generator-free arm as the base, and synthetic images mixed into its draws.

    Args:
        base: One of ``GENERATOR_FREE``.
        share: Part of the draws that are synthetic; 0 is the base alone.
        confidence: Threshold of the filter; 0 is none.
    """

    base: str
    share: float = 0.0
    confidence: float = 0.0

    @property
    def recipe(self) -> Recipe:
        """The training set it asks for."""
        return replace(GENERATOR_FREE[self.base], share=self.share, confidence=self.confidence)

    @property
    def name(self) -> str:
        """The policy in a few words."""
        if not self.share:
            return self.base
        kept = f", confidence {self.confidence:g}" if self.confidence else ""
        return f"{self.base} + {self.share:.0%} synthetic{kept}"


def recipe_of(arm: str, synthetic_share: float, policy: Policy | None) -> Recipe:
    """The training set of an arm.

    Args:
        arm: One of ``ARMS``.
        synthetic_share: Part of the draws that are synthetic in the two synthetic arms.
        policy: What ``auto`` does; only ``auto`` needs it.

    Raises:
        ValueError: If the arm is unknown, or ``auto`` has no policy.
    """
    if arm == "auto" and policy is not None:
        return policy.recipe
    if arm == "synthetic":
        return replace(GENERATOR_FREE["oversample"], share=synthetic_share)
    if arm == "synthetic+classical":
        return replace(GENERATOR_FREE["classical"], share=synthetic_share)
    if arm not in GENERATOR_FREE:
        raise ValueError(f"no arm {arm!r} here" if arm == "auto" else f"unknown arm {arm!r}; known: {', '.join(ARMS)}")
    return GENERATOR_FREE[arm]


def known_arms(config: Config, *, pool: bool) -> tuple[str, ...]:
    """The arms to run: those of the config, else all that the data allow.

    Raises:
        ValueError: If an arm is unknown, named twice, or needs a pool that is not there.
    """
    arms = config.gain.arms or tuple(arm for arm in ARMS if pool or arm != "pseudo_label")
    if unknown := [arm for arm in arms if arm not in ARMS]:
        raise ValueError(f"unknown arm {unknown[0]!r}; known: {', '.join(ARMS)}")
    if len(set(arms)) != len(arms):
        raise ValueError(f"an arm is named twice: {', '.join(arms)}")
    if "pseudo_label" in arms and not pool:
        raise ValueError("the arm 'pseudo_label' needs unlabelled images; give --unlabelled, or leave the arm out")
    return arms


@dataclass
class Bench:
    """Everything that the arms trained on one training set share; each part is made when first needed.

    Args:
        train: Labelled training images.
        pool: Unlabelled images (N, C, H, W), or None.
        config: The run.
        seed: Decides source, pseudo-labels, first weights and order of the classifiers.
        on_part: Called with a few words when a part is finished.
        watch: Looked at after every step of a training and before every class rendered.
        seconds: What each part took; filled as parts are made.
        notes: What a reader should know; filled likewise.
    """

    train: LabelledImages
    pool: Tensor | None
    config: Config
    seed: int
    on_part: Callable[[str], None] = lambda part: None
    watch: Watch | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _classifiers: dict[Recipe, nn.Module] = field(default_factory=dict)
    _synthetic: dict[float, LabelledImages] = field(default_factory=dict)

    @cached_property
    def labelled_pool(self) -> LabelledImages | None:
        """The confidently labelled part of the pool; None without a pool."""
        if self.pool is None:
            return None
        with self._timed("pseudo-labels"):
            return label_pool(self.train, self.pool, self.config, self.seed, self.watch)

    @cached_property
    def source(self) -> SampleSource:
        """The generator, trained on the training images and the pool; it never sees a test or tuning image."""
        labelled_pool = self.labelled_pool
        with self._timed("source"):
            return train_source(self.train, labelled_pool, self.config, self.seed, self.watch)

    @cached_property
    def smote(self) -> LabelledImages:
        """The training images topped up by SMOTE to the size of the largest class."""
        return oversample_by_smote(self.train, self.seed)

    def synthetic(self, confidence: float) -> LabelledImages:
        """Synthetic images of every class, equally many; the classifier of ``classical`` judges for the filter."""
        if confidence not in self._synthetic:
            accept = self._filter(confidence) if confidence else None
            source = self.source
            with self._timed("synthesis"):
                self._synthetic[confidence] = self._render_all(source, accept)
        return self._synthetic[confidence]

    def classifier(self, recipe: Recipe) -> nn.Module:
        """The classifier trained by a recipe. Recipes differ in the training images only: same start, same steps."""
        if recipe not in self._classifiers:
            images, weights = self.training_set(recipe)
            with self._timed("classifier"):
                self._classifiers[recipe] = self._fit(images, weights, augmented=recipe.augmented)
        return self._classifiers[recipe]

    def training_set(self, recipe: Recipe) -> tuple[LabelledImages, Tensor | None]:
        """Images of a recipe, and how often each is drawn (N,); None is equally often."""
        base = self._base_images(recipe.images)
        if not recipe.share:
            return base, balanced_weights(base.y, len(base.classes)) if recipe.balanced else None
        synthetic = self.synthetic(recipe.confidence)
        shares = (1 - recipe.share, base), (recipe.share, synthetic)
        weights = [share * balanced_weights(part.y, len(part.classes)) for share, part in shares]
        return base.joined(synthetic), torch.cat(weights)

    def _base_images(self, images: str) -> LabelledImages:
        if images == "smote":
            return self.smote
        if images == "pseudo_label" and self.labelled_pool is not None:
            return self.train.joined(self.labelled_pool)
        return self.train

    def _fit(self, images: LabelledImages, weights: Tensor | None, *, augmented: bool) -> nn.Module:
        options = self.config.classifier
        settings = TrainSettings(options.steps, options.batch_size, options.learning_rate, options.weight_decay)
        model = build_classifier(options.name, len(images.classes), images.image_shape, seed=self.seed)
        augment = classical(domain_of(self.config), options.strength) if augmented else None
        with memory_for(options.batch_size, "classifier.batch_size:"):
            return train_classifier(
                model.to(device_of(self.config)),
                images.x,
                images.y,
                settings,
                seed=self.seed,
                weights=weights,
                augment=augment,
                on_step=on_step(self.watch),
            )

    def _filter(self, confidence: float) -> Accept:
        judge = self.classifier(GENERATOR_FREE["classical"])
        return confidence_filter(lambda x: predict_logits(judge, x), confidence)

    def _render_all(self, source: SampleSource, accept: Accept | None) -> LabelledImages:
        count = self._images_per_class()
        x = torch.cat([self._render(source, index, count, accept) for index in range(len(source.classes))])
        y = torch.arange(len(source.classes)).repeat_interleave(count)
        return LabelledImages(x, y, source.classes)

    def _render(self, source: SampleSource, index: int, count: int, accept: Accept | None) -> Tensor:
        if self.watch is not None:
            self.watch.check()
        try:
            return render(source, index, count, self.seed, accept=accept)[0]
        except DataError as error:
            if accept is None:
                raise
            # The policy was frozen before this source existed: a judge that knows a class badly must not stop the run.
            self.notes.append(f"seed {self.seed}: filter left out, {error}")
            return render(source, index, count, self.seed)[0]

    def _images_per_class(self) -> int:
        """So many that at a share of one half each is drawn about once, as far as memory allows."""
        draws = self.config.classifier.steps * self.config.classifier.batch_size / 2
        affordable = LARGEST_SET / (4 * math.prod(self.train.image_shape))
        return max(1, math.ceil(min(draws, affordable) / len(self.train.classes)))

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start
        self.on_part(part)


def oversample_by_smote(train: LabelledImages, seed: int) -> LabelledImages:
    """Top every class up to the largest by SMOTE on the pixels; a class of one image, without neighbour, is repeated.

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
    if several:
        neighbours = min(NEIGHBOURS, min(counts[index] for index in several) - 1)
        x, y = SMOTE(sampling_strategy=several, k_neighbors=neighbours, random_state=seed).fit_resample(x, y)
    images = torch.from_numpy(x).float().reshape(-1, *train.image_shape)
    return LabelledImages(images, torch.from_numpy(y).long(), train.classes)


def predictions(model: nn.Module, x: Tensor) -> list[int]:
    """Predicted classes of images (N, C, H, W), N of them."""
    return [int(index) for index in predict_logits(model, x).argmax(dim=1)]
