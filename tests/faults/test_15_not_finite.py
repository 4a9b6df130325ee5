"""NaN or Inf in a loss, a gradient, a weight, a buffer, an input: training stops within one
step."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from augmentor.common.types import DivergedError
from augmentor.families import FAMILIES
from augmentor.training.checkpoint import load_checkpoint
from augmentor.training.ema import averaged
from augmentor.training.loop import fit
from downstream.train import NonFiniteLossError, TrainSettings, train_classifier
from pipelines.cli import main
from pipelines.config import dump_config
from pipelines.generators import train
from tests.faults.children import fork
from tests.faults.jobs import equal, flat, small

POISONS = [math.nan, math.inf, -math.inf]
BAD_STEP = 2  # counted from 0
CLASSES = ("a", "b", "c")


def poison_input(trainer, value):
    step = trainer.step

    def poisoned(x, *rest, rng):
        x = x.clone()
        x[0, 0, 0, 0] = value
        return step(x, *rest, rng=rng)

    trainer.step = poisoned


def poison_loss(trainer, value):
    step = trainer.step

    def poisoned(*batch, rng):
        losses = step(*batch, rng=rng)
        return losses | {name: loss * 0 + value for name, loss in list(losses.items())[:1]}

    trainer.step = poisoned


def poison_weight(trainer, value):
    first = next(trainer.model.parameters())
    with torch.no_grad():
        first.view(-1)[0] = value


def poison_gradient(trainer, value):
    first = next(weight for weight in trainer.model.parameters() if weight.requires_grad)
    first.register_hook(lambda gradient: gradient * 0 + value)


POISONED = {
    f.__name__.removeprefix("poison_"): f
    for f in (poison_input, poison_loss, poison_weight, poison_gradient)
}


def tiny(family):
    """An untrained family with as little to compute as its options allow."""
    small_options = {"width": 4, "latent_dim": 5}
    known = FAMILIES[family].presets["default"].__dataclass_fields__
    options = FAMILIES[family].options_for(
        "default", {k: v for k, v in small_options.items() if k in known}
    )
    torch.manual_seed(0)
    model = FAMILIES[family].model(CLASSES, (1, 8, 8), options)
    return FAMILIES[family].trainer(model)


def batch_at(step):
    rng = torch.Generator().manual_seed(step)
    return torch.rand(8, 1, 8, 8, generator=rng) * 2 - 1, torch.randint(3, (8,), generator=rng)


def stops(family, what, value):
    """Whether training stops in the poisoned step, with the average of the step before."""
    trainer = tiny(family)
    average, kept = averaged(trainer.model, 0.9), {}
    try:
        for report in fit(trainer, average, batch_at, steps=BAD_STEP + 3, seed=0):
            if report.step == BAD_STEP:
                kept = copy.deepcopy(flat(average.state_dict()))
                POISONED[what](trainer, value)
    except DivergedError as error:
        return f"step {BAD_STEP + 1}:" in str(error) and equal(flat(average.state_dict()), kept)
    return False


@pytest.mark.parametrize("what", POISONED)
def test_the_default_family_stops_within_one_step(tally, what):
    survived = [stops("cvae_gan", what, value) for value in POISONS]
    tally(
        3,
        sum(survived),
        f"NaN, Inf, -Inf in {what} of cvae_gan: stops in that step, average untouched",
    )
    assert all(survived)


@pytest.mark.faults
@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "cvae_gan"])
def test_every_family_stops_within_one_step(tally, family):
    failed = [
        (what, value) for what in POISONED for value in POISONS if not stops(family, what, value)
    ]
    injected = len(POISONED) * len(POISONS)
    tally(
        injected,
        injected - len(failed),
        f"NaN, Inf, -Inf in input, loss, weight, gradient of {family}",
    )
    assert failed == []


@pytest.mark.parametrize("value", POISONS)
def test_a_buffer_that_is_not_finite_never_reaches_the_average(tally, value):
    trainer = tiny("cvae_gan")
    average = averaged(trainer.model, 0.9)
    steps = fit(trainer, average, batch_at, steps=3, seed=0)
    next(steps)
    kept = copy.deepcopy(flat(average.state_dict()))
    statistics = next(
        buffer for name, buffer in trainer.model.named_buffers() if name.endswith("running_mean")
    )
    statistics[0] = value
    with pytest.raises(DivergedError, match=r"step 2: buffer .*running_mean"):
        next(steps)
    survived = equal(flat(average.state_dict()), kept)
    tally(
        1,
        int(survived),
        f"{value} in a buffer of batch norm: stops in that step, average untouched",
    )
    assert survived


def test_the_command_exits_with_4_and_keeps_the_checkpoint(tmp_path, tally, monkeypatch):
    start, config = train.start_session, tmp_path / "c.yaml"

    def poisoned_session(*arguments, **options):
        session = start(*arguments, **options)
        batches, calls = session.batches, []

        def batch(step):
            calls.append(step)
            x, y = batches(step)
            return (x * math.nan if len(calls) == 4 else x), y

        return replace(session, batches=batch)

    monkeypatch.setattr(train, "start_session", poisoned_session)
    config.write_text(dump_config(small(8)), encoding="utf-8")
    child = fork(
        lambda: main(["train", str(config), "--out", str(tmp_path / "run")]), tmp_path / "said"
    )
    code, line = child.wait(), child.text().splitlines()[-1]
    kept = load_checkpoint(tmp_path / "run" / "checkpoints")
    finite = all(bool(value.isfinite().all()) for value in flat(kept.state["average"]).values())
    survived = code == 4 and "diverged at step 4" in line and kept.step == 2 and finite
    tally(
        1,
        int(survived),
        "NaN in an input of augmentor train: exit 4, the last checkpoint is finite",
    )
    assert survived, line


class Poisonable(nn.Module):
    """A linear classifier whose gradient goes bad in one step."""

    def __init__(self, value, bad_step):
        super().__init__()
        self.linear = nn.Linear(64, 3)
        self.calls, self.bad_step = 0, bad_step
        self.linear.weight.register_hook(
            lambda g: g * 0 + value if self.calls == self.bad_step else g
        )

    def forward(self, x):
        self.calls += 1
        return self.linear(x.flatten(1))


@pytest.mark.parametrize("bad_step", [3, 5])  # in the middle, and the very last
def test_a_classifier_with_a_bad_gradient_is_never_handed_out(tally, bad_step):
    x, y = batch_at(0)
    survived = 0
    for value in POISONS:
        model = Poisonable(value, bad_step)
        try:
            train_classifier(model, x, y, TrainSettings(steps=5, batch_size=4), seed=0)
        except NonFiniteLossError:
            survived += model.calls <= bad_step + 1
    tally(
        3,
        survived,
        f"NaN, Inf, -Inf in a classifier's gradient at step {bad_step} of 5: stops, not handed out",
    )
    assert survived == 3
