"""From the name of a data set to tensors: the fixed training and test parts, then the labels a
regime leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import fingerprints, overlap
from augmentor.data.splits import copies_together, few_labels, long_tail, stratified_split
from pipelines.conditions.hide import hide, rare_words
from pipelines.config import DataConfig
from pipelines.data.digits import WITH_LOOKS, load_digits, load_looks
from pipelines.data.folders import existing_folder, load_folder, reader_for, refuse_files
from pipelines.data.full import SPLIT_SEED, FullData, refuse_fraction
from pipelines.data.hugging_face import load_hugging_face
from pipelines.data.table import HUB, is_named
from pipelines.data.torchvision_sets import load_torchvision
from pipelines.image_folder import list_images, shown

HELD_OUT = 1 / 6  # of the training images, instead of the test images; on MNIST as many as these


@dataclass(frozen=True)
class DataBundle:
    """What a replicate works on.

    Args:
        name: Name of the data set, or of its folder.
        regime: How many labels were left, in words.
        train: Labelled training images.
        test: All test images, or what stands in for them; read once, at the end.
        pool: Unlabelled images (N, C, H, W) float32 in [-1, 1] in random order, or None. Their
            labels are gone.
        note: Where the split and the form of the images come from, in words.
        test_paths: Files of the test images, in their order; None where the data set has none of
            its own.
        scored_on: What ``test`` holds, in the words of the result files.
        available: Training images of every class that the labelled part is drawn from.
        hidden: Training images that ``data.rare`` hides, for the control that gets them; None
            without this regime.
    """

    name: str
    regime: str
    train: LabelledImages
    test: LabelledImages
    pool: Tensor | None
    note: str
    test_paths: tuple[Path, ...] | None = None
    scored_on: str = "test"
    available: tuple[int, ...] = ()
    hidden: LabelledImages | None = None


@dataclass(frozen=True)
class AllImages:
    """All that the files of a data set hold, from which every regime and seed draws.

    Args:
        full: The data set.
        unlabelled: Images (N, C, H, W) of the folder without labels, or None.
        unlabelled_paths: Their files.
    """

    full: FullData
    unlabelled: Tensor | None = None
    unlabelled_paths: tuple[Path, ...] = ()


_sent: ContextVar[Mapping[DataConfig, AllImages] | None] = ContextVar("sent", default=None)


@contextmanager
def images_at_hand(images: Mapping[DataConfig, AllImages]) -> Iterator[None]:
    """Let ``load_data`` draw from these images instead of files that this machine may not have.

    Args:
        images: By what ``files_of`` makes of their configuration.
    """
    token = _sent.set(images)
    try:
        yield
    finally:
        _sent.reset(token)


def files_of(data: DataConfig) -> DataConfig:
    """The configuration without all that chooses among the images of the files.

    Example:
        >>> files_of(DataConfig(data="digits", per_class=3)) == files_of(DataConfig(data="digits"))
        True
    """
    rest = None if data.unlabelled == "rest" else data.unlabelled
    chosen: dict[str, Any] = {"per_class": None, "imbalance": 1.0, "labels": None}
    chosen |= {"max_pool": None, "unlabelled": rest, "rare": None}
    return data.model_copy(update=chosen)


def all_images(data: DataConfig) -> AllImages:
    """Read the files of a data set, unless their images are at hand.

    Raises:
        DataError: If the data are missing, damaged or too few.
    """
    sent = _sent.get() or {}
    if (found := sent.get(files_of(data))) is not None:
        return found
    full = _load_named(data) if is_named(data.data) else load_folder(data)
    if data.unlabelled in (None, "rest"):
        return AllImages(full)
    return AllImages(full, *_read_pool(data, full))


def load_data(data: DataConfig, seed: int, *, tuning: bool = False) -> DataBundle:
    """Load a data set and draw the labelled part and the pool.

    Args:
        data: What to load.
        seed: Draws the training subset of a regime and the order of the pool; the test part never
            depends on it.
        tuning: Let a sixth of every class of the training images stand in for the test images,
            which are dropped.

    Raises:
        DataError: If the data are missing, damaged, too few, or if a test image is also a training
            image.
    """
    images = all_images(data)
    full = _for_tuning(images.full) if tuning else images.full
    chosen = _labelled_indices(data, full.train, seed)
    train = full.train if chosen is None else full.train.subset(chosen)
    images = replace(images, full=full)
    pool = _pool(data, _without_twins(images) if tuning else images, chosen, seed)
    regime, hidden = _regime(data, train, pool), None
    if data.rare is not None:
        kept, rest = hide(data.rare, train, seed)
        hidden, train = train.subset(rest), train.subset(kept)
        regime = f"{regime}; {rare_words(data.rare, train)} ({len(hidden)} hidden)"
    scored_on = "held-out training images" if tuning else "test"
    return DataBundle(
        name=full.name,
        regime=regime,
        train=train,
        test=full.test,
        pool=pool,
        note=full.note,
        test_paths=full.test_paths,
        scored_on=scored_on,
        available=tuple(full.train.counts.values()),
        hidden=hidden,
    )


def drawn_images(
    data: DataConfig, seeds: Sequence[int], *, tuning: bool = False
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Which training images ``load_data`` draws with each seed: their numbers and classes, int64
    (n,) each. The files are read once, and no pixels are copied.

    Args:
        data: As in ``load_data``.
        seeds: Of the replicates.
        tuning: As in ``load_data``.
    """
    full = all_images(data).full
    whole = (_for_tuning(full) if tuning else full).train
    bare = replace(whole, x=torch.zeros(len(whole), 1, 1, 1))
    found = []
    for seed in seeds:
        chosen = _labelled_indices(data, bare, seed)
        numbers = torch.arange(len(bare)) if chosen is None else chosen
        if data.rare is not None:
            numbers = numbers[hide(data.rare, bare.subset(numbers), seed)[0]]
        found.append((numbers.numpy(), bare.y[numbers].numpy()))
    return found


