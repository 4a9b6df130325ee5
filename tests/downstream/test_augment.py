from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from downstream.augment import classical, color_jitter, cutmix, mixup, random_affine, random_flip


def images(count: int = 6, channels: int = 3, side: int = 8) -> Tensor:
    return torch.rand(count, channels, side, side, generator=Generator().manual_seed(0)) * 2 - 1


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.parametrize("domain", ["digits", "signs", "natural"])
@pytest.mark.parametrize("channels", [1, 3])
def test_classical_keeps_shape_and_range_and_repeats_for_a_seed(domain: str, channels: int) -> None:
    x = images(channels=channels)
    augment = classical(domain, 2.0)
    first, again, other = augment(x, rng()), augment(x, rng()), augment(x, rng(1))
    assert first.shape == x.shape
    assert first.dtype == x.dtype
    assert -1 <= float(first.min()) <= float(first.max()) <= 1
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("domain", ["digits", "signs", "natural"])
def test_strength_zero_is_the_identity(domain: str) -> None:
    x = images()
    assert torch.equal(classical(domain, 0)(x, rng()), x)


def test_every_image_gets_its_own_draw() -> None:
    x = images(1).expand(8, -1, -1, -1)
    assert len(torch.unique(classical("digits")(x, rng()), dim=0)) == 8


def test_classical_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    classical("natural")(images(), rng())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_small_strength_changes_little() -> None:
    x = images()
    changed = random_affine(x, rng(), 1e-4, empty_border=False)
    assert float((changed - x).abs().max()) < 1e-2


def test_border_is_empty_for_digits_and_mirrored_for_photographs() -> None:
    white = torch.ones(32, 1, 8, 8)
    assert float(random_affine(white, rng(), 1.0, empty_border=True).min()) < -0.5
    torch.testing.assert_close(random_affine(white, rng(), 1.0, empty_border=False), white)


def test_shift_moves_the_centre_of_mass_by_at_most_a_tenth_of_the_side() -> None:
    dot = torch.full((200, 1, 20, 20), -1.0)
    dot[:, :, 9:11, 9:11] = 1  # in the centre, so that rotation, scale and shear leave it there
    mass = random_affine(dot, rng(), 1.0, empty_border=True) + 1
    position = torch.arange(20.0) + 0.5
    for axis in (2, 3):
        moved = (mass.sum(dim=(1, 5 - axis)) * position).sum(dim=1) / mass.sum(dim=(1, 2, 3)) - 10
        assert (
            1.8 < float(moved.abs().max()) < 2.05
        )  # 10 % of 20 pixels; resampling moves the mass a little


def test_flip_mirrors_with_the_given_probability() -> None:
    x = images(400, 1, 4)
    assert torch.equal(random_flip(x, rng(), 1.0), x.flip(3))
    assert torch.equal(random_flip(x, rng(), 0.0), x)
    flipped = (random_flip(x, rng(), 0.5) == x.flip(3)).all(dim=(1, 2, 3)).float().mean()
    assert 0.4 < float(flipped) < 0.6


def test_jitter_of_grey_images_keeps_grey_and_zero_is_the_identity() -> None:
    grey = images(channels=1).expand(-1, 3, -1, -1)
    changed = color_jitter(grey, rng(), 0.3)
    torch.testing.assert_close(changed[:, 0], changed[:, 2])
    torch.testing.assert_close(color_jitter(images(), rng(), 0.0), images())


@pytest.mark.parametrize(
    ("domain", "strength"), [("faces", 1.0), ("digits", -1.0), ("digits", float("nan"))]
)
def test_classical_refuses_nonsense(domain: str, strength: float) -> None:
    with pytest.raises(ValueError, match=r"unknown domain|strength"):
        classical(domain, strength)


@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_mixing_keeps_probabilities(mix: object) -> None:
    x, y = images(50), one_hot(torch.arange(50) % 5, 5).float()
    assert callable(mix)
    mixed, target = mix(x, y, rng())
    assert mixed.shape == x.shape
    torch.testing.assert_close(target.sum(dim=1), torch.ones(50))
    assert float(target.min()) >= 0
    assert not torch.equal(mixed, x)
    torch.testing.assert_close(mix(x, y, rng())[0], mixed)


def test_mixup_target_is_the_share_of_the_pixels() -> None:
    # Image i is constant i mod 2, its class likewise: the mixed pixel must equal the probability of
    # class 1.
    x = (torch.arange(20) % 2).float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    mixed, target = mixup(x, one_hot(torch.arange(20) % 2, 2).float(), rng(), alpha=1.0)
    torch.testing.assert_close(mixed[:, 0, 0, 0], target[:, 1])
    assert ((target > 0.05) & (target < 0.95)).any()


def test_cutmix_target_is_the_area_replaced() -> None:
    x = (torch.arange(20) % 2).float().view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    mixed, target = cutmix(x, one_hot(torch.arange(20) % 2, 2).float(), rng())
    torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), target[:, 1])
    assert set(mixed.unique().tolist()) == {0.0, 1.0}


def test_mixup_refuses_alpha_zero() -> None:
    with pytest.raises(ValueError, match="alpha"):
        mixup(images(), torch.ones(6, 1), rng(), alpha=0)
