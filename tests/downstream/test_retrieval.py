from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from downstream.retrieval import nearest_labelled


def at(*degrees: float) -> Tensor:
    """Points on the unit circle."""
    return torch.tensor(
        [[math.cos(math.radians(angle)), math.sin(math.radians(angle))] for angle in degrees]
    )


KNOWN, Y = at(0, 90, 100), torch.tensor([0, 1, 1])


def test_the_nearest_of_every_class_by_hand() -> None:
    numbers, labels = nearest_labelled(at(10, 105, 5, 60, 20), KNOWN, Y, 2, per_class=2)
    assert numbers.tolist() == [0, 1, 2, 3]  # 20 degrees is the third of its class
    assert labels.tolist() == [0, 1, 0, 1]


def test_lengths_do_not_matter() -> None:
    features = at(10, 105, 5, 60, 20)
    scaled = nearest_labelled(
        features * torch.tensor([[1.0], [9.0], [0.1], [3.0], [50.0]]), 7 * KNOWN, Y, 2, 1
    )
    numbers, labels = nearest_labelled(features, KNOWN, Y, 2, 1)
    assert torch.equal(scaled[0], numbers)
    assert torch.equal(scaled[1], labels)


def test_no_class_gets_more_than_its_number_and_an_empty_one_none() -> None:
    numbers, labels = nearest_labelled(at(*range(0, 90, 2)), KNOWN, Y, 3, per_class=4)
    assert torch.bincount(labels, minlength=3).tolist() == [4, 4, 0]
    assert len(numbers.unique()) == len(numbers)
    assert len(nearest_labelled(at(1, 2), KNOWN, Y, 2, 0)[0]) == 0


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="need features"):
        nearest_labelled(torch.zeros(3, 4), KNOWN, Y, 2, 1)
    with pytest.raises(ValueError, match="need features"):
        nearest_labelled(at(1), KNOWN[:0], Y[:0], 2, 1)
    with pytest.raises(ValueError, match="per_class"):
        nearest_labelled(at(1), KNOWN, Y, 2, -1)
