"""What travels between the packages of the library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from augmentor.common.conditions import NO_CONDITIONS, Conditions

Predict = Callable[[Tensor], Tensor]
"""A judge: images (N, C, H, W) in [-1, 1] to logits (N, K)."""


class DataError(Exception):
    """The user's data cannot be used as they are; the message names the class or file and the next
    step.
    """


class DivergedError(Exception):
    """A loss, gradient or weight stopped being finite."""


@dataclass(frozen=True)
class LabelledImages:
    """Images with labels, the names of the classes, and the conditions if they are known.

    Args:
        x: Images, shape (N, C, H, W), float32 in [-1, 1].
        y: Class indices, shape (N,), int64 in [0, len(classes)).
        classes: Class names; position is index.
        condition: Conditions of the images: categories, int64 (N,), or numbers, float32 (N, D) in
            the units of the data; None if they are not known.
        conditions: What ``condition`` means.

    Raises:
        ValueError: If the shapes or types differ from the above.
    """

    x: Tensor
    y: Tensor
    classes: tuple[str, ...]
    condition: Tensor | None = None
    conditions: Conditions = NO_CONDITIONS

    def __post_init__(self) -> None:
        if self.x.ndim != 4 or self.x.dtype != torch.float32:
            raise ValueError(
                f"x must be (N, C, H, W) float32, got {tuple(self.x.shape)} {self.x.dtype}"
            )
        if self.y.shape != (len(self.x),) or self.y.dtype != torch.int64:
            raise ValueError(
                f"y must be ({len(self.x)},) int64, got {tuple(self.y.shape)} {self.y.dtype}"
            )
        if len(self.y) and not 0 <= int(self.y.min()) <= int(self.y.max()) < len(self.classes):
            raise ValueError(
                f"y must lie in [0, {len(self.classes)}), got {int(self.y.min())} to "
                f"{int(self.y.max())}"
            )
        if bool(self.conditions) != (self.condition is not None):
            raise ValueError("condition and conditions are given together or not at all")
        if self.condition is None:
            return
        self.conditions.require(self.condition)
        if len(self.condition) != len(self.x):
            raise ValueError(
                f"need one condition per image, got {len(self.condition)} for {len(self.x)} images"
            )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        _, channels, height, width = self.x.shape
        return channels, height, width

    @property
    def counts(self) -> dict[int, int]:
        """Images of every class, classes without images included."""
        return dict(enumerate(torch.bincount(self.y, minlength=len(self.classes)).tolist()))

    @property
    def counts_by_name(self) -> dict[str, int]:
        """``counts`` with the names of the classes."""
        return dict(zip(self.classes, self.counts.values(), strict=True))

    def subset(self, indices: Tensor) -> LabelledImages:
        """The images at ``indices`` (int64, any order, repeats allowed)."""
        condition = None if self.condition is None else self.condition[indices]
        return replace(self, x=self.x[indices], y=self.y[indices], condition=condition)

    def without_conditions(self) -> LabelledImages:
        """The same images, of which only the class is known."""
        return LabelledImages(self.x, self.y, self.classes)

    def joined(self, other: LabelledImages) -> LabelledImages:
        """These images followed by ``other``'s; a condition known of one part only is left out.

        Raises:
            ValueError: If the class lists differ, or the meanings of the conditions.
        """
        if self.classes != other.classes:
            raise ValueError(f"class lists differ: {self.classes} and {other.classes}")
        x, y = torch.cat([self.x, other.x]), torch.cat([self.y, other.y])
        if self.condition is None or other.condition is None:
            return LabelledImages(x, y, self.classes)
        if self.conditions != other.conditions:
            raise ValueError(f"conditions differ: {self.conditions} and {other.conditions}")
        condition = torch.cat([self.condition, other.condition])
        return LabelledImages(x, y, self.classes, condition, self.conditions)


@runtime_checkable
class SampleSource(Protocol):
    """Anything that renders an image of a class from a standard normal latent; always in evaluation
    mode.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; position is index."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images rendered."""

    @property
    def latent_dim(self) -> int:
        """Length of one latent."""

    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        """Render one image per row, without gradient.

        Args:
            y: Classes, int64 (N,), or weights of classes, float (N, K): rows that sum to one are
                mixtures; sums above one, two at most, are allowed too.
            z: Latents from N(0, I), float32 (N, latent_dim).

        Returns:
            Images, float32 (N, C, H, W) in [-1, 1], on the device of ``z``. Row i depends on row i
            of y and z only.
        """


