"""The bench on which the arms of one training set are trained: all share images, generator, start
and schedule.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from augmentor.common.randomness import seed_for
from augmentor.common.types import EncodingSource, LabelledImages, SampleSource
from augmentor.data.combinations import Bins, combinations_of
from augmentor.data.draw_weights import even_combinations, mixed_draw_weights
from augmentor.quality.conditioning import condition_agreement
from augmentor.sampling.filters import confidence_filter
from augmentor.sampling.synthesize import Accept
from downstream.arms.recipe import OF_COMBINATIONS, WARM_STARTED, Recipe
from downstream.arms.table import BASES
from downstream.arms.training import Material, OnValues, train_arms
from downstream.classifier import features
from downstream.consistency import FixMatchSettings, pseudo_labels
from downstream.evaluate import predict_logits
from downstream.retrieval import nearest_labelled
from downstream.train import balanced_weights
from pipelines.experiment.setting import Setting
from pipelines.generators.in_memory import at_side, for_generator, train_generator
from pipelines.pool import CLEAREST, graph_labels, label_pool
from pipelines.workbench.joint_labels import CoLabeller, product
from pipelines.workbench.outside_images import OutsideImages
from pipelines.workbench.smote import oversample_by_smote
from pipelines.workbench.synthetic import SyntheticImages

RETRIEVED = 0.5  # most images of a class that are retrieved, in equal shares of the pool


@dataclass
class Workbench:
    """Everything that the arms trained on one training set share; each part is made when first
    needed.

    Args:
        train: Labelled training images.
        pool: Unlabelled images (N, C, H, W), or None.
        setting: Networks, device, generator and pool settings.
        seed: Of the replicate; all parts have addresses under it.
        on_part: Progress reporter: called with a few words when something is finished.
        check: Called after every step of a training; may raise to stop.
        judge: The arm whose classifier filters synthetic images and finds neighbours.
        hidden: Real images that the regime hid, for the control that trains on them; None without.
        bins: Of the conditions; None without conditions.
        outside: Sets of another generator's images; None without.
        seconds: What was made and how long it took; filled as parts are made.
        notes: What a reader should know; filled likewise.
    """

    train: LabelledImages
    pool: Tensor | None
    setting: Setting
    seed: int
    on_part: Callable[[str], None] = lambda part: None
    check: Callable[[], None] | None = None
    judge: Recipe = BASES["classical"]
    hidden: LabelledImages | None = None
    bins: Bins | None = None
    outside: OutsideImages | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _classifiers: dict[Recipe, nn.Module] = field(default_factory=dict)
    _synthetic: dict[Recipe, LabelledImages] = field(default_factory=dict)
    _co_labelled: dict[bool, LabelledImages] = field(default_factory=dict)

    def classifier(self, recipe: Recipe, on_values: OnValues | None = None) -> nn.Module:
        """The classifier trained by a recipe; all have the same first weights and steps.

        Args:
            recipe: How it is trained.
            on_values: Progress reporter of this training.

        Returns:
            The classifier, in evaluation mode.
        """
        return self.classifiers((recipe,), (on_values,))[0]

    def classifiers(
        self, recipes: Sequence[Recipe], on_values: Sequence[OnValues | None]
    ) -> list[nn.Module]:
        """The classifiers of several recipes; what stands beside others is trained so.

        Args:
            recipes: How they are trained.
            on_values: Progress reporters of these trainings.

        Returns:
            The classifiers in evaluation mode, in the order given.
        """
        materials = {}
        for recipe, tell in zip(recipes, on_values, strict=True):
            if recipe not in self._classifiers:
                materials[recipe] = replace(self.material(recipe), on_values=self._reporter(tell))
        # Making a material can have trained one of them, as a judge.
        new = [recipe for recipe in materials if recipe not in self._classifiers]
        if new:
            with self._timed("classifier"):
                made = train_arms(new, [materials[recipe] for recipe in new], self.setting.trainer)
            self._classifiers |= zip(new, made, strict=True)
        return [self._classifiers[recipe] for recipe in recipes]

    def material(self, recipe: Recipe) -> Material:
        """The images a recipe is trained on, how often each is drawn, and what else it needs."""
        images, draw_weights = self.training_set(recipe)
        first_stage = self.synthetic(recipe) if recipe.training == "pretrain" else None
        told = recipe.training in OF_COMBINATIONS
        return Material(
            images=images,
            draw_weights=draw_weights,
            seed=seed_for("classifier", self.seed),
            pool=self.pool,
            first_stage=first_stage,
            warm_start=self._warm_start(recipe),
            combination=self._combination(images) if told else None,
            bins=0 if self.bins is None else len(self.bins),
            fixmatch=self._fixmatch_settings(),
        )

    def training_set(self, recipe: Recipe) -> tuple[LabelledImages, Tensor | None]:
        """Images of a recipe, and how often each is drawn (N,); None is equally often.

        Of two stages it is the second's. The mix is that of ``augmentor.SyntheticMix``.
        """
        base = IMAGES[recipe.images](self)
        if recipe.hidden:
            if self.hidden is None:
                raise ValueError("no real images were hidden; give data.rare or --rehearse")
            base = base.joined(self.hidden)
        num_classes = len(base.classes)
        if recipe.even_conditions:
            return base, even_combinations(base.y, self._combination(base))
        if not recipe.share or recipe.training == "pretrain":
            weights = balanced_weights(base.y, num_classes) if recipe.balanced else None
            return base, weights
        mixed = self.train if recipe.mixed == "replay" else self.synthetic(recipe)
        weights = mixed_draw_weights(
            base.y,
            mixed.y,
            num_classes,
            recipe.share,
            balanced=recipe.balanced,
            short_only=recipe.short_only,
        )
        return base.joined(mixed), weights

    @cached_property
    def labelled_pool(self) -> LabelledImages | None:
        """The confidently labelled part of the pool; None without a pool."""
        if self.pool is None:
            return None
        s = self.setting
        seed = seed_for("pool labels", self.seed)
        with self._timed("pool labels"):
            return label_pool(self.train, self.pool, s.pool, s.trainer, seed, self.check)

    @cached_property
    def source(self) -> SampleSource:
        """The generator, trained on the training images and the labelled pool."""
        images = self.with_pseudo_labels
        with self._timed("generator"):
            return self._trained_generator(images)

    @property
    def with_pseudo_labels(self) -> LabelledImages:
        """The training images, and the labelled pool where there is one."""
        pool = self.labelled_pool
        return self.train if pool is None else self.train.joined(pool)

    def _trained_generator(self, images: LabelledImages) -> SampleSource:
        s, augment = self.setting, None
        if s.source.source_augment == "classical":
            augment = s.trainer.augmentation(("classical",))
        return train_generator(
            images,
            s.source,
            seed_for("generator", self.seed),
            device=s.device,
            augment=augment,
            check=self.check,
        )

    def _combination(self, images: LabelledImages) -> Tensor:
        """The combination of class and condition of every image, int64 (N,)."""
        if self.bins is None:
            raise ValueError("the conditions of the images are not known; give --condition")
        return combinations_of(images, self.bins).of(images)

    @cached_property
    def label_source(self) -> SampleSource:
        """The generator of the arms that render classes, not combinations: it knows no
        conditions.
        """
        if not self.train.conditions:
            return self.source
        with self._timed("generator"):
            return self._trained_generator(self.with_pseudo_labels.without_conditions())

    @cached_property
    def condition_agreement(self) -> float | None:
        """How often a training image comes back better under its own condition than under another
        one; None for a source without an encoder, and where all images have one condition.
        """
        images = for_generator(self.train, self.setting.source)
        several = images.condition is not None and len(torch.unique(images.condition, dim=0)) > 1
        if not several or not isinstance(self.source, EncodingSource):
            return None
        return condition_agreement(self.source, images, self.seed)

    @cached_property
    def smote(self) -> LabelledImages:
        """The training images topped up by SMOTE to the size of the largest class."""
        return oversample_by_smote(self.train, seed_for("smote", self.seed))

    @cached_property
    def retrieved(self) -> LabelledImages:
        """The images of the pool nearest to labelled ones, in the features of the judge."""
        pool = self._needed_pool()
        judge = self.classifier(self.judge)
        with self._timed("retrieval"):
            per_class = math.ceil(RETRIEVED * len(pool) / len(self.train.classes))
            numbers, labels = nearest_labelled(
                features(judge, pool),
                features(judge, self.train.x),
                self.train.y,
                len(self.train.classes),
                per_class,
            )
        return LabelledImages(pool[numbers], labels, self.train.classes)

    def co_labelled(self, *, generator: bool) -> LabelledImages:
        """The part of the pool that a classifier and a CVAE together are sure of, or two
        classifiers.
        """
        if generator not in self._co_labelled:
            with self._timed("joint labels" if generator else "pair labels"):
                found = self._co_labeller().labelled(generator=generator)
            self._co_labelled[generator] = found
        return self._co_labelled[generator]

    def synthetic(self, recipe: Recipe) -> LabelledImages:
        """Synthetic images as a recipe asks for them: of a set, or rendered, equally many of every
        class.
        """
        if recipe.outside:
            return self._outside_images(recipe)
        key = Recipe(
            confidence=recipe.confidence,
            latents=recipe.latents,
            spread=recipe.spread,
            realism=recipe.realism,
            fill=recipe.fill,
            missing_only=recipe.missing_only,
        )
        if key not in self._synthetic:
            accept = self._judged(recipe.confidence) if recipe.confidence else None
            source = self.source if recipe.fill else self.label_source
            train = for_generator(self.train, self.setting.source)
            renderer = SyntheticImages(
                source=source,
                train=train if recipe.fill else train.without_conditions(),
                bins=self.bins,
                seed=seed_for("synthetic", self.seed),
                draws=self._synthetic_draws(),
                check=self.check,
                notes=self.notes,
                side=self.train.image_shape[1],
            )
            pool = self.labelled_pool if recipe.latents == "pool" else None
            if pool is not None:
                pool = for_generator(pool, self.setting.source)
            with self._timed("synthesis"):
                self._synthetic[key] = renderer.images(key, accept, pool)
        return self._synthetic[key]

    def opinion(self, x: Tensor) -> Tensor | None:
        """Class probabilities (N, K) that the judge gives images; None if no arm has trained it."""
        judge = self._classifiers.get(self.judge)
        return None if judge is None else predict_logits(judge, x).softmax(dim=1)

    def _synthetic_draws(self) -> int:
        """How many synthetic images one training draws at a share of one half; a last layer sees
        several views of each, which take their time.
        """
        trainer = self.setting.trainer
        draws = trainer.settings.steps * trainer.settings.batch_size / 2
        return math.ceil(draws / (trainer.views if trainer.part == "head" else 1))

    def _outside_images(self, recipe: Recipe) -> LabelledImages:
        if self.outside is None:
            raise ValueError("this run has no set of another generator's images; give --synthetic")
        accept = self._judged(recipe.confidence) if recipe.confidence else None
        return self.outside.images(recipe.outside, accept)

    def _warm_start(self, recipe: Recipe) -> tuple[Tensor, Tensor] | None:
        """The labels that FixMatch begins with: a graph's, or those of two models."""
        if recipe.training not in WARM_STARTED:
            return None
        pool = self._needed_pool()
        if recipe.training == "graph_fixmatch":
            return self._graph_labels
        opinion = self._two_opinions(pool, recipe)
        s = self.setting.pool
        numbers, _ = pseudo_labels(opinion, s.threshold, balanced=s.balanced)
        clear = torch.zeros(len(pool), dtype=torch.bool)
        clear[numbers] = True
        return opinion.argmax(dim=1), clear

    @cached_property
    def _graph_labels(self) -> tuple[Tensor, Tensor]:
        trainer, seed = self.setting.trainer, seed_for("graph labels", self.seed)
        with self._timed("graph"):
            return graph_labels(self.train, self._needed_pool(), trainer, seed, CLEAREST)

    def _two_opinions(self, pool: Tensor, recipe: Recipe) -> Tensor:
        """What ``graph_fixmatch`` says of a pool (M, K), times what a CVAE or another such training
        says.
        """
        first = replace(recipe, training="graph_fixmatch")
        logits = predict_logits(self.classifier(first), pool)
        if recipe.training == "joint_fixmatch":
            with self._timed("second opinion"):
                return self._co_labeller().with_generator(logits)
        other = Workbench(
            self.train,
            self.pool,
            self.setting,
            seed_for("second fixmatch", self.seed),
            check=self.check,
            seconds=self.seconds,
        )
        return product(logits, predict_logits(other.classifier(first), pool))

    def _co_labeller(self) -> CoLabeller:
        return CoLabeller(
            train=self.train.without_conditions(),
            pool=self._needed_pool(),
            settings=self.setting.pool,
            source=self.setting.source,
            trainer=self.setting.trainer,
            seed=seed_for("co-labels", self.seed),
            check=self.check,
        )

    def _judged(self, confidence: float) -> Accept:
        judge, side = self.classifier(self.judge), self.train.image_shape[1]

        def predict(x: Tensor) -> Tensor:
            return predict_logits(judge, x if x.shape[-1] == side else at_side(x.cpu(), side))

        return confidence_filter(predict, confidence)

    def _fixmatch_settings(self) -> FixMatchSettings:
        settings = FixMatchSettings(balanced=self.setting.pool.balanced)
        return replace(settings, steps=fixmatch_steps(self.setting, settings))

    def _needed_pool(self) -> Tensor:
        if self.pool is None:
            raise ValueError("unlabelled images are missing; give --unlabelled")
        return self.pool

    def _reporter(self, on_values: OnValues | None) -> OnValues | None:
        check = self.check
        if check is None:
            return on_values

        def report(step: int, steps: int, values: dict[str, float]) -> None:
            if on_values is not None:
                on_values(step, steps, values)
            check()

        return report  # type: ignore[return-value]

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start
        self.on_part(part)


def fixmatch_steps(setting: Setting, settings: FixMatchSettings) -> int:
    """As many as let FixMatch learn from as many images as the trainings behind ``pseudo_label``
    together, unless the setting says how many.

    These are the rounds in which the pool is labelled (none where a graph alone does it) and the
    last training.
    """
    if setting.fixmatch_steps is not None:
        return setting.fixmatch_steps
    trainings = 1 + (0 if setting.pool.method == "graph" else setting.pool.rounds)
    images = trainings * setting.trainer.settings.steps * setting.trainer.settings.batch_size
    return max(1, round(images / (settings.labelled_batch + settings.unlabelled_batch)))


IMAGES: dict[str, Callable[[Workbench], LabelledImages]] = {
    "labelled": lambda bench: bench.train,
    "smote": lambda bench: bench.smote,
    "pseudo_label": lambda bench: bench.with_pseudo_labels,
    "retrieval": lambda bench: bench.train.joined(bench.retrieved),
    "joint_label": lambda bench: bench.train.joined(bench.co_labelled(generator=True)),
    "pair_label": lambda bench: bench.train.joined(bench.co_labelled(generator=False)),
}
"""What ``Recipe.images`` names, each made from a bench."""
