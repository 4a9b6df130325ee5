import pytest
import torch

from augmentor.families import FAMILIES
from tests.augmentor.families.steps import batch, step, trainer_for


def test_clipping_bounds_every_weight_of_the_critic_and_of_nobody_else():
    trainer = trainer_for("wgan")
    step(trainer)
    largest = {
        name: max(float(p.detach().abs().max()) for p in network.parameters())
        for name, network in trainer.model.named_children()
    }
    assert largest["discriminator"] == pytest.approx(0.01)
    assert largest["generator"] > 0.01


def slope(trainer):
    x, y = batch()
    x = x.requires_grad_()
    (gradient,) = torch.autograd.grad(trainer.model.discriminator(x, torch.eye(3)[y])[0].sum(), x)
    return float(gradient.flatten(1).norm(dim=1).mean())


def test_the_penalty_draws_the_critics_slope_to_one():
    trainer = trainer_for("wgan_gp", learning_rate=1e-3, weight_penalty=100.0)
    before = slope(trainer)
    for seed in range(30):
        step(trainer, seed)
    assert abs(slope(trainer) - 1) < 0.3 < abs(before - 1)


def test_the_generator_learns_which_class_has_which_row():
    trainer = trainer_for("wgan_gp", learning_rate=3e-3)
    for seed in range(80):
        step(trainer, seed)
    z = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
    rows = trainer.model.sample(torch.arange(30) % 3, z)[:, 0].mean(dim=2)[:, [0, 2, 4]]
    assert torch.stack([rows[c::3].mean(dim=0) for c in range(3)]).argmax(dim=1).tolist() == [
        0,
        1,
        2,
    ]


def test_the_batch_is_dealt_out_to_the_critics_updates(monkeypatch):
    trainer, seen = trainer_for("wgan_gp"), []
    forward = trainer.model.discriminator.forward
    monkeypatch.setattr(
        trainer.model.discriminator, "forward", lambda x, w: (seen.append(len(x)), forward(x, w))[1]
    )
    step(
        trainer
    )  # 12 images, five updates: 3, 3, 2, 2, 2, each seen as real, generated and between the two
    assert seen == [3] * 6 + [2] * 9 + [12]


def test_a_batch_that_cannot_be_dealt_out_is_refused():
    with pytest.raises(ValueError, match="a batch of 4 cannot be dealt out to 5"):
        trainer_for("wgan").step(*batch(4), rng=torch.Generator())


def test_batch_norm_and_the_penalty_exclude_each_other():
    with pytest.raises(ValueError, match="use layer"):
        FAMILIES["wgan_gp"].options_for("default", {"norm": "batch"})
