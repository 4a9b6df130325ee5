from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from augmentor.common import conditions
from augmentor.common.conditions import Conditions
from augmentor.common.types import LabelledImages

FONT = Conditions(("font",), ("bold", "light"))
LIGHT = Conditions(("azimuth",), centre=(0.0,), scale=(90.0,))
X, Y = torch.zeros(3, 1, 2, 2), torch.tensor([0, 1, 1])


def test_conditions_are_checked_without_a_row_for_every_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rows(*_: Any) -> Tensor:
        raise AssertionError("images times categories may be more than the memory holds")

    monkeypatch.setattr(conditions, "one_hot", rows)
    images = LabelledImages(X, Y, ("a", "b"), torch.tensor([0, 1, 0]), FONT)
    assert images.condition is not None


@pytest.mark.parametrize(
    ("meaning", "condition", "words"),
    [
        (FONT, torch.tensor([0, 1]), "need one condition per image, got 2 for 3 images"),
        (FONT, torch.tensor([0, 1, 2]), r"conditions must lie in \[0, 2\), got 0 to 2"),
        (FONT, torch.tensor([0, 1, 1], dtype=torch.int32), r"must be int64 \(N,\) or float"),
        (FONT, torch.tensor([[0.5, 0.5]] * 2 + [[0.5, 0.6]]), "must sum to one"),
        (FONT, torch.zeros(3, 3), r"float \(N, 2\), got torch.float32 \(3, 3\)"),
        (LIGHT, torch.tensor([[0.0], [1.0], [torch.inf]]), "not a finite number"),
        (LIGHT, torch.tensor([0, 1, 1]), r"must be float \(N, 1\), got torch.int64 \(3,\)"),
        (LIGHT, None, "given together or not at all"),
    ],
)
def test_conditions_that_do_not_fit_are_refused(
    meaning: Conditions, condition: Tensor | None, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        LabelledImages(X, Y, ("a", "b"), condition, meaning)


def test_numbers_are_centred_and_scaled_column_by_column() -> None:
    pose = Conditions(("azimuth", "elevation"), centre=(1 / 3, 20.0), scale=(130.7, 0.1))
    condition = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) * 100
    centre, scale = torch.tensor(pose.centre), torch.tensor(pose.scale)
    assert torch.equal(pose.rows(condition), (condition - centre) / scale)


@pytest.mark.parametrize("one", [65, 65.0, np.float32(65), [65.0]])
def test_one_number_may_be_given_without_a_list(one: float | list[float]) -> None:
    assert torch.equal(LIGHT.repeated(one, 2), torch.full((2, 1), 65.0))
    pose = Conditions(("azimuth", "elevation"), centre=(0.0, 0.0), scale=(1.0, 1.0))
    with pytest.raises(ValueError, match="one number for each of azimuth, elevation"):
        pose.repeated(one, 2)
