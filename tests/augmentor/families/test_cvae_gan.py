import copy

import pytest
import torch

from augmentor.families import FAMILIES
from augmentor.families.cvae_gan import PRESETS, CvaeGan, CvaeGanTrainer

CLASSES = ("a", "b", "c")
NETWORKS = ("encoder", "generator", "discriminator", "classifier")
SMALL = {"width": 4, "latent_dim": 6, "bfloat16": False}


def trainer_for(preset="default", seed=0, **overrides):
    torch.manual_seed(seed)
    return CvaeGanTrainer(CvaeGan(CLASSES, (1, 8, 8), FAMILIES["cvae_gan"].options_for(preset, SMALL | overrides)))


def batch(n=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    x = torch.rand(n, 1, 8, 8, generator=generator) * 0.2 - 1
    x[torch.arange(n), 0, y * 2] = 1.0  # class c has a bright row 2c
    return x, y


def step(trainer, seed=0):
    return trainer.step(*batch(), torch.Generator().manual_seed(seed))


def changed(before, after):
    """Names of the networks of which a parameter differs."""
    return {
        name
        for name in NETWORKS
        if any(
            not torch.equal(p, q)
            for p, q in zip(
                before.get_submodule(name).parameters(), after.get_submodule(name).parameters(), strict=True
            )
        )
    }


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_step_moves_all_four_networks_and_reports_finite_losses(preset):
    trainer = trainer_for(preset)
    before = copy.deepcopy(trainer.model)
    losses = step(trainer)
    assert changed(before, trainer.model) == set(NETWORKS)
    assert all(loss.ndim == 0 and loss.isfinite() and not loss.requires_grad for loss in losses.values())


def gradients_of(weights_on):
    """Largest gradient each network would get if only the named weights were on (rates 0: nothing moves)."""
    off = dict.fromkeys(
        ("weight_kl", "weight_pixels", "weight_features_d", "weight_features_c", "weight_mean", "weight_class_mean"),
        0.0,
    )
    trainer = trainer_for("paper", **(off | dict.fromkeys(weights_on, 1.0)))
    found = {}
    for name, optimiser in trainer.players.optimisers.items():
        parameters = list(trainer.model.get_submodule(name).parameters())

        def note(*_, name=name, parameters=parameters):
            found[name] = max(float(p.grad.abs().max()) for p in parameters if p.grad is not None)

        optimiser.register_step_pre_hook(note)
    step(trainer)
    return found


def test_the_papers_routing_kl_reaches_the_encoder_only():
    found = gradients_of(["weight_kl"])
    assert found["encoder"] > 0
    assert found["generator"] == 0


@pytest.mark.parametrize("weight", ["weight_mean", "weight_class_mean"])
def test_the_papers_routing_mean_matching_reaches_the_generator_only(weight):
    found = gradients_of([weight])
    assert found["generator"] > 0
    assert found["encoder"] == 0


@pytest.mark.parametrize("weight", ["weight_pixels", "weight_features_d", "weight_features_c"])
def test_the_papers_routing_pairs_reach_encoder_and_generator(weight):
    found = gradients_of([weight])
    assert found["generator"] > 0
    assert found["encoder"] > 0


def test_the_papers_generator_gets_no_cross_entropy():
    found = gradients_of([])
    assert found["generator"] == 0
    assert found["encoder"] == 0
    assert found["classifier"] > 0
    assert found["discriminator"] > 0


def test_classifier_and_discriminator_learn_nothing_from_the_generators_losses():
    quiet, loud = trainer_for("paper"), trainer_for("paper", weight_pixels=100.0, weight_kl=100.0, weight_mean=100.0)
    step(quiet)
    step(loud)
    assert changed(quiet.model, loud.model) == {"encoder", "generator"}


def test_the_classifiers_loss_falls_and_reconstructions_come_closer():
    trainer = trainer_for(learning_rate=2e-3, learning_rate_d=2e-3, diff_augment="", weight_adversarial=0.0)
    losses = [step(trainer, seed) for seed in range(120)]
    assert losses[-1]["classifier"] < 0.2 * losses[0]["classifier"]
    assert losses[-1]["pixels"] < 0.5 * losses[0]["pixels"]


def test_equal_seeds_give_equal_steps():
    first, second = trainer_for(), trainer_for()
    step(first)
    step(second)
    assert changed(first.model, second.model) == set()


def test_a_restored_trainer_goes_on_bit_for_bit():
    whole = trainer_for()
    step(whole)
    model, state = copy.deepcopy(whole.model), copy.deepcopy(whole.state())
    step(whole, 1)
    resumed = CvaeGanTrainer(model)
    resumed.restore(state)
    step(resumed, 1)
    assert changed(whole.model, resumed.model) == set()


def test_the_papers_weights():
    paper = PRESETS["paper"]
    assert (paper.weight_kl, paper.weight_pixels, paper.weight_mean, paper.weight_class_mean) == (3.0, 1.0, 1e-3, 1e-3)
    assert paper.weight_adversarial == 0
