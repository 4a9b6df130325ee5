"""One way to train a classifier: the network, its settings and its augmentation, for every job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from augmentor.common.types import LabelledImages
from downstream.augment import Augment
from downstream.augmentations import image_augmentation, pair_mix
from downstream.classifier import build_classifier
from downstream.heads import Margin
from downstream.losses import (
    Loss,
    class_balanced_cross_entropy,
    effective_number_weights,
    logit_adjusted_cross_entropy,
)
from downstream.train import TrainSettings, train_classifier

OnStep = Callable[[int, float], None]
"""Called after every step with the steps done and the loss; may raise to stop the training."""

LOSSES = ("cross_entropy", "class_balanced", "logit_adjusted")


@dataclass(frozen=True)
class ClassifierTrainer:
    """How every classifier of an experiment is built and trained.

    Args:
        network: ``auto`` (a small network for the image size) or a name of timm's.
        settings: Steps, batch size, rates.
        domain: Of the augmentation: ``digits`` never flips, ``natural`` does.
        strength: Of the classical augmentation, 0 or more.
        device: Where it trains, as torch names it.
        weights: File with weights to begin with; None begins with random ones.

    Example:
        >>> images = LabelledImages(torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 0, 1]), ("a", "b"))
        >>> trainer = ClassifierTrainer(settings=TrainSettings(steps=2, batch_size=2))
        >>> trainer.train(images, seed=0)(images.x).shape
        torch.Size([4, 2])
    """

    network: str = "auto"
    settings: TrainSettings = field(default_factory=TrainSettings)
    domain: str = "natural"
    strength: float = 1.0
    device: str = "cpu"
    weights: Path | None = None

    def build(self, images: LabelledImages, seed: int) -> nn.Module:
        """An untrained network for the classes and the shape of ``images``, on the device.

        Raises:
            ValueError: If timm does not know the network, or it cannot take such images.
        """
        model = build_classifier(
            self.network,
            len(images.classes),
            images.image_shape,
            seed=seed,
            checkpoint_path=self.weights,
        )
        return model.to(self.device)

    def augmentation(self, names: Sequence[str], factor: float = 1.0) -> Augment | None:
        """The augmentations of single images among ``names``; ``factor`` is on ``strength``."""
        return image_augmentation(names, self.domain, self.strength * factor)

    def with_steps(self, steps: int) -> ClassifierTrainer:
        """The same trainer with another number of steps."""
        return replace(self, settings=replace(self.settings, steps=steps))

    def train(
        self,
        images: LabelledImages,
        seed: int,
        *,
        draw_weights: Tensor | None = None,
        augment: Sequence[str] = (),
        factor: float = 1.0,
        loss: str = "cross_entropy",
        model: nn.Module | None = None,
        margin: Margin | None = None,
        on_step: OnStep | None = None,
    ) -> nn.Module:
        """Build a classifier, unless one is given, and train it.

        Args:
            images: Training images.
            seed: Decides first weights, order, augmentation and dropout.
            draw_weights: How often each image is drawn, (N,), any scale; None is equally often.
            augment: Names of ``AUGMENTATIONS``, in this order.
            factor: On ``strength``, for the augmentations that have one.
            loss: One of ``LOSSES``.
            model: The network to train further, in the place of a new one.
            margin: Turns outputs and classes into the logits of the loss.
            on_step: As in ``OnStep``.

        Returns:
            The classifier in evaluation mode.

        Raises:
            NonFiniteLossError: If the loss or a weight stops being finite.
            MemoryError: If the memory does not suffice; names a batch size to try.
            ValueError: If a name is unknown or the network cannot take such images.
        """
        with memory_for(self.settings.batch_size, "classifier.batch_size:"):
            return train_classifier(
                self.build(images, seed) if model is None else model.to(self.device),
                images.x,
                images.y,
                self.settings,
                seed=seed,
                draw_weights=draw_weights,
                augment=self.augmentation(augment, factor),
                mix=pair_mix(augment),
                margin=margin,
                loss=loss_for(loss, images, draw_weights),
                on_step=on_step,
            )


def loss_for(name: str, images: LabelledImages, draw_weights: Tensor | None = None) -> Loss:
    """A loss for the class sizes of a training set.

    Args:
        name: One of ``LOSSES``.
        images: What is trained on.
        draw_weights: How often each image is drawn, (N,); None is equally often.

    Raises:
        ValueError: If the name is unknown.
    """
    if name not in LOSSES:
        raise ValueError(f"unknown loss {name!r}; known: {', '.join(LOSSES)}")
    if name == "cross_entropy":
        return cross_entropy
    counts = torch.bincount(images.y, minlength=len(images.classes))
    if name == "class_balanced":
        return partial(class_balanced_cross_entropy, weights=effective_number_weights(counts))
    if draw_weights is not None:
        counts = torch.bincount(images.y, draw_weights, minlength=len(images.classes))
    return partial(logit_adjusted_cross_entropy, prior=counts)


@contextmanager
def memory_for(batch_size: int, option: str) -> Iterator[None]:
    """Name a batch size to try where the block runs out of memory.

    Args:
        batch_size: Images per step in the block.
        option: What sets it, as a user writes it, such as ``--batch-size``.

    Raises:
        MemoryError: If the device's memory does not suffice.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        # On the CPU torch has no class of its own for it.
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and "t allocate memory" not in str(error):
            raise
        smaller = max(2, batch_size // 2)
        raise MemoryError(
            f"not enough memory for {batch_size} images per step; try {option} {smaller}"
        ) from error
