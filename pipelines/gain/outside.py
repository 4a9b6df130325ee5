"""Images that another generator made, as arms: opened, looked through, compared, and told of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import fingerprints, overlap
from downstream.arms.table import ALONE, BASES, Arm, outside_arms
from pipelines.config import ConfigError
from pipelines.datasets import DataBundle
from pipelines.image_folder import printable, shown
from pipelines.outside.copies import KnownImages, names_of_test
from pipelines.outside.sets import OutsideSet, open_set, write_copy

COPIES = "outside"
"""Folder in a run with the sets it made of folders of images."""
IN_A_SCREENING = "with --screening, training images that are held out stand in for the test images"
WITHOUT = "leave out --screening, or --synthetic"
USUAL = "classical"  # the augmentation that advice is about where the best arm has none


@dataclass(frozen=True)
class OutsideArms:
    """One set and its arms.

    Args:
        images: The set, in the form of the data.
        folder: Where a training reads it: the set itself, or its copy in the run's folder.
        name: Of the arms; that of the folder.
        arms: All arms that it could have, by name.
        remarks: What a reader should know.
    """

    images: OutsideSet
    folder: Path
    name: str
    arms: Mapping[str, Arm]
    remarks: tuple[str, ...]

    @property
    def policy_name(self) -> str:
        """What ``MixPolicy.outside`` calls it."""
        return f"{self.name}:{self.images.digest}"

    def keep(self) -> None:
        """Write the copy that trainings read, where the images are not a set already."""
        if not self.images.is_set:
            write_copy(self.images, self.folder)

    def lead(self, arms: Sequence[str], best: str) -> str:
        """The arm that advice is about: the one beside the best arm without a generator; the images
        alone if that arm augments nothing, else those beside ``classical``.

        Args:
            arms: The arms that ran.
            best: The best arm without a generator.
        """
        ran = [name for name in self.arms if name in arms]
        plain = best in BASES and not BASES[best].augmented
        for base in (best, ALONE if plain else USUAL):
            for name in ran:
                if self.arms[name].mixes_into == base:
                    return name
        return ran[0]


def open_outside(folders: Sequence[Path], bundle: DataBundle, out: Path) -> tuple[OutsideArms, ...]:
    """Open sets of another generator's images and look for copies of test images among them.

    Args:
        folders: Synthetic sets, or folders of images.
        bundle: The data they are measured on.
        out: Folder of the run; a folder of images that is gone is read from its copy there.

    Raises:
        ConfigError: If two have one name.
        DataError: If one cannot be used with the data, or holds copies of test images.
    """
    names = [printable(folder.resolve().name) for folder in folders]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"gain.synthetic: two sets are called {name!r}; rename a folder")
    test = KnownImages(bundle.test.x, names_of_test(bundle.test_paths, len(bundle.test)))
    found = []
    for folder, name in zip(folders, names, strict=True):
        images = open_set(copy_or(folder, out), bundle.train.classes, bundle.train.image_shape)
        remarks = _looked_through(images, test, bundle)
        arms = {arm.name: arm for arm in outside_arms(name, images.digest, BASES)}
        where = images.folder if images.is_set else out / COPIES / f"{name}-{images.digest}"
        found.append(OutsideArms(images, where, name, arms, remarks))
    return tuple(found)


def copy_or(folder: Path, out: Path) -> Path:
    """The folder, or the copy of it that an earlier call kept in the run."""
    # The rest of the name is the digest, so that "a" does not find the copy of "a-b".
    own = re.compile(re.escape(printable(folder.resolve().name)) + "-[0-9a-f]{16}")
    copies = [copy for copy in (out / COPIES).glob("*") if own.fullmatch(copy.name)]
    return copies[0] if not folder.exists() and len(copies) == 1 else folder


def _looked_through(images: OutsideSet, test: KnownImages, bundle: DataBundle) -> tuple[str, ...]:
    """Refuse a set that holds test images or whose source saw them; else what is worth knowing."""
    where = shown(images.folder)
    copies = test.look(images.stored.pixels, images.files)
    step = "a measurement with them would be worth nothing: remove them"
    if screening := bundle.scored_on != "test":
        step = f"{IN_A_SCREENING}: remove them, or {WITHOUT}"
    copies.refuse(where, step)
    remarks = [remark] if (remark := copies.remark(where)) else []
    known = overlap(fingerprints(images.stored.pixels), fingerprints(bundle.train.x))
    if len(known):
        remarks.append(f"{where}: {len(known)} of {len(images)} images are training images")
    if images.made_at == bundle.train.image_shape:
        _refuse_seen(images, test, where, screening=screening)
    else:
        _, height, width = images.made_at
        side = bundle.train.image_shape[1]
        remarks.append(f"{where}: images of {width}x{height} pixels are used at {side}x{side}")
        if len(images.trained_on):
            remarks.append(
                f"{where}: its generator learned images of another size than these; whether test "
                "images were among them could not be checked"
            )
    if empty := [name for name, count in images.counts().items() if not count]:
        remarks.append(f"{where}: no images of {len(empty)} classes, which get none")
    return tuple(remarks)


def _refuse_seen(images: OutsideSet, test: KnownImages, where: str, *, screening: bool) -> None:
    seen = overlap(fingerprints(test.images), images.trained_on)
    if len(seen):
        first = ", ".join(str(test.names[number]) for number in seen[:3])
        if screening:
            raise DataError(
                f"{where}: its generator was trained on {len(seen)} of the images that are scored; "
                f"{IN_A_SCREENING}: {WITHOUT}"
            )
        raise DataError(
            f"{where}: its generator was trained on {len(seen)} of the test images ({first}); "
            "train one on the training part only, and synthesize again"
        )


def arms_to_run(sets: Sequence[OutsideArms], arms: Sequence[str]) -> tuple[str, ...]:
    """The arms of a run with those of the sets: the ones that are named, else a set alone and
    beside every augmentation that runs; ``auto`` stays last.
    """
    found = [arm for arm in arms if arm != "auto"]
    for one in sets:
        if not any(arm in one.arms for arm in arms):
            found += [arm.name for arm in outside_arms(one.name, one.images.digest, arms)]
    return (*found, *(["auto"] if "auto" in arms else []))


def outside_pairs(
    sets: Sequence[OutsideArms], arms: Sequence[str], baselines: Mapping[str, str]
) -> list[tuple[str, str]]:
    """The comparisons that the verdict on sets needs.

    Args:
        sets: All sets.
        arms: The arms that ran.
        baselines: The strongest arms without a generator, by kind.
    """
    pairs = []
    for one in sets:
        lead = one.lead(arms, baselines.get("classical", USUAL))
        pairs += [(lead, base) for base in baselines.values()]
        pairs += [(name, arm.mixes_into) for name, arm in one.arms.items()]
        pairs += [(next(iter(one.arms)), "real")]  # alone against alone
    return [pair for pair in dict.fromkeys(pairs) if set(pair) <= set(arms)]


def outside_rows(
    sets: Sequence[OutsideArms], arms: Sequence[str], baselines: Mapping[str, str]
) -> list[dict[str, Any]]:
    """What gain.json says of the sets; parameters as in ``outside_pairs``."""
    rows = []
    for one in sets:
        images = one.images
        rows.append(
            {
                "name": one.name,
                "origin": images.origin,
                "digest": images.digest,
                "images": images.counts(),
                "made_at": list(images.made_at),
                "arms": [name for name in one.arms if name in arms],
                "lead": one.lead(arms, baselines.get("classical", USUAL)),
            }
        )
    return rows


def outside_notes(
    sets: Sequence[OutsideArms], train: LabelledImages, *, screened: bool
) -> list[str]:
    """What a reader of the result should know of the sets.

    Args:
        sets: All sets.
        train: The training images.
        screened: Whether ``auto`` may have chosen one of them.
    """
    found = [remark for one in sets for remark in one.remarks]
    found += [words for one in sets if (words := _labels_beyond(one, train))]
    seen = [one.name for one in sets if not _is_independent(one.images, train)]
    if screened and seen:
        found.append(
            f"the generator of {', '.join(seen)} has seen training images, or what it saw is not "
            "known: some may be images that screening held out, so auto may choose it too gladly; "
            "the test images tell"
        )
    return found


def _labels_beyond(one: OutsideArms, train: LabelledImages) -> str:
    """What is known of images that a set's generator learned from and the arms do not have: then
    the gain is that of more images, not of rendering.
    """
    learned = one.images.trained_on
    if not len(learned) or one.images.made_at != train.image_shape:
        return (
            f"{one.name}: what its generator was trained on is not known, perhaps on more labels "
            "than the arms have"
        )
    beyond = len(np.setdiff1d(learned, fingerprints(train.x)))
    if not beyond:
        return ""
    return (
        f"{one.name}: its generator was trained on {beyond} images that are not among the "
        f"{len(train)} labelled ones of the first replicate, perhaps on labels that the arms lack"
    )


def _is_independent(images: OutsideSet, train: LabelledImages) -> bool:
    """Whether it is known that a set's generator saw none of the training images."""
    if not len(images.trained_on) or images.made_at != train.image_shape:
        return False
    return not len(overlap(fingerprints(train.x), images.trained_on))
