"""The job ``verify``: a network learns people, then tells pairs of others; with and without
synthetic images.

Every arm and replicate leaves a cell, a small JSON file with the scores of all pairs, named by a
hash of all that decides them. A run that was stopped, or is asked for more, makes the missing cells
only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from augmentor.common.atomic_files import sha256_of, write_text
from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import fingerprints, from_uint8, to_uint8
from augmentor.data.synthetic_images import fit_shape
from augmentor.data.synthetic_store import read_set
from downstream.classifier import build_classifier, features
from downstream.gain import holm, paired_t
from downstream.heads import margin_of, with_cosine_head
from downstream.train import balanced_weights, train_classifier
from downstream.verification import (
    Figure,
    Verification,
    difference,
    mean_figure,
    measure_verification,
    pair_scores,
)
from pipelines.augmentation import classical_of, domain_of
from pipelines.cell_key import bytes_of, cell_key
from pipelines.config import Config, ConfigError, data_root
from pipelines.datasets import load_data
from pipelines.device import device_of, use_threads
from pipelines.interrupt import Watch, watch_signals
from pipelines.progress import Progress, Silent
from pipelines.results import device_name, package_versions, provenance, write_result
from pipelines.run_dir import RunDir
from pipelines.train_settings import train_settings
from pipelines.verify.pairs import VerificationPairs, find_pairs, read_pairs
from pipelines.verify.report import BASELINE, METRICS, REAL_PEOPLE, as_markdown, verdict

Section = dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """What a network learns from.

    Args:
        name: ``BASELINE``, ``REAL_PEOPLE``, or the name of the synthetic set's folder.
        images: Those of the data, then the others; people are classes.
        weights: How often each is drawn, float64 (N,), summing to one.
        synthetic: How many are synthetic; of ``REAL_PEOPLE`` none.
    """

    name: str
    images: LabelledImages
    weights: Tensor
    synthetic: int = 0


def verify_run(
    config: Config, out: Path, *, progress: Progress | None = None, command: str | None = None
) -> dict[str, Any]:
    """Train verification networks and score pairs of people they have not seen.

    Args:
        config: The run; ``verify`` names the pairs and the synthetic sets, ``classifier`` the
            network and its steps, which are the same for every arm.
        out: Folder for ``verify.json``, ``verify.md`` and ``cells/``.
        progress: Who is told.
        command: How the result says it was made; this process's command line unless given.

    Returns:
        The contents of verify.json.

    Raises:
        ConfigError: If no pairs are named, two sets have one name, or the network or head is
            unknown.
        DataError: If data, pairs or a set cannot be used, or a network or source would have seen
            people in the pairs.
        Interrupted: After a signal; finished cells stay.
        RunLockedError: If another process works in ``out``.
    """
    progress, start = progress or Silent(), time.perf_counter()
    _require_usable(config)
    device_of(config)  # one that is not on this machine is refused before any work
    use_threads(config)
    with RunDir(out).lock(), watch_signals() as watch:
        pairs, arms = _loaded(config, 0)
        (out / "cells").mkdir(exist_ok=True)
        cells: dict[str, list[Section]] = {arm.name: [] for arm in arms}
        done, total = 0, config.verify.replicates * len(arms)
        for replicate in range(config.verify.replicates):
            for arm in arms if replicate == 0 else _loaded(config, replicate)[1]:
                progress.step("verify", done, total, f"{arm.name}, replicate {replicate}")
                cells[arm.name].append(_cell(arm, pairs, config, replicate, out / "cells", watch))
                done += 1
        progress.step("verify", done, total)
    result = _result(config, pairs, arms, cells) | provenance(
        _seconds(cells, time.perf_counter() - start),
        str(device_of(config)),
        package_versions(),
        command,
    )
    # The cells may have been made on another machine than this one, which puts them together.
    result["device"] = "; ".join(sorted({cell["device"] for cell in chain(*cells.values())}))
    write_result(out / "verify.json", result, "verify")
    write_text(out / "verify.md", as_markdown(result))
    return result


def train_verifier(
    images: LabelledImages,
    weights: Tensor | None,
    config: Config,
    seed: int,
    watch: Watch | None = None,
) -> nn.Module:
    """Train a network to tell people, by the softmax or a margin, with classical augmentation.

    Args:
        images: Faces; people are classes.
        weights: How often each is drawn, (N,); None draws every person equally often.
        config: ``classifier``, ``verify`` (head, margin, scale, weights) and ``device`` are read.
        seed: Decides first weights, order and augmentation.
        watch: Looked at after every step.

    Returns:
        The network, on the config's device, in evaluation mode; ``classifier.features`` are its
        embeddings.

    Raises:
        ValueError: If the network or its weights cannot be used.
        Interrupted: If ``watch`` was told to stop.
    """
    c, v, device, margin = config.classifier, config.verify, device_of(config), None
    model = build_classifier(
        c.name, len(images.classes), images.image_shape, seed=seed, checkpoint_path=v.weights
    )
    settings = train_settings(c)
    if v.head != "softmax":
        model, margin = with_cosine_head(model, seed), margin_of(v.head, v.margin, v.scale)
        # Smoothing would pull the other people's cosines up, against the margin.
        settings = replace(settings, label_smoothing=0.0)
    return train_classifier(
        model.to(device),
        images.x.to(device),
        images.y.to(device),
        settings,
        seed=seed,
        weights=balanced_weights(images.y, len(images.classes)) if weights is None else weights,
        augment=classical_of(config),
        margin=margin,
        on_step=None if watch is None else lambda step, loss: watch.check(),
    )


def score_pairs(model: nn.Module, pairs: VerificationPairs) -> Tensor:
    """Cosine of the features of every pair's two images, float64 (N,)."""
    found = features(model, pairs.x)
    return pair_scores(found[pairs.first], found[pairs.second])


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
    """Images of both; classes are matched by name, and those only the second has come behind the
    first's.
    """
    classes = first.classes + tuple(name for name in second.classes if name not in first.classes)
    number = torch.tensor([classes.index(name) for name in second.classes], dtype=torch.int64)
    return LabelledImages(
        torch.cat([first.x, second.x]), torch.cat([first.y, number[second.y]]), classes
    )


