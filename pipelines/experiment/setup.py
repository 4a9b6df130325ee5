"""What a run was, in the words of the setup that every result keeps and every report shows."""

from __future__ import annotations

from typing import Any

from downstream.trainer import ClassifierTrainer
from pipelines.config import SourceConfig
from pipelines.datasets import DataBundle


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


def classifier_setup(trainer: ClassifierTrainer) -> dict[str, Any]:
    """The classifier, how its weights began, and its training."""
    return {
        "classifier": trainer.network,
        "first weights": "random" if trainer.weights is None else trainer.weights.name,
        "classifier steps": trainer.settings.steps,
        "classifier batch": trainer.settings.batch_size,
        "augmentation domain": trainer.domain,
    }


def generator_setup(source: SourceConfig) -> dict[str, Any]:
    """The generator and its training."""
    return {
        "generator": f"{source.family}, {source.preset} preset",
        "generator steps": source.steps,
        "generator batch": source.batch_size,
        "source augmentation": source.source_augment,
    }
