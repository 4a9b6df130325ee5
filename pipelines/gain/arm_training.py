"""Training of one arm's classifier: the recipe's augmentation, loss and stages put together from
``downstream``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from augmentor.common.types import LabelledImages
from downstream.augment import Mix, cutmix, mixup
from downstream.classifier import build_classifier
from downstream.consistency import WEAK, FixMatchSettings, train_fixmatch
from downstream.decoupled import train_decoupled
from downstream.losses import (
    Loss,
    class_balanced_cross_entropy,
    effective_number_weights,
    logit_adjusted_cross_entropy,
)
from downstream.train import TrainSettings, balanced_weights, train_classifier
from pipelines.augmentation import augmentation_of, classical_of
from pipelines.config import Config
from pipelines.device import device_of, memory_for
from pipelines.gain.recipes import CONSISTENCY, Recipe
from pipelines.interrupt import Watch, on_step
from pipelines.pool import begun_with
from pipelines.train_settings import train_settings

Start = tuple[Tensor, Tensor]
"""A class for every image of a pool, int64 (M,), and which of these are the clearest, bool (M,)."""

MIXES: dict[str, Mix | None] = {"none": None, "mixup": mixup, "cutmix": cutmix}


def train_arm(
    recipe: Recipe,
    images: LabelledImages,
    weights: Tensor | None,
    config: Config,
    seed: int,
    *,
    pool: Tensor | None = None,
    synthetic: LabelledImages | None = None,
    start: Start | None = None,
    watch: Watch | None = None,
) -> nn.Module:
    """Train the classifier of an arm; all arms have the same network, start and steps.

    Args:
        recipe: What is special to it.
        images: Training images.
        weights: How often each is drawn (N,); None is equally often.
        config: ``classifier``, ``pool`` and ``device`` are used.
        seed: Decides first weights, order and augmentation.
        pool: Unlabelled images (M, C, H, W), for FixMatch.
        synthetic: Images of the first stage, for ``pretrain``.
        start: Labels that FixMatch begins with; None for ``fixmatch``, which begins with its own.
        watch: Looked at after every step.

    Returns:
        The classifier, in evaluation mode.

    Raises:
        Interrupted: If ``watch`` was told to stop.
        ValueError: If the pool or the synthetic images are missing.
    """
    c = config.classifier
    model = build_classifier(c.name, len(images.classes), images.image_shape, seed=seed).to(
        device_of(config)
    )
    with memory_for(c.batch_size, "classifier.batch_size:"):
        if recipe.training in CONSISTENCY:
            return _fixmatch(model, recipe, images, weights, pool, start, config, seed, watch)
        if recipe.training == "decoupled":
            return _decoupled(model, recipe, images, config, seed, watch)
        if recipe.training == "pretrain":
            return _pretrained(model, recipe, images, weights, synthetic, config, seed, watch)
        return _plain(model, recipe, images, weights, train_settings(c), config, seed, watch)


def loss_of(recipe: Recipe, images: LabelledImages, weights: Tensor | None = None) -> Loss:
    """The loss of a recipe for these class sizes, and for how often each image (N,) is drawn; None
    is equally often.
    """
    counts = torch.bincount(images.y, minlength=len(images.classes))
    if recipe.loss == "class_balanced":
        return partial(class_balanced_cross_entropy, weights=effective_number_weights(counts))
    if recipe.loss == "logit_adjusted":
        drawn = (
            counts
            if weights is None
            else torch.bincount(images.y, weights, minlength=len(images.classes))
        )
        return partial(logit_adjusted_cross_entropy, prior=drawn)
    return cross_entropy


def fixmatch_steps(config: Config, settings: FixMatchSettings) -> int:
    """So many that FixMatch learns from as many images as the trainings behind ``pseudo_label``
    together.

    These are the rounds in which the pool is labelled (none where a graph alone does it) and the
    last training.
    """
    trainings = 1 + (0 if config.pool.method == "graph" else config.pool.rounds)
    images = trainings * config.classifier.steps * config.classifier.batch_size
    return max(1, round(images / (settings.labelled_batch + settings.unlabelled_batch)))


def _plain(
    model: nn.Module,
    recipe: Recipe,
    images: LabelledImages,
    weights: Tensor | None,
    settings: TrainSettings,
    config: Config,
    seed: int,
    watch: Watch | None,
) -> nn.Module:
    return train_classifier(
        model,
        images.x,
        images.y,
        settings,
        seed=seed,
        weights=weights,
        augment=augmentation_of(config, recipe.augment, recipe.strength),
        mix=MIXES[recipe.mix],
        loss=loss_of(recipe, images, weights),
        on_step=on_step(watch),
    )


def _decoupled(
    model: nn.Module,
    recipe: Recipe,
    images: LabelledImages,
    config: Config,
    seed: int,
    watch: Watch | None,
) -> nn.Module:
    return train_decoupled(
        model,
        images.x,
        images.y,
        train_settings(config.classifier),
        seed=seed,
        num_classes=len(images.classes),
        augment=augmentation_of(config, recipe.augment, recipe.strength),
        on_step=on_step(watch),
    )


def _pretrained(
    model: nn.Module,
    recipe: Recipe,
    images: LabelledImages,
    weights: Tensor | None,
    synthetic: LabelledImages | None,
    config: Config,
    seed: int,
    watch: Watch | None,
) -> nn.Module:
    """Synthetic images first, then real ones; each stage has a warm-up and a cosine of its own."""
    if synthetic is None:
        raise ValueError("pre-training needs synthetic images")
    settings = train_settings(config.classifier)
    first = round(recipe.share * settings.steps)
    alike = balanced_weights(synthetic.y, len(synthetic.classes))
    stages = (synthetic, alike, first), (images, weights, settings.steps - first)
    for number, (part, part_weights, steps) in enumerate(stages):
        if steps:
            _plain(
                model,
                recipe,
                part,
                part_weights,
                replace(settings, steps=steps),
                config,
                seed + number,
                watch,
            )
    return model


def _fixmatch(
    model: nn.Module,
    recipe: Recipe,
    images: LabelledImages,
    weights: Tensor | None,
    pool: Tensor | None,
    start: Start | None,
    config: Config,
    seed: int,
    watch: Watch | None,
) -> nn.Module:
    if pool is None:
        raise ValueError("FixMatch needs unlabelled images")
    settings, advice = FixMatchSettings(balanced=config.pool.balanced), None
    settings = replace(settings, steps=fixmatch_steps(config, settings))
    if start is not None:
        settings, advice = begun_with(*start, settings)
    strong = augmentation_of(config, recipe.augment, recipe.strength)
    if strong is None:
        raise ValueError("FixMatch needs a strong augmentation")
    return train_fixmatch(
        model,
        images.x,
        images.y,
        pool,
        settings,
        seed=seed,
        weak=classical_of(config, WEAK * recipe.strength),
        strong=strong,
        advice=advice,
        weights=weights,
        on_step=on_step(watch),
    )