@runtime_checkable
class ConditionalSource(SampleSource, Protocol):
    """A source that knows a condition beside the class, and renders any combination of the two."""

    @property
    def conditions(self) -> Conditions:
        """What its conditions are; falsy for a source that was trained without."""

    def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Render one image per row, without gradient.

        Args:
            y: Classes, int64 (N,), or weights of classes, float (N, K): rows that sum to one are
                mixtures; sums above one, two at most, are allowed too.
            z: Latents from N(0, I), float32 (N, latent_dim).
            condition: Conditions, as ``Conditions.rows`` takes them; None if the source has none.

        Returns:
            Images, float32 (N, C, H, W) in [-1, 1], on the device of ``z``. Row i depends on row i
            of y, z and condition only.

        Raises:
            ValueError: If a condition is missing, or given to a source without conditions.
        """


def conditions_of(source: SampleSource) -> Conditions:
    """What a source knows beside the class; falsy for one that knows the class alone."""
    return getattr(source, "conditions", NO_CONDITIONS)


def conditional(source: SampleSource) -> ConditionalSource:
    """The source as one that takes a condition.

    Raises:
        ValueError: If it knows classes alone.
    """
    if isinstance(source, ConditionalSource) and source.conditions:
        return source
    raise ValueError("the source knows classes alone; leave condition out")


@runtime_checkable
class EncodingSource(SampleSource, Protocol):
    """A source that can also find the latent of an image."""

    def encode(self, x: Tensor, y: Tensor) -> Tensor:
        """Posterior means of images (N, C, H, W) of classes y (as in ``sample``), float32 (N,
        latent_dim).
        """


@runtime_checkable
class DensitySource(SampleSource, Protocol):
    """A source that also tells how likely an image is under a class."""

    def log_density(self, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """A lower bound of log p(x | y) in nats by one draw of the latent, without gradient,
        float32 (N,).

        Args:
            x: Images, float32 (N, C, H, W) in [-1, 1].
            y: Classes, as in ``sample``.
            noise: From N(0, I), float32 (N, latent_dim); the posterior's draw is made of it.
        """


@runtime_checkable
class IdentitySource(EncodingSource, Protocol):
    """A source that takes who is to be seen from an image; the person need not be one of its
    classes.
    """

    def render(self, identity_image: Tensor, attribute_image: Tensor) -> Tensor:
        """Who the one image shows, shown as the other image is, without gradient.

        Args:
            identity_image: Float32 (N, C, H, W) in [-1, 1].
            attribute_image: The same shape; pose, light and background come from it.

        Returns:
            Images, float32 (N, C, H, W) in [-1, 1]. Row i depends on row i of both only.
        """


@dataclass(frozen=True)
class Record:
    """What is known of the training of a source.

    Args:
        description: As ``api.describe`` gives it, and more that the training told: JSON values.
        steps: Training steps done.
        trained_on: Fingerprints of the images that it saw, int64 (n,).
        counts: Images of every class that it saw, by name; None if that was not kept.
    """

    description: Mapping[str, Any]
    steps: int
    trained_on: NDArray[np.int64]
    counts: Mapping[str, int] | None = None


def record_of(source: SampleSource) -> Record | None:
    """What is known of the training of a source; None for one that does not tell."""
    return getattr(source, "record", None)


def device_of(source: SampleSource) -> torch.device:
    """Where a source renders: its ``device`` attribute if it has one, else where its weights are,
    else the CPU.
    """
    device = getattr(source, "device", None)
    if device is None and isinstance(source, nn.Module):
        device = next((weight.device for weight in source.parameters()), None)
    return torch.device(device or "cpu")


@dataclass(frozen=True)
class StepReport:
    """What ``fit`` yields after a step.

    Args:
        step: Steps done so far, counted from 1.
        losses: Named losses of this step, as numbers. On a GPU they are read when they are asked
            for, and the GPU is waited for.
        model: The averaged model (a ``SampleSource``), in evaluation mode.
        look: Waits until the step is done and raises ``DivergedError`` if it or one before was not
            finite. Call it before the model is used or saved.
    """

    step: int
    losses: Mapping[str, float]
    model: nn.Module
    look: Callable[[], None] = lambda: None
