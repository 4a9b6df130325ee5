"""A model on another device, by torch's ``meta`` device: where inputs go shows without a GPU."""

from __future__ import annotations

import torch
from torch import Tensor

from augmentor.api import EncoderSource, RenderSource, Source
from augmentor.common.conditions import Conditions


class Elsewhere:
    """A model on ``meta`` that refuses inputs from elsewhere."""

    classes, image_shape, latent_dim = ("a", "b"), (1, 8, 8), 4
    conditions = Conditions(("font",), ("bold", "light"))
    device = torch.device("meta")

    def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        given = [y, z] if condition is None else [y, z, condition]
        assert {one.device.type for one in given} == {"meta"}
        return torch.empty(len(z), 1, 8, 8, device="meta")

    def encode(self, x: Tensor, y: Tensor, condition: Tensor | None = None) -> Tensor:
        given = [x, y] if condition is None else [x, y, condition]
        assert {one.device.type for one in given} == {"meta"}
        return torch.empty(len(x), 4, device="meta")

    def render(self, identity_image: Tensor, attribute_image: Tensor) -> Tensor:
        assert identity_image.device.type == attribute_image.device.type == "meta"
        return identity_image


Y, Z, X, CONDITION = torch.tensor([0, 1]), torch.zeros(2, 4), torch.zeros(2, 1, 8, 8), [0, 1]


def test_sample_takes_inputs_from_the_cpu() -> None:
    source = Source(Elsewhere())
    assert source.sample(Y, Z).device.type == "meta"
    assert source.sample(Y, Z, CONDITION).device.type == "meta"
    assert source.sample(torch.eye(2), Z, torch.tensor(CONDITION)).device.type == "meta"


def test_encode_and_render_do_too() -> None:
    source = EncoderSource(Elsewhere())
    assert source.encode(X, Y).device.type == "meta"
    assert source.encode(X, Y, torch.tensor(CONDITION)).device.type == "meta"
    assert RenderSource(Elsewhere()).render(X, X).device.type == "meta"
