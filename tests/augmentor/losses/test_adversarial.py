import math

import pytest
import torch

from augmentor.losses.adversarial import fake_loss, generator_loss, real_loss

LOGITS = torch.tensor([-2.0, 0.0, 2.0])


def test_minimax_equals_cross_entropy_of_the_probability():
    probability = torch.sigmoid(LOGITS)
    torch.testing.assert_close(real_loss(LOGITS, "minimax"), -probability.log())
    torch.testing.assert_close(fake_loss(LOGITS, "minimax"), -(1 - probability).log())
    assert real_loss(torch.zeros(1), "minimax").item() == pytest.approx(math.log(2), abs=1e-6)


def test_hinge_of_hand_worked_logits():
    assert real_loss(LOGITS, "hinge").tolist() == [3.0, 1.0, 0.0]
    assert fake_loss(LOGITS, "hinge").tolist() == [0.0, 1.0, 3.0]
    assert generator_loss(LOGITS, "hinge").tolist() == [2.0, 0.0, -2.0]


def test_minimax_generator_is_non_saturating():
    logits = torch.tensor([-20.0], requires_grad=True)
    generator_loss(logits, "minimax").sum().backward()
    assert logits.grad.item() == pytest.approx(-1.0, abs=1e-4)


@pytest.mark.parametrize("game", ["minimax", "hinge"])
def test_losses_stay_finite_at_extreme_logits(game):
    for loss in (real_loss, fake_loss, generator_loss):
        assert loss(torch.tensor([-1e4, 1e4]), game).isfinite().all()
