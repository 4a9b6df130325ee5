import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference_kl

from augmentor.losses.vae import kl_divergence, reparameterise


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
    mu, logvar = torch.randn(2, 3, 4, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    assert gradcheck(kl_divergence, (mu.requires_grad_(), logvar.requires_grad_()))


def test_kl_divergence_refuses_unequal_shapes():
    with pytest.raises(ValueError, match="differ in shape"):
        kl_divergence(torch.zeros(2, 3), torch.zeros(2, 4))


def test_reparameterised_draws_have_the_posteriors_moments():
    mu, logvar = torch.tensor([3.0, -1.0]).expand(20000, 2), torch.tensor([0.0, math.log(4.0)]).expand(20000, 2)
    z = reparameterise(mu, logvar, torch.randn(20000, 2, generator=torch.Generator().manual_seed(2)))
    assert z.mean(dim=0).tolist() == pytest.approx([3.0, -1.0], abs=0.05)
    assert z.std(dim=0).tolist() == pytest.approx([1.0, 2.0], abs=0.05)
