"""Steps that are recorded, with a recording that does the work again on the CPU."""

import copy
import sys
from contextlib import nullcontext

import pytest
import torch

from augmentor.common import randomness
from augmentor.common.conditions import Conditions
from augmentor.common.traced import unread
from augmentor.common.types import DivergedError, LabelledImages
from augmentor.families import FAMILIES
from augmentor.training.batches import DrawnThere
from augmentor.training.ema import averaged
from augmentor.training.loop import fit
from augmentor.training.recorded import WARM_UP, Again, CudaGraph, RecordedSteps, is_recordable
from tests.augmentor.families.steps import CLASSES, batch, small, trainer_for

STEPS = WARM_UP + 3
RECORDABLE = [name for name in FAMILIES if name != "wgan"]  # RMSprop has no fused form


def batch_at(step):
    return batch(seed=step)


def recorded(trainer, batches=batch_at, recording=None):
    average = averaged(trainer.model, 0.9)
    return RecordedSteps(
        trainer,
        average,
        batches,
        seed=5,
        rng=torch.Generator(),
        recording=recording or Again(),
    )


def weights(model):
    return torch.cat([p.detach().flatten().clone() for p in model.parameters()])


@pytest.mark.parametrize("family", RECORDABLE)
def test_recorded_steps_equal_plain_ones(family):
    plain, trainer = trainer_for(family), trainer_for(family)
    average = averaged(plain.model, 0.9)
    reports = list(fit(plain, average, batch_at, steps=STEPS, seed=5))
    steps = recorded(trainer)
    found = [steps.take(step) for step in range(STEPS)]
    steps.look()
    assert torch.equal(weights(plain.model), weights(trainer.model))
    torch.testing.assert_close(
        weights(average.module), weights(steps.average.module), rtol=1e-5, atol=1e-6
    )
    assert steps.average.n_averaged == STEPS
    for theirs, own in zip(reports, found, strict=True):  # read after later steps were taken
        assert dict(own.losses) == theirs.losses


def test_every_family_but_one_can_be_recorded():
    assert {name for name in FAMILIES if is_recordable(trainer_for(name))} == set(RECORDABLE)


def test_a_resumed_recording_equals_the_whole_one():
    whole, part = trainer_for("cvae_gan"), trainer_for("cvae_gan")
    steps = recorded(whole)
    for step in range(STEPS):
        steps.take(step)
    first = recorded(part)
    for step in range(2):
        first.take(step)
    second = RecordedSteps(
        part, first.average, batch_at, 5, rng=torch.Generator(), recording=Again()
    )
    for step in range(2, STEPS):
        second.take(step)
    assert torch.equal(weights(whole.model), weights(part.model))
    assert torch.equal(weights(steps.average.module), weights(second.average.module))


@pytest.mark.parametrize("bad", [1, WARM_UP + 1])
def test_after_a_step_that_is_not_finite_nothing_moves(bad):
    def poisoned(step):
        x, y = batch_at(step)
        return (x * float("nan") if step == bad else x), y

    trainer = trainer_for("cvae_gan")
    steps = recorded(trainer, poisoned)
    for step in range(bad):
        steps.take(step).look()
    kept = weights(trainer.model), weights(steps.average.module)
    moments = copy.deepcopy(trainer.players.state_dict())
    reports = [steps.take(step) for step in range(bad, bad + 4)]
    with pytest.raises(DivergedError, match=rf"step {bad + 1}: .*loss pixels.* not finite"):
        reports[-1].look()
    assert torch.equal(weights(trainer.model), kept[0])
    assert torch.equal(weights(steps.average.module), kept[1])
    assert all(bool(buffer.isfinite().all()) for buffer in steps.average.module.buffers())
    now = trainer.players.state_dict()
    for name, player in moments.items():
        for number, state in player["state"].items():
            for key, value in state.items():
                assert torch.equal(value, now[name]["state"][number][key])


