"""What a semi-supervised method is given, and the methods that need neither a generator nor
consistency.

The table of all methods is ``semi.run.METHODS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from augmentor.common.types import LabelledImages, Predict
from downstream.classifier import build_classifier
from downstream.evaluate import predict_logits
from downstream.train import balanced_weights, train_classifier
from pipelines.augmentation import classical_of
from pipelines.config import Config
from pipelines.device import device_of
from pipelines.pool import label_pool
from pipelines.train_settings import train_settings

OnStep = Callable[[int, int, Mapping[str, float]], None]
"""Steps done, steps in all, and the named values to draw as curves. May raise: a signal ends the
training here."""


@dataclass(frozen=True)
class SemiTask:
    """One training: few labelled images, many without labels.

    Args:
        train: Labelled images.
        pool: Unlabelled images, float32 (M, C, H, W) in [-1, 1], M > 0, in random order. Their
            labels are gone.
        config: The run; its ``seed`` is that of the task.
        seed: Decides everything random.
        on_step: To be called after every step.
    """

    train: LabelledImages
    pool: Tensor
    config: Config
    seed: int
    on_step: OnStep


Method = Callable[[SemiTask], Predict]
"""Trains, and gives the function from images (N, C, H, W) to logits (N, K)."""


def supervised(task: SemiTask) -> Predict:
    """The labelled images alone, every class drawn equally often."""
    return _classifier(task, task.train, augmented=False)


def classical_augmentation(task: SemiTask) -> Predict:
    """The labelled images with classical augmentation."""
    return _classifier(task, task.train, augmented=True)


def pseudo_label(task: SemiTask) -> Predict:
    """Pool images that a classifier is sure of join the labelled ones, with classical augmentation
    on all.
    """
    labelled_pool = label_pool(task.train, task.pool, task.config, task.seed)
    return _classifier(task, task.train.joined(labelled_pool), augmented=True)


def _classifier(task: SemiTask, images: LabelledImages, *, augmented: bool) -> Predict:
    c = task.config.classifier
    model = build_classifier(c.name, len(images.classes), images.image_shape, seed=task.seed)
    train_classifier(
        model.to(device_of(task.config)),
        images.x,
        images.y,
        train_settings(c),
        seed=task.seed,
        weights=balanced_weights(images.y, len(images.classes)),
        augment=classical_of(task.config) if augmented else None,
        on_step=lambda step, loss: task.on_step(step, c.steps, {"loss": loss}),
    )
    return lambda x: predict_logits(model, x)
