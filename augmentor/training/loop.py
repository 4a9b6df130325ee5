"""The loop: any trainer, any batches, one report per step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from augmentor.common import ranks
from augmentor.common.randomness import rng_for
from augmentor.common.types import DivergedError, StepReport
from augmentor.training.ema import Average
from augmentor.training.recorded import (
    LOOK_EVERY,
    RecordableTrainer,
    RecordedSteps,
    is_recordable,
)


class Trainer(Protocol):
    """What the loop needs of a family."""

    @property
    def model(self) -> nn.Module:
        """The networks, trained in place."""

    @property
    def step(self) -> Callable[..., dict[str, Tensor]]:
        """Train on one batch, given as its tensors (x, y, and the condition if there is one) and
        the keyword ``rng``; named scalars, on one device.
        """

    def state(self) -> dict[str, Any]:
        """Everything beside the model that the next step depends on."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what ``state`` returned."""


def fit(
    trainer: Trainer,
    average: Average,
    batch_at: Callable[[int], tuple[Tensor, ...]],
    *,
    steps: int,
    seed: int,
    start: int = 0,
) -> Iterator[StepReport]:
    """Train from step ``start`` to step ``steps``, yielding after each.

    All randomness of step s comes from (seed, s), so a run resumed at ``start`` with the same
    trainer, average and batches goes on as if it had never stopped. The average moves only after
    the step was seen to be finite. Of several processes (``common.ranks``) each takes its rows of
    the batch; together they take the step of one. On a GPU the step is recorded once and replayed
    (``recorded``); the CPU looks at its numbers every ``LOOK_EVERY`` steps.

    Args:
        trainer: Owns the model and its optimisers.
        average: From ``ema.averaged``; moved in place.
        batch_at: The batch of a step, a pure function; its tensors are what the trainer's step
            takes.
        steps: Last step, counted from 1.
        seed: Addresses the noise of all steps.
        start: Steps already done.

    Yields:
        One report per step.

    Raises:
        DivergedError: If a loss, a weight or a buffer is not finite; the average is as it was
            before that step.
    """
    on_card = next(trainer.model.parameters()).device.type == "cuda"
    if on_card and ranks.size() == 1 and is_recordable(trainer):
        recorded = RecordedSteps(cast(RecordableTrainer, trainer), average, batch_at, seed)
        yield from _recorded(recorded, steps, start)
        return
    yield from plain_steps(trainer, average, batch_at, steps=steps, seed=seed, start=start)


def plain_steps(
    trainer: Trainer,
    average: Average,
    batch_at: Callable[[int], tuple[Tensor, ...]],
    *,
    steps: int,
    seed: int,
    start: int = 0,
) -> Iterator[StepReport]:
    """``fit`` one kernel at a time, with a look at every step; arguments as there."""
    for step in range(start, steps):
        batch = map(ranks.own_rows, batch_at(step))
        losses = trainer.step(*batch, rng=rng_for("step", seed, step))
        # Together: a GPU is waited for once per step, not once per loss.
        together = ranks.mean(torch.stack([*losses.values()]))
        values = dict(zip(losses, together.tolist(), strict=True))
        _check_finite(values, trainer.model, step + 1)
        average.update_parameters(trainer.model)
        yield StepReport(step + 1, values, average.module)


def _recorded(recorded: RecordedSteps, steps: int, start: int) -> Iterator[StepReport]:
    for step in range(start, steps):
        report = recorded.take(step)
        if report.step == steps or report.step % LOOK_EVERY == 0:
            report.look()
        yield report


def _check_finite(losses: dict[str, float], model: nn.Module, step: int) -> None:
    bad = [f"loss {name}" for name, value in losses.items() if not math.isfinite(value)]
    # A gradient can overflow under a finite loss; it shows in the weights after the update. The
    # average takes the buffers too, such as the statistics of batch norm.
    buffers = {name: buffer for name, buffer in model.named_buffers() if buffer.is_floating_point()}
    if not bad and not math.isfinite(
        float(torch.nn.utils.get_total_norm([*model.parameters(), *buffers.values()]))
    ):
        bad = [f"weight {name}" for name, p in model.named_parameters() if not p.isfinite().all()]
        bad += [f"buffer {name}" for name, buffer in buffers.items() if not buffer.isfinite().all()]
    if bad:
        raise DivergedError(f"training diverged at step {step}: {', '.join(bad)} not finite")
