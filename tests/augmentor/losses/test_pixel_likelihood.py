import math

import pytest
import torch
from torch.autograd import gradcheck

from augmentor.losses.pixel_likelihood import (
    LEVELS,
    bits_per_dimension,
    discretised_logistic_cdf,
    discretised_logistic_nll,
    level_of,
    value_of,
)


def parameters(logits, means, log_scales):
    """Those of one pixel."""
    return torch.tensor([logits, means, log_scales], dtype=torch.double).view(1, 1, 1, 1, 3, -1)


def every_level(of):
    x = value_of(torch.arange(LEVELS)).double().view(-1, 1, 1, 1)
    return -discretised_logistic_nll(x, of.expand(LEVELS, -1, -1, -1, -1, -1))


def test_the_lowest_level_of_one_logistic_worked_by_hand():
    # Mean -1, scale 1/255: the upper edge of level 0 is one scale above the mean, log sigma(1) =
    # -0.313262.
    of = parameters([0.0], [-1.0], [-math.log(255)])
    x = torch.full((1, 1, 1, 1), -1.0, dtype=torch.double)
    assert discretised_logistic_nll(x, of).item() == pytest.approx(0.313262, abs=1e-6)
    # Level 1 is between 1 and 3 scales: sigma(3) - sigma(1) = 0.952574 - 0.731059.
    assert every_level(of)[1].exp().item() == pytest.approx(0.221515, abs=1e-6)
    # Half of it with a second logistic that is far away.
    half = parameters([0.0, 0.0], [-1.0, 1.0], [-math.log(255)] * 2)
    assert every_level(half)[1].exp().item() == pytest.approx(0.221515 / 2, abs=1e-6)


@pytest.mark.parametrize("log_scale", [-7.0, -3.0, 0.0, 3.0])
def test_probabilities_sum_to_one_and_their_sums_are_the_distribution_function(log_scale):
    of = parameters([0.3, -1.0, 0.0], [-1.4, 0.1, 0.9], [log_scale, log_scale, -2.0])
    p = every_level(of).exp()
    # Pixels are float32, so borders of levels meet to their precision.
    assert p.sum().item() == pytest.approx(1.0, abs=1e-6)
    torch.testing.assert_close(
        p.cumsum(0)[:-1], discretised_logistic_cdf(of).flatten(), atol=1e-6, rtol=1e-6
    )


def test_far_levels_cost_a_finite_price_with_a_finite_gradient():
    of = parameters([0.0], [-1.0], [-7.0]).float().requires_grad_()
    nll = discretised_logistic_nll(torch.full((1, 1, 1, 1), 0.5), of)
    nll.sum().backward()
    assert nll.item() > 1000
    assert of.grad.isfinite().all()


def test_pixels_and_channels_add_up_and_images_do_not():
    rng = torch.Generator().manual_seed(0)
    of = torch.randn(4, 2, 3, 3, 3, 5, generator=rng, dtype=torch.double)
    x = torch.rand(4, 2, 3, 3, generator=rng, dtype=torch.double) * 2 - 1
    whole = discretised_logistic_nll(x, of)
    parts = discretised_logistic_nll(x[:, :1], of[:, :1]) + discretised_logistic_nll(
        x[:, 1:], of[:, 1:]
    )
    torch.testing.assert_close(whole, parts)
    torch.testing.assert_close(discretised_logistic_nll(x[1:2], of[1:2]), whole[1:2])
    assert (whole >= 0).all()


def test_gradient():
    of = torch.randn(
        2, 1, 2, 2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.double
    )
    x = (
        torch.tensor([-1.0, -0.2, 0.4, 1.0], dtype=torch.double)
        .view(1, 1, 2, 2)
        .expand(2, -1, -1, -1)
    )
    assert gradcheck(lambda p: discretised_logistic_nll(x, p), (of.requires_grad_(),))


def test_levels_and_their_values():
    assert torch.equal(level_of(value_of(torch.arange(LEVELS))), torch.arange(LEVELS))
    assert level_of(torch.tensor([-1.0, 1.0, 0.0039, -0.0039])).tolist() == [0, 255, 128, 127]


def test_an_image_of_which_nothing_is_known_takes_eight_bits():
    nats = torch.tensor([12 * math.log(256), 0.0])
    assert bits_per_dimension(nats, 12).tolist() == pytest.approx([8.0, 0.0])


@pytest.mark.parametrize("shape", [(2, 1, 4, 4, 2, 5), (2, 1, 4, 3, 3, 5), (2, 1, 4, 4, 3)])
def test_shapes_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match="parameters"):
        discretised_logistic_nll(torch.zeros(2, 1, 4, 4), torch.zeros(shape))
