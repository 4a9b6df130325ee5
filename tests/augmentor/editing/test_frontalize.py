"""Faces turned to the front by someone else's photo."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from augmentor.editing.frontalize import frontalize
from augmentor.families import FAMILIES
from augmentor.families.ip_gan import IpGan


class Halves:
    """The upper half of a picture is who, the lower half how."""

    classes = ("anyone",)
    image_shape = (1, 4, 4)
    latent_dim = 1

    def render(self, identity_image: Tensor, attribute_image: Tensor) -> Tensor:
        return torch.cat([identity_image[:, :, :2], attribute_image[:, :, 2:]], dim=2)


def test_who_of_the_image_and_how_of_the_photo() -> None:
    people = torch.tensor([0.2, -0.4])[:, None, None, None].expand(2, 1, 4, 4)
    made = frontalize(Halves(), people, torch.full((1, 1, 4, 4), 0.9))  # type: ignore[arg-type]
    assert torch.allclose(
        made[:, 0, :, 0], torch.tensor([[0.2, 0.2, 0.9, 0.9], [-0.4, -0.4, 0.9, 0.9]])
    )


def test_a_person_is_rendered_alike_in_any_company() -> None:
    torch.manual_seed(0)
    model = IpGan(
        ("a", "b"),
        (1, 8, 8),
        FAMILIES["ip_gan"].options_for("default", {"width": 4, "latent_dim": 3}),
    )
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    alone = frontalize(model, x[1:2], x[:1])
    assert torch.allclose(frontalize(model, x, x[:1])[1:2], alone, atol=1e-7)
    # An untrained generator starts small, so that a hundred-thousandth is what another photo makes.
    assert float((frontalize(model, x[1:2], x[2:]) - alone).abs().max()) > 1e-6


def test_what_does_not_fit_is_refused() -> None:
    x = torch.zeros(2, 1, 4, 4)
    with pytest.raises(ValueError, match="one image"):
        frontalize(Halves(), x, x)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"x must be \(N, 1, 4, 4\)"):
        frontalize(Halves(), x, torch.zeros(1, 1, 8, 8))  # type: ignore[arg-type]
