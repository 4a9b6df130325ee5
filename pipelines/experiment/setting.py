"""What every part of an experiment shares, resolved once from the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from augmentor.common.randomness import seed_for
from augmentor.common.types import LabelledImages
from downstream.input_form import InputChoice, data_config, input_form
from downstream.metrics import Integers
from downstream.train import TrainSettings
from downstream.trainer import ClassifierTrainer
from downstream.weights import WeightsError
from pipelines.config import (
    IMAGE_SIZES,
    ClassifierConfig,
    Config,
    ConfigError,
    DataConfig,
    PoolConfig,
    SourceConfig,
)
from pipelines.data.table import domain_of_data, is_named
from pipelines.datasets import DataBundle, drawn_images, files_of, load_data
from pipelines.device import device_named
from pipelines.experiment.parts import described, digest_of_images

WHERE = ("data_root", "memory")
"""Keys of the data that do not decide what they are."""
FOLDER = "folder"


@dataclass(frozen=True)
class Setting:
    """Data, networks and device of an experiment.

    Args:
        data: Which images, and how many keep their labels.
        seed: Of the whole run; those of replicates are addresses under it.
        screening: Whether held-out training images stand in for the test images.
        device: Where everything is trained, as torch names it.
        trainer: How every classifier is built and trained.
        source: The generator and its training.
        pool: How unlabelled images get labels.
        fixmatch_steps: Steps of FixMatch; None is as many images as the trainings behind
            pseudo-labels see.
    """

    data: DataConfig
    seed: int
    screening: bool
    device: str
    trainer: ClassifierTrainer
    source: SourceConfig
    pool: PoolConfig
    fixmatch_steps: int | None = None

    def bundle(self, seed: int) -> DataBundle:
        """The data of one replicate; in a screening without the test images.

        Raises:
            DataError: If the data cannot be used.
        """
        return load_data(self.data, seed, tuning=self.screening)

    def drawn(self, seeds: Sequence[int]) -> list[tuple[Integers, Integers]]:
        """Numbers and classes of the training images of replicates, as ``drawn_images`` says."""
        return drawn_images(self.data, seeds, tuning=self.screening)

    def replicate_seed(self, index: int) -> int:
        """The seed of a replicate; a screening has others, none of which is ever reported."""
        purpose = "screening replicate" if self.screening else "replicate"
        return seed_for(purpose, self.seed, index)

    def with_labels(self, labels: int) -> Setting:
        """The same setting with another number of labels."""
        return replace(self, data=self.data.model_copy(update={"labels": labels}))

    @property
    def files(self) -> tuple[Path, ...]:
        """What a training reads beside the images."""
        weights = self.trainer.weights
        return () if weights is None else (weights,)

    def images_digest(self) -> str:
        """Changes with any image that a replicate may draw, labelled, scored or of the pool."""
        return _images_digest(self.data, self.screening)

    def data_description(self) -> dict[str, Any]:
        """What of the data decides a part."""
        keys = described(self.data)
        for key in WHERE:
            keys.pop(key, None)
        # What lies in a folder is told by the digest of the images, however its path is written.
        if not is_named(self.data.data):
            keys["data"] = FOLDER
        if self.data.unlabelled not in (None, "rest"):
            keys["unlabelled"] = FOLDER
        found = {"data": keys, "images": self.images_digest()}
        return found | ({"screening": True} if self.screening else {})

    def classifier_description(self) -> dict[str, Any]:
        """What of the trainer decides a part."""
        keys: dict[str, Any] = described(self.trainer)
        # Neither where nor how many at a time decides more than rounding.
        for key in ("device", "cache", "side_by_side"):
            keys.pop(key, None)
        if self.trainer.weights is not None:
            keys["weights"] = _file_digest(self.trainer.weights)
        if self.trainer.has_form:
            # What timm says of the network, which a later version of it may say otherwise.
            keys["data_config"] = described(data_config(self.trainer.network))
        return keys

    def require_network(self, images: LabelledImages) -> None:
        """Refuse a classifier that cannot be built for these images, before anything is trained.

        Raises:
            ConfigError: If timm does not know it, it cannot take such images, or its weights are
                not to be had or another's.
        """
        try:
            self.trainer.build(images.subset(torch.arange(0)), seed=0)
        except (WeightsError, OSError) as error:
            raise ConfigError(f"classifier.weights: {error}") from error
        except ValueError as error:
            raise ConfigError(f"classifier.name: {error}") from error

    @property
    def device_type(self) -> str:
        """``cpu``, ``cuda`` or ``mps``: values may differ between them."""
        return self.device.partition(":")[0]


def setting_of(config: Config, *, screening: bool = False) -> Setting:
    """The setting that a configuration asks for.

    Raises:
        ConfigError: If this machine does not have the device.
    """
    device = str(device_named(config.device))
    trainer = trainer_of(config.classifier, config.data, device)
    _images_digest.cache_clear()  # in a notebook, images may have changed since the last run
    return Setting(
        data=data_for(trainer, config.data),
        seed=config.seed,
        screening=screening,
        device=device,
        trainer=trainer,
        source=config.source,
        pool=config.pool,
    )


def trainer_of(classifier: ClassifierConfig, data: DataConfig, device: str) -> ClassifierTrainer:
    """The trainer that the section ``classifier`` asks for, on these data."""
    c, usual = classifier, ClassifierTrainer()
    return ClassifierTrainer(
        network=c.name,
        settings=TrainSettings(c.steps, c.batch_size, c.rate, c.weight_decay),
        domain=domain_of(c, data),
        strength=c.strength,
        device=device,
        weights=c.weights,
        pretrained=c.pretrained,
        choice=InputChoice(c.size, c.interpolation, c.crop, c.mean, c.std),
        part=c.train,
        views=c.views if c.train == "head" else usual.views,
        side_by_side=c.side_by_side,
    )


def data_for(trainer: ClassifierTrainer, data: DataConfig) -> DataConfig:
    """The data, larger where nobody says how large and the classifier sees more."""
    if data.size is not None or not trainer.has_form:
        return data
    sees = input_form(trainer.network, trainer.choice, (3, data.max_size, data.max_size)).resized
    larger = IMAGE_SIZES[-1] if sees > data.max_size else data.max_size
    return data.model_copy(update={"max_size": larger})


def domain_of(classifier: ClassifierConfig, data: DataConfig) -> str:
    """The domain of the augmentation; ``auto`` goes by the name of the data."""
    if classifier.domain != "auto":
        return classifier.domain
    return domain_of_data(data.data)


@lru_cache(maxsize=8)
def _images_digest(data: DataConfig, screening: bool) -> str:
    """Of everything that the replicates draw theirs from: no regime, the whole pool."""
    everything = load_data(files_of(data), 0, tuning=screening)
    return digest_of_images(everything.train, everything.test, everything.pool)


def _file_digest(path: Path) -> str:
    from augmentor.common.atomic_files import sha256_of

    return sha256_of(path)[:16]
