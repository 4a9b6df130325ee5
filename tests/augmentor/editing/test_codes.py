"""Reconstruction, morphing and transfer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from augmentor.editing.morph import morph
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
