import pytest
import torch
from torch.nn.functional import one_hot

from tests.augmentor.families.steps import batch, changed, only, step, trainer_for


def test_the_classifier_comes_to_know_the_classes():
    trainer = trainer_for("triple_gan", learning_rate=3e-3)
    x, y = batch()
    for seed in range(40):
        step(trainer, seed)
    assert torch.equal(trainer.model.classifier(x)[0].argmax(dim=1), y)


def test_what_the_discriminator_judges_are_true_guessed_and_generated_pairs():
    trainer = only(trainer_for("triple_gan"), ())
    m, (x, y) = trainer.model.train(), batch()
    pairs = []
    m.discriminator.register_forward_hook(lambda _, inputs, outputs: pairs.append(inputs))
    x_unlabelled = x.flip(0)[:5]
    losses = trainer.semi_supervised_step(x, y, x_unlabelled, torch.Generator().manual_seed(0))
    true, guessed, generated = pairs[:3]
    assert torch.equal(true[0], x)
    assert torch.equal(true[1], one_hot(y, 3).float())
    assert torch.equal(guessed[0], x_unlabelled)
    assert torch.equal(guessed[1], one_hot(m.classifier(x_unlabelled)[0].argmax(dim=1), 3).float())
    assert torch.equal(generated[1].sum(dim=0), true[1].sum(dim=0))
    assert all(loss.isfinite() for loss in losses.values())


def test_half_of_the_guesses_are_true_pairs_where_asked_for():
    trainer = only(trainer_for("triple_gan", guessed_as_true=True), ())
    m, (x, y) = trainer.model.train(), batch()
    pairs = []
    m.discriminator.register_forward_hook(lambda _, inputs, outputs: pairs.append(inputs))
    x_unlabelled = x.flip(0)[:5]
    trainer.semi_supervised_step(x, y, x_unlabelled, torch.Generator().manual_seed(0))
    guesses = one_hot(m.classifier(x_unlabelled)[0].argmax(dim=1), 3).float()
    (true, labels), (false, guessed) = pairs[:2]
    assert torch.equal(true, torch.cat([x, x_unlabelled[:2]]))
    assert torch.equal(labels, torch.cat([one_hot(y, 3).float(), guesses[:2]]))
    assert torch.equal(false, x_unlabelled[2:])
    assert torch.equal(guessed, guesses[2:])


@pytest.mark.parametrize("weight", ["weight_entropy", "weight_balance"])
def test_what_is_asked_of_unlabelled_images_teaches_the_classifier_alone(weight):
    plain, other = trainer_for("triple_gan"), trainer_for("triple_gan", **{weight: 50.0})
    step(plain)
    step(other)
    assert changed(plain.model, other.model) == {"classifier"}


def test_alpha_shares_the_false_pairs_between_classifier_and_generator():
    # At 0 the classifier plays no game: it learns from labels alone, whatever the discriminator
    # thinks.
    one = trainer_for("triple_gan", share_classifier=0.0, weight_generated=0.0)
    other = trainer_for(
        "triple_gan", share_classifier=0.0, weight_generated=0.0, game="least_squares"
    )
    step(one)
    step(other)
    assert changed(one.model, other.model) == {"generator", "discriminator"}
    # At 1 the generator plays none.
    assert step(trainer_for("triple_gan", share_classifier=1.0))["generator"] == 0


def test_generated_examples_teach_the_classifier_alone():
    plain, other = trainer_for("triple_gan"), trainer_for("triple_gan", weight_generated=50.0)
    step(plain)
    step(other)
    assert changed(plain.model, other.model) == {"classifier"}


def test_a_share_above_one_is_refused():
    with pytest.raises(ValueError, match=r"share_classifier must lie in \[0, 1\], found 1.5"):
        trainer_for("triple_gan", share_classifier=1.5)
