from __future__ import annotations

import io

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from augmentor.data.fingerprint import to_uint8
from augmentor.quality.near_copies import CHANGES, CopyFinder
from pipelines.config import DataConfig
from pipelines.datasets import load_data


def blobs(count: int, side: int = 32, seed: int = 0) -> Tensor:
    """Smooth pictures, as photos are, uint8 (count, 1, side, side)."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (count, 1, 5, 5), generator=rng, dtype=torch.uint8)
    return functional.interpolate(coarse, size=side, mode="bicubic", antialias=True)


def jpeg(pixels: Tensor) -> Tensor:
    found = []
    for image in pixels:
        buffer = io.BytesIO()
        Image.fromarray(image[0].numpy()).save(buffer, "jpeg", quality=75)
        with Image.open(buffer) as read:
            found.append(torch.frombuffer(bytearray(read.tobytes()), dtype=torch.uint8))
    return torch.stack(found).view(pixels.shape)


def one_pixel(pixels: Tensor) -> Tensor:
    changed = pixels.clone()
    changed[..., 9, 11] = 255 - changed[..., 9, 11]
    return changed


def smaller(pixels: Tensor) -> Tensor:
    there = functional.interpolate(pixels, size=24, mode="bilinear", antialias=True)
    return functional.interpolate(there, size=32, mode="bilinear", antialias=True)


ALTERED = {
    "exact": (lambda x: x, CHANGES[0]),
    "mirrored": (lambda x: x.flip(-1), CHANGES[1]),
    "shifted": (lambda x: functional.pad(x, (0, 0, 1, 0))[..., :-1, :], CHANGES[2]),
    "both": (lambda x: x.flip(-1).roll((1, -1), (2, 3)), CHANGES[3]),
    "jpeg": (jpeg, CHANGES[0]),
    "one pixel": (one_pixel, CHANGES[0]),
    "resized": (smaller, None),
    "brighter": (lambda x: (x.float() * 0.8 + 30).to(torch.uint8), CHANGES[0]),
}


@pytest.fixture(scope="module")
def finder() -> CopyFinder:
    return CopyFinder(blobs(300))


@pytest.mark.parametrize("way", ALTERED)
def test_altered_copies_are_found_and_named(finder: CopyFinder, way: str) -> None:
    alter, change = ALTERED[way]
    found = finder.find(torch.cat([blobs(50, seed=1), alter(blobs(300)[100:120])]))
    assert found.image.tolist() == list(range(50, 70))
    assert found.known.tolist() == list(range(100, 120))
    assert found.certain
    assert change is None or set(found.change) == {change}
    assert found.share == pytest.approx(20 / 70)


def test_other_pictures_are_no_copies(finder: CopyFinder) -> None:
    found = finder.find(blobs(500, seed=2))
    assert not len(found)
    assert not found.certain
    assert 0 < found.false_alarm_rate <= 0.01


def test_the_result_does_not_depend_on_what_is_compared_together(finder: CopyFinder) -> None:
    images = blobs(20, seed=3).flip(-1)
    together, _, _ = finder._reference.ratios(images)
    alone = torch.cat([finder._reference.ratios(one[None])[0] for one in images])
    assert torch.allclose(together, alone, atol=1e-4)


def test_pictures_of_one_brightness_are_no_copies() -> None:
    known = torch.cat([torch.full((3, 1, 8, 8), 7, dtype=torch.uint8), blobs(60, 8)])
    assert not len(CopyFinder(known).find(torch.full((2, 1, 8, 8), 9, dtype=torch.uint8)))


def test_duplicates_inside_the_known_images_are_told_by_the_rate() -> None:
    twins = torch.cat([blobs(100), blobs(100)])[torch.randperm(200)]
    found = CopyFinder(twins).find(blobs(100, seed=5))
    assert found.certain_below == 0
    assert found.false_alarm_rate > 0.1
    assert not found.certain


def test_few_known_images_leave_copies_to_the_pixel() -> None:
    finder = CopyFinder(blobs(5))
    assert finder.find(blobs(5).flip(-1)).known.tolist() == [0, 1, 2, 3, 4]
    assert not len(finder.find(blobs(40, seed=9)))
    assert not len(finder.find(blobs(0)))


def test_what_cannot_be_compared_is_refused(finder: CopyFinder) -> None:
    with pytest.raises(ValueError, match="two known images"):
        CopyFinder(blobs(1))
    with pytest.raises(ValueError, match="known ones' shape"):
        finder.find(blobs(2, 16))


def test_held_out_digits_are_no_copies_and_five_percent_of_copies_show() -> None:
    bundle = load_data(DataConfig(data="digits"), 0)
    test, train = to_uint8(bundle.test.x), to_uint8(bundle.train.x)
    finder = CopyFinder(test)
    clean = finder.find(train)
    assert clean.share <= 0.01
    assert not clean.certain
    for alter in (jpeg, lambda x: x.flip(-1), lambda x: x.roll(1, 3)):
        mixed = torch.cat([train[:855], alter(test[:45])])
        found = finder.find(mixed)
        assert found.certain
        assert int((found.image >= 855).sum()) >= 43