def _load_named(data: DataConfig) -> FullData:
    """A data set of the table or of the hub."""
    if not data.data.startswith(HUB):
        refuse_fraction(data, data.data)
    if data.data in WITH_LOOKS:
        return load_looks(data)
    if data.condition is not None and data.data.startswith(HUB):
        raise DataError(
            f"{data.data}: conditions of a Hugging Face data set are not read by name; give the "
            "data set itself to the functions of Python, such as pipelines.gain(data, "
            "condition=...), or name a folder with metadata.csv"
        )
    if data.condition is not None:
        raise DataError(
            f"{data.data} has no conditions; leave --condition out, or name "
            f"{' or '.join(WITH_LOOKS)} or a folder"
        )
    if data.data == "digits":
        return load_digits(data)
    return load_hugging_face(data) if data.data.startswith(HUB) else load_torchvision(data)


def _for_tuning(full: FullData) -> FullData:
    split = partial(stratified_split, fraction=1 - HELD_OUT, seed=SPLIT_SEED)
    fit, held_out = copies_together(split, full.train.y, fingerprints(full.train.x))
    note = (
        f"{full.note}; held out instead of the test images: a sixth of every class of the training "
        "images"
    )
    return replace(
        full,
        train=full.train.subset(fit),
        test=full.train.subset(held_out),
        note=note,
        test_paths=None,
    )


def _labelled_indices(data: DataConfig, train: LabelledImages, seed: int) -> Tensor | None:
    """Training images that keep their labels; None for all of them."""
    if data.labels is not None:
        return few_labels(train.y, data.labels, seed, train.classes)
    if data.per_class is not None:
        return long_tail(train.y, data.per_class, data.imbalance, seed, train.classes)
    return None


def _pool(data: DataConfig, images: AllImages, chosen: Tensor | None, seed: int) -> Tensor | None:
    full, parts = images.full, []
    if chosen is not None and (data.labels is not None or data.unlabelled == "rest"):
        left = torch.ones(len(full.train), dtype=torch.bool)
        left[chosen] = False
        parts.append(full.train.x[left])
    if images.unlabelled is not None:
        _refuse_twins(images)
        parts.append(images.unlabelled)
    if not parts or not sum(map(len, parts)):
        return None
    pool = torch.cat(parts)
    # A random order, because the files of a folder are sorted by class and order would tell the
    # labels.
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    return pool[order[: data.max_pool]]


def _read_pool(data: DataConfig, full: FullData) -> tuple[Tensor, tuple[Path, ...]]:
    """Unlabelled images of a folder, in the form of the training images, and their files."""
    assert data.unlabelled is not None
    root = existing_folder(data, data.unlabelled)
    paths, bad, _ = list_images(root)
    refuse_files(root, [] if paths else ["holds no images"], bad)
    channels, size, _ = full.train.image_shape
    count = len(full.train) + len(full.test) + len(paths)
    images, bad = reader_for(data, count, size, grey=channels == 1).read(paths)
    refuse_files(root, [], bad)
    return images, tuple(paths)


def _twins(images: AllImages) -> list[int]:
    """Which of the unlabelled images are also scored."""
    if images.unlabelled is None:
        return []
    known = fingerprints(images.full.test.x)
    return [int(number) for number in overlap(fingerprints(images.unlabelled), known)]


def _without_twins(images: AllImages) -> AllImages:
    """Without the unlabelled images that are scored: in a screening those are labelled photos,
    which may well lie among the unlabelled ones.
    """
    if images.unlabelled is None or not (twins := _twins(images)):
        return images
    kept = torch.ones(len(images.unlabelled), dtype=torch.bool)
    kept[twins] = False
    paths = tuple(path for path, keep in zip(images.unlabelled_paths, kept, strict=True) if keep)
    return replace(images, unlabelled=images.unlabelled[kept], unlabelled_paths=paths)


def _refuse_twins(images: AllImages) -> None:
    """Refuse unlabelled images that are also scored."""
    if twins := _twins(images):
        first = images.unlabelled_paths[twins[0]]
        raise DataError(
            f"{shown(first)} is also a test image; remove it (one of {len(twins)}) from the folder "
            "of unlabelled images"
        )


def _regime(data: DataConfig, train: LabelledImages, pool: Tensor | None) -> str:
    if data.labels is not None:
        words = f"{len(train)} labels"
    elif data.per_class is not None:
        smallest = min(train.counts.values())
        words = (
            f"{data.per_class} per class"
            if data.imbalance == 1
            else f"{data.per_class} to {smallest} per class"
        )
    else:
        words = f"all {len(train)} labels"
    return words if pool is None else f"{words}, {len(pool)} unlabelled"
