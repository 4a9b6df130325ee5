"""The judge of ``synth --filter``: a classifier that is trained once and kept in the run's
folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import nn

from augmentor.common.atomic_files import sha256_of, write_bytes
from augmentor.common.randomness import seed_for
from augmentor.common.tensor_files import read_tensors
from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import fingerprints
from augmentor.data.synthetic_store import trained_on_digest
from augmentor.sampling.filters import confidence_filter
from augmentor.sampling.synthesize import Accept
from downstream.evaluate import predict_logits
from downstream.train import balanced_weights
from downstream.trainer import ClassifierTrainer, OnStep
from pipelines.config import ConfigError
from pipelines.generators.load import LoadedRun
from pipelines.progress import Progress

Check = Callable[[], None]


def read_threshold(text: str | None) -> float | None:
    """The P of ``confidence=P``; None without a filter.

    Raises:
        ConfigError: If the text has another form, or P is not in [0, 1].
    """
    if text is None:
        return None
    name, _, value = text.partition("=")
    try:
        threshold = float(value)
    except ValueError:
        threshold = float("nan")
    if name != "confidence" or not 0 <= threshold <= 1:
        raise ConfigError(f"--filter: expected confidence=P with P from 0 to 1, got {text!r}")
    return threshold


def judged_filter(
    run: Path,
    loaded: LoadedRun,
    train: LabelledImages,
    threshold: float,
    progress: Progress,
    check: Check,
) -> tuple[dict[str, Any], Accept]:
    """A filter by the run's judge, which is trained if it is not there.

    Later calls filter by the very same weights, whatever machine they run on.

    Args:
        run: Folder of the run; keeps the judge.
        loaded: The run.
        train: Its labelled training images.
        threshold: Least probability of the asked class.
        progress: Progress reporter.
        check: Called after every training step; may raise to stop.

    Returns:
        The filter as the recipe knows it, and as a function.

    Raises:
        DataError: If the file of the judge is corrupted.
    """
    path = run / f"judge-{_name(loaded, train)}.safetensors"
    trainer = loaded.trainer()
    seed = seed_for("filter judge", loaded.config.seed)  # not that of a classifier of the pool
    if not path.is_file():
        progress.say(f"training the filter's judge on {len(train)} images")

        def on_step(step: int, loss: float) -> None:
            progress.step("judge", step, trainer.settings.steps)
            check()

        _save(_trained(trainer, train, seed, on_step), path)
    judge = _restored(trainer.build(train, seed), path)
    rule = {"confidence": threshold, "judge_sha256": sha256_of(path)}
    return rule, confidence_filter(partial(predict_logits, judge), threshold)


def _name(loaded: LoadedRun, train: LabelledImages) -> str:
    """Changes with anything that decides the judge."""
    settings = loaded.config.classifier.told()
    digest = trained_on_digest(fingerprints(train.x))
    facts = [settings, loaded.config.seed, loaded.trainer().domain, digest]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _trained(
    trainer: ClassifierTrainer, train: LabelledImages, seed: int, on_step: OnStep
) -> nn.Module:
    return trainer.train(
        train,
        seed,
        draw_weights=balanced_weights(train.y, len(train.classes)),
        augment=("classical",),
        on_step=on_step,
    )


def _save(judge: nn.Module, path: Path) -> None:
    state = {}
    for name, value in judge.state_dict().items():
        state[name] = value.cpu().contiguous()
    write_bytes(path, safetensors.torch.save(state))


def _restored(judge: nn.Module, path: Path) -> nn.Module:
    try:
        judge.load_state_dict(read_tensors(path))
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{path}: cannot be read as the filter's judge; delete it, then run again"
        ) from error
    return judge.eval()
