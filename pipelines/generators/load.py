"""A trained run, loaded as the later jobs need it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augmentor.api import Source, source_of
from augmentor.common.types import DataError, LabelledImages, device_of
from augmentor.data.class_names import listed
from augmentor.data.fingerprint import fingerprints
from augmentor.training.checkpoint import load_checkpoint
from downstream.trainer import ClassifierTrainer
from pipelines.config import Config, ConfigError, config_from
from pipelines.datasets import DataBundle
from pipelines.device import device_named
from pipelines.experiment.setting import trainer_of
from pipelines.run_dir import RunDir
from pipelines.strict_yaml import YamlError, parse_yaml

OF_OTHER_JOBS = ("out", "gain", "semi", "compare", "verify", "engine")
"""Keys of a config that a training does not read."""


@dataclass(frozen=True)
class LoadedRun:
    """A run as the later jobs need it.

    Args:
        source: The averaged model of the newest intact checkpoint.
        config: The run's config, with the device it is used on.
        checkpoint_sha256: Of the checkpoint's tensors.
        trained_on: Fingerprints of every image that the source saw, int64 (n,).
        step: Training steps done.
        seen: Classes and conditions of the training images, whose pixels are not kept: ``x`` is
            (n, C, 0, 0); None for a source that knows classes alone.
    """

    source: Source
    config: Config
    checkpoint_sha256: str
    trained_on: NDArray[np.int64]
    step: int
    seen: LabelledImages | None = None

    def unfinished(self, run: Path) -> str:
        """What to say where the training in the folder of the run was stopped; else empty."""
        if self.step >= (steps := self.config.source.steps):
            return ""
        rest = f"augmentor train --resume --out {shlex.quote(str(run))}"
        return f"trained {self.step} of {steps} steps; {rest} finishes it"

    def trainer(self) -> ClassifierTrainer:
        """How the run's configuration trains a classifier, on the device of the source."""
        device = str(device_of(self.source))
        return trainer_of(self.config.classifier, self.config.data, device)


def load_source(run: Path, device: str | None = None) -> LoadedRun:
    """Load what a run trained.

    Args:
        run: Folder of the run.
        device: Where to compute, as ``Config.device``; where the run was trained unless given.

    Raises:
        DataError: If the run is missing, or no checkpoint is intact; the message names the files.
        ConfigError: If the run's config cannot be read, or this machine does not have the device.
    """
    folder = RunDir(run)
    if not folder.config.exists():
        raise DataError(f"{run}: no run here (config.yaml is missing); augmentor train makes one")
    config = training_config(folder.read_config(), where=str(folder.config))
    if device is not None:
        config = config_from(config.model_dump() | {"device": device}, where="options")
    where = device_named(config.device)  # asked for before the checkpoint is read
    checkpoint = load_checkpoint(folder.checkpoints)
    facts = checkpoint.state["facts"]
    source = source_of(checkpoint, where)
    seen = _seen(source, facts)
    trained_on = facts["trained_on"].numpy()
    return LoadedRun(source, config, checkpoint.sha256, trained_on, checkpoint.step, seen)


def _seen(source: Source, facts: dict[str, Tensor]) -> LabelledImages | None:
    """Classes and conditions of the training images.

    Raises:
        DataError: If a source with conditions does not tell them.
    """
    if not source.conditions:
        return None
    try:
        y, condition = facts["seen_y"], facts["seen_condition"]
        no_pixels = torch.empty(len(y), source.image_shape[0], 0, 0)
        return LabelledImages(no_pixels, y, source.classes, condition, source.conditions)
    except (KeyError, ValueError) as error:
        raise DataError(
            f"the checkpoint does not say which combinations it was trained on ({error}); train "
            "again"
        ) from error


def images_seen(bundle: DataBundle) -> NDArray[np.int64]:
    """Fingerprints of all images that a training sees of its data.

    All of the pool counts as seen: it chose the labels even where an image was dropped.

    Returns:
        int64 (n,), the training images first.
    """
    seen = fingerprints(bundle.train.x)
    if bundle.pool is None:
        return seen
    return np.concatenate([seen, fingerprints(bundle.pool)])


def require_images_of(loaded: LoadedRun, bundle: DataBundle) -> None:
    """Refuse data that hold other training images than a run was trained on.

    A config names a folder as its user did: seen from another folder, the name may mean other data.

    Raises:
        DataError: If they do, or have other classes.
    """
    if bundle.train.classes != loaded.source.classes:
        raise DataError(
            f"the data's classes are {listed(bundle.train.classes)}, the source was trained on "
            f"{listed(loaded.source.classes)}; restore the data or train a new source"
        )
    found, known = np.unique(images_seen(bundle)), np.unique(loaded.trained_on)
    if np.array_equal(found, known):
        return
    new, lost = len(np.setdiff1d(found, known)), len(np.setdiff1d(known, found))
    raise DataError(
        f"{bundle.name}: these are not the images that the source was trained on ({new} are new, "
        f"{lost} are missing); the run's config.yaml names its data {loaded.config.data.data!r}: "
        "call from the folder where it was trained, restore the data, or train again"
    )


def training_config(text: str, where: str) -> Config:
    """The config of a run's folder, with the keys that a training does not read at their defaults.

    Those keys may be from another version: what they were called then does not matter.

    Args:
        text: The YAML.
        where: Its file, for messages.

    Raises:
        ConfigError: If the text is not YAML, or a key that a training reads cannot be used.
    """
    try:
        mapping = parse_yaml(text, where)
    except YamlError as error:
        raise ConfigError(str(error)) from error
    for key in OF_OTHER_JOBS:
        mapping.pop(key, None)
    return config_from(mapping, where)


def published_name(run: Path) -> str:
    """A run as a published command names it: without folders of this machine."""
    return run.name if run.is_absolute() else str(run)
