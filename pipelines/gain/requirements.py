"""What arms, metrics and rehearsals need of the data and of the generator; refused before any
training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from augmentor.common.types import DataError, LabelledImages
from augmentor.data.combinations import combinations_of
from augmentor.data.rehearsal import rehearsal_fold
from downstream.arms.policy import MixPolicy
from downstream.arms.recipe import Recipe
from downstream.arms.table import fits
from downstream.frozen_features import trains_head
from downstream.metrics import Metric, Outputs
from downstream.metrics.metric import MissingOutputError
from pipelines.config import ConfigError, GainConfig, SourceConfig
from pipelines.datasets import DataBundle
from pipelines.generators.in_memory import chosen_family, families_with_conditions, for_generator
from pipelines.workbench.synthetic import discriminator_of
from pipelines.workbench.training_parts import bins_of_bundle


def learns(part: str, recipe: Recipe | None) -> bool:
    """Whether the part of a network that learns can learn by a recipe."""
    return recipe is None or part == "all" or trains_head(recipe.training, recipe.augment)


def require_fitting(what: str, recipe: Recipe | None, bundle: DataBundle, part: str) -> None:
    """Refuse a recipe that needs what the data do not have, or changes what stays frozen."""
    if not learns(part, recipe):
        raise ConfigError(
            f"{what} changes the features of the network, which train: head leaves as they are; "
            "give --train all, or leave it out"
        )
    if not fits(recipe, pool=bundle.pool is not None):
        raise ConfigError(f"{what} needs unlabelled images; give --unlabelled, or leave it out")
    if not fits(recipe, pool=True, conditions=bool(bundle.train.conditions)):
        raise ConfigError(f"{what} needs conditions; give --condition, or leave it out")
    if recipe is not None and recipe.hidden and bundle.hidden is None:
        raise ConfigError(f"{what} trains on images that data.rare hides; set it, or leave it out")


def require_scored(metrics: Sequence[Metric], bundle: DataBundle) -> None:
    """Refuse a metric of combinations that no scored image belongs to, before any training.

    Raises:
        DataError: If the first replicate has none.
    """
    test, table = bundle.test, combinations_of(bundle.train, bins_of_bundle(bundle))
    sure = torch.full((len(test), len(test.classes)), 1 / len(test.classes))
    outputs = Outputs(test.y, sure, coverage=table.coverage_of(test), combination=table.of(test))
    for one in metrics:
        if "coverage" not in one.needs:
            continue
        try:
            one.of(outputs)
        except MissingOutputError as error:
            raise DataError(f"gain.metrics: {one.name}: {error}") from error


def require_rehearsable(settings: GainConfig, bundle: DataBundle, seed: int) -> None:
    """Refuse a rehearsal where nothing is incomplete, before anything is trained."""
    if not settings.rehearse:
        return
    if settings.synthetic:
        raise ConfigError(
            "gain.rehearse: it hides training images, which the generator of a set may have seen, "
            "and would show a gain that is none; leave out --synthetic, or the rehearsal"
        )
    bins = bins_of_bundle(bundle)
    if bins is None:
        raise ConfigError("gain.rehearse: a rehearsal needs conditions; give --condition")
    rehearsal_fold(bundle.train, bins, seed, 0)


def require_screenable(settings: GainConfig, metric: Metric, *, runs_auto: bool) -> None:
    """Refuse a choice by the missing combinations where nothing is hidden to stand in for them.

    Raises:
        ConfigError: If it cannot be made.
    """
    if runs_auto and not settings.rehearse and metric.name == "missing_combinations":
        raise ConfigError(
            "gain.metric: auto chooses on training images, which have none of the missing "
            "combinations; give --rehearse, or name --arms without auto"
        )


def require_able_family(
    policies: Mapping[str, MixPolicy], source: SourceConfig, images: LabelledImages
) -> None:
    """Refuse a family without an encoder or an image discriminator where a policy needs one."""
    family, options = chosen_family(source)
    images = for_generator(images.subset(torch.arange(0)), source)
    model: Any = family.model
    for name, policy in policies.items():
        if policy.latents != "prior" and not hasattr(model, "encode"):
            raise ConfigError(
                f"gain.policies: {name!r} needs an encoder; family {source.family!r} has none"
            )
        if not policy.realism:
            continue
        try:
            with torch.random.fork_rng(devices=[]):
                discriminator_of(model(images.classes, images.image_shape, options))
        except DataError as error:
            raise ConfigError(
                f"gain.policies: {name!r} sets realism, but family {source.family!r} has no "
                "image discriminator; use for example cvae_gan"
            ) from error


def require_factored_source(
    recipes: Mapping[str, Recipe | None], source: SourceConfig, bundle: DataBundle
) -> None:
    """Refuse rendered combinations where the generator would not know the conditions."""
    family, _ = chosen_family(source)
    for what, recipe in recipes.items():
        if recipe is None or not recipe.fill:
            continue
        if not family.takes_conditions:
            raise ConfigError(
                f"{what} renders combinations of class and condition, but family "
                f"{source.family!r} knows classes alone; use one of {families_with_conditions()}, "
                "or name other arms"
            )
        if bundle.pool is not None:
            raise ConfigError(
                f"{what} renders combinations of class and condition, but the conditions of images "
                "without labels are not known; leave out --unlabelled, or name other arms"
            )
