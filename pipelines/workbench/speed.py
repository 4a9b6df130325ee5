"""How long a step takes here, by a few timed ones: the base of every estimate."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from itertools import pairwise

import torch

from augmentor.common.types import LabelledImages
from augmentor.training.loop import fit
from downstream.frozen_features import PLAIN, FeatureStore, FrozenNetwork
from pipelines.device import threads_of_a_worker
from pipelines.experiment.parallelism import Parallelism
from pipelines.experiment.setting import Setting
from pipelines.generators.in_memory import start_session

WARM_UP = 5
CLASSIFIER_STEPS = 12
GENERATOR_STEPS = 4
TIMED_IMAGES = 16


LIKE = {"pool labels": "classifier", "joint labels": "generator"}
"""What consists of steps of something else."""


def seconds_per_step(
    setting: Setting, images: LabelledImages, trained: Collection[str], parallelism: Parallelism
) -> dict[str, float]:
    """Wall-clock seconds of one training step, by what is trained, with the threads of a worker.

    Args:
        setting: Networks, batch sizes and device.
        images: Training images of the job.
        trained: What the job trains, as its parts name it; nothing else is timed.
        parallelism: Workers of the job.
    """
    timed = {LIKE.get(what, what) for what in trained}
    found: dict[str, float] = {}
    with threads_of_a_worker(parallelism.threads, parallelism.processes):
        if "classifier" in timed:
            found["classifier"] = _classifier_seconds(setting, images)
        if "features" in timed:
            found["features"] = _feature_seconds(setting, images)
        if "generator" in timed:
            found["generator"] = _generator_seconds(setting, images)
    return {what: found[LIKE.get(what, what)] for what in trained}


def _classifier_seconds(setting: Setting, images: LabelledImages) -> float:
    clock = _clock(setting.device)
    marks: list[float] = []
    trainer = replace(setting.trainer.with_steps(WARM_UP + CLASSIFIER_STEPS), cache=None)
    if trainer.part == "head":  # the features of all take long, and are timed by themselves
        images = images.subset(torch.arange(min(TIMED_IMAGES, len(images))))

    def note(step: int, loss: float) -> None:
        marks.append(clock())

    trainer.train(images, seed=0, augment=("classical",), on_step=note)
    return _typical(marks)


def _feature_seconds(setting: Setting, images: LabelledImages) -> float:
    """Seconds per image and view of a frozen network."""
    clock, x = _clock(setting.device), images.x[:TIMED_IMAGES]
    model = replace(setting.trainer, cache=None).build(images, seed=0)
    if not isinstance(model, FrozenNetwork):
        raise TypeError("only a frozen network computes features")
    model.store = FeatureStore()
    start = clock()
    model.features(x, PLAIN)
    return (clock() - start) / len(x)


def _generator_seconds(setting: Setting, images: LabelledImages) -> float:
    clock = _clock(setting.device)
    session = start_session(images, setting.source, 0, device=setting.device)
    steps = fit(
        session.trainer,
        session.average,
        session.batches,
        steps=WARM_UP + GENERATOR_STEPS,
        seed=0,
    )
    for _ in range(WARM_UP):
        next(steps)
    marks = [clock()]
    for _ in steps:
        marks.append(clock())
    return _typical(marks)


def _typical(marks: Sequence[float]) -> float:
    """The median time of the last steps: one that other work held up does not count."""
    last = marks[-min(len(marks), CLASSIFIER_STEPS + 1) :]
    return statistics.median(after - before for before, after in pairwise(last))


def _clock(device: str) -> Callable[[], float]:
    def now() -> float:
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return now
