"""A ``SyntheticMix`` by a policy draws as the classifier of that policy was trained, worked by
hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from augmentor.common.types import LabelledImages
from augmentor.data.synthetic_mix import AS_THEY_ARE, SyntheticMix
from pipelines.config import config_from
from pipelines.gain.arms import Bench
from pipelines.gain.recipes import BASES, Policy

CLASSES = ("0", "1", "2")
REAL, PER_CLASS = (6, 3, 1), 4


def images(counts: tuple[int, ...]) -> LabelledImages:
    y = torch.arange(3).repeat_interleave(torch.tensor(counts))
    return LabelledImages(torch.zeros(len(y), 1, 4, 4), y, CLASSES)


def drawn_by_gain(policy: Policy) -> Tensor:
    """Share of the draws of every image, real ones first."""
    bench = Bench(
        images(REAL), None, config_from({"data": {"data": "digits"}, "device": "cpu"}), seed=0
    )
    bench._synthetic[policy.confidence, "prior", 1.0, 0.0] = images((PER_CLASS,) * 3)
    _, weights = bench.training_set(policy.recipe)
    assert weights is not None
    return weights / weights.sum()


def drawn_by_the_mix(policy: Policy) -> Tensor:
    """The same of a mix; ten real images and a share of 0.5454… are twelve synthetic ones."""
    real = images(REAL)
    mix = SyntheticMix(
        TensorDataset(real.x, real.y), images((PER_CLASS,) * 3), policy=policy.to_json()
    )
    weights = mix.draw_weights()
    return weights / weights.sum()


@pytest.mark.parametrize("base", ["real", "logit_adjusted"])
def test_real_images_in_their_own_proportions(base: str) -> None:
    policy = Policy(base, 12 / 22)
    expected = torch.tensor([10 / 22 / 10] * 10 + [12 / 22 / 12] * 12).double()
    assert torch.allclose(drawn_by_gain(policy), expected)
    assert torch.allclose(drawn_by_the_mix(policy), expected)


@pytest.mark.parametrize("base", ["oversample", "classical", "pseudo_label"])
def test_every_class_equally_often(base: str) -> None:
    policy = Policy(base, 12 / 22)
    of_real = [10 / 22 / 18] * 6 + [10 / 22 / 9] * 3 + [10 / 22 / 3]
    expected = torch.tensor(of_real + [12 / 22 / 12] * 12).double()
    assert torch.allclose(drawn_by_gain(policy), expected)
    assert torch.allclose(drawn_by_the_mix(policy), expected)


def test_the_bases_drawn_as_they_are() -> None:
    # SMOTE tops the set itself up, so that its images are drawn equally often and its classes too.
    unbalanced = {
        name for name, recipe in BASES.items() if not recipe.balanced and recipe.images != "smote"
    }
    assert unbalanced == set(AS_THEY_ARE)
