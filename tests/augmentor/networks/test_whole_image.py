from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from augmentor.networks.generator import ConditionOn, Generator
from augmentor.networks.given import ConditionInput
from augmentor.networks.whole_image import OnWholeImage


def test_it_starts_as_no_change() -> None:
    image = torch.randn(3, 2, 8, 8)
    torch.testing.assert_close(OnWholeImage((2, 8, 8), 5)(image, torch.randn(3, 5)), image)


def test_by_finite_differences() -> None:
    torch.manual_seed(0)
    change = OnWholeImage((1, 4, 4), 3).double()
    for value in change.parameters():
        nn.init.normal_(value, 0.0, 0.05)
    image = torch.randn(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    embedding = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    names, values = zip(*change.named_parameters(), strict=True)

    def run(image: Tensor, embedding: Tensor, *values: Tensor) -> Tensor:
        state = dict(zip(names, values, strict=True))
        return torch.func.functional_call(change, state, (image, embedding))

    start = [value.detach().clone().requires_grad_() for value in values]
    assert torch.autograd.gradcheck(run, (image, embedding, *start))


@pytest.mark.parametrize("turned", [False, True])
def test_what_it_learns_from_some_images_holds_for_others(turned: bool) -> None:
    """An inversion, or a turn by 20 degrees, is learned from 64 images and applied to new ones."""
    torch.manual_seed(0)
    change, told = OnWholeImage((1, 12, 12), 2), torch.tensor([0.0, 1.0])

    def images(count: int) -> Tensor:
        small = torch.randn(count, 1, 4, 4)
        return functional.pad(functional.interpolate(small, 8, mode="bilinear"), (2, 2, 2, 2))

    def wanted(image: Tensor) -> Tensor:
        if not turned:
            return -image
        angle = torch.tensor(20.0).deg2rad()
        turn = torch.tensor([[angle.cos(), -angle.sin(), 0.0], [angle.sin(), angle.cos(), 0.0]])
        grid = functional.affine_grid(
            turn.expand(len(image), 2, 3), list(image.shape), align_corners=False
        )
        return functional.grid_sample(image, grid, align_corners=False)

    seen, new = images(64), images(16)
    optimiser = torch.optim.Adam(change.parameters(), 0.02)
    for _ in range(300):
        optimiser.zero_grad()
        loss = (change(seen, told.expand(64, 2)) - wanted(seen)).square().mean()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        error = (change(new, told.expand(16, 2)) - wanted(new)).square().mean()
    assert float(error) < 0.05 * float((new - wanted(new)).square().mean())


@torch.no_grad()
def test_beside_a_condition_the_class_enters_at_the_start_alone() -> None:
    """Two classes of the same start are one to the generator, whatever the condition."""
    torch.manual_seed(0)
    network = Generator((1, 8, 8), 3, 6, 4, True, "transposed", ConditionInput(2)).eval()
    for value in network.parameters():
        nn.init.normal_(value, 0.0, 0.3)
    network.first[0].weight[:, 6] = network.first[0].weight[:, 7]
    z = torch.randn(1, 6).expand(3, 6)
    given = torch.cat([torch.eye(3), torch.tensor([[0.0, 1.0]]).expand(3, 2)], dim=1)
    first, second, third = network(z, given)
    torch.testing.assert_close(first, second)
    assert float((first - third).abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("condition_on", "numbers", "whole"),
    [
        ("auto", False, True),
        ("auto", True, False),
        ("features", False, False),
        ("whole_image", True, True),
    ],
)
def test_categories_act_on_the_whole_image_unless_told_otherwise(
    condition_on: ConditionOn, numbers: bool, whole: bool
) -> None:
    condition = ConditionInput(2, numbers)
    network = Generator((1, 8, 8), 3, 6, 4, True, "transposed", condition, False, condition_on)
    assert (network.on_image is not None) == whole
    assert Generator((1, 8, 8), 3, 6, 4, True, "transposed").on_image is None
