from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from augmentor.common.types import LabelledImages
from downstream.arms.recipe import Recipe
from downstream.arms.table import ARMS, BASES
from downstream.arms.training import Material
from downstream.trainer import ClassifierTrainer
from pipelines.config import SourceConfig, config_from
from pipelines.experiment.parts import PartStore
from pipelines.experiment.setting import Setting, setting_of
from pipelines.workbench import joint_labels as module
from pipelines.workbench import workbench as bench_module
from pipelines.workbench.joint_labels import CoLabeller
from pipelines.workbench.training_parts import training_group
from pipelines.workbench.workbench import Workbench

CLASSES = ("dark", "light")


def greys(n: int, seed: int) -> LabelledImages:
    """Images of two greys with a little noise, one class after the other."""
    y = torch.arange(2).repeat_interleave(n)
    x = (y * 1.2 - 0.6).view(-1, 1, 1, 1) + 0.1 * torch.randn(
        2 * n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)
    )
    return LabelledImages(x.clamp(-1, 1), y, CLASSES)


def setting(**pool: Any) -> Setting:
    asked = {"rounds": 1, "joint_rounds": 1, "joint_steps": 30, "threshold": 0.5, **pool}
    whole = {
        "data": {"data": "digits"},
        "pool": asked,
        "source": {"batch_size": 16},
        "classifier": {"steps": 20, "batch_size": 16},
        "device": "cpu",
    }
    return setting_of(config_from(whole))


def co_labeller(pool: LabelledImages, **options: Any) -> CoLabeller:
    s = setting(**options)
    return CoLabeller(greys(3, seed=0), pool.x, s.pool, s.source, s.trainer, seed=5)


def test_two_greys_get_their_labels_and_a_seed_repeats_them() -> None:
    pool = greys(20, seed=1)
    found = co_labeller(pool).labelled(generator=True)
    assert found.classes == CLASSES
    assert torch.equal(found.y, pool.y)
    again = co_labeller(pool).labelled(generator=True)
    assert torch.equal(found.x, again.x)


@pytest.mark.parametrize("who", ["classifier", "generator"])
def test_where_one_of_them_does_not_know_the_other_decides(
    monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    pool = greys(10, seed=1)
    nothing, sure = torch.zeros(20, 2), torch.eye(2)[1 - pool.y] * 4  # against what images show
    sure[0] = torch.tensor([0.1, 0.0])  # nothing is sure everywhere

    def teacher(*_: object) -> Tensor:
        return sure if who == "classifier" else nothing + torch.tensor([0.01, 0.0])

    def bounds(*_: object) -> Tensor:
        return (nothing if who == "classifier" else sure).double()

    monkeypatch.setattr(module, "teacher_logits", teacher)
    monkeypatch.setattr(module, "class_bounds", bounds)
    found = co_labeller(pool, balanced=False, threshold=0.0).labelled(generator=True)
    assert torch.equal(found.y[1:], 1 - pool.y[1:])


def test_the_generator_learns_from_the_labels_of_the_classifier_and_keeps_its_own_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[SourceConfig, int]] = []
    real = module.train_generator

    def recording(images: LabelledImages, settings: SourceConfig, seed: int, **rest: Any) -> Any:
        seen.append((settings, len(images)))
        return real(images, settings, seed, **rest)

    monkeypatch.setattr(module, "train_generator", recording)
    options = {"joint_rounds": 2, "joint_options": {"sigma": 0.5}}
    co_labeller(greys(10, seed=1), **options).labelled(generator=True)
    assert [(one.family, one.steps, one.options) for one, _ in seen] == [
        ("cvae", 30, {"sigma": 0.5})
    ] * 2
    assert [count for _, count in seen] == [26, 26]


