"""Steps that run on a GPU without the CPU: recorded once as a CUDA graph, then replayed.

On a small network launching the kernels takes longer than their work, and every number that is read
back makes the CPU wait. Here a step is launched as one, its batch and its noise are drawn on the
card, and whether all is finite is decided there and looked at every few steps.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from augmentor.common.halt import Halt, can_be_held
from augmentor.common.randomness import seed_for
from augmentor.common.traced import unread
from augmentor.common.types import DivergedError, StepReport
from augmentor.training.ema import Average

LOOK_EVERY = 20
"""Steps between two looks at whether all numbers were finite."""
WARM_UP = 3
"""Steps taken one kernel at a time before one is recorded: libraries choose their ways in them."""


class Recording(Protocol):
    """Work that was recorded and can be done again."""

    def warm_up(self, work: Callable[[], Tensor]) -> Tensor:
        """Do the work once, unrecorded."""

    def record(self, work: Callable[[], Tensor]) -> None:
        """Record the work without doing it."""

    def replay(self) -> Tensor:
        """Do what was recorded, on what its inputs hold now."""


class CudaGraph:
    """A recording on a GPU.

    Args:
        rng: Lives on the GPU; what the work draws comes from it, by the seed it has when the
            work is replayed.
    """

    def __init__(self, rng: torch.Generator) -> None:
        self.graph = torch.cuda.CUDAGraph()
        self.stream = torch.cuda.Stream(rng.device)  # type: ignore[no-untyped-call]
        self.graph.register_generator_state(rng)
        self.out = torch.empty(0)

    def warm_up(self, work: Callable[[], Tensor]) -> Tensor:
        """See ``Recording``. On a stream of its own, as torch asks before a capture."""
        # Of its own device, which may not be the one that torch takes unless told otherwise.
        current = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            out = work()
        current.wait_stream(self.stream)
        return out

    def record(self, work: Callable[[], Tensor]) -> None:
        """See ``Recording``."""
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.out = work()

    def replay(self) -> Tensor:
        """See ``Recording``."""
        self.graph.replay()
        return self.out


class Again:
    """A recording without CUDA graphs: the work is done again, kernel by kernel."""

    def __init__(self) -> None:
        self.work: Callable[[], Tensor] | None = None

    def warm_up(self, work: Callable[[], Tensor]) -> Tensor:
        """See ``Recording``."""
        return work()

    def record(self, work: Callable[[], Tensor]) -> None:
        """See ``Recording``."""
        self.work = work

    def replay(self) -> Tensor:
        """See ``Recording``."""
        if self.work is None:
            raise RuntimeError("nothing was recorded")
        return self.work()


@runtime_checkable
class Players(Protocol):
    """The optimisers of a family, as ``families.players`` has them."""

    optimisers: dict[str, Optimizer]

    def stop_by(self, halt: Halt) -> None:
        """Move nothing more from the first gradient on that is not finite."""


class RecordableTrainer(Protocol):
    """A trainer of a family whose step reads nothing back from its device."""

    @property
    def model(self) -> nn.Module:
        """The networks, trained in place."""

    @property
    def players(self) -> Players:
        """Their optimisers."""

    @property
    def step(self) -> Callable[..., dict[str, Tensor]]:
        """See ``training.loop.Trainer``."""


def is_recordable(trainer: object) -> bool:
    """Whether a trainer's step can be recorded: its optimisers can be held on the device."""
    players = getattr(trainer, "players", None)
    return isinstance(players, Players) and all(map(can_be_held, players.optimisers.values()))


