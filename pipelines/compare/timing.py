"""How long training steps take, and how fast a source renders."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from augmentor.common.types import LabelledImages, SampleSource
from augmentor.sampling.source_wrapper import SourceWrapper
from augmentor.trained import Session
from augmentor.training.loop import fit
from pipelines.compare.parts import trained
from pipelines.compare.plan import ComparePlan
from pipelines.config import DataConfig, SourceConfig
from pipelines.experiment.setting import Setting, trainer_of
from pipelines.generators.in_memory import start_session

WARM_UP, TIMED = 5, 20  # a GPU records the step in the fourth
"""Steps whose time goes into the table."""
TIMED_FOR_A_PLAN = 4
"""Steps whose time goes into an estimate."""
CLASSIFIER_STEPS = 12

Clock = Callable[[], float]


def seconds_per_1000_steps(images: LabelledImages, setting: Setting) -> float:
    """What 1,000 training steps of the setting's generator take, by twenty steps of a new training.

    On a CPU processor time, so that other work of the machine is left out; else wall-clock time.
    """
    clock = clock_of(torch.device(setting.device))
    return 1000 * _step_seconds(new_session(images, setting.source, setting), TIMED, clock)


def step_seconds(plan: ComparePlan) -> dict[str, float]:
    """Wall-clock seconds of one training step, by what is trained, for the estimate of a plan.

    Samples are not timed: a PixelCNN takes a good deal longer than its steps say.
    """
    images, setting = plan.bundle.train, plan.setting
    clock = wall_clock_of(torch.device(setting.device))
    found = {"classifier": _classifier_seconds(plan, clock)}
    for row in plan.rows:
        if row.equal_budget:
            session = new_session(images, row.source, setting)
            found[trained(row)] = _step_seconds(session, TIMED_FOR_A_PLAN, clock)
    return found


def new_session(images: LabelledImages, source: SourceConfig, setting: Setting) -> Session:
    """The beginning of the training that a source's settings ask for; of classes alone, which is
    all that most families know.
    """
    images = images.without_conditions()
    names = ("classical",) if source.source_augment == "classical" else ()
    augment = setting.trainer.augmentation(names)
    return start_session(images, source, setting.seed, device=setting.device, augment=augment)


def clock_of(device: torch.device) -> Clock:
    """Seconds of work done: processor time on a CPU; on a GPU time when nothing is queued."""
    return time.process_time if device.type == "cpu" else wall_clock_of(device)


def wall_clock_of(device: torch.device) -> Clock:
    """Wall-clock seconds; on a GPU when nothing is queued."""

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return now


class Stopwatch(SourceWrapper):
    """A source that counts the images it renders, and the seconds they take, from the second batch
    on.

    Args:
        source: What renders.
    """

    def __init__(self, source: SampleSource) -> None:
        super().__init__(source)
        self.images, self.seconds = 0, 0.0
        self._warm = False

    @property
    def images_per_second(self) -> float | None:
        """By processor time on a CPU, else wall-clock time; None before the second batch."""
        return self.images / self.seconds if self.seconds else None

    def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """See ``types.ConditionalSource.sample``."""
        now = clock_of(self.device)
        start = now()
        x = super().sample(y, z, condition)
        if self._warm:
            self.images, self.seconds = self.images + len(x), self.seconds + now() - start
        self._warm = True
        return x


def _step_seconds(session: Session, timed: int, clock: Clock) -> float:
    steps = fit(
        session.trainer,
        session.average,
        session.batches,
        steps=WARM_UP + timed,
        seed=session.seed,
    )
    for _ in range(WARM_UP):
        next(steps)
    start = clock()
    for _ in steps:
        pass
    return (clock() - start) / timed


def _classifier_seconds(plan: ComparePlan, clock: Clock) -> float:
    marks: list[float] = []
    trainer = trainer_of(plan.judging.judge, DataConfig(), plan.setting.device)
    trainer.with_steps(WARM_UP + CLASSIFIER_STEPS).train(
        plan.bundle.train,
        seed=0,
        augment=("classical",),
        on_step=lambda step, loss: marks.append(clock()),
    )
    return (marks[-1] - marks[WARM_UP - 1]) / CLASSIFIER_STEPS
