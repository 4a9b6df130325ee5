"""Trainings of GAN heads as parts, and the worker of ``semi``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from augmentor.common.types import DataError, DivergedError
from pipelines.experiment.engine import PART_MADE, Needs
from pipelines.experiment.parts import Part, PartStore, described, needs_of
from pipelines.experiment.plan import Group
from pipelines.experiment.setting import Setting
from pipelines.generators.in_memory import options_of
from pipelines.interrupt import Watch
from pipelines.pool import pool_description
from pipelines.semi.gan_methods import GAN_HEADS, GanMaterial
from pipelines.workbench.training_parts import Curve, TrainingTask, make_trainings

CODE = 1
"""Of the GAN heads; raise it when the same settings give other outputs."""
PASSES = 3  # a step sees labelled images, unlabelled ones and fakes


@dataclass(frozen=True)
class GanTask:
    """One training of a GAN head on one labelled subset.

    Args:
        setting: Data, networks and device; its data name the number of labels.
        method: Key of ``GAN_HEADS``.
        gan_steps: Steps of ``improved_gan`` and ``triple_gan``.
        seed: Of the subset.
        part: What is left in the store.
        folder: Of the store.
    """

    setting: Setting
    method: str
    gan_steps: int
    seed: int
    part: Part
    folder: Path

    def needs(self) -> Needs:
        """What it reads and leaves on another machine."""
        return needs_of([self.part], self.folder, beside=self.setting.files)


SemiTask = TrainingTask | GanTask


def gan_group(
    setting: Setting, name: str, seed: int, method: str, gan_steps: int, store: PartStore
) -> Group[SemiTask]:
    """The training of one GAN head as a group of one part.

    Args:
        setting: As in ``GanTask``.
        name: Of the subset, for people, such as ``100 labels, subset 3``.
        seed: Of the subset.
        method: Key of ``GAN_HEADS``.
        gan_steps: Steps of ``improved_gan`` and ``triple_gan``.
        store: Where the part goes.
    """
    description: dict[str, Any] = {"code": CODE, "method": method, "seed": seed}
    description |= {"device": setting.device_type, **setting.data_description()}
    shared: dict[str, int] = {}
    steps = gan_steps
    if GAN_HEADS[method].on_generator:
        description["classifier"] = setting.classifier_description()
        description["generator"] = described(setting.source)
        description["generator_options"] = options_of(setting.source)
        description |= pool_description(setting.pool)
        steps = setting.trainer.settings.steps
        shared = {"generator": setting.source.steps, "pool labels": steps * setting.pool.rounds}
    else:
        description["steps"] = gan_steps
    part = Part("gan_head", f"{name}, {method}", description, {"classifier": PASSES * steps})
    return Group(GanTask(setting, method, gan_steps, seed, part, store.folder), (part,), shared)


def make_semi(task: SemiTask, on_part: Callable[[str], None], watch: Watch | None) -> None:
    """Train what is missing of a task, the worker of ``semi``.

    Raises:
        DataError: If no image is without a label.
        DivergedError: If class probabilities are not finite; names the part.
    """
    if isinstance(task, TrainingTask):
        make_trainings(task, on_part, watch)
    else:
        make_gan_head(task, on_part, watch)


def make_gan_head(task: GanTask, on_part: Callable[[str], None], watch: Watch | None) -> None:
    """Train one GAN head and leave its part.

    The images that are scored are read here and nowhere else; raises as ``make_semi`` does.
    """
    store, part, curve = PartStore(task.folder), task.part, Curve()
    if store.has(part):
        return

    def on_values(step: int, steps: int, values: Mapping[str, float]) -> None:
        if watch is not None:
            watch.check()
        if curve.add(step, steps, values):
            on_part(f"{part.label}: step {step} of {steps}")

    start = time.perf_counter()
    bundle = task.setting.bundle(task.seed)
    if bundle.pool is None:
        raise DataError(f"{part.label}: no image of {bundle.name} is without a label")
    material = GanMaterial(
        bundle.train, bundle.pool, task.setting, task.seed, task.gan_steps, on_values
    )
    try:
        predict = GAN_HEADS[task.method].train(material)
    except DivergedError as error:
        raise DivergedError(f"{part.label}: {error}") from error
    seconds = {task.method: time.perf_counter() - start}
    class_probs = predict(bundle.test.x).softmax(dim=1)
    if not bool(class_probs.isfinite().all()):
        raise DivergedError(f"{part.label}: class probabilities are not finite")
    tensors = {"class_probs": class_probs.to(torch.float16)}
    content = {"curve": curve.values}
    store.write(part, content, tensors, seconds=seconds, device=task.setting.device)
    on_part(PART_MADE + part.label)
