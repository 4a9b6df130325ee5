import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from augmentor.common.types import DivergedError, LabelledImages
from augmentor.training.batches import Batches
from augmentor.training.ema import averaged
from augmentor.training.loop import fit


class Pull:
    """A trainer of one weight, pulled towards the mean of the batch with a little noise."""

    def __init__(self, poison_at=None, where="loss"):
        self.model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.model.weight)
        self.steps_done, self.poison_at, self.where = 0, poison_at, where

    def step(self, x, y, rng):
        self.steps_done += 1
        loss = (self.model.weight - x.mean() - 0.01 * torch.randn(1, generator=rng)).square().sum()
        loss.backward()
        with torch.no_grad():
            self.model.weight -= 0.1 * self.model.weight.grad
            self.model.weight.grad = None
            if self.steps_done == self.poison_at and self.where == "weight":
                self.model.weight.fill_(float("inf"))
        if self.steps_done == self.poison_at and self.where == "loss":
            loss = loss * float("nan")
        return {"pull": loss.detach()}

    def state(self):
        return {}

    def restore(self, state):
        pass


def images(n=20):
    x = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return LabelledImages(x, torch.arange(n) % 2, ("a", "b"))


def batches():
    return Batches(images(), 4, seed=3)


def test_fit_yields_a_report_a_step_and_lowers_the_loss():
    trainer = Pull()
    reports = list(fit(trainer, averaged(trainer.model, 0.9), batches(), steps=50, seed=0))
    assert [report.step for report in reports] == list(range(1, 51))
    assert reports[-1].losses["pull"] < 0.1 * reports[0].losses["pull"]


class Reads(TorchDispatchMode):
    """Counts how often a single number is read, for which a GPU would be waited for."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_many_losses_are_read_as_one_and_exactly():
    class Talkative(Pull):
        def step(self, x, y, rng):
            loss = super().step(x, y, rng=rng)["pull"]
            return {str(n): loss / (n + 3) for n in range(9)} | {"pull": loss}

    def reads(trainer):
        with Reads() as counted:
            (report,) = fit(trainer, averaged(trainer.model, 0.9), batches(), steps=1, seed=0)
        return counted.count, report.losses

    (few, one), (many, ten) = reads(Pull()), reads(Talkative())
    assert many == few
    loss = torch.tensor(one["pull"])
    assert ten == {str(n): float(loss / (n + 3)) for n in range(9)} | one


def test_a_resumed_loop_equals_the_whole_one():
    whole, part = Pull(), Pull()
    whole_average, part_average = averaged(whole.model, 0.9), averaged(part.model, 0.9)
    list(fit(whole, whole_average, batches(), steps=9, seed=0))
    list(fit(part, part_average, batches(), steps=4, seed=0))
    list(fit(part, part_average, batches(), steps=9, seed=0, start=4))
    assert torch.equal(whole.model.weight, part.model.weight)
    assert torch.equal(whole_average.module.weight, part_average.module.weight)


@pytest.mark.parametrize("where", ["loss", "weight"])
def test_a_step_that_is_not_finite_stops_at_once_and_spares_the_average(where):
    trainer = Pull(poison_at=3, where=where)
    average = averaged(trainer.model, 0.9)
    reports = fit(trainer, average, batches(), steps=9, seed=0)
    kept = [(next(reports), average.module.weight.clone())[1] for _ in range(2)]
    with pytest.raises(DivergedError, match=f"step 3: {where}"):
        next(reports)
    assert torch.equal(average.module.weight, kept[-1])


def test_the_average_warms_up_and_follows_buffers():
    model = nn.BatchNorm1d(1)
    average = averaged(model, 0.999)
    average.update_parameters(model)
    with torch.no_grad():
        model.weight.fill_(12.0)
        model.running_mean.fill_(12.0)
        model.num_batches_tracked.fill_(7)
    average.update_parameters(model)
    assert average.module.weight.item() == pytest.approx(1 + 11 * 9 / 11)  # share kept: 2 / 11
    assert average.module.running_mean.item() == pytest.approx(12 * 9 / 11)
    assert average.module.num_batches_tracked.item() == 7


def test_a_batch_is_a_function_of_its_seed_and_step():
    first, second = batches(), batches()
    for step in (5, 0):  # in any order
        for a, b in zip(first(step), second(step), strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(first(0)[0], first(1)[0])
    assert not torch.equal(first(0)[0], Batches(images(), 4, seed=4)(0)[0])


@pytest.mark.parametrize(("power", "share"), [(1.0, 0.1), (0.5, 0.25), (0.0, 0.5)])
def test_class_power_sets_the_rare_classs_share(power, share):
    y = torch.tensor([0] * 90 + [1] * 10)
    data = LabelledImages(torch.zeros(100, 1, 8, 8), y, ("a", "b", "absent"))
    drawn = Batches(data, 20000, seed=0, power=power)(0)[1]
    assert drawn.float().mean().item() == pytest.approx(share, abs=0.02)


def test_augmentation_is_drawn_with_the_batch():
    def shift(x, rng):
        return x + torch.rand(1, generator=rng)

    plain, augmented = batches()(0), Batches(images(), 4, seed=3, augment=shift)(0)
    assert torch.equal(plain[1], augmented[1])
    difference = augmented[0] - plain[0]
    assert difference.max() - difference.min() < 1e-6 < difference.max()


def test_more_images_than_multinomial_takes_are_drawn_with_their_shares(monkeypatch):
    from augmentor.training import batches as module

    monkeypatch.setattr(module, "MOST_DRAWN_FROM", 10)
    y = torch.tensor([0] * 15 + [1] * 5)
    many = LabelledImages(torch.zeros(20, 1, 4, 4), y, ("a", "b"))
    drawn = Batches(many, 4000, seed=0, power=0.0)(0)[1]
    assert float(drawn.double().mean()) == pytest.approx(0.5, abs=0.04)
    assert torch.equal(drawn, Batches(many, 4000, seed=0, power=0.0)(0)[1])


def test_the_model_that_is_told_is_in_evaluation_mode():
    trainer = Pull()
    for report in fit(trainer, averaged(trainer.model, 0.9), batches(), steps=1, seed=0):
        assert not report.model.training
