"""Laws of every family's step."""

import copy

import pytest
import torch

from augmentor.families import FAMILIES
from tests.augmentor.families.steps import changed, only, step, trainer_for

EVERY = [(name, preset) for name, family in FAMILIES.items() for preset in family.presets]
OWN_LOSSES = [
    ("vae", ("encoder", "generator"), "bound"),
    ("cvae", ("encoder", "generator"), "bound"),
    ("gan", ("discriminator",), "discriminator"),
    ("gan", ("generator",), "generator"),
    ("cgan", ("discriminator",), "discriminator"),
    ("cgan", ("generator",), "generator"),
    ("lsgan", ("discriminator",), "discriminator"),
    ("lsgan", ("generator",), "generator"),
    ("fm_cgan", ("generator",), "mean"),
    ("wgan", ("discriminator",), "discriminator"),
    ("wgan", ("generator",), "generator"),
    ("wgan_gp", ("discriminator",), "discriminator"),
    ("wgan_gp", ("generator",), "generator"),
    ("vae_gan", ("encoder",), "encoder"),
    ("vae_gan", ("generator",), "generator"),
    ("vae_gan", ("discriminator",), "discriminator"),
    ("wae_gan", ("encoder", "generator"), "autoencoder"),
    ("wae_gan", ("discriminator",), "discriminator"),
    ("aegan", ("encoder", "generator"), "autoencoder"),
    ("aegan", ("latent_generator",), "latent_generator"),
    ("aegan", ("latent_discriminator",), "latent_discriminator"),
    ("aegan", ("discriminator",), "discriminator"),
    ("ip_gan", ("identity",), "identity"),
    ("ip_gan", ("encoder",), "encoder"),
    ("ip_gan", ("generator",), "generator"),
    ("ip_gan", ("discriminator",), "discriminator"),
    ("pixel_cnn", ("network",), "bits_per_dimension"),
    ("triple_gan", ("discriminator",), "discriminator"),
    ("triple_gan", ("classifier",), "classifier"),
    ("triple_gan", ("generator",), "generator"),
]


@pytest.mark.parametrize(("family", "preset"), EVERY)
def test_a_step_moves_every_network_and_reports_finite_losses(family, preset):
    trainer = trainer_for(family, preset)
    before = copy.deepcopy(trainer.model)
    losses = step(trainer)
    assert changed(before, trainer.model) == {name for name, _ in before.named_children()}
    assert all(
        loss.ndim == 0 and loss.isfinite() and not loss.requires_grad for loss in losses.values()
    )


@pytest.mark.parametrize(("family", "preset"), EVERY)
def test_every_update_leaves_the_other_players_bit_equal(family, preset, monkeypatch):
    trainer = trainer_for(family, preset)
    descend, seen = trainer.players.descend, []

    def watched(losses):
        named = {name for names in losses for name in names}
        before = copy.deepcopy(trainer.model)
        descend(losses)
        assert changed(before, trainer.model) <= named
        assert all(p.grad is None for p in trainer.model.parameters())
        seen.append(named)

    monkeypatch.setattr(trainer.players, "descend", watched)
    step(trainer)
    assert set.union(*seen) == set(trainer.players.optimisers)


@pytest.mark.parametrize(("family", "players", "loss"), OWN_LOSSES)
def test_a_players_steps_lower_its_own_loss(family, players, loss):
    trainer = trainer_for(family)
    step(trainer)
    only(trainer, players)
    # The same batch and noise from now on: what changes is the player alone.
    values = [float(step(trainer)[loss]) for _ in range(6)]
    assert values[-1] < values[0]
    assert values[1] < values[0]


@pytest.mark.parametrize(("family", "preset"), EVERY)
def test_equal_seeds_give_equal_steps(family, preset):
    first, second = trainer_for(family, preset), trainer_for(family, preset)
    step(first)
    step(second)
    assert changed(first.model, second.model) == set()


@pytest.mark.parametrize(("family", "preset"), EVERY)
def test_a_restored_trainer_goes_on_bit_for_bit(family, preset):
    whole = trainer_for(family, preset)
    step(whole)
    model, state = copy.deepcopy(whole.model), copy.deepcopy(whole.state())
    step(whole, 1)
    resumed = FAMILIES[family].trainer(model)
    resumed.restore(state)
    step(resumed, 1)
    expected, found = whole.model.state_dict(), model.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
