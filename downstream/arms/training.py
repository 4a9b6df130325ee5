"""Training of one arm's classifier: the stages of its recipe, put together from ``downstream``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from augmentor.common.randomness import seed_for
from augmentor.common.types import LabelledImages
from downstream.arms.recipe import Recipe
from downstream.augmentations import AUGMENTATIONS, known_augmentations
from downstream.consistency import WEAK, FixMatchSettings, GivenLabels, train_fixmatch
from downstream.decoupled import train_decoupled
from downstream.domain_adversarial import train_domain_adversarial
from downstream.frozen_features import trains_head
from downstream.group_dro import STEP_SIZE, train_group_dro
from downstream.lisa import WITHIN_CLASS, train_lisa
from downstream.mixstyle import ALPHA, mixing_styles
from downstream.train import balanced_weights
from downstream.trainer import ClassifierTrainer, Training, memory_for

OnValues = Callable[[int, int, Mapping[str, float]], None]
"""Steps done, steps in all, and named values of the step, for progress and curves. May raise."""

ALONE, FADED = 1 / 7, 2 / 3
"""Shares of FixMatch's steps: on given labels alone; until their weight is zero."""
THRESHOLD = 0.7  # with a good start the unsure images are the informative ones
WEIGHT_UNLABELLED = 6.0  # a batch holds six times as many unlabelled images


@dataclass(frozen=True)
class Material:
    """What one training gets.

    Args:
        images: Training images; with what is mixed into the draws behind them.
        draw_weights: How often each is drawn, float64 (N,); None is equally often.
        seed: Decides first weights, order and augmentation.
        pool: Unlabelled images (M, C, H, W), for FixMatch.
        first_stage: Images of the first stage, for ``pretrain``.
        warm_start: Labels for the pool that FixMatch begins with, int64 (M,), and which of them are
            the clearest, bool (M,).
        combination: Class and condition of every image as one number, class times ``bins`` plus
            bin, int64 (N,); for the trainings that need conditions.
        bins: Of the conditions.
        fixmatch: Settings of FixMatch without a warm start.
        on_values: Progress reporter; may raise to stop the training.
    """

    images: LabelledImages
    draw_weights: Tensor | None
    seed: int
    pool: Tensor | None = None
    first_stage: LabelledImages | None = None
    warm_start: tuple[Tensor, Tensor] | None = None
    combination: Tensor | None = None
    bins: int = 0
    fixmatch: FixMatchSettings = field(default_factory=FixMatchSettings)
    on_values: OnValues | None = None


Train = Callable[[Recipe, Material, ClassifierTrainer], nn.Module]


def train_arm(recipe: Recipe, material: Material, trainer: ClassifierTrainer) -> nn.Module:
    """Train the classifier of an arm; all arms have the same network, start and steps.

    Args:
        recipe: What is special to it.
        material: Its images and seed.
        trainer: What all arms share.

    Returns:
        The classifier, in evaluation mode.

    Raises:
        ValueError: If the material lacks what the recipe needs, or a name is unknown.
        NonFiniteLossError: If the loss stops being finite.
    """
    if recipe.training not in TRAININGS:
        raise ValueError(f"unknown training {recipe.training!r}; known: {', '.join(TRAININGS)}")
    _require_able(recipe, trainer)
    return TRAININGS[recipe.training](recipe, material, trainer)


def train_arms(
    recipes: Sequence[Recipe], materials: Sequence[Material], trainer: ClassifierTrainer
) -> list[nn.Module]:
    """Train the classifiers of several arms; plain ones side by side, as the trainer says.

    Args:
        recipes: What is special to each.
        materials: Their images and seeds, in the same order.
        trainer: What all arms share.

    Returns:
        The classifiers in evaluation mode, in the order given.

    Raises:
        ValueError: If a material lacks what its recipe needs, or a name is unknown.
        NonFiniteLossError: If a loss stops being finite.
    """
    if len(recipes) == 1 or any(not stands_beside_others(recipe) for recipe in recipes):
        pairs = zip(recipes, materials, strict=True)
        return [train_arm(recipe, material, trainer) for recipe, material in pairs]
    trainings = []
    for recipe, material in zip(recipes, materials, strict=True):
        _require_able(recipe, trainer)
        one = Training(
            material.images,
            material.seed,
            draw_weights=material.draw_weights,
            augment=recipe.augment,
            factor=recipe.strength,
            loss=recipe.loss,
            tau=recipe.intensity,
            on_step=_told(material, trainer.settings.steps),
        )
        trainings.append(one)
    return trainer.train_together(trainings)


