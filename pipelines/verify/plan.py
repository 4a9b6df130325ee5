"""What a verification run will do, resolved once: pairs, arms, head, seeds, parts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import fingerprints, from_uint8, to_uint8
from augmentor.data.synthetic_images import fit_shape
from augmentor.data.synthetic_store import read_set
from downstream.heads import margin_of
from downstream.train import balanced_weights
from pipelines.config import Config, ConfigError, VerifyConfig, data_root
from pipelines.datasets import DataBundle
from pipelines.experiment.job import parts_folder
from pipelines.experiment.parts import Part, PartStore, digest_of_images
from pipelines.experiment.plan import Group
from pipelines.experiment.setting import Setting, setting_of
from pipelines.verify.pairs import VerificationPairs, find_pairs, read_pairs
from pipelines.verify.report import BASELINE, REAL_PEOPLE

CODE = 1
"""Of the training of verifiers; raise it when the same settings give other similarities."""


@dataclass(frozen=True)
class Arm:
    """What a network learns from.

    Args:
        name: ``BASELINE``, ``REAL_PEOPLE``, or the name of the synthetic set's folder.
        images: Those of the data, then the others; people are classes.
        draw_weights: How often each is drawn, float64 (N,), summing to one.
        synthetic: How many are synthetic; of ``REAL_PEOPLE`` none.
    """

    name: str
    images: LabelledImages
    draw_weights: Tensor
    synthetic: int = 0


@dataclass(frozen=True)
class VerifierTask:
    """One network to train.

    Args:
        setting: Network, steps, device.
        settings: The section ``verify``: head, margin, scale.
        arm: What it learns from.
        pairs: What it scores.
        seed: Of the replicate.
        part: What it leaves.
        folder: Of the store.
    """

    setting: Setting
    settings: VerifyConfig
    arm: Arm
    pairs: VerificationPairs
    seed: int
    part: Part
    folder: Path


@dataclass(frozen=True)
class VerifyPlan:
    """One comparison of what a verification network learns from.

    Args:
        setting: Data, network, device.
        settings: The section ``verify``.
        bundle: The data of the first replicate.
        pairs: The pairs that are scored.
        arms: Those of the first replicate, the baseline first.
        groups: One network each, replicate by replicate in the order of ``arms``.
        store: Where finished parts are.
    """

    setting: Setting
    settings: VerifyConfig
    bundle: DataBundle
    pairs: VerificationPairs
    arms: tuple[Arm, ...]
    groups: tuple[Group[VerifierTask], ...]
    store: PartStore


def verify_plan(config: Config, out: Path) -> VerifyPlan:
    """Resolve a configuration; what cannot be used is refused here, before any training.

    Raises:
        ConfigError: If no pairs are named, two sets have one name, or the network or head is
            unknown.
        DataError: If data, pairs or a set cannot be used, or a network or source would have seen
            people in the pairs.
    """
    settings = config.verify
    require_usable(settings)
    setting = setting_of(config)
    trainer = replace(setting.trainer, weights=settings.weights)
    setting = replace(setting, trainer=trainer)
    store = PartStore(parts_folder(out))
    groups: list[Group[VerifierTask]] = []
    first: tuple[DataBundle, VerificationPairs, list[Arm]] | None = None
    for index in range(settings.replicates):
        seed = setting.replicate_seed(index)
        bundle = setting.bundle(seed)
        pairs, arms = _loaded(setting, settings, bundle.train)
        first = first or (bundle, pairs, arms)
        for arm in arms:
            part = _part(setting, settings, arm, pairs, seed, index)
            task = VerifierTask(setting, settings, arm, pairs, seed, part, store.folder)
            groups.append(Group(task, (part,)))
    assert first is not None
    bundle, pairs, arms = first
    setting.trainer.build(arms[0].images.subset(torch.arange(0)), seed=0)  # refuses a wrong name
    return VerifyPlan(setting, settings, bundle, pairs, tuple(arms), tuple(groups), store)


def split_pairs(
    train: LabelledImages, pairs: VerificationPairs, train_folds: Sequence[int]
) -> tuple[LabelledImages, VerificationPairs]:
    """The people to learn from and the pairs to score.

    Args:
        train: Training images of a data set.
        pairs: All pairs.
        train_folds: Folds whose people are learned from too.

    Returns:
        The training images with these folds' images behind them, and the pairs of the other folds.

    Raises:
        ConfigError: If fewer than two folds are left.
        DataError: If a fold is unknown, or somebody would be both learned and scored.
    """
    left = [fold for fold in pairs.fold_numbers if fold not in train_folds]
    if len(left) < 2:
        raise ConfigError(
            f"verify.train_folds: two of the folds {pairs.fold_numbers} must be left to be scored"
        )
    learned = train
    if train_folds:
        learned = merged(train, pairs.of_folds(train_folds).labelled())
    scored = pairs.of_folds(left)
    scored.refuse_known(learned.classes, fingerprints(learned.x), "the network")
    return learned, scored


def merged(first: LabelledImages, second: LabelledImages) -> LabelledImages:
    """Images of both; classes are matched by name, and those that only the second has come behind
    the first's.
    """
    added = tuple(name for name in second.classes if name not in first.classes)
    classes = first.classes + added
    numbers = [classes.index(name) for name in second.classes]
    number = torch.tensor(numbers, dtype=torch.int64)
    x, y = torch.cat([first.x, second.x]), torch.cat([first.y, number[second.y]])
    return LabelledImages(x, y, classes)


def require_usable(settings: VerifyConfig) -> None:
    """Refuse what can be seen to be wrong without any data.

    Raises:
        ConfigError: If no pairs are named, or two sets have one name.
        ValueError: If the margin does not suit the head.
    """
    if settings.pairs is None:
        raise ConfigError("verify.pairs: name the folder of pairs, by --pairs or in the config")
    seen = {BASELINE, REAL_PEOPLE}
    for folder in settings.synthetic:
        name = folder.resolve().name
        if name in seen:
            raise ConfigError(
                f"verify.synthetic: two arms would have the name {name!r}; rename a folder"
            )
        seen.add(name)
    if settings.head != "softmax":
        margin_of(settings.head, settings.margin, settings.scale)


def _loaded(
    setting: Setting, settings: VerifyConfig, train: LabelledImages
) -> tuple[VerificationPairs, list[Arm]]:
    """The pairs to score and the arms of a replicate."""
    assert settings.pairs is not None
    folder = find_pairs(settings.pairs, data_root(setting.data))
    everyone = read_pairs(folder, train.image_shape)
    _, pairs = split_pairs(train, everyone, settings.train_folds)
    arms = [Arm(BASELINE, train, balanced_weights(train.y, len(train.classes)))]
    if settings.train_folds:
        people = everyone.of_folds(settings.train_folds).labelled()
        arms.append(_with(REAL_PEOPLE, arms[0], people, settings.synthetic_share))
    for path in settings.synthetic:
        found = _read_synthetic(path, pairs, folder)
        arm = _with(path.resolve().name, arms[0], found, settings.synthetic_share)
        arms.append(replace(arm, synthetic=len(found)))
    return pairs, arms


def _read_synthetic(path: Path, pairs: VerificationPairs, folder: Path) -> LabelledImages:
    """A stored set in the form of the pairs, after making sure that its source saw none of them."""
    stored = read_set(path)
    images, shape = stored.images, (pairs.x.shape[1], pairs.x.shape[2], pairs.x.shape[3])
    seen = pairs
    if images.image_shape != shape:
        seen = read_pairs(folder, images.image_shape).of_folds(pairs.fold_numbers)
    seen.refuse_known([], stored.trained_on, f"the source of {path}")
    present = [name for name in images.classes if stored.recipe.counts.get(name)]
    if not present:
        raise DataError(f"{path}: the synthetic set is empty")
    pairs.refuse_known(present, np.empty(0, np.int64), str(path))
    number = torch.zeros(len(images.classes), dtype=torch.int64)
    for place, name in enumerate(present):
        number[images.classes.index(name)] = place
    x = from_uint8(fit_shape(to_uint8(images.x), shape))
    return LabelledImages(x, number[images.y], tuple(present))


def _with(name: str, base: Arm, images: LabelledImages, share: float) -> Arm:
    even = torch.full((len(images),), share / len(images), dtype=torch.float64)
    weights = torch.cat([(1 - share) * base.draw_weights, even])
    return Arm(name, merged(base.images, images), weights)


def _part(
    setting: Setting,
    settings: VerifyConfig,
    arm: Arm,
    pairs: VerificationPairs,
    seed: int,
    index: int,
) -> Part:
    found: dict[str, Any] = {"code": CODE, "seed": seed, "device": setting.device_type}
    found["classifier"] = setting.classifier_description()
    found["images"] = digest_of_images(arm.images)
    weights = arm.draw_weights.numpy().tobytes()
    found["draw_weights"] = hashlib.sha256(weights).hexdigest()[:16]
    found["pairs"] = {
        "images": digest_of_images(pairs.x),
        "first": pairs.first.tolist(),
        "second": pairs.second.tolist(),
    }
    found["head"] = {"name": settings.head, "margin": settings.margin, "scale": settings.scale}
    label = f"replicate {index:03d}, {arm.name}"
    return Part("verifier", label, found, {"classifier": setting.trainer.settings.steps})
