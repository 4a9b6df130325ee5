from __future__ import annotations

from downstream.train import TrainSettings
from pipelines.config import ClassifierConfig, Config
from pipelines.train_settings import train_settings


def test_the_defaults_of_the_config_are_those_of_a_training() -> None:
    assert train_settings(Config().classifier) == TrainSettings()


def test_every_key_arrives() -> None:
    asked = ClassifierConfig(steps=7, batch_size=3, learning_rate=0.5, weight_decay=0.25)
    assert train_settings(asked) == TrainSettings(
        steps=7, batch_size=3, learning_rate=0.5, weight_decay=0.25
    )
