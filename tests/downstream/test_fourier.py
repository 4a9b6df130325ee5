from __future__ import annotations

import pytest
import torch
from torch import Tensor

from downstream.augmentations import image_augmentation
from downstream.fourier import amplitude_mix, mixed_amplitudes


def images(seed: int = 0, side: int = 7) -> Tensor:
    return torch.rand(5, 3, side, side, generator=torch.Generator().manual_seed(seed))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("side", [7, 8])
def test_the_phase_stays_and_the_amplitude_is_between_the_two(side: int) -> None:
    x, other, share = images(0, side), images(1, side), torch.linspace(0, 1, 5)
    mixed = torch.fft.fft2(mixed_amplitudes(x, other, share))
    own, foreign = torch.fft.fft2(x), torch.fft.fft2(other)
    amplitude = torch.lerp(own.abs(), foreign.abs(), share.view(-1, 1, 1, 1))
    torch.testing.assert_close(mixed.abs(), amplitude, atol=1e-4, rtol=1e-4)
    # A phase is one up to whole turns: compare the directions.
    wanted = torch.polar(amplitude, own.angle())
    torch.testing.assert_close(mixed, wanted, atol=1e-4, rtol=1e-4)


def test_strength_zero_is_the_identity_and_share_zero_nearly() -> None:
    x = 2 * images() - 1
    assert amplitude_mix(0.0)(x, rng()) is x
    torch.testing.assert_close(mixed_amplitudes(x + 1, x.flip(0) + 1, torch.zeros(5)), x + 1)


def test_more_strength_changes_more_and_the_range_stays() -> None:
    x = 2 * images() - 1
    weak, strong, stronger = (amplitude_mix(s)(x, rng()) for s in (0.1, 1.0, 3.0))
    assert 0 < float((weak - x).abs().mean()) < float((strong - x).abs().mean())
    assert torch.equal(strong, stronger)
    assert strong.shape == x.shape
    assert float(strong.abs().max()) <= 1


def test_equal_generators_give_equal_images_and_flat_images_take_their_brightness() -> None:
    augment = image_augmentation(["fourier"], "digits")
    assert augment is not None
    x = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 4, 4).contiguous()
    assert torch.equal(augment(x, rng(3)), augment(x, rng(3)))
    levels = mixed_amplitudes(x + 1, x.flip(0) + 1, torch.full((2,), 0.25))
    torch.testing.assert_close(levels[:, 0, 0, 0], torch.tensor([0.5, 1.5]))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="strength must be 0 or more"):
        amplitude_mix(-1.0)
    with pytest.raises(ValueError, match="shares"):
        mixed_amplitudes(images(), images(), torch.zeros(2))
