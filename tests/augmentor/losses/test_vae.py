import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.distributions import Bernoulli, Normal
from torch.distributions import kl_divergence as reference_kl

from augmentor.losses.vae import bernoulli_nll, gaussian_nll, kl_divergence, reparameterise


def test_kl_divergence_of_hand_worked_posterior():
    # Half of (mu^2 + sigma^2 - log sigma^2 - 1): (1 + 4 - log 4 - 1) / 2 and 0.
    mu, logvar = torch.tensor([[1.0], [0.0]]), torch.tensor([[math.log(4.0)], [0.0]])
    assert kl_divergence(mu, logvar).tolist() == pytest.approx([2.0 - math.log(2.0), 0.0], abs=1e-6)


def test_kl_divergence_equals_torch_distributions():
    mu, logvar = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    expected = reference_kl(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(kl_divergence(mu, logvar), expected)


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_kl_divergence_is_never_negative(mu, logvar):
    assert kl_divergence(torch.tensor([[mu]]), torch.tensor([[logvar]])).item() >= -1e-6


def test_kl_divergence_gradient():
    mu, logvar = torch.randn(
        2, 3, 4, dtype=torch.double, generator=torch.Generator().manual_seed(1)
    )
    assert gradcheck(kl_divergence, (mu.requires_grad_(), logvar.requires_grad_()))


def test_kl_divergence_refuses_unequal_shapes():
    with pytest.raises(ValueError, match="differ in shape"):
        kl_divergence(torch.zeros(2, 3), torch.zeros(2, 4))


def test_reparameterised_draws_have_the_posteriors_moments():
    mu, logvar = (
        torch.tensor([3.0, -1.0]).expand(20000, 2),
        torch.tensor([0.0, math.log(4.0)]).expand(20000, 2),
    )
    z = reparameterise(
        mu, logvar, torch.randn(20000, 2, generator=torch.Generator().manual_seed(2))
    )
    assert z.mean(dim=0).tolist() == pytest.approx([3.0, -1.0], abs=0.05)
    assert z.std(dim=0).tolist() == pytest.approx([1.0, 2.0], abs=0.05)


def test_bernoulli_nll_of_hand_worked_pixels():
    # White at p = 1/2: log 2. Black at p = 3/4: -log(1/4). Grey (t = 1/2) at p = 3/4: -(log 3/4 +
    # log 1/4) / 2.
    x = torch.tensor([1.0, -1.0, 0.0]).view(3, 1, 1, 1)
    logits = torch.tensor([0.0, math.log(3.0), math.log(3.0)]).view(3, 1, 1, 1)
    expected = [math.log(2), math.log(4), -(math.log(0.75) + math.log(0.25)) / 2]
    assert bernoulli_nll(x, logits).tolist() == pytest.approx(expected, abs=1e-6)


def test_bernoulli_nll_equals_torch_distributions_and_is_least_at_the_pixels_own_odds():
    x = torch.rand(4, 2, 3, 3, generator=torch.Generator().manual_seed(0)) * 1.9 - 0.95
    logits = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    own = ((1 + x) / (1 - x)).log()
    entropy = Bernoulli(logits=own).entropy().flatten(1).sum(dim=1)
    torch.testing.assert_close(bernoulli_nll(x, own), entropy)
    assert (bernoulli_nll(x, logits) > entropy).all()
    white = torch.ones_like(x)
    torch.testing.assert_close(
        bernoulli_nll(white, logits),
        -Bernoulli(logits=logits).log_prob(white).flatten(1).sum(dim=1),
    )


def test_bernoulli_nll_is_finite_where_a_probability_would_be_zero():
    assert bernoulli_nll(
        torch.ones(1, 1, 1, 1), torch.full((1, 1, 1, 1), -1e4)
    ).item() == pytest.approx(1e4)


def test_gaussian_nll_of_hand_worked_pixels_and_torch_distributions():
    # Two pixels off by 1 at sigma 1/2: 2 (2 + log(1/2) + log(2 pi) / 2).
    x, mean = torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1, 2)
    assert gaussian_nll(x, mean, 0.5).item() == pytest.approx(
        2 * (2 - math.log(2) + 0.5 * math.log(2 * math.pi))
    )
    x, mean = torch.randn(2, 4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        gaussian_nll(x, mean, 0.3), -Normal(mean, 0.3).log_prob(x).flatten(1).sum(dim=1)
    )


@pytest.mark.parametrize("nll", [bernoulli_nll, lambda x, m: gaussian_nll(x, m, 0.3)])
def test_gradients_and_shapes_of_the_likelihoods(nll):
    x = (
        torch.rand(2, 1, 2, 2, dtype=torch.double, generator=torch.Generator().manual_seed(2)) * 2
        - 1
    )
    mean = torch.randn(2, 1, 2, 2, dtype=torch.double, generator=torch.Generator().manual_seed(3))
    assert gradcheck(nll, (x.requires_grad_(), mean.requires_grad_()))
    with pytest.raises(ValueError, match="shapes differ"):
        nll(torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 1))