def _require_usable(config: Config) -> None:
    v = config.verify
    if v.pairs is None:
        raise ConfigError("verify.pairs: name the folder of pairs, by --pairs or in the config")
    names = [folder.resolve().name for folder in v.synthetic]
    if twice := {
        name for name in names if names.count(name) > 1 or name in (BASELINE, REAL_PEOPLE)
    }:
        raise ConfigError(
            f"verify.synthetic: two arms would have the name {sorted(twice)[0]!r}; rename a folder"
        )
    if v.head != "softmax":
        margin_of(v.head, v.margin, v.scale)


def _loaded(config: Config, replicate: int) -> tuple[VerificationPairs, list[Arm]]:
    """The pairs to score and the arms of a replicate, whose seed draws the training subset of a
    regime.
    """
    v, train = config.verify, load_data(config.data, config.seed + replicate).train
    assert v.pairs is not None
    folder = find_pairs(v.pairs, data_root(config.data))
    everyone = read_pairs(folder, train.image_shape)
    _, pairs = split_pairs(train, everyone, v.train_folds)
    arms = [Arm(BASELINE, train, balanced_weights(train.y, len(train.classes)))]
    if v.train_folds:
        people = everyone.of_folds(v.train_folds).labelled()
        arms.append(_with(REAL_PEOPLE, arms[0], people, v.synthetic_share))
    for path in v.synthetic:
        found = _read_synthetic(path, pairs, folder)
        arm = _with(path.resolve().name, arms[0], found, v.synthetic_share)
        arms.append(replace(arm, synthetic=len(found)))
    return pairs, arms


def _read_synthetic(path: Path, pairs: VerificationPairs, folder: Path) -> LabelledImages:
    """A stored set in the form of the pairs, after making sure that its source saw none of them."""
    stored = read_set(path)
    images, shape = stored.images, (pairs.x.shape[1], pairs.x.shape[2], pairs.x.shape[3])
    seen = (
        pairs
        if images.image_shape == shape
        else read_pairs(folder, images.image_shape).of_folds(pairs.fold_numbers)
    )
    seen.refuse_known([], stored.trained_on, f"the source of {path}")
    present = [name for name in images.classes if stored.recipe.counts.get(name)]
    if not present:
        raise DataError(f"{path}: the synthetic set is empty")
    pairs.refuse_known(present, np.empty(0, np.int64), str(path))
    number = torch.tensor(
        [present.index(name) if name in present else 0 for name in images.classes]
    )
    return LabelledImages(
        from_uint8(fit_shape(to_uint8(images.x), shape)), number[images.y], tuple(present)
    )


def _with(name: str, base: Arm, images: LabelledImages, share: float) -> Arm:
    even = torch.full((len(images),), 1 / len(images), dtype=torch.float64)
    return Arm(
        name, merged(base.images, images), torch.cat([(1 - share) * base.weights, share * even])
    )


