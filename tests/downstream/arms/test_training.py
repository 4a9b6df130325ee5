from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from augmentor.common.types import LabelledImages
from downstream.arms import training as module
from downstream.arms.policy import MixPolicy
from downstream.arms.recipe import Recipe
from downstream.arms.table import BASES
from downstream.arms.training import Material, train_arm
from downstream.augmentations import image_augmentation, pair_mix
from downstream.consistency import FixMatchSettings
from downstream.train import TrainSettings, balanced_weights
from downstream.trainer import ClassifierTrainer, loss_for, memory_for

TRAINER = ClassifierTrainer(settings=TrainSettings(steps=6, batch_size=8), domain="digits")


def images(counts: tuple[int, int] = (20, 4)) -> LabelledImages:
    y = torch.arange(2).repeat_interleave(torch.tensor(counts))
    noise = 0.2 * torch.randn(len(y), 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x = ((y - 0.5).view(-1, 1, 1, 1) + noise).clamp(-1, 1).float()
    return LabelledImages(x, y, ("dark", "light"))


POOL = images((6, 6)).x


def trained(recipe: Recipe, **material: Any) -> nn.Module:
    settings = FixMatchSettings(steps=6)
    given = {"pool": POOL, "fixmatch": settings, **material}
    return train_arm(recipe, Material(images(), None, 0, **given), TRAINER)


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
        "mixstyle",
        "fourier",
    ],
)
def test_an_arm_repeats_for_a_seed_and_is_not_the_classical_one(arm: str) -> None:
    first, again = trained(BASES[arm]), trained(BASES[arm])
    assert equal(first, again)
    assert not equal(first, trained(replace(BASES["classical"], balanced=False)))
    assert not first.training


@pytest.mark.parametrize(
    "base", ["logit_adjusted", "mixstyle", "group_dro", "domain_adversarial", "lisa"]
)
def test_the_intensity_of_a_base_reaches_its_training(base: str) -> None:
    condition = torch.arange(24) % 2
    material = {"combination": 2 * images().y + condition, "bins": 2}
    usual = trained(BASES[base], **material)
    assert equal(usual, trained(MixPolicy(base).recipe, **material))
    other = trained(MixPolicy(base, intensity=0.25).recipe, **material)
    assert not equal(usual, other)


def test_the_losses_know_the_class_sizes() -> None:
    logits, y = torch.zeros(2, 2), torch.tensor([0, 1])
    plain = cross_entropy(logits, y)
    for name in ("class_balanced", "logit_adjusted"):
        loss = loss_for(name, images())
        rare, common = (loss(logits[:1], y[i : i + 1], label_smoothing=0.0) for i in (1, 0))
        assert rare > plain > common


def test_the_logit_adjustment_knows_how_often_images_are_drawn() -> None:
    data = images()
    logits = torch.randn(len(data), 2, generator=torch.Generator().manual_seed(0))
    drawn = balanced_weights(data.y, 2)
    balanced = loss_for("logit_adjusted", data, drawn)(logits, data.y, label_smoothing=0.0)
    torch.testing.assert_close(balanced, cross_entropy(logits, data.y))
    plain = loss_for("logit_adjusted", data)(logits, data.y, label_smoothing=0.0)
    assert not torch.allclose(balanced, plain)


def test_fixmatch_can_begin_with_given_labels_and_have_another_strong_augmentation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[FixMatchSettings, dict[str, Any]]] = []

    def spy(
        model: nn.Module, x: Tensor, y: Tensor, pool: Tensor, settings: Any, **options: Any
    ) -> nn.Module:
        calls.append((settings, options))
        return model

    monkeypatch.setattr(module, "train_fixmatch", spy)
    start = torch.arange(12) // 6, torch.arange(12) % 2 == 0
    trained(BASES["fixmatch"])
    trained(BASES["graph_fixmatch"], warm_start=start)
    trained(MixPolicy("fixmatch", augment="randaugment").recipe)
    (plain, first), (started, second), (_, third) = calls
    assert first["given"] is None
    assert second["given"].labels is start[0]
    assert torch.equal(second["given"].clear, start[1])
    assert (started.steps, started.balanced) == (plain.steps, plain.balanced)
    assert started.threshold < plain.threshold
    strong = []
    for options in (first, second, third):
        strong.append(options["strong"](POOL, torch.Generator().manual_seed(0)))
    assert torch.equal(strong[0], strong[1])
    assert not torch.equal(strong[0], strong[2])


