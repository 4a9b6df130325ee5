from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from downstream.augment import Augment
from downstream.rand_augment import (
    NOT_FOR_DIGITS,
    OPERATIONS,
    SIGNED,
    STANDARD,
    WIDE,
    apply_operation,
    rand_augment,
    trivial_augment,
)

BOTH = [rand_augment, trivial_augment]


def images(count: int = 12, channels: int = 3, side: int = 8) -> Tensor:
    return torch.rand(count, channels, side, side, generator=Generator().manual_seed(0)) * 2 - 1


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize(
    ("domain", "channels"), [("digits", 1), ("signs", 3), ("natural", 3), ("natural", 1)]
)
def test_shape_and_range_stay_and_draws_repeat_for_a_seed(
    make: type[Augment], domain: str, channels: int
) -> None:
    x, augment = images(channels=channels), make(domain)
    before, state = x.clone(), torch.random.get_rng_state()
    first, again, other = augment(x, rng()), augment(x, rng()), augment(x, rng(1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(x, before)
    assert (first.shape, first.dtype) == (x.shape, x.dtype)
    assert -1 <= float(first.min()) <= float(first.max()) <= 1
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("make", BOTH)
def test_every_image_has_its_own_draw(make: type[Augment]) -> None:
    x = images(1).expand(24, -1, -1, -1)
    assert len(torch.unique(make("natural")(x, rng()), dim=0)) > 8


@pytest.mark.parametrize("name", SIGNED)
def test_a_signed_operation_of_magnitude_zero_changes_nothing(name: str) -> None:
    torch.testing.assert_close(
        apply_operation(images(), name, 0.0, WIDE), images(), atol=1e-5, rtol=0
    )


def test_operations_by_hand() -> None:
    x = torch.full((1, 1, 4, 4), 0.5)  # 3/4 of the way from black to white
    assert float(apply_operation(x, "brightness", -1.0, STANDARD).mean()) == pytest.approx(
        2 * 0.075 - 1
    )
    assert float(apply_operation(x, "solarize", 0.5, STANDARD).mean()) == pytest.approx(-0.5)
    # Of 4 bits the sixteen levels below 3/4: 12/16 itself.
    assert float(apply_operation(x, "posterize", 1.0, STANDARD).mean()) == pytest.approx(0.5)
    dot = torch.full((1, 1, 8, 8), -1.0)
    dot[..., 2] = 1.0
    moved = apply_operation(dot, "translate_x", 2 / (8 * STANDARD.shift), STANDARD)
    torch.testing.assert_close(moved, torch.roll(dot, 2, dims=3), atol=1e-4, rtol=0)


def test_a_turn_goes_as_far_as_its_space_says() -> None:
    line = torch.full((1, 1, 65, 65), -1.0)
    line[:, :, 32, 33:] = 1.0
    for space in (STANDARD, WIDE):
        mass = apply_operation(line, "rotate", 1.0, space)[0, 0] + 1
        rows, columns = (
            mass.sum(1 - axis) @ torch.arange(65.0) / mass.sum() - 32 for axis in (0, 1)
        )
        assert math.degrees(math.atan2(float(rows), float(columns))) == pytest.approx(
            space.degrees, abs=1
        )


def test_digits_stay_grey_figures_on_an_empty_background_and_are_not_mirrored() -> None:
    corner = torch.full((64, 1, 28, 28), -1.0)
    corner[:, :, 10:18, 10:13] = 1.0
    corner[:, :, 15:18, 10:18] = 1.0  # an L
    for make in BOTH:
        changed = make("digits")(corner, rng())
        border = torch.cat([changed[:, :, 0].flatten(), changed[:, :, -1].flatten()])
        assert float((border < 0).float().mean()) > 0.95
        left, right = changed[..., :14].clamp(min=-1).sum(), changed[..., 14:].sum()
        assert left > right
    assert set(NOT_FOR_DIGITS) < set(OPERATIONS)


def test_photographs_are_flipped_half_of_the_time() -> None:
    x = images(400)
    flipped = (rand_augment("natural", magnitude=0)(x, rng()) - x.flip(3)).abs().amax(dim=(1, 2, 3))
    # At magnitude zero most operations do nothing; those that do (equalize, autocontrast, …) hit
    # either kind alike.
    same = (rand_augment("natural", magnitude=0)(x, rng()) - x).abs().amax(dim=(1, 2, 3))
    assert float((flipped < 0.02).sum()) == pytest.approx(float((same < 0.02).sum()), rel=0.35)
    assert float((flipped < 0.02).float().mean()) > 0.2


def test_nonsense_is_refused() -> None:
    for make in BOTH:
        with pytest.raises(ValueError, match="unknown domain"):
            make("faces")
    for options in ({"operations": 0}, {"magnitude": 31}, {"magnitude": -1}):
        with pytest.raises(ValueError, match="need operations"):
            rand_augment("digits", **options)
