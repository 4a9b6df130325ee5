import math
from typing import get_args

import pytest
import torch
from torch.autograd import gradcheck

from augmentor.losses.adversarial import STEEPEST, Game, fake_loss, generator_loss, real_loss

GAMES = get_args(Game)
LOGITS = torch.tensor([-2.0, 0.0, 2.0])


@pytest.mark.parametrize("game", ["minimax", "non_saturating", "maximum_likelihood"])
def test_three_games_share_the_discriminators_cross_entropy(game):
    probability = torch.sigmoid(LOGITS)
    torch.testing.assert_close(real_loss(LOGITS, game), -probability.log())
    torch.testing.assert_close(fake_loss(LOGITS, game), -(1 - probability).log())
    assert real_loss(torch.zeros(1), game).item() == pytest.approx(math.log(2), abs=1e-6)


def test_the_generators_losses_of_the_three_by_their_probabilities():
    probability = torch.sigmoid(LOGITS)
    torch.testing.assert_close(generator_loss(LOGITS, "minimax"), (1 - probability).log())
    torch.testing.assert_close(generator_loss(LOGITS, "non_saturating"), -probability.log())
    torch.testing.assert_close(
        generator_loss(LOGITS, "maximum_likelihood"), -probability / (1 - probability)
    )


def test_hinge_of_hand_worked_logits():
    assert real_loss(LOGITS, "hinge").tolist() == [3.0, 1.0, 0.0]
    assert fake_loss(LOGITS, "hinge").tolist() == [0.0, 1.0, 3.0]
    assert generator_loss(LOGITS, "hinge").tolist() == [2.0, 0.0, -2.0]


def test_least_squares_of_hand_worked_logits():
    assert real_loss(LOGITS, "least_squares").tolist() == [4.5, 0.5, 0.5]
    assert fake_loss(LOGITS, "least_squares").tolist() == [2.0, 0.0, 2.0]
    assert generator_loss(LOGITS, "least_squares").tolist() == [4.5, 0.5, 0.5]


def test_wasserstein_is_a_difference_of_means():
    assert real_loss(LOGITS, "wasserstein").tolist() == [2.0, 0.0, -2.0]
    assert fake_loss(LOGITS, "wasserstein").tolist() == [-2.0, 0.0, 2.0]
    assert generator_loss(LOGITS, "wasserstein").tolist() == [2.0, 0.0, -2.0]


def gradient(logit, game):
    logits = torch.tensor([logit], requires_grad=True)
    generator_loss(logits, game).sum().backward()
    return logits.grad.item()


def test_minimax_saturates_where_the_discriminator_is_sure_and_non_saturating_does_not():
    assert gradient(-20.0, "minimax") == pytest.approx(0.0, abs=1e-8)
    assert gradient(-20.0, "non_saturating") == pytest.approx(-1.0, abs=1e-4)


def test_maximum_likelihood_goes_on_as_its_tangent():
    slope = -math.exp(STEEPEST)
    assert gradient(STEEPEST, "maximum_likelihood") == pytest.approx(slope, rel=1e-5)
    assert gradient(STEEPEST + 100, "maximum_likelihood") == pytest.approx(slope, rel=1e-5)
    assert generator_loss(
        torch.tensor([STEEPEST + 2]), "maximum_likelihood"
    ).item() == pytest.approx(3 * slope)


@pytest.mark.parametrize("game", GAMES)
def test_the_generator_is_pulled_towards_the_real(game):
    assert all(gradient(logit, game) < 0 for logit in (-2.0, 0.0, 0.5))


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("loss", [real_loss, fake_loss, generator_loss])
def test_gradients_match_and_extreme_logits_stay_finite(loss, game):
    logits = torch.tensor([-3.0, -0.4, 0.7, 2.5], dtype=torch.double, requires_grad=True)
    assert gradcheck(lambda values: loss(values, game), (logits,))
    assert loss(torch.tensor([-1e4, 1e4]), game).isfinite().all()
