"""The parts of a comparison: the judge, and what was measured of every row; what decides each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.config import CompareConfig, Config, SourceConfig
from pipelines.experiment.engine import Needs
from pipelines.experiment.parts import Part, PartStore, described, needs_of
from pipelines.experiment.plan import Group
from pipelines.experiment.setting import Setting
from pipelines.generators.in_memory import options_of
from pipelines.generators.quality import JUDGE, STUDENT, EvaluateSettings
from pipelines.pool import pool_description

CODE = 2
"""Of measuring; raise it when the same settings give another judge or other numbers."""
MOST_OF_PIXEL_CNN = 500
"""Samples of a family that takes one pass of the network per pixel."""
PIXEL_CNN_BATCH = 32
WHEN_SAVED = ("checkpoint_every", "sample_every")
"""Keys of a training that decide nothing about its result."""
OF_THE_JUDGE = ("judge", "student", "domain")
"""Keys of the settings that the description holds already."""


@dataclass(frozen=True)
class PlannedRow:
    """One row of the table: a family to train, or a finished run.

    Args:
        name: Of the row, and of the folder of its training.
        source: The family, its options and its training.
        run: Folder of the training.
        training: The configuration that the run's folder keeps; None for a finished run.
        checkpoint_sha256: Of the checkpoint of a finished run; empty for a row that is trained.
    """

    name: str
    source: SourceConfig
    run: Path
    training: Config | None = None
    checkpoint_sha256: str = ""

    @property
    def equal_budget(self) -> bool:
        """Whether it is trained here, with the budget of all."""
        return self.training is not None


@dataclass(frozen=True)
class JudgeTask:
    """The judge, and what a student learns from real images: made once for all rows.

    Args:
        setting: Data, seed and device.
        settings: How the rows will be measured.
        part: What is left in the store.
        folder: Of the store.
    """

    setting: Setting
    settings: EvaluateSettings
    part: Part
    folder: Path

    def needs(self) -> Needs:
        """What it reads and leaves on another machine."""
        return needs_of([self.part], self.folder, beside=self.setting.files)


@dataclass(frozen=True)
class RowTask:
    """One row to train, if it is not a finished run, and to measure.

    Args:
        setting: Data, seed and device; its source is that of the row.
        row: Which row.
        settings: How it is measured.
        judge: The part of the judge, which must be finished.
        part: What is left in the store.
        folder: Of the store.
    """

    setting: Setting
    row: PlannedRow
    settings: EvaluateSettings
    judge: Part
    part: Part
    folder: Path

    def needs(self) -> Needs:
        """What it reads and leaves on another machine: its training returns too."""
        run, beside = self.row.run, list(self.setting.files)
        if not self.row.equal_budget:
            beside.append(run)
        trained_in = run if self.row.equal_budget else None
        return needs_of([self.part], self.folder, reads=[self.judge], beside=beside, run=trained_in)


CompareTask = JudgeTask | RowTask


def settings_for(compare: CompareConfig, domain: str, family: str = "") -> EvaluateSettings:
    """How a family is measured; all alike but the PixelCNN, which is slow.

    Args:
        compare: Samples and steps.
        domain: Of the judge's augmentation.
        family: Name of the family; empty for the judge.
    """
    settings = EvaluateSettings(
        samples=compare.samples,
        judge=JUDGE.model_copy(update={"steps": compare.judge_steps}),
        student=STUDENT.model_copy(update={"steps": compare.student_steps}),
        domain=domain,
    )
    if family != "pixel_cnn":
        return settings
    fewer = min(compare.samples, MOST_OF_PIXEL_CNN)
    return replace(settings, samples=fewer, batch_size=PIXEL_CNN_BATCH)


def judge_group(
    setting: Setting, settings: EvaluateSettings, store: PartStore
) -> Group[CompareTask]:
    """The judge as a group of one part; arguments as in ``JudgeTask``."""
    steps = settings.judge.steps + settings.student.steps
    part = Part("judge", "all rows", _judging(setting, settings), {"classifier": steps})
    return Group(JudgeTask(setting, settings, part, store.folder), (part,))


def row_group(
    setting: Setting,
    row: PlannedRow,
    settings: EvaluateSettings,
    judge: Part,
    store: PartStore,
    *,
    has_pool: bool,
) -> Group[CompareTask]:
    """One row as a group of one part.

    Args:
        setting: As in ``RowTask``.
        row: Which row.
        settings: How it is measured.
        judge: The part of the judge.
        store: Where the part goes.
        has_pool: Whether the data have unlabelled images: generators learn from them too.
    """
    own = replace(setting, source=row.source)
    description = _judging(setting, settings)
    description["measured"] = _without(described(settings), OF_THE_JUDGE)
    description["generator"] = _without(described(row.source), WHEN_SAVED)
    description["generator_options"] = options_of(row.source)
    if has_pool:
        description |= pool_description(setting.pool)
    if has_pool or row.source.source_augment != "none":
        description["classifier"] = setting.classifier_description()
    if row.checkpoint_sha256:
        description["checkpoint"] = row.checkpoint_sha256
    steps = {"classifier": settings.student.steps}
    if row.equal_budget:
        steps[trained(row)] = row.source.steps
    part = Part("row", row.name, description, steps)
    return Group(RowTask(own, row, settings, judge, part, store.folder), (part,))


def trained(row: PlannedRow) -> str:
    """What a row trains, as the estimates name it."""
    return f"generator {row.name}"


def _judging(setting: Setting, settings: EvaluateSettings) -> dict[str, Any]:
    """What decides the judge, and so every row."""
    found: dict[str, Any] = {"code": CODE, "seed": setting.seed, "device": setting.device_type}
    found |= setting.data_description()
    found["judge"] = described(settings.judge)
    found["student"] = described(settings.student)
    found["domain"] = settings.domain
    return found


def _without(description: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """A description without some of its keys."""
    found = dict(description)
    for key in keys:
        found.pop(key, None)
    return found
