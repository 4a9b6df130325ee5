"""How a classifier is trained, by the config."""

from __future__ import annotations

from downstream.train import TrainSettings
from pipelines.config import ClassifierConfig


def train_settings(c: ClassifierConfig) -> TrainSettings:
    """The settings of the section ``classifier``; what it does not name keeps its default."""
    return TrainSettings(c.steps, c.batch_size, c.learning_rate, c.weight_decay)