class RecordedSteps:
    """Takes a trainer's steps by a recording; equal to taking them one kernel at a time.

    All randomness of step s comes from (seed, s), on the device's own generator, so that a resumed
    run goes on as if it had never stopped, on one type of device.

    Args:
        trainer: Trained in place.
        average: Moved after every step that was finite.
        batch_at: The batch of a step, of the same shapes at every step.
        seed: Addresses the noise of all steps.
        rng: On the trainer's device; by default one is made.
        recording: Does the work again; by default a CUDA graph.
    """

    def __init__(
        self,
        trainer: RecordableTrainer,
        average: Average,
        batch_at: Callable[[int], tuple[Tensor, ...]],
        seed: int,
        *,
        rng: torch.Generator | None = None,
        recording: Recording | None = None,
    ) -> None:
        self.trainer, self.average, self.batch_at, self.seed = trainer, average, batch_at, seed
        self.device = next(trainer.model.parameters()).device
        self.rng = rng or torch.Generator(self.device)
        self.recording = recording or CudaGraph(self.rng)
        self.halt = Halt(self.device)
        trainer.players.stop_by(self.halt)
        if self.device.type == "cuda":
            _allow_recording(trainer.players)
        average.n_averaged = average.n_averaged.to(self.device)
        self.names: list[str] = []
        self.inputs: tuple[Tensor, ...] = ()
        self.number = torch.zeros((), dtype=torch.int64, device=self.device)
        self.bad_number = torch.zeros_like(self.number)
        self.bad_losses = torch.empty(0)
        self.taken, self.recorded = 0, False

    def take(self, step: int) -> StepReport:
        """Take step ``step``, counted from 0. What its report says is read when it is asked for."""
        batch = tuple(part.to(self.device, non_blocking=True) for part in self.batch_at(step))
        self.rng.manual_seed(seed_for("step", self.seed, step))
        self.number.fill_(step + 1)
        if not self.inputs:
            self.inputs = tuple(part.clone() for part in batch)
        for held, part in zip(self.inputs, batch, strict=True):
            held.copy_(part)
        losses = self._losses().clone()
        self.taken += 1
        return StepReport(step + 1, Losses(self.names, losses), self.average.module, self.look)

    def look(self) -> None:
        """Wait for the steps taken, and see whether all was finite.

        Raises:
            DivergedError: If not; names the first step in which it was not.
        """
        number = int(self.bad_number)
        if number == 0:
            return
        losses = Losses(self.names, self.bad_losses)
        bad = [f"loss {name}" for name, value in losses.items() if not math.isfinite(value)]
        bad += [
            f"buffer {name}"
            for name, buffer in self.trainer.model.named_buffers()
            if buffer.is_floating_point() and not bool(buffer.isfinite().all())
        ]
        what = ", ".join(bad or ["a gradient"])
        raise DivergedError(f"training diverged at step {number}: {what} not finite")

    def _losses(self) -> Tensor:
        if self.recorded:
            return self.recording.replay()
        if self.taken < WARM_UP:
            return self.recording.warm_up(self._work)
        self.recorded = True
        try:
            with unread():
                self.recording.record(self._work)
        except RuntimeError as error:
            # A way of a library that cannot be recorded: the same steps, kernel by kernel.
            warnings.warn(
                f"a step could not be recorded; training is slower: {error}", stacklevel=4
            )
            self.recording = Again()
            self.recording.record(self._work)
        return self.recording.replay()

    def _work(self) -> Tensor:
        """One step, from the inputs to the average, without a look at any number."""
        losses = self.trainer.step(*self.inputs, rng=self.rng)
        self.names = [*losses]
        together = torch.stack([*losses.values()]).float()
        if not len(self.bad_losses):
            self.bad_losses = torch.zeros_like(together)
        buffers = [b for b in self.trainer.model.buffers() if b.is_floating_point()]
        self.halt.see([together, *buffers])
        first = (self.bad_number == 0) & (self.halt.flag > 0)
        self.bad_losses.copy_(torch.where(first, together, self.bad_losses))
        self.bad_number.copy_(torch.where(first, self.number, self.bad_number))
        self.average.update_unless(self.halt.flag, self.trainer.model)
        return together


class Losses(Mapping[str, float]):
    """Named losses on a device, read when the first is asked for.

    Args:
        names: Of the losses.
        values: The losses, shape (len(names),).
    """

    def __init__(self, names: list[str], values: Tensor) -> None:
        self.names, self.values_there = names, values
        self.read: dict[str, float] | None = None

    def __getitem__(self, name: str) -> float:
        if self.read is None:
            self.read = dict(zip(self.names, self.values_there.tolist(), strict=True))
        return self.read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _allow_recording(players: Players) -> None:
    """Tell torch's optimisers that their steps may be recorded; a state read from a file may say
    that they may not.
    """
    for optimiser in players.optimisers.values():
        for group in optimiser.param_groups:
            group["capturable"] = True
