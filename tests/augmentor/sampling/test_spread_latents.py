from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from augmentor.sampling.spread_latents import DonatedLatents, ScaledLatents
from augmentor.sampling.synthesize import render
from tests.contracts.no_float64 import NoFloat64
from tests.contracts.source_contract import check_source


class Plain(nn.Module):
    """Shows its first latent on the left half of an image and a brightness by class on the right
    one."""

    classes, image_shape, latent_dim = ("a", "b"), (1, 2, 4), 3

    @torch.no_grad()
    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        class_probs = y if y.is_floating_point() else nn.functional.one_hot(y, 2).float()
        left = z.mean(dim=1).tanh().view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
        right = (class_probs @ torch.tensor([-0.5, 0.5])).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
        return torch.cat([left, right], dim=3)


DONORS = [torch.full((2, 3), 0.25) * torch.tensor([[1.0], [-1.0]]), torch.full((1, 3), 0.75)]


def test_both_are_sources() -> None:
    check_source(ScaledLatents(Plain(), 2.0))
    check_source(DonatedLatents(Plain(), DONORS, 0.3))


def test_a_scaled_latent_by_hand() -> None:
    z, y = torch.tensor([[0.1, 0.2, 0.3]]), torch.tensor([0])
    assert torch.equal(ScaledLatents(Plain(), 3.0).sample(y, z), Plain().sample(y, 3 * z))
    assert torch.equal(ScaledLatents(Plain(), 1.0).sample(y, z), Plain().sample(y, z))


def test_without_noise_the_donors_of_the_class_are_rendered_and_equally_often() -> None:
    source = DonatedLatents(Plain(), DONORS, 0.0)
    first, _ = render(source, 0, 400, seed=0)
    expected = torch.tensor([-0.25, 0.25]).tanh()
    torch.testing.assert_close(first[:, 0, 0, 0].unique(), expected)
    assert float((first[:, 0, 0, 0] > 0).float().mean()) == pytest.approx(0.5, abs=0.08)
    second, _ = render(source, 1, 5, seed=0)
    torch.testing.assert_close(second[:, 0, 0, 0], torch.full((5,), 0.75).tanh())
    assert bool((second[..., 3] == 0.5).all())  # the class is the one asked for, whoever donates


def test_noise_is_that_of_the_other_latents() -> None:
    z = torch.tensor([[1.0, 2.0, 3.0, -9.0], [1.0, 2.0, 3.0, 9.0]])
    rendered = DonatedLatents(Plain(), DONORS, 0.5).sample(torch.tensor([0, 0]), z)
    donated = DONORS[0] + 0.5 * z[:, :3]
    torch.testing.assert_close(rendered, Plain().sample(torch.tensor([0, 0]), donated))


def test_donors_are_chosen_for_latents_on_a_device_without_float64() -> None:
    source, y, z = DonatedLatents(Plain(), DONORS, 0.5), torch.tensor([0, 1]), torch.randn(2, 4)
    assert torch.equal(source.sample(y, z.as_subclass(NoFloat64)), source.sample(y, z))


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="scale"):
        ScaledLatents(Plain(), -1.0)
    with pytest.raises(ValueError, match="noise"):
        DonatedLatents(Plain(), DONORS, float("nan"))
    for donors in (DONORS[:1], [DONORS[0], torch.empty(0, 3)], [DONORS[0], torch.zeros(1, 2)]):
        with pytest.raises(ValueError, match="need latents"):
            DonatedLatents(Plain(), donors, 0.1)