def _require_able(recipe: Recipe, trainer: ClassifierTrainer) -> None:
    """Refuse a recipe of which a part would be left out without a word."""
    if trainer.part == "head" and not trains_head(recipe.training, recipe.augment):
        raise ValueError(
            f"the training {recipe.training} with {', '.join(recipe.augment) or 'no'} augmentation "
            "changes the features of a network, which train: head leaves as they are"
        )
    known = known_augmentations(recipe.augment)
    pairs = [name for name in known if AUGMENTATIONS[name].of_pairs is not None]
    if pairs and recipe.training not in MIXES_PAIRS:
        raise ValueError(
            f"the training {recipe.training} does not mix two images and their labels: leave "
            f"{' and '.join(pairs)} out"
        )


def stands_beside_others(recipe: Recipe) -> bool:
    """Whether an arm's classifier can be trained side by side with others: one stage, one loss."""
    return recipe.training == "plain"


def _plain(recipe: Recipe, material: Material, trainer: ClassifierTrainer) -> nn.Module:
    return _stage(recipe, material, trainer, material.images, material.draw_weights)


def _stage(
    recipe: Recipe,
    material: Material,
    trainer: ClassifierTrainer,
    images: LabelledImages,
    draw_weights: Tensor | None,
    model: nn.Module | None = None,
) -> nn.Module:
    return trainer.train(
        images,
        material.seed,
        draw_weights=draw_weights,
        augment=recipe.augment,
        factor=recipe.strength,
        loss=recipe.loss,
        tau=recipe.intensity,
        model=model,
        on_step=_told(material, trainer.settings.steps),
    )


def _pretrain(recipe: Recipe, material: Material, trainer: ClassifierTrainer) -> nn.Module:
    """Synthetic images first, then real ones; each stage has a warm-up and a cosine of its own."""
    first = material.first_stage
    if first is None:
        raise ValueError("pre-training needs synthetic images")
    model = trainer.build(material.images, material.seed)
    steps = round(recipe.share * trainer.settings.steps)
    if steps:
        alike = balanced_weights(first.y, len(first.classes))
        _stage(recipe, material, trainer.with_steps(steps), first, alike, model)
    if rest := trainer.settings.steps - steps:
        second = replace(material, seed=seed_for("second stage", material.seed))
        real, weights = material.images, material.draw_weights
        _stage(recipe, second, trainer.with_steps(rest), real, weights, model)
    return model


def _mixstyle(recipe: Recipe, material: Material, trainer: ClassifierTrainer) -> nn.Module:
    images = material.images
    model = trainer.build(images, material.seed)
    alpha = recipe.intensity * ALPHA
    with mixing_styles(model, images.x[:1], material.seed, alpha=alpha):
        return _stage(recipe, material, trainer, images, material.draw_weights, model)


def _group_dro(recipe: Recipe, material: Material, trainer: ClassifierTrainer) -> nn.Module:
    more = {"group": _combination(recipe, material), "draw_weights": material.draw_weights}
    step_size = recipe.intensity * STEP_SIZE
    return _told_more(train_group_dro, recipe, material, trainer, step_size=step_size, **more)


def _domain_adversarial(
    recipe: Recipe, material: Material, trainer: ClassifierTrainer
) -> nn.Module:
    return _told_more(
        train_domain_adversarial,
        recipe,
        material,
        trainer,
        condition=_combination(recipe, material) % material.bins,
        bins=material.bins,
        weight=recipe.intensity,
        draw_weights=material.draw_weights,
    )


def _lisa(recipe: Recipe, material: Material, trainer: ClassifierTrainer) -> nn.Module:
    condition = _combination(recipe, material) % material.bins
    more = {"condition": condition, "draw_weights": material.draw_weights}
    within_class = recipe.intensity * WITHIN_CLASS
    return _told_more(train_lisa, recipe, material, trainer, within_class=within_class, **more)