def test_pretraining_shares_the_steps_and_trains_one_network_with_two_seeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[int, int, int, int]] = []
    real = ClassifierTrainer.train

    def spy(self: ClassifierTrainer, data: LabelledImages, seed: int, **options: Any) -> nn.Module:
        calls.append((id(options["model"]), len(data), self.settings.steps, seed))
        return real(self, data, seed, **options)

    monkeypatch.setattr(ClassifierTrainer, "train", spy)
    recipe = MixPolicy("classical", share=1 / 3, schedule="pretrain").recipe
    trained(recipe, first_stage=images((5, 5)))
    (model, size, steps, seed), (again, real_size, rest, second_seed) = calls
    assert model == again
    assert (size, real_size, steps, rest) == (10, 24, 2, 4)
    assert seed != second_seed


@pytest.mark.parametrize(
    ("recipe", "missing", "message"),
    [
        (BASES["fixmatch"], {"pool": None}, "needs unlabelled"),
        (BASES["graph_fixmatch"], {}, "labels to begin with"),
        (MixPolicy("classical", 0.5, schedule="pretrain").recipe, {}, "needs synthetic"),
        (BASES["group_dro"], {}, "group_dro needs the conditions"),
        (BASES["domain_adversarial"], {}, "needs the conditions"),
        (BASES["lisa"], {}, "needs the conditions"),
        (Recipe(training="magic"), {}, "unknown training 'magic'"),
        (Recipe(augment=("magic",)), {}, "unknown augmentation 'magic'"),
        (Recipe(loss="magic"), {}, "unknown loss 'magic'"),
        (Recipe(augment=("mixup", "cutmix")), {}, "both mix pairs"),
    ],
)
def test_what_is_missing_or_unknown_is_named(
    recipe: Recipe, missing: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        trained(recipe, **missing)


@pytest.mark.parametrize("training", ["decoupled", "group_dro", "lisa", "fixmatch"])
def test_a_mix_of_pairs_that_a_training_would_leave_out_is_refused(training: str) -> None:
    recipe = Recipe(training=training, augment=("classical", "mixup"))
    with pytest.raises(ValueError, match="does not mix two images and their labels: leave mixup"):
        trained(recipe)


def test_augmentations_are_applied_one_after_the_other() -> None:
    both = image_augmentation(["classical", "trivialaugment"], "digits")
    first = image_augmentation(["classical"], "digits")
    second = image_augmentation(["trivialaugment"], "digits")
    assert both is not None
    assert first is not None
    assert second is not None
    rng = torch.Generator().manual_seed(3)
    expected = second(first(POOL, rng), rng)
    assert torch.equal(both(POOL, torch.Generator().manual_seed(3)), expected)
    assert image_augmentation([], "digits") is None
    assert pair_mix(["classical"]) is None


def test_curves_hear_of_every_step() -> None:
    told: list[tuple[int, int]] = []

    def on_values(step: int, steps: int, values: Any) -> None:
        told.append((step, steps))
        assert "loss" in values

    trained(BASES["classical"], on_values=on_values)
    assert told == [(step, 6) for step in range(1, 7)]
    told.clear()
    trained(BASES["fixmatch"], on_values=on_values)
    assert told[-1] == (6, 6)


def test_a_lack_of_memory_names_a_batch_size_to_try() -> None:
    with (
        pytest.raises(MemoryError, match="64 images per step; try --batch-size 32"),
        memory_for(64, "--batch-size"),
    ):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
    smallest = pytest.raises(MemoryError, match="try smaller images or a smaller network")
    with smallest, memory_for(2, "--batch-size"):
        raise MemoryError
    with pytest.raises(RuntimeError, match="something else"), memory_for(64, "--batch-size"):
        raise RuntimeError("something else")
