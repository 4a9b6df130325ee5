from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from augmentor.common.types import DensitySource
from augmentor.families.vae import CVAE_PRESETS, Vae
from augmentor.quality.class_likelihood import class_bounds, tempered
from tests.contracts.no_float64 import NoFloat64

CLASSES = ("dark", "light")


class TwoGreys:
    """p(x | c) is normal around one grey a class, and the latent is of no matter: the bound is
    exact."""

    classes, image_shape, latent_dim = CLASSES, (1, 2, 2), 3

    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        return (y.float() - 0.5).view(-1, 1, 1, 1).expand(-1, *self.image_shape)

    def log_density(self, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        return Normal(self.sample(y, noise), 0.5).log_prob(x).flatten(1).sum(dim=1)


def test_bounds_by_hand() -> None:
    x = torch.tensor([-0.5, 0.5, 0.0]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    bounds = class_bounds(TwoGreys(), x, seed=0)
    assert (bounds.shape, bounds.dtype) == ((3, 2), torch.float64)
    # Four pixels at the mean of a normal of width 0.5, or two widths beside it.
    at, beside = 4 * math.log(1 / (0.5 * math.sqrt(2 * math.pi))), 4 * 2.0
    assert bounds[0].tolist() == pytest.approx([at, at - beside])
    assert bounds[1].tolist() == pytest.approx([at - beside, at])
    assert bounds[2, 0] == bounds[2, 1]
    assert class_bounds(TwoGreys(), x[:0], seed=0).shape == (0, 2)


def test_bounds_of_a_source_on_a_device_without_float64() -> None:
    class Elsewhere(TwoGreys):
        def log_density(self, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
            return super().log_density(x, y, noise).as_subclass(NoFloat64)

    x = torch.zeros(2, 1, 2, 2)
    assert torch.equal(class_bounds(Elsewhere(), x, seed=0), class_bounds(TwoGreys(), x, seed=0))


def test_a_vae_gives_the_bound_that_it_is_trained_on() -> None:
    torch.manual_seed(0)
    model = Vae(CLASSES, (1, 8, 8), CVAE_PRESETS["default"])
    assert isinstance(model, DensitySource)
    x, y, noise = (
        torch.rand(5, 1, 8, 8) * 2 - 1,
        torch.tensor([0, 1, 1, 0, 1]),
        torch.randn(5, model.latent_dim),
    )
    class_probs = torch.eye(2)[y]
    with torch.no_grad():
        mu, logvar = model.eval().posterior(x, class_probs)
        nll = model.nll(x, mu + (logvar / 2).exp() * noise, class_probs)
        kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(dim=1)
    torch.testing.assert_close(model.log_density(x, y, noise), -nll - kl)


def test_bounds_depend_on_the_seed_and_on_each_image_alone() -> None:
    torch.manual_seed(0)
    model = Vae(CLASSES, (1, 8, 8), CVAE_PRESETS["default"])
    x = torch.rand(300, 1, 8, 8) * 2 - 1
    bounds = class_bounds(model, x, seed=1)
    torch.testing.assert_close(bounds, class_bounds(model, x, seed=1))
    assert not torch.equal(bounds, class_bounds(model, x, seed=2))
    changed = x.clone()
    changed[7] = 0
    same = torch.arange(300) != 7
    torch.testing.assert_close(bounds[same], class_bounds(model, changed, seed=1)[same])


@pytest.mark.parametrize("confidence", [0.6, 0.9, 0.999])
def test_tempered_probabilities_are_as_sure_as_asked_for_in_the_same_order(
    confidence: float,
) -> None:
    bounds = 1000 * torch.randn(
        50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    found = tempered(bounds, confidence)
    assert found.exp().sum(dim=1).tolist() == pytest.approx([1] * 50)
    assert float(found.exp().amax(dim=1).mean()) == pytest.approx(confidence, abs=1e-6)
    assert torch.equal(found.argsort(dim=1), bounds.argsort(dim=1))
