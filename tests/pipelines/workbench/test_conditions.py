from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from augmentor.common.conditions import Conditions
from augmentor.common.types import LabelledImages
from augmentor.data.combinations import bins_of
from downstream.arms.recipe import OF_COMBINATIONS
from downstream.arms.table import BASES
from pipelines.config import config_from
from pipelines.experiment.setting import setting_of
from pipelines.workbench.workbench import Workbench

RIVALS = ("mixstyle", "fourier", "group_dro", "domain_adversarial", "lisa")


def images() -> LabelledImages:
    """Three classes under two lights; the last was seen under one of them only."""
    y = torch.tensor([0] * 8 + [1] * 6 + [2] * 2)
    light = torch.tensor([0, 1] * 7 + [0, 0])
    noise = 0.1 * torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x = ((y - 1) * 0.5 + 0.2 * light).view(-1, 1, 1, 1) + noise
    lights = Conditions(("light",), ("left", "right"))
    return LabelledImages(x.clamp(-1, 1), y, ("a", "b", "c"), light, lights)


def bench(train: LabelledImages) -> Workbench:
    asked = {
        "data": {"data": "digits"},
        "device": "cpu",
        "classifier": {"steps": 3, "batch_size": 8},
    }
    bins = bins_of(train.conditions, train.condition) if train.condition is not None else None
    return Workbench(train, None, setting_of(config_from(asked)), seed=3, bins=bins)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([value.flatten().float() for value in model.state_dict().values()])


@pytest.mark.parametrize("arm", RIVALS)
def test_a_rival_repeats_for_a_seed_and_differs_from_the_arm_it_builds_on(arm: str) -> None:
    first, again = (weights(bench(images()).classifier(BASES[arm])) for _ in range(2))
    plain = weights(bench(images()).classifier(BASES["trivialaugment"]))
    other = weights(replace(bench(images()), seed=4).classifier(BASES[arm]))
    assert torch.equal(first, again)
    assert first.shape == plain.shape
    assert not torch.equal(first, plain)
    assert not torch.equal(first, other)
    assert bool(first.isfinite().all())


@pytest.mark.parametrize("arm", RIVALS)
def test_only_those_that_are_told_conditions_need_them(arm: str) -> None:
    needs = arm in OF_COMBINATIONS
    assert BASES[arm].needs_conditions == needs
    without = bench(images().without_conditions())
    if needs:
        with pytest.raises(ValueError, match="give --condition"):
            without.classifier(BASES[arm])
    else:
        assert not without.classifier(BASES[arm]).training


def test_the_material_names_the_combination_of_every_image() -> None:
    train = images()
    assert train.condition is not None
    material = bench(train).material(BASES["lisa"])
    assert material.bins == 2
    assert material.combination is not None
    assert torch.equal(material.combination % 2, train.condition)
    assert torch.equal(material.combination // 2, train.y)
    assert bench(train).material(BASES["trivialaugment"]).combination is None


def test_group_dro_draws_classes_and_their_combinations_equally_often() -> None:
    train = images()
    drawn = bench(train).material(BASES["group_dro"]).draw_weights
    assert drawn is not None
    assert train.condition is not None
    masses = torch.bincount(2 * train.y + train.condition, drawn)
    assert masses.tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 3])