def _combination(recipe: Recipe, material: Material) -> Tensor:
    if material.combination is None or material.bins < 1:
        raise ValueError(f"{recipe.training} needs the conditions of the images")
    return material.combination


def _told_more(
    train: Callable[..., nn.Module],
    recipe: Recipe,
    material: Material,
    trainer: ClassifierTrainer,
    **more: Tensor | float | None,
) -> nn.Module:
    """A training that is told ``more`` of the images than their classes."""
    images, on_step = material.images, _told(material, trainer.settings.steps)
    with memory_for(trainer.settings.batch_size, "classifier.batch_size:"):
        model = trainer.build(images, material.seed)
        lesson = trainer.lesson(model, images, recipe.augment, recipe.strength, on_step)
        train(
            lesson.model,
            lesson.x,
            images.y,
            trainer.settings,
            seed=material.seed,
            augment=lesson.augment,
            on_step=on_step,
            **more,
        )
        return model.eval()


def _decoupled(recipe: Recipe, material: Material, trainer: ClassifierTrainer) -> nn.Module:
    num_classes = len(material.images.classes)
    return _told_more(train_decoupled, recipe, material, trainer, num_classes=num_classes)


def _fixmatch(recipe: Recipe, material: Material, trainer: ClassifierTrainer) -> nn.Module:
    if material.pool is None:
        raise ValueError(f"{recipe.training} needs unlabelled images")
    settings, given = material.fixmatch, None
    if recipe.training != "fixmatch":
        if material.warm_start is None:
            raise ValueError(f"{recipe.training} needs labels to begin with")
        settings, given = warm_started(*material.warm_start, settings)
    strong = trainer.augmentation(recipe.augment, recipe.strength)
    weak = trainer.augmentation(("classical",), WEAK * recipe.strength)
    if strong is None or weak is None:
        raise ValueError("FixMatch needs a strong augmentation")
    told = material.on_values
    with memory_for(settings.unlabelled_batch):
        return train_fixmatch(
            trainer.build(material.images, material.seed),
            material.images.x,
            material.images.y,
            material.pool,
            settings,
            seed=material.seed,
            weak=weak,
            strong=strong,
            given=given,
            draw_weights=material.draw_weights,
            on_step=None
            if told is None
            else lambda step, values: told(step, settings.steps, values),
        )


def warm_started(
    labels: Tensor, clear: Tensor, settings: FixMatchSettings
) -> tuple[FixMatchSettings, GivenLabels]:
    """What FixMatch needs to begin with labels from elsewhere, such as those of a graph.

    With a few labels per class, FixMatch's first labels are a network's guesses, and their errors
    stay; those of a graph of augmentation-invariant neighbours are better than any network's at
    that time. They are learned alone first, the clearest of them; then an image counts where they
    and the teacher agree or one of them is sure, and in the last third the teacher decides alone.

    Args:
        labels: A class for every unlabelled image, int64 (M,).
        clear: Which of them are the clearest, bool (M,).
        settings: Of FixMatch; ``steps`` and ``balanced`` stay.

    Returns:
        The settings with a threshold and a weight that suit the better start, and the labels.
    """
    alone, until = round(ALONE * settings.steps), round(FADED * settings.steps)
    settings = replace(settings, threshold=THRESHOLD, weight_unlabelled=WEIGHT_UNLABELLED)
    return settings, GivenLabels(labels, clear.to(torch.bool), alone, until)


def _told(material: Material, steps: int) -> Callable[[int, float], None] | None:
    told = material.on_values
    return None if told is None else lambda step, loss: told(step, steps, {"loss": loss})


MIXES_PAIRS = ("plain", "pretrain", "mixstyle")
"""The trainings that mix two images and their labels where a recipe says so."""
TRAININGS: dict[str, Train] = {
    "plain": _plain,
    "decoupled": _decoupled,
    "pretrain": _pretrain,
    "fixmatch": _fixmatch,
    "graph_fixmatch": _fixmatch,
    "pair_fixmatch": _fixmatch,
    "joint_fixmatch": _fixmatch,
    "mixstyle": _mixstyle,
    "group_dro": _group_dro,
    "domain_adversarial": _domain_adversarial,
    "lisa": _lisa,
}