def test_the_control_has_a_second_classifier_in_the_place_of_the_generator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds: list[int] = []
    real = module.teacher_logits

    def recording(
        known: LabelledImages, pool: Tensor, settings: Any, trainer: Any, seed: int, check: Any
    ) -> Tensor:
        seeds.append(seed)
        return real(known, pool, settings, trainer, seed, check)

    monkeypatch.setattr(module, "teacher_logits", recording)
    monkeypatch.setattr(module, "train_generator", None)  # would raise
    pool = greys(20, seed=1)
    found = co_labeller(pool, joint_rounds=2).labelled(generator=False)
    assert torch.equal(found.y, pool.y)
    assert len(set(seeds)) == 4


def test_the_arms_with_joint_labels_join_the_pool() -> None:
    bench = Workbench(greys(3, seed=0), greys(20, seed=1).x, setting(), seed=5)
    base, weights = bench.training_set(BASES["joint_label"])
    assert len(base) == 46
    assert weights is not None
    assert set(bench.seconds) == {"joint labels"}
    bench.training_set(BASES["pair_label"])
    assert set(bench.seconds) == {"joint labels", "pair labels"}
    assert BASES["joint_label"].uses_generator
    assert not BASES["pair_label"].uses_generator


def test_fixmatch_begins_with_the_labels_of_a_graph_or_of_two_opinions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[str, int, Any]] = []
    real = bench_module.train_arms

    def recording(
        recipes: list[Recipe], materials: list[Material], trainer: ClassifierTrainer
    ) -> Any:
        for recipe, material in zip(recipes, materials, strict=True):
            calls.append((recipe.training, material.seed, material.warm_start))
        return real(recipes, materials, trainer)

    monkeypatch.setattr(bench_module, "train_arms", recording)
    pool = greys(20, seed=1)
    bench = Workbench(greys(3, seed=0), pool.x, setting(), seed=5)
    for arm in ("joint_fixmatch", "pair_fixmatch"):
        bench.classifier(BASES[arm])
    order = ["graph_fixmatch", "joint_fixmatch", "graph_fixmatch", "pair_fixmatch"]
    assert [training for training, _, _ in calls] == order
    seeds = [seed for _, seed, _ in calls]
    assert seeds[0] == seeds[1] == seeds[3] != seeds[2]
    for _, _, start in calls:
        labels, clear = start
        assert torch.equal(labels, pool.y)
        assert clear.dtype == torch.bool
        assert 0 < int(clear.sum()) <= len(pool)
    assert {"graph", "second opinion"} < set(bench.seconds)
    bench.classifier(BASES["fixmatch"])
    assert calls[-1] == ("fixmatch", seeds[0], None)


@pytest.mark.parametrize("method", ["classifier", "graph"])
@pytest.mark.parametrize("generator", [True, False])
def test_the_estimate_counts_the_trainings_that_there_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str, *, generator: bool
) -> None:
    s, done = setting(method=method, joint_rounds=2), {"pool labels": 0, "joint labels": 0}
    classifier, cvae = ClassifierTrainer.train, module.train_generator

    def train(self: ClassifierTrainer, *rest: Any, **options: Any) -> Any:
        done["pool labels"] += self.settings.steps
        return classifier(self, *rest, **options)

    def train_generator(
        images: LabelledImages, settings: SourceConfig, *rest: Any, **o: Any
    ) -> Any:
        done["joint labels"] += settings.steps
        return cvae(images, settings, *rest, **o)

    monkeypatch.setattr(ClassifierTrainer, "train", train)
    monkeypatch.setattr(module, "train_generator", train_generator)
    arm = ARMS["joint_label" if generator else "pair_label"].recipe
    assert arm is not None
    store, recipes = PartStore(tmp_path), {"arm": arm}
    group = training_group(s, "", 0, recipes, store, arm, has_pool=True)
    Workbench(greys(3, seed=0), greys(20, seed=1).x, s, seed=3).co_labelled(generator=generator)
    assert dict(group.shared_steps) == {what: steps for what, steps in done.items() if steps}
