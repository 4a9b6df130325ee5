from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from augmentor.data.fingerprint import fingerprints
from augmentor.data.resize import fit_square, resize, with_channels
from augmentor.data.synthetic_images import fit_shape

SIZES = ((8, 8), (28, 28), (33, 50), (100, 7), (1, 1), (3, 300))


def noise(n: int, channels: int, size: tuple[int, int]) -> Tensor:
    rng = torch.Generator().manual_seed(n * channels * size[0])
    return torch.randint(0, 256, (n, channels, *size), generator=rng, dtype=torch.uint8)


def luma(x: Tensor) -> Tensor:
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L") for image in x]
    return torch.stack([torch.from_numpy(np.array(picture)) for picture in pictures])[:, None]


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_bytes_are_those_of_torchvision(mode: str) -> None:
    """Bicubic everywhere; bilinear too where torchvision resizes bytes as bytes (AVX2, ARM)."""
    for n, channels, size, wanted in product((1, 3), (1, 3), SIZES, ((8, 8), (17, 40), (64, 64))):
        x = noise(n, channels, size)
        theirs = tv.resize(x, list(wanted), interpolation=InterpolationMode(mode), antialias=True)
        ours = resize(x, wanted, mode)  # type: ignore[arg-type]
        apart = (ours.int() - theirs.int()).abs().max()
        assert apart <= (0 if mode == "bicubic" else 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_fit_shape_gives_the_bytes_of_pillows_luma_and_torchvisions_sizes(
    channels: int, size: tuple[int, int]
) -> None:
    for wanted in ((1, 16, 16), (3, 28, 20), (channels, *size)):
        x = noise(4, channels, size)
        theirs = x
        if channels != wanted[0]:
            theirs = x.expand(-1, 3, -1, -1) if wanted[0] == 3 else luma(x)
        theirs = tv.resize(
            theirs, list(wanted[1:]), interpolation=InterpolationMode.BICUBIC, antialias=True
        )
        assert torch.equal(fit_shape(x, wanted), theirs)


def test_grey_that_is_stored_as_rgb_is_the_same_image() -> None:
    grey = torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8)
    for same in (with_channels(grey, 3), grey.repeat(1, 3, 1, 1)):
        assert torch.equal(with_channels(same, 1), grey)
        assert (fingerprints(fit_shape(same, (1, 8, 8))) == fingerprints(grey)).all()


def test_images_of_the_size_wanted_are_not_touched() -> None:
    x = noise(2, 3, (8, 8))
    assert resize(x, (8, 8)) is x
    assert fit_square(x, 8).data_ptr() == x.data_ptr()
    assert fit_shape(x, (3, 8, 8)) is x


def test_squares_are_cut_from_the_centre() -> None:
    wide = torch.zeros(1, 1, 2, 6, dtype=torch.uint8)
    wide[..., 2:4] = 200
    assert (fit_square(wide, 2) == 200).all()
    assert (fit_square(wide.mT, 8) == 200).all()
    assert fit_square(wide, 8).shape == (1, 1, 8, 8)


def test_shrinking_averages() -> None:
    board = (torch.arange(16).view(-1, 1) + torch.arange(16)).remainder(2).mul(255).to(torch.uint8)
    small = fit_square(board[None, None], 8)
    assert ((small.int() - 127).abs() <= 3).all()  # without antialiasing it would be black or white
