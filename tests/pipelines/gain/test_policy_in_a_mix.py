"""A ``SyntheticMix`` by a policy draws as the classifier of that policy was trained."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from augmentor.common.types import DataError, LabelledImages
from augmentor.data.synthetic_mix import POLICY_BASES, SyntheticMix, _drawing_of
from downstream.arms.policy import MixPolicy
from downstream.arms.recipe import Recipe
from downstream.arms.table import BASES
from pipelines.config import config_from
from pipelines.experiment.setting import setting_of
from pipelines.workbench.workbench import Workbench

REAL, PER_CLASS, SHARE = (6, 3, 1), 4, 0.3


def images(counts: tuple[int, ...], level: float = 0.0) -> LabelledImages:
    y = torch.arange(3).repeat_interleave(torch.tensor(counts))
    return LabelledImages(torch.full((len(y), 1, 4, 4), level), y, ("0", "1", "2"))


SYNTHETIC = images((PER_CLASS,) * 3, 1.0)


def drawn_by_gain(policy: MixPolicy) -> Tensor:
    """Share of the draws of every image, real ones first."""
    setting = setting_of(config_from({"data": {"data": "digits"}, "device": "cpu"}))
    bench = Workbench(images(REAL), None, setting, seed=0)
    bench._synthetic[Recipe(confidence=policy.confidence)] = SYNTHETIC
    _, weights = bench.training_set(policy.recipe)
    assert weights is not None
    return weights


def drawn_by_the_mix(policy: MixPolicy) -> Tensor:
    real = images(REAL)
    mix = SyntheticMix(TensorDataset(real.x, real.y), SYNTHETIC, policy=policy.to_json())
    assert len(mix) == len(real) + len(SYNTHETIC)
    return mix.draw_weights()


@pytest.mark.parametrize("base", ["real", "logit_adjusted"])
def test_real_images_in_their_own_proportions(base: str) -> None:
    policy = MixPolicy(base, SHARE)
    expected = torch.tensor([0.7 / 10] * 10 + [0.3 / 12] * 12).double()
    torch.testing.assert_close(drawn_by_gain(policy), expected)
    torch.testing.assert_close(drawn_by_the_mix(policy), expected)


@pytest.mark.parametrize("base", ["oversample", "classical", "pseudo_label"])
def test_every_class_equally_often(base: str) -> None:
    policy = MixPolicy(base, SHARE)
    of_real = [0.7 / 18] * 6 + [0.7 / 9] * 3 + [0.7 / 3]
    expected = torch.tensor(of_real + [0.3 / 12] * 12).double()
    torch.testing.assert_close(drawn_by_gain(policy), expected)
    torch.testing.assert_close(drawn_by_the_mix(policy), expected)


def test_classes_with_few_images_only() -> None:
    policy = MixPolicy("classical", SHARE, short_only=True)
    torch.testing.assert_close(drawn_by_gain(policy), drawn_by_the_mix(policy))
    assert float(drawn_by_gain(policy)[10:14].sum()) == 0  # the largest class lacks nothing


def test_the_bases_that_a_mix_knows_are_those_of_the_arms() -> None:
    assert set(POLICY_BASES) == set(BASES)


def test_a_policy_with_an_unknown_base_is_refused() -> None:
    policy = {"base": "clasical", "share": 0.5, "balanced": True}
    with pytest.raises(DataError, match="unknown base 'clasical'; known: 'classical'"):
        _drawing_of(policy, None)  # type: ignore[arg-type]
