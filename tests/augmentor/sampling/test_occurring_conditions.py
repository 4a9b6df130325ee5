"""Every class under the conditions that occur, equally often, by one more latent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from augmentor.common.conditions import NO_CONDITIONS, Conditions
from augmentor.common.types import LabelledImages, Record
from augmentor.sampling.occurring_conditions import OccurringConditions

FONTS = Conditions(("font",), ("bold", "light", "thin", "wide"))
ANGLES = Conditions(("angle",), centre=(0.0,), scale=(90.0,))


class Told:
    """Renders the condition as an even image, scaled as networks get it."""

    def __init__(self, conditions: Conditions) -> None:
        self.classes, self.image_shape, self.latent_dim = ("a", "b"), (1, 8, 8), 3
        self.conditions = conditions

    def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        assert z.shape[1] == self.latent_dim
        level = condition.view(-1, 1, 1, 1) / (90 if self.conditions.are_numbers else 4)
        return level.float().expand(-1, 1, 8, 8)


def seen(condition: Tensor, conditions: Conditions) -> LabelledImages:
    count = len(condition)
    y = torch.zeros(count, dtype=torch.int64)
    return LabelledImages(torch.zeros(count, 1, 8, 8), y, ("a", "b"), condition, conditions)


def rendered(source: OccurringConditions, n: int = 4000) -> Tensor:
    z = torch.randn(n, source.latent_dim, generator=torch.Generator().manual_seed(0))
    return source.sample(torch.zeros(n, dtype=torch.int64), z)[:, 0, 0, 0]


def test_categories_that_occur_come_equally_often_and_others_never() -> None:
    source = OccurringConditions(Told(FONTS), seen(torch.tensor([0] * 9 + [3, 1]), FONTS))
    counts = torch.bincount((4 * rendered(source)).round().long(), minlength=4)
    assert counts[2] == 0
    assert (counts[[0, 1, 3]] - 4000 / 3).abs().max() < 120
    assert len(source) == 3


def test_numbers_come_bin_by_bin_and_are_those_of_images() -> None:
    angles = torch.tensor([[-90.0]] * 50 + [[0.0], [45.0], [90.0]])
    source = OccurringConditions(Told(ANGLES), seen(angles, ANGLES))
    values, counts = torch.unique(90 * rendered(source), return_counts=True)
    assert values.round().tolist() == [-90, 0, 45, 90]
    assert (counts - 1000).abs().max() < 120


def test_extreme_latents_have_a_condition() -> None:
    source = OccurringConditions(Told(FONTS), seen(torch.tensor([1, 3]), FONTS))
    z = torch.tensor([[0.0, 0.0, 0.0, -40.0], [0.0, 0.0, 0.0, 40.0]])
    levels = source.sample(torch.tensor([0, 1]), z)[:, 0, 0, 0]
    assert (4 * levels).tolist() == [1, 3]


def test_other_meanings_are_refused() -> None:
    for conditions in (ANGLES, NO_CONDITIONS):
        with pytest.raises(ValueError, match="the conditions differ"):
            OccurringConditions(Told(conditions), seen(torch.tensor([1, 3]), FONTS))


def test_it_has_seen_what_the_other_source_has() -> None:
    told = Told(FONTS)
    told.record = Record({"family": "cvae"}, 3, np.array([5]), {"a": 2, "b": 2})
    assert OccurringConditions(told, seen(torch.tensor([1, 3]), FONTS)).record is told.record