def _cell(
    arm: Arm, pairs: VerificationPairs, config: Config, replicate: int, folder: Path, watch: Watch
) -> Section:
    seed = config.seed + replicate
    path = folder / f"{'-'.join(arm.name.split())}-{seed}-{_key(arm, pairs, config)}.json"
    if not path.exists():
        start = time.perf_counter()
        scores = score_pairs(train_verifier(arm.images, arm.weights, config, seed, watch), pairs)
        content = {
            "arm": arm.name,
            "seed": seed,
            "scores": [round(score, 7) for score in scores.tolist()],
        }
        content |= {
            "seconds": time.perf_counter() - start,
            "device": device_name(str(device_of(config))),
        }
        write_text(path, json.dumps(content, allow_nan=False))
    cell: Section = json.loads(path.read_text(encoding="utf-8"))
    return cell


def _key(arm: Arm, pairs: VerificationPairs, config: Config) -> str:
    """Sixteen hex digits that change with anything that may change a cell, beside arm and seed.

    Keys left at their defaults are not in it, so that a later version with more keys still knows
    its old cells.
    """
    how: Any = {"classifier": True, "device": True, "verify": {"head", "margin", "scale"}}
    read = config.model_dump(mode="json", include=how, exclude_defaults=True)
    weights = "" if config.verify.weights is None else sha256_of(config.verify.weights)
    numbers = (arm.images.y, arm.weights, pairs.first, pairs.second)
    images = (
        bytes_of(arm.images.x),
        bytes_of(pairs.x),
        *(one.numpy().tobytes() for one in numbers),
    )
    return cell_key([read, weights, domain_of(config)], images)


def _result(
    config: Config,
    pairs: VerificationPairs,
    arms: Sequence[Arm],
    cells: Mapping[str, Sequence[Section]],
) -> Section:
    measured = {
        name: [
            _figures(measure_verification(torch.tensor(cell["scores"]), pairs.same, pairs.folds))
            for cell in found
        ]
        for name, found in cells.items()
    }
    same = int(pairs.same.sum())
    result: Section = {
        "dataset": config.data.data,
        "pairs": {
            "name": pairs.name,
            "same": same,
            "different": len(pairs) - same,
            "images": len(pairs.x),
        }
        | {"people": len(set(pairs.people)), "folds": list(pairs.fold_numbers)},
        "trained_on_folds": list(config.verify.train_folds),
        "image_shape": list(pairs.x.shape[1:]),
        "network": config.classifier.name,
        "head": config.verify.head,
        "steps": config.classifier.steps,
        "synthetic_share": config.verify.synthetic_share,
        "replicates": config.verify.replicates,
        "arms": {arm.name: _arm_json(arm, measured[arm.name]) for arm in arms},
        "comparisons": _comparisons(measured),
    }
    return result | {"verdict": verdict(result)}


def _figures(found: Verification) -> dict[str, Figure]:
    return dict(zip(METRICS, [found.accuracy, found.auc, *found.tar.values()], strict=True))


def _arm_json(arm: Arm, replicates: Sequence[Mapping[str, Figure]]) -> Section:
    section: Section = {
        "images": len(arm.images),
        "people": len(arm.images.classes),
        "synthetic": arm.synthetic,
    }
    for metric in METRICS:
        found = [one[metric] for one in replicates]
        values, mean = np.array([one.value for one in found]), mean_figure(found)
        interval = list(paired_t(values)[0]) if len(values) > 1 else None
        section[metric] = {"mean": mean.value, "scores": values.tolist()}
        section[metric] |= {"ci95": interval, "ci95_people": list(mean.ci95)}
    return section


def _comparisons(measured: Mapping[str, Sequence[Mapping[str, Figure]]]) -> list[Section]:
    """Every arm against the baseline; p is corrected over the arms, for each metric by itself."""
    rows = []
    for metric in METRICS:
        new = [_compared(name, metric, measured) for name in measured if name != BASELINE]
        if new and new[0]["p"] is not None:
            new = [
                row | {"p_holm": p}
                for row, p in zip(new, holm([row["p"] for row in new]), strict=True)
            ]
        rows += new
    return rows


def _compared(
    name: str, metric: str, measured: Mapping[str, Sequence[Mapping[str, Figure]]]
) -> Section:
    parts = zip(measured[name], measured[BASELINE], strict=True)
    found = [difference(arm[metric], real[metric]) for arm, real in parts]
    mean, values = mean_figure(found), np.array([one.value for one in found])
    interval, p = paired_t(values) if len(values) > 1 else (None, None)
    row: Section = {"arm": name, "baseline": BASELINE, "metric": metric, "delta": mean.value}
    row |= {"ci95": None if interval is None else list(interval), "ci95_people": list(mean.ci95)}
    return row | {"p": p, "p_holm": p}


def _seconds(cells: Mapping[str, Sequence[Section]], total: float) -> dict[str, float]:
    """Wall-clock time of this call, and what one training of each arm took on average."""
    means = {
        name: sum(cell["seconds"] for cell in found) / len(found) for name, found in cells.items()
    }
    return {"total": total} | {f"{name} a training": seconds for name, seconds in means.items()}
