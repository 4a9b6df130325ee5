import pytest
import torch

from augmentor.common.conditions import Conditions
from augmentor.families import FAMILIES
from augmentor.families.cvae_gan import PRESETS
from tests.augmentor.families.steps import batch, changed, largest_gradients, small, step
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


def generators_gradient(weight, *, features=1.0, classes=("a", "b", "c"), **overrides):
    """Largest gradient of the generator by one loss alone, with the classifier's features longer by
    a factor; and half their mean square over the batch."""
    quiet = {"weight_pixels": 0.0, "weight_features_d": 0.0, "weight_features_c": 0.0}
    quiet |= {"weight_class_mean": 0.0, "weight_adversarial": 0.0, "weight_kl": 0.0}
    family = FAMILIES["cvae_gan"]
    torch.manual_seed(0)
    chosen = family.options_for("default", small("cvae_gan") | quiet | {weight: 1.0} | overrides)
    trainer = family.trainer(family.build(classes, (1, 8, 8), chosen))
    last = [m for m in trainer.model.classifier.body.modules() if isinstance(m, torch.nn.Linear)][
        -1
    ]
    with torch.no_grad():
        for parameter in last.parameters():
            parameter *= features
        half_square = 0.5 * trainer.model.classifier(batch()[0])[1].square().sum(1).mean()
    return largest_gradients(trainer)["generator"], float(half_square)


def test_the_classifiers_losses_count_whole_where_its_features_are_short():
    for weight in ("weight_features_c", "weight_class_mean"):
        limited, half_square = generators_gradient(weight)
        assert half_square < 2000
        assert limited == generators_gradient(weight, limit_features=False)[0] > 0


@pytest.mark.parametrize("weight", ["weight_features_c", "weight_class_mean"])
def test_long_features_of_the_classifier_weigh_no_more_than_usual_ones(weight):
    limited, half_square = generators_gradient(weight, features=1e4)
    unlimited, _ = generators_gradient(weight, features=1e4, limit_features=False)
    assert half_square > 20_000
    assert limited == pytest.approx(unlimited * 2000 / half_square, rel=1e-3)


def test_the_sum_over_many_classes_weighs_no_more_than_that_over_ten():
    many = tuple(f"{number:02d}" for number in range(40))
    limited, _ = generators_gradient("weight_class_mean", classes=many)
    unlimited, _ = generators_gradient("weight_class_mean", classes=many, limit_features=False)
    assert limited == pytest.approx(unlimited / 4, rel=1e-3)
    pair, _ = generators_gradient("weight_features_c", classes=many)
    assert pair == generators_gradient("weight_features_c", classes=many, limit_features=False)[0]


def test_the_papers_weights():
    paper = PRESETS["paper"]
    assert (paper.weight_kl, paper.weight_pixels, paper.weight_mean, paper.weight_class_mean) == (
        3.0,
        1.0,
        1e-3,
        1e-3,
    )
    assert paper.weight_adversarial == 0
    assert not paper.limit_features


FONTS = Conditions(("font",), ("top", "bottom"))


def conditional_trainer(**overrides):
    """A small trainer whose data have a bright column 2c for class c and a bright row for the
    condition."""
    torch.manual_seed(0)
    family = FAMILIES["cvae_gan"]
    options = family.options_for("default", small("cvae_gan") | overrides)
    return family.trainer(family.build(("a", "b", "c"), (1, 8, 8), options, FONTS))


def conditional_batch(n=24, seed=0):
    rng = torch.Generator().manual_seed(seed)
    y, condition = torch.arange(n) % 3, torch.arange(n) // 3 % 2
    y[(y == 2) & (condition == 1)] = 0  # class c was never seen with the condition "bottom"
    x = torch.rand(n, 1, 8, 8, generator=rng) * 0.2 - 1
    x[torch.arange(n), 0, :, y * 2] = 1.0
    x[torch.arange(n), 0, 7 * condition] = 1.0
    return x, y, condition


def given_to_the_generator(**overrides):
    """Rows of the batch, and those that its reconstructions and samples are rendered of."""
    trainer = conditional_trainer(**overrides)
    asked = []
    forward = trainer.model.generator.forward

    def note(z, given):
        asked.append(given.detach().clone())
        return forward(z, given)

    trainer.model.generator.forward = note
    x, y, condition = conditional_batch()
    trainer.step(x, y, condition, rng=torch.Generator().manual_seed(0))
    return trainer.model.given(y, condition), *asked


def test_recombinations_keep_the_class_with_another_images_condition():
    real, reconstructed, recombined = given_to_the_generator()
    assert torch.equal(reconstructed, real)
    # Rows of a class in the one part, of a condition in the other, each as often as in the batch.
    for part in (slice(0, 3), slice(3, 5)):
        assert torch.equal(recombined[:, part].sum(dim=0), real[:, part].sum(dim=0))
    assert not torch.equal(recombined, real)
    met = {tuple(row) for row in recombined.int().tolist()}
    assert (0, 0, 1, 0, 1) in met  # the combination that no image shows


def test_without_recombination_samples_keep_the_pairs_of_the_batch():
    real, _, sampled = given_to_the_generator(recombine=False)
    assert torch.equal(sampled, real)


def test_a_trained_source_follows_class_and_condition():
    trainer = conditional_trainer(
        learning_rate=5e-3,
        weight_adversarial=0.0,
        weight_pixels=200.0,
        weight_kl=10.0,  # with less, the latent tells the condition, and the generator is deaf
        diff_augment="",
    )
    for seed in range(150):
        trainer.step(*conditional_batch(seed=seed), rng=torch.Generator().manual_seed(seed))
    y, condition = torch.tensor([0, 1, 0, 1]), torch.tensor([1, 1, 0, 0])
    x = trainer.model.sample(y, torch.zeros(4, trainer.model.latent_dim), condition)[:, 0]
    assert x[:, 2:6, [0, 2, 4]].mean(dim=1).argmax(dim=1).tolist() == y.tolist()
    assert (x[:, 7].mean(dim=1) > x[:, 0].mean(dim=1)).long().tolist() == condition.tolist()


def test_a_source_without_conditions_refuses_one():
    trainer = trainer_for()
    with pytest.raises(ValueError, match="leave condition out"):
        trainer.model.sample(torch.tensor([0]), torch.zeros(1, 6), torch.tensor([0]))
