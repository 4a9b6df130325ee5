"""What a verification run will do, resolved once: pairs, arms, head, seeds, parts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
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
from downstream.comparison import expected_overlap
from downstream.heads import margin_of
from downstream.train import balanced_weights
from pipelines.config import Config, ConfigError, VerifyConfig, data_root
from pipelines.datasets import DataBundle
from pipelines.experiment.engine import Needs
from pipelines.experiment.job import parts_folder
from pipelines.experiment.parallelism import Parallelism, parallelism_of
from pipelines.experiment.parts import Part, PartStore, digest_of_images, needs_of
from pipelines.experiment.plan import Group
from pipelines.experiment.setting import Setting, data_for, setting_of
from pipelines.verify.pairs import VerificationPairs, find_pairs, read_pairs
from pipelines.verify.scores import BASELINE, REAL_PEOPLE

CODE = 1
"""Of the training of verifiers; raise it when the same settings give other similarities."""


@dataclass(frozen=True)
class Arm:
    """What a network learns from.

    Args:
        name: ``BASELINE``, ``REAL_PEOPLE``, or the name of the synthetic set's folder.
        extra: Images beside those of the data; people are classes. None for none.
        share: Part of the draws that falls on ``extra``, in [0, 1).
        synthetic: How many of ``extra`` are synthetic; of ``REAL_PEOPLE`` none.
    """

    name: str
    extra: LabelledImages | None = None
    share: float = 0.0
    synthetic: int = 0

    def images(self, train: LabelledImages) -> LabelledImages:
        """Those of the data, then the others."""
        return train if self.extra is None else merged(train, self.extra)

    def draw_weights(self, train: LabelledImages) -> Tensor:
        """How often each of ``images`` is drawn, float64 (N,), summing to one: people of the data
        equally often, and the others' images equally often.
        """
        own = balanced_weights(train.y, len(train.classes))
        if self.extra is None:
            return own
        each = self.share / len(self.extra)
        others = torch.full((len(self.extra),), each, dtype=torch.float64)
        return torch.cat([(1 - self.share) * own, others])


@dataclass(frozen=True)
class VerifierTask:
    """The networks of one replicate.

    Args:
        setting: Data, network, steps, device.
        settings: The section ``verify``: head, margin, scale.
        arms: What each network learns from.
        pairs: What they score.
        seed: Of the replicate.
        parts: What each leaves; parallel to ``arms``.
        folder: Of the store.
    """

    setting: Setting
    settings: VerifyConfig
    arms: tuple[Arm, ...]
    pairs: VerificationPairs
    seed: int
    parts: tuple[Part, ...]
    folder: Path

    def needs(self) -> Needs:
        """What it reads and leaves on another machine."""
        return needs_of(self.parts, self.folder, beside=self.setting.files)


@dataclass(frozen=True)
class VerifyPlan:
    """One comparison of what a verification network learns from.

    Args:
        setting: Data, network, device.
        settings: The section ``verify``.
        bundle: The data of the first replicate.
        pairs: The pairs that are scored.
        arms: What is compared, the baseline first.
        groups: One per replicate, its parts in the order of ``arms``.
        store: Where finished parts are.
        parallelism: Its workers.
    """

    setting: Setting
    settings: VerifyConfig
    bundle: DataBundle
    pairs: VerificationPairs
    arms: tuple[Arm, ...]
    groups: tuple[Group[VerifierTask], ...]
    store: PartStore
    parallelism: Parallelism

    @property
    def overlap(self) -> float:
        """Share of the training images that two replicates are expected to have in common."""
        return _overlap(self.bundle)


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
    if settings.weights is not None:
        trainer = replace(setting.trainer, weights=settings.weights, pretrained=False)
        setting = replace(setting, trainer=trainer, data=data_for(trainer, setting.data))
    if setting.trainer.part == "head":
        raise ConfigError(
            "classifier.train: verify compares features, which a frozen network has the same in "
            "every arm; leave train: head out"
        )
    bundle = setting.bundle(setting.replicate_seed(0))
    pairs, arms = arms_of(setting, settings, bundle.train)
    _refuse_known_images(setting, settings, bundle, pairs)
    setting.require_network(arms[0].images(bundle.train))
    store = PartStore(parts_folder(out))
    described = _descriptions(setting, settings, arms, pairs)
    groups: list[Group[VerifierTask]] = []
    for index in range(settings.replicates):
        seed = setting.replicate_seed(index)
        parts = _parts(described, seed, index, setting.trainer.settings.steps)
        task = VerifierTask(setting, settings, arms, pairs, seed, parts, store.folder)
        groups.append(Group(task, parts))
    parallelism = parallelism_of(
        settings.processes, config, setting, bundle, len(groups), beside=_bytes_of(arms, pairs)
    )
    return VerifyPlan(setting, settings, bundle, pairs, arms, tuple(groups), store, parallelism)


def _bytes_of(arms: Sequence[Arm], pairs: VerificationPairs) -> int:
    """Of the images that a task holds beside those of the data."""
    return pairs.x.nbytes + sum(arm.extra.x.nbytes for arm in arms if arm.extra is not None)


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


def arms_of(
    setting: Setting, settings: VerifyConfig, train: LabelledImages
) -> tuple[VerificationPairs, tuple[Arm, ...]]:
    """The pairs to score, and what is compared.

    Args:
        setting: Where the data are.
        settings: The section ``verify``.
        train: Training images of a replicate.

    Raises:
        ConfigError: If fewer than two folds are left to be scored.
        DataError: If pairs or a set cannot be used, or a network or source would have seen people
            in the pairs.
    """
    assert settings.pairs is not None
    folder = find_pairs(settings.pairs, data_root(setting.data))
    everyone = read_pairs(folder, train.image_shape)
    _, pairs = split_pairs(train, everyone, settings.train_folds)
    arms, share = [Arm(BASELINE)], settings.synthetic_share
    if settings.train_folds:
        people = everyone.of_folds(settings.train_folds).labelled()
        arms.append(Arm(REAL_PEOPLE, people, share))
    for path in settings.synthetic:
        found = _read_synthetic(path, pairs, folder)
        arms.append(Arm(path.resolve().name, found, share, len(found)))
    return pairs, tuple(arms)


def _overlap(bundle: DataBundle) -> float:
    return expected_overlap(tuple(bundle.train.counts.values()), bundle.available)


def _refuse_known_images(
    setting: Setting, settings: VerifyConfig, first: DataBundle, pairs: VerificationPairs
) -> None:
    """Check the replicates after the first, where they draw other images of the same people."""
    if _overlap(first) == 1:
        return
    for index in range(1, settings.replicates):
        train = setting.bundle(setting.replicate_seed(index)).train
        pairs.refuse_known(train.classes, fingerprints(train.x), "the network")


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


def _descriptions(
    setting: Setting, settings: VerifyConfig, arms: Sequence[Arm], pairs: VerificationPairs
) -> dict[str, dict[str, Any]]:
    """By arm, what decides over its networks beside the seed."""
    found: dict[str, Any] = {"code": CODE, "device": setting.device_type}
    found |= setting.data_description()
    found["classifier"] = setting.classifier_description()
    found["head"] = _head_description(settings)
    found["pairs"] = _pairs_description(pairs)
    by_arm = {}
    for arm in arms:
        own = {} if arm.extra is None else {"extra": _extra_description(arm.extra, arm.share)}
        by_arm[arm.name] = found | own
    return by_arm


def _parts(
    described: Mapping[str, Mapping[str, Any]], seed: int, index: int, steps: int
) -> tuple[Part, ...]:
    """What a replicate leaves, one part per arm."""
    parts = []
    for name, found in described.items():
        label = f"replicate {index:03d}, {name}"
        parts.append(Part("verifier", label, {**found, "seed": seed}, {"classifier": steps}))
    return tuple(parts)


def _head_description(settings: VerifyConfig) -> dict[str, Any]:
    """The softmax has neither margin nor scale."""
    found: dict[str, Any] = {"name": settings.head}
    if settings.head != "softmax":
        found |= {"margin": settings.margin, "scale": settings.scale}
    return found


def _pairs_description(pairs: VerificationPairs) -> dict[str, str]:
    numbers = torch.stack([pairs.first, pairs.second]).numpy().tobytes()
    who = hashlib.sha256(numbers).hexdigest()[:16]
    return {"images": digest_of_images(pairs.x), "numbers": who}


def _extra_description(extra: LabelledImages, share: float) -> dict[str, Any]:
    return {"images": digest_of_images(extra), "share": share}
