from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from augmentor.sampling.filters import confidence_filter


def logits(x: Tensor) -> Tensor:
    """Class 0 has the probability the first pixel says, class 1 the rest."""
    p = x[:, 0, 0, 0].double()
    return torch.stack([p.log(), (1 - p).log()], 1)


def images(*probabilities: float) -> Tensor:
    return torch.tensor(probabilities)[:, None, None, None]


def test_keeps_what_reaches_the_threshold_for_the_asked_class() -> None:
    accept = confidence_filter(logits, 0.7)
    assert accept(images(0.71, 0.69, 0.29, 0.31), torch.tensor([0, 0, 1, 1])).tolist() == [True, False, True, False]


def test_exactly_the_threshold_passes() -> None:
    assert confidence_filter(logits, 0.5)(images(0.5), torch.tensor([1])).tolist() == [True]


def test_zero_keeps_everything_and_one_needs_certainty() -> None:
    x, y = images(1e-30, 0.999), torch.tensor([0, 0])
    assert confidence_filter(logits, 0)(x, y).tolist() == [True, True]
    assert confidence_filter(logits, 1)(x, y).tolist() == [False, False]


def test_nan_is_no_confidence() -> None:
    assert confidence_filter(lambda x: torch.full((1, 2), math.nan), 0.1)(images(0.5), torch.tensor([0])).tolist() == [
        False
    ]


def test_judge_gets_no_gradient() -> None:
    weight = torch.ones(1, requires_grad=True)
    assert not confidence_filter(lambda x: logits(x) * weight, 0.5)(images(0.5), torch.tensor([0])).requires_grad


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
def test_no_probability(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        confidence_filter(logits, threshold)
