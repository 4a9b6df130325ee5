import pytest

from augmentor.families.cvae_gan import PRESETS
from tests.augmentor.families.steps import changed, largest_gradients, step
from tests.augmentor.families.steps import trainer_for as any_trainer


def trainer_for(preset="default", **overrides):
    return any_trainer("cvae_gan", preset, **overrides)


def gradients_of(weights_on):
    """Largest gradient each network would get if only the named weights were on."""
    off = dict.fromkeys(
        (
            "weight_kl",
            "weight_pixels",
            "weight_features_d",
            "weight_features_c",
            "weight_mean",
            "weight_class_mean",
        ),
        0.0,
    )
    return largest_gradients(trainer_for("paper", **(off | dict.fromkeys(weights_on, 1.0))))


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


def test_the_symmetric_loss_reaches_the_generator_and_not_the_classifier():
    found = gradients_of(["weight_class"])
    assert found["generator"] > 0
    assert found["classifier"] == gradients_of([])["classifier"]


def test_classifier_and_discriminator_learn_nothing_from_the_generators_losses():
    quiet, loud = (
        trainer_for("paper"),
        trainer_for("paper", weight_pixels=100.0, weight_kl=100.0, weight_mean=100.0),
    )
    step(quiet)
    step(loud)
    assert changed(quiet.model, loud.model) == {"encoder", "generator"}


def test_the_classifiers_loss_falls_and_reconstructions_come_closer():
    trainer = trainer_for(
        learning_rate=2e-3, learning_rate_d=2e-3, diff_augment="", weight_adversarial=0.0
    )
    losses = [step(trainer, seed) for seed in range(120)]
    assert losses[-1]["classifier"] < 0.2 * losses[0]["classifier"]
    assert losses[-1]["pixels"] < 0.5 * losses[0]["pixels"]


def test_the_papers_weights():
    paper = PRESETS["paper"]
    assert (paper.weight_kl, paper.weight_pixels, paper.weight_mean, paper.weight_class_mean) == (
        3.0,
        1.0,
        1e-3,
        1e-3,
    )
    assert paper.weight_adversarial == 0
