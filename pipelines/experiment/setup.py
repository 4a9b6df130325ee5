"""What a run was, in the words of the setup that every result keeps and every report shows."""

from __future__ import annotations

from typing import Any

from augmentor.common.types import LabelledImages
from downstream.classifier import matched_by_order, tags_of
from downstream.input_form import input_form
from downstream.trainer import ClassifierTrainer
from pipelines.config import SourceConfig
from pipelines.datasets import DataBundle

POOL_SHARED = "share unlabelled images: intervals of what learns from these speak of this pool only"
"""What a reader of replicates or subsets should know: the labelled images alone enter the
correction for what they have in common."""


def data_setup(bundle: DataBundle) -> dict[str, Any]:
    """Which images; what is scored differs between jobs, and each says it itself."""
    return {
        "data": bundle.name,
        "regime": bundle.regime,
        "split": bundle.note,
        "classes": len(bundle.train.classes),
        "image size": "x".join(map(str, bundle.train.image_shape)),
        "training images": len(bundle.train),
    }


def classifier_setup(trainer: ClassifierTrainer, images: LabelledImages) -> dict[str, Any]:
    """The classifier, how its weights began, what it sees of the images, and its training."""
    found = {"classifier": trainer.network, "first weights": _first_weights(trainer)}
    if trainer.has_form:
        form = input_form(trainer.network, trainer.choice, images.image_shape)
        found["classifier sees"] = form.words(images.image_shape[1])
    if trainer.part == "head":
        found["classifier learns"] = (
            f"the last layer, on frozen features of {trainer.views} views of every image"
        )
    return found | {
        "classifier steps": trainer.settings.steps,
        "classifier batch": trainer.settings.batch_size,
        "augmentation domain": trainer.domain,
    }


def _first_weights(trainer: ClassifierTrainer) -> str:
    if trainer.pretrained:
        tag = trainer.network.partition(".")[2] or tags_of(trainer.network)[0]
        return f"timm's {tag}"
    if trainer.weights is None:
        return "random"
    if matched_by_order(trainer.network, trainer.weights):
        return f"{trainer.weights.name}, whose names differ: matched by order and shape"
    return trainer.weights.name


def generator_setup(source: SourceConfig, side: int) -> dict[str, Any]:
    """The generator, the size of its images where the data have another, and its training.

    Args:
        source: The section ``source``.
        side: Of the images of the data.
    """
    own = source.side(side)
    scaled = {}
    if own != side:
        way = "up" if own < side else "down"
        scaled["generator size"] = f"{own}x{own}; its images are scaled {way} to {side}x{side}"
    return {
        "generator": f"{source.family}, {source.preset} preset",
        **scaled,
        "generator steps": source.steps,
        "generator batch": source.batch_size,
        "source augmentation": source.source_augment,
    }
