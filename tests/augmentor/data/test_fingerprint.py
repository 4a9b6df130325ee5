from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from augmentor.data.fingerprint import fingerprints, from_uint8, overlap, to_uint8


def images(n: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_golden_number() -> None:
    digest = hashlib.sha256(b"(1, 1, 2)" + bytes([0, 255])).digest()
    expected = int.from_bytes(digest[:8], "little", signed=True)
    assert fingerprints(torch.tensor([[[[-1.0, 1.0]]]])).tolist() == [expected]


def test_depends_on_pixels_only() -> None:
    x = images()
    order = torch.tensor([3, 0, 4, 1, 2])
    assert (fingerprints(x)[order] == fingerprints(x[order])).all()
    assert (fingerprints(x) == fingerprints(to_uint8(x))).all()
    assert (fingerprints(x) == fingerprints(from_uint8(to_uint8(x)))).all()
    assert len(set(fingerprints(x).tolist())) == 5


def test_one_step_of_one_pixel_changes_it() -> None:
    pixels = to_uint8(images(1))
    other = pixels.clone()
    other[0, 0, 0, 0] = 255 - other[0, 0, 0, 0]
    assert fingerprints(pixels) != fingerprints(other)


def test_shape_counts() -> None:
    flat = torch.zeros(1, 1, 2, 8)
    assert fingerprints(flat) != fingerprints(flat.reshape(1, 1, 4, 4))


def test_no_images() -> None:
    assert fingerprints(torch.zeros(0, 1, 2, 2)).shape == (0,)
    assert fingerprints(torch.zeros(0, 1, 2, 2)).dtype == np.int64


def test_wrong_shape_raises() -> None:
    with pytest.raises(ValueError, match="N, C, H, W"):
        fingerprints(torch.zeros(4, 4))


def test_overlap() -> None:
    a, b = np.array([5, 7, 5, 9]), np.array([9, 5])
    assert overlap(a, b).tolist() == [0, 2, 3]
    assert overlap(a, np.array([], dtype=np.int64)).tolist() == []


def test_every_pixel_value_survives_the_round_trip() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(from_uint8(pixels)), pixels)
    assert from_uint8(pixels).min() == -1
    assert from_uint8(pixels).max() == 1


def test_to_uint8_rounds_clips_and_refuses_nan() -> None:
    assert to_uint8(torch.tensor([-2.0, -1, 0, 1, 2])).tolist() == [0, 0, 128, 255, 255]
    with pytest.raises(ValueError, match="NaN"):
        to_uint8(torch.tensor([float("nan")]))
