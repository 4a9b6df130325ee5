"""Training of a generator in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, cast

import torch
from torch import Tensor

from augmentor.common.types import LabelledImages, SampleSource
from augmentor.data.fingerprint import from_uint8, to_uint8
from augmentor.data.resize import fit_square
from augmentor.families import FAMILIES
from augmentor.families.family import Family
from augmentor.trained import Session, new_session
from augmentor.training.loop import fit
from downstream.augment import Augment
from downstream.trainer import memory_for
from pipelines.config import ConfigError, SourceConfig

TOGETHER = 64
"""Images brought to another size at once."""


def train_generator(
    images: LabelledImages,
    settings: SourceConfig,
    seed: int,
    *,
    device: str = "cpu",
    augment: Augment | None = None,
    check: Callable[[], None] | None = None,
) -> SampleSource:
    """Train a generator in memory.

    Args:
        images: What it learns from.
        settings: Family, options, steps, batches.
        seed: Decides weights, batches and noise.
        device: Where it trains, as torch names it.
        augment: Of the images before the generator sees them (``source_augment``).
        check: Called after every step; may raise to stop the training.

    Returns:
        The averaged model, in evaluation mode.

    Raises:
        ConfigError: If the family or an option is unknown.
        DivergedError: If training stops being finite.
        MemoryError: If the memory does not suffice; names a batch size to try.
    """
    session = start_session(images, settings, seed, device=device, augment=augment)
    with memory_for(settings.batch_size, "--batch-size"):
        steps = fit(
            session.trainer, session.average, session.batches, steps=settings.steps, seed=seed
        )
        for _ in steps:
            if check is not None:
                check()
    return cast(SampleSource, session.average.module.eval())


def start_session(
    images: LabelledImages,
    settings: SourceConfig,
    seed: int,
    *,
    device: str = "cpu",
    augment: Augment | None = None,
) -> Session:
    """Untrained networks, their optimisers, and the batches, all from ``seed``; arguments as in
    ``train_generator``.
    """
    family, options = chosen_family(settings)
    return new_session(
        for_generator(images, settings),
        family,
        options,
        seed,
        batch_size=settings.batch_size,
        class_power=settings.class_power,
        augment=augment,
        device=device,
    )


def for_generator(images: LabelledImages, settings: SourceConfig) -> LabelledImages:
    """The images at the size that the generator learns; themselves where it is theirs."""
    side = settings.side(images.image_shape[1])
    return replace(images, x=at_side(images.x, side))


def at_side(x: Tensor, side: int) -> Tensor:
    """Images brought to another size in 256 levels; themselves where they have it.

    Args:
        x: Square images, float32 (N, C, H, W) in [-1, 1], on the CPU.
        side: Wanted, in pixels.
    """
    if x.shape[-1] == side:
        return x
    found = torch.empty(*x.shape[:2], side, side)
    # A few at a time: they may lie on disk.
    for some, place in zip(torch.split(x, TOGETHER), torch.split(found, TOGETHER), strict=True):
        place.copy_(from_uint8(fit_square(to_uint8(some), side)))
    return found


def require_generated(settings: SourceConfig, images: LabelledImages) -> None:
    """Refuse data of another size than the generator's, for jobs that compare the two.

    Raises:
        ConfigError: If the sizes differ.
    """
    side = images.image_shape[1]
    if settings.side(side) != side:
        raise ConfigError(
            f"data.size: the generator makes {settings.side(side)} pixels and the images have "
            f"{side}; give --size {settings.side(side)}"
        )


def chosen_family(settings: SourceConfig) -> tuple[Family, Any]:
    """The family that the settings name, and its options.

    Raises:
        ConfigError: If family, preset or an option is unknown, or a value does not fit; the message
            names what does.
    """
    if settings.family not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise ConfigError(f"source.family: unknown family {settings.family!r}; known: {known}")
    family = FAMILIES[settings.family]
    try:
        return family, family.options_for(settings.preset, settings.options)
    except ValueError as error:
        raise ConfigError(f"source: {error}") from error


def families_with_conditions() -> str:
    """Names of the families that take conditions, for messages."""
    return ", ".join(name for name, family in FAMILIES.items() if family.takes_conditions)


def unused_conditions(images: LabelledImages, settings: SourceConfig) -> str:
    """What to say where there are conditions that the family cannot use; empty where it can, or
    there are none.
    """
    family, _ = chosen_family(settings)
    if not images.conditions or family.takes_conditions:
        return ""
    names = ", ".join(images.conditions.names)
    return (
        f"the family {settings.family} knows classes alone, so the condition {names} is not used; "
        f"families that use it: {families_with_conditions()}"
    )


def options_of(settings: SourceConfig) -> dict[str, Any]:
    """All options of the family, so that the name of a part changes with a default too.

    Raises:
        ConfigError: If the family, preset or an option is unknown.
    """
    return asdict(chosen_family(settings)[1])
