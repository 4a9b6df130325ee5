from __future__ import annotations

import numpy as np
import pytest
import torch

from augmentor.common.value_range import checked_range
from augmentor.data.array_form import range_of
from augmentor.data.item_form import form_of


@pytest.mark.parametrize("given", [(0, 1), (-1, 1), (0, 2)])
def test_a_range_that_fits_is_kept(given: tuple[float, float]) -> None:
    assert checked_range(given, 0.1, 0.9) == given


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((1, 0), "the number of black, then the larger"),
        ((0, 0), "the number of black"),
        ((0, float("nan")), "the number of black"),
        ((0, 0.5), "numbers from 0.1 to 0.9"),
        ((0.2, 1), "numbers from 0.1 to 0.9"),
        ((0, 255), "would all be one grey"),
    ],
)
def test_reversed_and_wrong_ranges_are_refused(given: tuple[float, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        checked_range(given, 0.1, 0.9)
    images = torch.linspace(0.1, 0.9, 4 * 64).reshape(4, 1, 8, 8)
    with pytest.raises(ValueError, match=words):
        form_of(torch.utils.data.TensorDataset(images, torch.arange(4)), given)
    with pytest.raises(ValueError, match=words):
        range_of(images.numpy().astype(np.float32), given)


def test_images_of_one_brightness_tell_nothing() -> None:
    assert checked_range((0, 255), 0, 0) == (0, 255)
