from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from augmentor.quality.hole import psnr_inside, ssim_inside

MASK = torch.zeros(16, 16, dtype=torch.bool)
MASK[4:9, 6:12] = True


def images(seed: int, channels: int = 1) -> Tensor:
    return torch.rand(2, channels, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_psnr_by_hand() -> None:
    reference = images(0)
    near = torch.where(
        MASK, reference + 0.2, torch.full_like(reference, 9.0)
    )  # outside does not count
    assert psnr_inside(near, reference, MASK).tolist() == pytest.approx(
        [20.0, 20.0], abs=1e-4
    )  # 4 / 0.04
    assert psnr_inside(reference, reference, MASK).tolist() == [math.inf, math.inf]


def test_ten_times_the_error_takes_twenty_decibels() -> None:
    reference = images(0)
    one, ten = (
        psnr_inside(reference + 0.01 * factor * images(1), reference, MASK) for factor in (1, 10)
    )
    assert torch.allclose(one - ten, torch.tensor(20.0), atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_agrees_with_torchmetrics(channels: int) -> None:
    x, reference = images(0, channels), images(1, channels) * 0.5 + images(0, channels) * 0.5
    _, whole = structural_similarity_index_measure(
        x + 1, reference + 1, data_range=2.0, return_full_image=True
    )
    assert torch.allclose(
        ssim_inside(x, reference, MASK), whole[:, :, MASK].flatten(1).mean(1), atol=1e-5
    )


def test_ssim_of_even_images_by_hand() -> None:
    x, reference = torch.full((1, 1, 16, 16), 0.5), torch.full((1, 1, 16, 16), 0.25)
    assert float(ssim_inside(x, reference, MASK)) == pytest.approx(
        (3.75 + 0.0004) / (3.8125 + 0.0004), abs=1e-4
    )


def test_greys_that_are_near_each_other_are_alike_on_both_sides_of_the_middle() -> None:
    """Pixels from -1 to 1 have the middle grey as zero, which is not what the formula means."""
    x, reference = torch.full((1, 1, 16, 16), 0.1), torch.full((1, 1, 16, 16), -0.1)
    assert 0.95 < float(ssim_inside(x, reference, MASK)) < 1


def test_ssim_is_symmetric_and_one_at_equality() -> None:
    x, reference = images(0), images(1)
    assert torch.allclose(
        ssim_inside(x, reference, MASK), ssim_inside(reference, x, MASK), atol=1e-6
    )
    assert torch.allclose(ssim_inside(x, x, MASK), torch.ones(2), atol=1e-5)
    assert float(ssim_inside(x, reference, MASK).max()) < 0.9


@pytest.mark.parametrize("measure", [psnr_inside, ssim_inside])
def test_wrong_shapes_and_holes_are_refused(measure: object) -> None:
    x = images(0)
    assert callable(measure)
    for other, mask in (
        (x[:1], MASK),
        (x, MASK[:8]),
        (x, MASK.float()),
        (x, torch.zeros_like(MASK)),
    ):
        with pytest.raises(ValueError, match=r"need two batches|at least one pixel"):
            measure(x, other, mask)
