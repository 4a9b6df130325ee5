import copy

import pytest
import torch
from torch.nn.functional import softplus

from tests.augmentor.families.steps import batch, changed, step, trainer_for


def rows_after(trainer, steps):
    """Brightness of rows 0, 2, 4 (those of the classes) in the mean sample of every class."""
    for seed in range(steps):
        step(trainer, seed)
    z = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
    x = trainer.model.sample(torch.arange(30) % 3, z)[:, 0].mean(dim=2)[:, [0, 2, 4]]
    return torch.stack([x[c::3].mean(dim=0) for c in range(3)])


@pytest.mark.parametrize("family", ["cgan", "lsgan", "fm_cgan"])
def test_the_generator_learns_which_class_has_which_row(family):
    rows = rows_after(trainer_for(family, learning_rate=3e-3, learning_rate_d=2e-3), 200)
    assert rows.argmax(dim=1).tolist() == [0, 1, 2]


def test_the_feature_matching_generator_gets_nothing_from_the_game():
    one, other = (
        trainer_for("fm_cgan"),
        trainer_for("fm_cgan", weight_mean=1.0, game="least_squares"),
    )
    # The discriminators part, by their games, only when they have moved; with rates of zero they
    # stay alike.
    for trainer in (one, other):
        trainer.players.optimisers["discriminator"].param_groups[0]["lr"] = 0.0
        step(trainer)
    assert changed(one.model, other.model) == set()


def test_mean_matching_is_not_computed_where_it_weighs_nothing():
    assert step(trainer_for("cgan"))["mean"] == 0
    assert step(trainer_for("fm_cgan"))["mean"] > 0


def test_the_generator_plays_against_the_discriminator_just_improved():
    trainer = trainer_for("cgan", learning_rate=0.0, learning_rate_d=1e-2)
    before = copy.deepcopy(trainer.model)
    loss = step(trainer)["adversarial"]
    rng = torch.Generator().manual_seed(0)
    z, class_probs = torch.randn(12, 6, generator=rng), torch.eye(3)[batch()[1]]
    class_probs = class_probs[torch.randperm(12, generator=rng)]
    with torch.no_grad():
        x_fake = before.train().generator(z, class_probs)
        old, new = (
            softplus(-m.discriminator(x_fake, class_probs)[0]).mean()
            for m in (before, trainer.model)
        )
    torch.testing.assert_close(loss, new)
    assert (old - new).abs() > 1e-3


@pytest.mark.parametrize(
    "game", ["minimax", "non_saturating", "maximum_likelihood", "least_squares", "hinge"]
)
def test_every_game_can_be_played(game):
    trainer = trainer_for("cgan", game=game, norm="spectral", conditioning="projection")
    losses = [step(trainer, seed) for seed in range(3)]
    assert all(value.isfinite() for one in losses for value in one.values())
