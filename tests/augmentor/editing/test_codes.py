"""Reconstruction, morphing and transfer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from augmentor.common.conditions import Conditions
from augmentor.editing.inpaint import inpaint
from augmentor.editing.morph import between, morph
from augmentor.editing.reconstruct import reconstruct
from augmentor.editing.transfer import transfer


def test_a_reconstruction_by_hand(source: Any) -> None:
    x = torch.tensor([1.0, 0.5, 0.0, -0.5])[None, None, :, None].expand(1, 1, 4, 4)
    x_rec = reconstruct(source, x, torch.tensor([1]))
    assert x_rec[0, 0, :, 2].tolist() == [0.5, 0.25, 0.0, -0.25]


def test_transfer_by_hand(source: Any) -> None:
    # Half the rows' mean, and half a unit more for the higher class.
    x_new = transfer(source, torch.full((1, 1, 4, 4), 0.5), torch.tensor([0]), torch.tensor([1]))
    assert torch.equal(x_new, torch.full((1, 1, 4, 4), 0.75))


def test_transfer_to_the_own_class_is_the_reconstruction(source: Any, x: Tensor, y: Tensor) -> None:
    assert torch.equal(transfer(source, x, y, y), reconstruct(source, x, y))


def test_transfer_takes_mixtures(source: Any, x: Tensor, y: Tensor) -> None:
    low, high = (transfer(source, x, y, torch.full_like(y, index)) for index in (0, 1))
    even = transfer(source, x, y, torch.full((3, 2), 0.5))
    assert torch.allclose(even, (low + high) / 2, atol=1e-6)


def test_the_ends_of_a_morph_are_the_reconstructions(source: Any, x: Tensor, y: Tensor) -> None:
    walk = morph(source, x, x.flip(2), y, steps=5)
    assert walk.shape == (3, 5, 1, 4, 4)
    assert torch.equal(walk[:, 0], reconstruct(source, x, y))
    assert torch.equal(walk[:, -1], reconstruct(source, x.flip(2), y))


def test_a_morph_goes_in_equal_steps_and_back_the_same_way(
    source: Any, x: Tensor, y: Tensor
) -> None:
    walk = morph(source, x, x.flip(2), y, steps=5)
    steps = walk.diff(dim=1)
    assert torch.allclose(
        steps, steps[:, :1].expand_as(steps), atol=1e-6
    )  # this source renders linearly
    assert torch.allclose(morph(source, x.flip(2), x, y, steps=5), walk.flip(1), atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 4, 4), (3, 3, 4, 4), (3, 1, 8, 8)])
def test_images_of_another_shape_are_refused(
    source: Any, y: Tensor, shape: tuple[int, ...]
) -> None:
    wrong = torch.zeros(shape)
    for call in (
        lambda: reconstruct(source, wrong, y),
        lambda: transfer(source, wrong, y, y),
        lambda: morph(source, wrong, wrong, y, 3),
    ):
        with pytest.raises(ValueError, match=r"x must be \(N, 1, 4, 4\)"):
            call()


def test_what_does_not_fit_together_is_refused(source: Any, x: Tensor, y: Tensor) -> None:
    with pytest.raises(ValueError, match="2 and 3 for 3 images"):
        transfer(source, x, y[:2], y)
    with pytest.raises(ValueError, match="1 steps"):
        morph(source, x, x, y, steps=1)
    with pytest.raises(ValueError, match="one shape"):
        morph(source, x, x[:2], y, steps=3)


class Lit:
    """The latent is the mean of each row of pixels less class and light, which rendering adds."""

    classes, image_shape, latent_dim = ("low", "high"), (1, 4, 4), 4

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions

    def level(self, y: Tensor, condition: Tensor) -> Tensor:
        return (y * 0.2)[:, None] + 0.1 * self.conditions.rows(condition)[:, :1]

    def encode(self, x: Tensor, y: Tensor, condition: Tensor) -> Tensor:
        return x.mean(dim=(1, 3)) - self.level(y, condition)

    def sample(self, y: Tensor, z: Tensor, condition: Tensor) -> Tensor:
        return (z + self.level(y, condition))[:, None, :, None].expand(-1, 1, 4, 4).clone()


LIGHT = Conditions(("azimuth",), centre=(0.0,), scale=(90.0,))
FONTS = Conditions(("font",), ("bold", "light"))


def test_transfer_changes_the_condition_of_a_photo() -> None:
    source, x = Lit(LIGHT), torch.full((1, 1, 4, 4), 0.5)
    own, other = LIGHT.repeated([0.0], 1), LIGHT.repeated([90.0], 1)
    y = torch.tensor([1])
    torch.testing.assert_close(transfer(source, x, y, y, own), x)
    torch.testing.assert_close(transfer(source, x, y, y, own, other), x + 0.1)
    torch.testing.assert_close(transfer(source, x, y, y - 1, own, other), x - 0.1)
    torch.testing.assert_close(reconstruct(source, x, y, other), x)


@pytest.mark.parametrize(
    ("conditions", "first", "last"),
    [(LIGHT, [0.0], [90.0]), (FONTS, "light", "bold")],
    ids=["numbers", "words"],
)
def test_a_morph_walks_through_the_conditions(conditions: Any, first: Any, last: Any) -> None:
    source, x, y = Lit(conditions), torch.full((1, 1, 4, 4), 0.5), torch.tensor([0])
    begin, end = conditions.repeated(first, 1), conditions.repeated(last, 1)
    walk = morph(source, x, x, y, 5, begin, condition_to=end)
    level = walk.mean(dim=(0, 2, 3, 4))
    torch.testing.assert_close(level, 0.5 + torch.linspace(0, 0.1, 5))
    still = morph(source, x, x, y, 3, begin, end)
    torch.testing.assert_close(still[:, -1], x)  # another photo of a light is in that light


def test_between_has_both_ends() -> None:
    first, last = torch.tensor([0, 1]), torch.tensor([1, 1])
    assert torch.equal(between(FONTS, first, last, 0.0), FONTS.rows(first))
    assert torch.equal(between(FONTS, first, last, 1.0), FONTS.rows(last))
    assert between(FONTS, None, None, 0.5) is None


def test_a_hole_is_filled_under_a_condition() -> None:
    source, x, y = Lit(LIGHT), torch.full((1, 1, 4, 4), 0.5), torch.tensor([0])
    hole = torch.zeros(4, 4, dtype=torch.bool)
    hole[:2, :2] = True
    filled = inpaint(source, x, y, hole, 2, LIGHT.repeated([90.0], 1))
    torch.testing.assert_close(filled[-1], x)


def test_a_condition_for_a_source_without_is_refused(source: Any, x: Tensor, y: Tensor) -> None:
    with pytest.raises(ValueError, match="leave condition out"):
        transfer(source, x, y, y, torch.zeros(3, dtype=torch.int64))