def test_what_cannot_be_recorded_is_taken_kernel_by_kernel():
    class Refuses(Again):
        def record(self, work):
            raise RuntimeError("operation not permitted when stream is capturing")

    plain, trainer = trainer_for("cvae"), trainer_for("cvae")
    list(fit(plain, averaged(plain.model, 0.9), batch_at, steps=STEPS, seed=5))
    steps = recorded(trainer, recording=Refuses())
    for step in range(WARM_UP):
        steps.take(step)
    with pytest.warns(UserWarning, match="not permitted when stream is capturing"):
        steps.take(WARM_UP)
    for step in range(WARM_UP + 1, STEPS):
        steps.take(step)
    assert torch.equal(weights(plain.model), weights(trainer.model))


def test_batches_drawn_on_the_device_follow_the_shares_and_the_seed():
    y = torch.tensor([0] * 90 + [1] * 10)
    x = torch.arange(100.0)[:, None, None, None].expand(-1, 1, 8, 8)
    shares = torch.where(y == 0, 1.0, 9.0).double()
    there = DrawnThere(LabelledImages(x, y, ("a", "b")), shares, torch.Generator())
    drawn, labels = there.batch(20000, seed=4)
    assert labels.float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert len(drawn[:, 0, 0, 0].unique()) == 100
    assert torch.equal(labels, (drawn[:, 0, 0, 0] >= 90).long())
    assert torch.equal(there.batch(20, seed=4)[0], there.batch(20, seed=4)[0])
    assert not torch.equal(there.batch(20, seed=4)[0], there.batch(20, seed=5)[0])


def _copied_from_the_host(*values, **_):
    raise AssertionError(f"{values[-1]} is copied to the device within a step")


LIGHT = Conditions(("light",), ("a", "b"))
ANGLE = Conditions(("angle",), centre=(0.0,), scale=(1.0,))
EVERY = [
    (name, preset, conditions)
    for name, family in FAMILIES.items()
    for preset in family.presets
    for conditions in ([None, LIGHT, ANGLE] if family.takes_conditions else [None])
]


@pytest.mark.parametrize(("name", "preset", "conditions"), EVERY)
def test_a_step_reads_nothing_back_from_its_device(name, preset, conditions, monkeypatch):
    """On a device without numbers: reading one, or meeting a tensor of the CPU, is an error."""
    monkeypatch.setattr(randomness, "home_of", lambda rng: torch.device("meta"))
    own_module = sys.modules[FAMILIES[name].trainer.__module__]
    monkeypatch.setattr(own_module, "autocast", lambda *_: nullcontext())  # knows no such device
    monkeypatch.setattr(torch.optim.Adam, "step", lambda optimiser: None)
    monkeypatch.setattr(torch.optim.RMSprop, "step", lambda optimiser: None)
    family = FAMILIES[name]
    known = () if conditions is None else (conditions,)
    options = family.options_for(preset, small(name))
    trainer = family.trainer(family.model(CLASSES, (1, 8, 8), options, *known))
    trainer.model.to("meta")
    trainer.device = torch.device("meta")
    for module in getattr(trainer, "centres", {}).values():
        module.to("meta")
    x, y = (part.to("meta") for part in batch())
    rows = {None: (), LIGHT: (y,), ANGLE: (torch.zeros(12, 1, device="meta"),)}[conditions]
    for owner, way in ((torch, "tensor"), (torch, "as_tensor"), (torch.Tensor, "new_tensor")):
        monkeypatch.setattr(owner, way, _copied_from_the_host)  # no device of its own would refuse
    with unread():
        losses = trainer.step(x, y, *rows, rng=torch.Generator())
    assert {loss.device.type for loss in losses.values()} == {"meta"}


def test_a_warm_up_waits_on_the_card_of_its_own_stream(monkeypatch):
    """On a card that is not torch's current one; here without any."""

    class Stream:
        def __init__(self, device):
            self.device, self.waited = device, []

        def wait_stream(self, other):
            self.waited.append(other)

    streams = {place: Stream(place) for place in (None, "cuda:1")}
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: streams[device])
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    graph = CudaGraph.__new__(CudaGraph)
    graph.stream = Stream("cuda:1")
    assert graph.warm_up(lambda: 5) == 5
    assert graph.stream.waited == [streams["cuda:1"]]
    assert streams["cuda:1"].waited == [graph.stream]
