from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from augmentor.common.types import LabelledImages
from downstream.consistency import FixMatchSettings
from downstream.train import balanced_weights
from pipelines.config import Config, config_from
from pipelines.gain import arm_training
from pipelines.gain.arm_training import fixmatch_steps, loss_of, train_arm
from pipelines.gain.recipes import GENERATOR_FREE, Policy, Recipe

CLASSES = ("dark", "light")


def images(counts: tuple[int, int] = (20, 4)) -> LabelledImages:
    y = torch.arange(2).repeat_interleave(torch.tensor(counts))
    noise = 0.2 * torch.randn(len(y), 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return LabelledImages(((y - 0.5).view(-1, 1, 1, 1) + noise).clamp(-1, 1).float(), y, CLASSES)


def config(steps: int = 6, **changes: Any) -> Config:
    return config_from(
        {
            "data": {"data": "digits"},
            "device": "cpu",
            "classifier": {"steps": steps, "batch_size": 8},
            **changes,
        }
    )


def trained(recipe: Recipe, seed: int = 0, **options: Any) -> nn.Module:
    return train_arm(recipe, images(), None, config(), seed, **options)


def equal(first: nn.Module, second: nn.Module) -> bool:
    other = second.state_dict()
    return all(torch.equal(value, other[key]) for key, value in first.state_dict().items())


@pytest.mark.parametrize(
    "arm",
    [
        "trivialaugment",
        "randaugment",
        "mixup",
        "cutmix",
        "reweight",
        "logit_adjusted",
        "decoupled",
        "fixmatch",
    ],
)
def test_an_arm_repeats_for_a_seed_and_is_not_the_classical_one(arm: str) -> None:
    pool = images((6, 6)).x
    first, again = (trained(GENERATOR_FREE[arm], pool=pool) for _ in range(2))
    assert equal(first, again)
    assert not equal(first, trained(replace(GENERATOR_FREE["classical"], balanced=False)))
    assert not first.training


def test_the_losses_know_the_class_sizes() -> None:
    logits, y = torch.zeros(2, 2), torch.tensor([0, 1])
    plain = loss_of(GENERATOR_FREE["classical"], images())(logits, y, label_smoothing=0.0)
    for arm in ("reweight", "logit_adjusted"):
        loss = loss_of(GENERATOR_FREE[arm], images())
        rare, common = (loss(logits[:1], y[i : i + 1], label_smoothing=0.0) for i in (1, 0))
        assert rare > plain > common


def test_the_logit_adjustment_knows_how_often_images_are_drawn() -> None:
    data = images()
    recipe, logits = (
        GENERATOR_FREE["logit_adjusted"],
        torch.randn(len(data), 2, generator=torch.manual_seed(0)),
    )
    drawn = balanced_weights(data.y, 2)
    balanced = loss_of(recipe, data, drawn)(logits, data.y, label_smoothing=0.0)
    assert torch.allclose(balanced, cross_entropy(logits, data.y))
    assert not torch.allclose(balanced, loss_of(recipe, data)(logits, data.y, label_smoothing=0.0))


def test_fixmatch_learns_from_as_many_images_as_pseudo_labelling() -> None:
    settings = FixMatchSettings()
    # Two rounds and the last training: 3 * 700 * 64 images, 112 a step.
    assert fixmatch_steps(config_from({"classifier": {"steps": 700}}), settings) == 1200
    for method, steps in (("graph", 400), ("graph_classifier", 1200)):
        asked = config_from({"classifier": {"steps": 700}, "pool": {"method": method}})
        assert fixmatch_steps(asked, settings) == steps
    assert fixmatch_steps(config(1), settings) == 1


def test_fixmatch_can_begin_with_a_graph_and_have_another_strong_augmentation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[FixMatchSettings, dict[str, Any]]] = []

    def spy(
        model: nn.Module, x: Tensor, y: Tensor, pool: Tensor, settings: Any, **options: Any
    ) -> nn.Module:
        calls.append((settings, options))
        return model

    monkeypatch.setattr(arm_training, "train_fixmatch", spy)
    pool = images((6, 6)).x
    start = torch.arange(12) // 6, torch.arange(12) % 2 == 0
    trained(Policy("fixmatch").recipe, pool=pool)
    trained(Policy("graph_fixmatch").recipe, pool=pool, start=start)
    trained(Policy("fixmatch", augment="randaugment").recipe, pool=pool)
    (plain, first), (started, second), (_, third) = calls
    assert first["advice"] is None
    assert second["advice"].labels is start[0]
    assert second["advice"].clear is start[1]
    assert (started.steps, started.balanced) == (plain.steps, plain.balanced)
    assert started.threshold < plain.threshold
    strong = [
        options["strong"](pool, torch.Generator().manual_seed(0))
        for options in (first, second, third)
    ]
    assert torch.equal(strong[0], strong[1])
    assert not torch.equal(strong[0], strong[2])


def test_pretraining_shares_the_steps_and_goes_on_with_the_same_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[nn.Module, int, int]] = []

    def spy(model: nn.Module, x: Tensor, y: Tensor, settings: Any, **options: Any) -> nn.Module:
        calls.append((model, len(x), settings.steps))
        return model

    monkeypatch.setattr(arm_training, "train_classifier", spy)
    synthetic = images((3, 3))
    recipe = Policy("classical", 0.34, schedule="pretrain").recipe
    trained(recipe, synthetic=synthetic)
    assert [call[1:] for call in calls] == [(6, 2), (24, 4)]
    assert calls[0][0] is calls[1][0]
    calls.clear()
    trained(replace(recipe, share=1.0), synthetic=synthetic)
    assert [call[1:] for call in calls] == [(6, 6)]


def test_what_a_training_needs_is_asked_for() -> None:
    with pytest.raises(ValueError, match="unlabelled"):
        trained(GENERATOR_FREE["fixmatch"])
    with pytest.raises(ValueError, match="synthetic"):
        trained(Policy("classical", 0.5, schedule="pretrain").recipe)
