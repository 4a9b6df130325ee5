"""What a training writes while it runs: checkpoints, a log, TensorBoard events, sample grids."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from augmentor.api import describe
from augmentor.common.atomic_files import room_for, write_bytes, write_text
from augmentor.common.given_files import MOST_LINES, parse_json, read_text
from augmentor.common.types import LabelledImages, StepReport
from augmentor.data.candidates import latents, sample
from augmentor.trained import Session
from augmentor.training.checkpoint import Checkpoint, save_checkpoint
from pipelines.config import SourceConfig
from pipelines.report.pictures import png_bytes, sample_grid
from pipelines.run_dir import RunDir

LOG_BLOCK = 4096
"""Bytes by which a file grows, however short the line."""
SAMPLES_PER_CLASS = 10
CLASSES_SHOWN = 20


class Saver:
    """Session to checkpoint and back.

    Args:
        run: Folder of the run.
        session: What is trained.
        settings: Of the generator; its family and ``source_augment`` are written down.
        facts: What later jobs must know about the images, as tensors.
    """

    def __init__(
        self, run: RunDir, session: Session, settings: SourceConfig, facts: dict[str, Tensor]
    ) -> None:
        self.run, self.session, self.settings, self.facts = run, session, settings, facts
        self.last = -1

    def save(self, step: int) -> None:
        """Write a checkpoint, unless that of this step is there."""
        if step == self.last:
            return
        model = self.session.trainer.model
        meta = describe(self.settings.family, model)
        counts = self.session.images.counts_by_name
        meta |= {"source_augment": self.settings.source_augment, "counts": counts}
        state = {
            "model": model.state_dict(),
            "average": self.session.average.module.state_dict(),
            "updates": self.session.average.n_averaged,
            "trainer": self.session.trainer.state(),
            "facts": self.facts,
        }
        save_checkpoint(self.run.checkpoints, step, meta, state)
        self.last = step

    def restore(self, checkpoint: Checkpoint) -> int:
        """Put the session where a checkpoint left it; returns the steps done."""
        session, state = self.session, checkpoint.state
        session.trainer.model.load_state_dict(state["model"])
        session.average.module.load_state_dict(state["average"])
        session.average.n_averaged.copy_(state["updates"])
        session.trainer.restore(state["trainer"])
        self.last = checkpoint.step
        return checkpoint.step


@contextmanager
def open_log(run: RunDir, start: int) -> Iterator[Callable[[StepReport], None]]:
    """A JSONL file, and TensorBoard events where ``tensorboard`` is installed.

    Args:
        run: Folder of the run.
        start: Steps done before; later lines, of a run that was cut off, are dropped.

    Yields:
        What writes the losses of a step.
    """
    if run.log.exists():
        _drop_lines_after(run, start)
    with room_for(run.log, LOG_BLOCK), run.log.open("a", encoding="utf-8") as file:
        board = _board(run, start)

        def write(report: StepReport) -> None:
            file.write(json.dumps({"step": report.step, **report.losses}) + "\n")
            file.flush()
            if board is None:
                return
            for name, value in report.losses.items():
                board.add_scalar(f"loss/{name}", value, report.step)

        try:
            yield write
        finally:
            if board is not None:
                board.close()


def _board(run: RunDir, start: int) -> Any:
    """The writer of TensorBoard events; None without the extra ``tensorboard``."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run.tensorboard), purge_step=start + 1)


def _drop_lines_after(run: RunDir, step: int) -> None:
    kept = []
    for line in read_text(run.log, MOST_LINES).splitlines(keepends=True):
        if line.endswith("\n") and parse_json(line)["step"] <= step:
            kept.append(line)
    write_text(run.log, "".join(kept))


def draw_samples(run: RunDir, report: StepReport, images: LabelledImages) -> None:
    """Write a grid of samples, one row per class; of a source with conditions one column per
    condition.

    The latents are the same at every step, so that the grids show progress and nothing else.

    Args:
        run: Folder of the run.
        report: Of the step.
        images: What the model learns from; its conditions are shown.
    """
    source: Any = report.model
    device = next(report.model.parameters()).device
    names = source.classes[:CLASSES_SHOWN]
    condition = _conditions_shown(images)
    rows = []
    for label in range(len(names)):
        z = latents(0, label, 0, SAMPLES_PER_CLASS, source.latent_dim).to(device)
        y = torch.full((SAMPLES_PER_CLASS,), label, device=device)
        rows.append(sample(source, y, z, condition).cpu())
    run.samples.mkdir(exist_ok=True)
    write_bytes(run.samples / f"step-{report.step:08d}.png", png_bytes(sample_grid(rows, names)))


def _conditions_shown(images: LabelledImages) -> Tensor | None:
    """Conditions at even distances among those that occur, one per column."""
    if images.condition is None:
        return None
    known: Tensor = torch.unique(images.condition, dim=0)
    return known[torch.linspace(0, len(known) - 1, SAMPLES_PER_CLASS).round().long()]


def seen_facts(images: LabelledImages) -> dict[str, Tensor]:
    """Class and condition of every training image, as facts of a checkpoint; none without
    conditions.
    """
    if images.condition is None:
        return {}
    return {"seen_y": images.y, "seen_condition": images.condition}
