from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from augmentor.quality.fidelity import (
    class_spread,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall_density_coverage,
)
from augmentor.quality.memorisation import copied_share, memorisation_test, nearest

GOOD = torch.rand(30, 4, generator=torch.Generator().manual_seed(0))
MEASURES: dict[str, Callable[[Tensor], object]] = {
    "inception": inception_score,
    "fid": lambda bad: frechet_distance(GOOD, bad),
    "fid of real": lambda bad: frechet_distance(bad, GOOD),
    "kid": lambda bad: kernel_distance(GOOD, bad),
    "precision": lambda bad: precision_recall_density_coverage(GOOD, bad),
    "spread": lambda bad: class_spread(bad, torch.zeros(30, dtype=torch.int64), 1),
    "nearest": lambda bad: nearest(bad, GOOD),
    "memorisation": lambda bad: memorisation_test(GOOD, GOOD + 1, bad),
    "copied": lambda bad: copied_share(GOOD, GOOD + 1, bad),
}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", MEASURES)
def test_features_that_are_not_finite_give_no_number(name: str, value: float) -> None:
    bad = GOOD.clone()
    MEASURES[name](bad)
    bad[3, 2] = value
    with pytest.raises(ValueError, match="NaN or infinite"):
        MEASURES[name](bad)
