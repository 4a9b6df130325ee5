"""Sources trained in memory: from images to something to sample from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import nn

from augmentor.api import Source, describe, source_from
from augmentor.common.types import LabelledImages, Record, StepReport
from augmentor.common.value_range import require_usual_range
from augmentor.data.array_form import checked, labelled, range_of, require_shape, shape_of
from augmentor.data.fingerprint import fingerprints
from augmentor.families import FAMILIES
from augmentor.families.family import Family
from augmentor.training.batches import Augment, Batches
from augmentor.training.ema import Average, averaged
from augmentor.training.loop import Trainer, fit

CLASS_POWER = 0.5
"""How a long tail of classes is drawn; see ``training.batches.Batches``."""


@dataclass(frozen=True)
class Session:
    """What is trained, with everything that changes while it is.

    Args:
        trainer: Networks and optimisers.
        average: The moving average of the networks.
        batches: The batch of every step.
        seed: Of batches and noise.
        images: What it learns from, without conditions where the family knows none.
    """

    trainer: Trainer
    average: Average
    batches: Batches
    seed: int
    images: LabelledImages


def new_session(
    images: LabelledImages,
    family: Family,
    options: Any,
    seed: int,
    *,
    batch_size: int,
    class_power: float = CLASS_POWER,
    augment: Augment | None = None,
    device: str | torch.device = "cpu",
) -> Session:
    """Untrained networks, their optimisers, and the batches, all from ``seed``.

    Args:
        images: What is learned from.
        family: Makes the networks.
        options: Those of the family.
        seed: Decides weights, batches and noise.
        batch_size: Images per step.
        class_power: A class of n images is drawn with a share like n ** class_power.
        augment: Of the images before the generator sees them.
        device: Where to train.
    """
    if not family.takes_conditions:
        images = images.without_conditions()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # manual_seed would reseed a GPU's too, for good
        model: nn.Module = family.build(
            images.classes, images.image_shape, options, images.conditions
        )
    model.to(device).to(memory_format=torch.channels_last)
    batches = Batches(images, batch_size, seed, class_power, augment, device)
    return Session(family.trainer(model), averaged(model, options.ema_decay), batches, seed, images)


def trained_model(
    images: LabelledImages,
    family: str,
    preset: str,
    options: Mapping[str, Any],
    seed: int,
    *,
    steps: int,
    batch_size: int,
    device: str | torch.device = "cpu",
    tell: Callable[[StepReport], None] | None = None,
) -> nn.Module:
    """The averaged model after ``steps``, in evaluation mode; arguments as in ``train``."""
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}; known: {', '.join(FAMILIES)}")
    if steps < 1 or batch_size < 1 or not len(images):
        raise ValueError(
            f"need images, steps and batch_size of 1 or more, got {len(images)} images, {steps} "
            f"steps and batch_size {batch_size}"
        )
    chosen = FAMILIES[family].options_for(preset, options)
    session = new_session(
        images, FAMILIES[family], chosen, seed, batch_size=batch_size, device=device
    )
    for report in fit(session.trainer, session.average, session.batches, steps=steps, seed=seed):
        if tell is not None:
            tell(report)
    return session.average.module.eval()


def train(
    images: LabelledImages | tuple[ArrayLike, ArrayLike],
    *,
    family: str = "cvae_gan",
    preset: str = "default",
    steps: int = 3000,
    batch_size: int = 64,
    options: Mapping[str, Any] | None = None,
    value_range: tuple[float, float] | None = None,
    image_shape: tuple[int, int, int] | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    tell: Callable[[StepReport], None] | None = None,
) -> Source:
    """Train a source in memory. ``pipelines.train`` keeps a run on disk that can be resumed.

    The generator sees every image that you give. Keep the images of a later test out.

    Args:
        images: ``LabelledImages``, or a pair of arrays: images (N, H, W), (N, C, H, W),
            (N, H, W, C) or flattened (N, C*H*W), and labels (N,). Square, 8 to 128 pixels.
        family: A name of ``augmentor.families.FAMILIES``.
        steps: Training steps.
        batch_size: Images per step.
        preset: A set of options by its name, such as ``paper``; each family has ``default``.
        options: Options of the family that differ from those of the preset.
        value_range: What black and white are in the arrays. By default 0 and 255 for uint8, 0 and 1
            or -1 and 1 for floats.
        image_shape: (C, H, W) of arrays that do not tell it, as flattened ones.
        seed: Decides weights, batches and noise; equal seeds give equal sources on a CPU.
        device: Where to train and, later, to render.
        tell: Called with the report of every step.

    Returns:
        The source; its classes are those of the images, or the labels as text, sorted by label.

    Raises:
        DivergedError: If a loss, a weight or a buffer stops being finite.
        ValueError: If the family, the preset, an option, a shape, a label or a number cannot be
            used, or the images have conditions and the family knows classes alone.

    Example:
        >>> import numpy as np
        >>> x, y = np.zeros((6, 8, 8), dtype=np.uint8), np.array([3, 3, 3, 5, 5, 5])
        >>> source = train((x, y), family="cvae", steps=1, batch_size=4)
        >>> source.sample(label="5", n=2).shape
        torch.Size([2, 1, 8, 8])
    """
    if not isinstance(images, LabelledImages):
        x, y = checked(*images)
        shape = image_shape or shape_of(x)
        require_shape(x, shape)
        images = labelled(x, y, shape, range_of(x, value_range))
    else:
        require_usual_range(images.x)
    _refuse_conditions(images, family)
    model = trained_model(
        images,
        family,
        preset,
        options or {},
        seed,
        steps=steps,
        batch_size=batch_size,
        device=device,
        tell=tell,
    )
    seen = fingerprints(images.x)
    record = Record(describe(family, model), steps, seen, images.counts_by_name)
    return source_from(model, record)


def _refuse_conditions(images: LabelledImages, family: str) -> None:
    """Refuse what the family would leave out."""
    taking = [name for name, one in FAMILIES.items() if one.takes_conditions]
    if images.conditions and family in FAMILIES and family not in taking:
        raise ValueError(
            f"the family {family!r} knows classes alone: choose one that takes conditions "
            f"({', '.join(taking)}), or give images.without_conditions()"
        )
