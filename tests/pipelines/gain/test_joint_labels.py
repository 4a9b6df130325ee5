from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from augmentor.common.types import LabelledImages
from pipelines.config import Config, config_from
from pipelines.gain import arms
from pipelines.gain import joint_labels as module
from pipelines.gain.arms import Bench
from pipelines.gain.joint_labels import joint_labels
from pipelines.gain.recipes import GENERATOR_FREE, WITH_GENERATOR, Policy, Recipe, uses_generator
from pipelines.gain.yardsticks import yardstick_of

CLASSES = ("dark", "light")


def greys(n: int, seed: int) -> LabelledImages:
    """Images of two greys with a little noise, one class after the other."""
    y = torch.arange(2).repeat_interleave(n)
    x = (y * 1.2 - 0.6).view(-1, 1, 1, 1) + 0.1 * torch.randn(
        2 * n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)
    )
    return LabelledImages(x.clamp(-1, 1), y, CLASSES)


def config(**pool: Any) -> Config:
    return config_from(
        {
            "data": {"data": "digits"},
            "pool": {"rounds": 1, "joint_rounds": 1, "joint_steps": 30, "threshold": 0.5, **pool},
            "source": {"batch_size": 16},
            "classifier": {"steps": 20, "batch_size": 16},
            "device": "cpu",
            "threads": 1,
        }
    )


def test_two_greys_get_their_labels_and_a_seed_repeats_them() -> None:
    pool = greys(20, seed=1)
    found = joint_labels(greys(3, seed=0), pool.x, config(), seed=5)
    assert found.classes == CLASSES
    assert len(found) == 40
    assert torch.equal(found.y, pool.y)
    again = joint_labels(greys(3, seed=0), pool.x, config(), seed=5)
    assert torch.equal(found.x, again.x)
    assert torch.equal(found.y, again.y)


@pytest.mark.parametrize("who", ["classifier", "generator"])
def test_where_one_of_them_does_not_know_the_other_decides(
    monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    pool = greys(10, seed=1)
    nothing, sure = torch.zeros(20, 2), torch.eye(2)[1 - pool.y] * 4  # against what the images show
    sure[0] = torch.tensor([0.1, 0.0])  # nothing is sure everywhere

    def teacher(*_: object) -> Tensor:
        return sure if who == "classifier" else nothing + torch.tensor([0.01, 0.0])

    monkeypatch.setattr(module, "teacher_logits", teacher)
    monkeypatch.setattr(
        module, "class_bounds", lambda *_: (nothing if who == "classifier" else sure).double()
    )
    found = joint_labels(greys(3, seed=0), pool.x, config(balanced=False, threshold=0.0), seed=5)
    assert torch.equal(found.y[1:], 1 - pool.y[1:])


def test_the_generator_learns_from_the_labels_of_the_classifier_and_keeps_its_own_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[Config, LabelledImages | None]] = []
    real = module.train_source

    def recording(
        train: LabelledImages, known: LabelledImages | None, of: Config, *rest: Any
    ) -> Any:
        seen.append((of, known))
        return real(train, known, of, *rest)

    monkeypatch.setattr(module, "train_source", recording)
    joint_labels(
        greys(3, seed=0),
        greys(10, seed=1).x,
        config(joint_rounds=2, joint_options={"sigma": 0.5}),
        seed=5,
    )
    assert [(of.source.family, of.source.steps, of.source.options) for of, _ in seen] == [
        ("cvae", 30, {"sigma": 0.5})
    ] * 2
    assert all(known is not None and len(known) == 20 for _, known in seen)


def test_the_control_has_a_second_classifier_with_another_seed_in_the_place_of_the_generator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds: list[int] = []
    real = module.teacher_logits

    def recording(known: LabelledImages, pool: Tensor, of: Config, seed: int, *rest: Any) -> Tensor:
        seeds.append(seed)
        return real(known, pool, of, seed, *rest)

    monkeypatch.setattr(module, "teacher_logits", recording)
    monkeypatch.setattr(module, "train_source", None)  # would raise
    pool = greys(20, seed=1)
    found = joint_labels(greys(3, seed=0), pool.x, config(joint_rounds=2), seed=5, generator=False)
    assert torch.equal(found.y, pool.y)
    assert len(set(seeds)) == 4


def test_the_arm_is_one_with_a_generator_and_needs_a_pool() -> None:
    bench = Bench(greys(3, seed=0), greys(20, seed=1).x, config(), seed=5)
    base, weights = bench.training_set(WITH_GENERATOR["joint_label"])
    assert len(base) == 46
    assert weights is not None
    assert set(bench.seconds) == {"joint labels"}
    bench.training_set(GENERATOR_FREE["pair_label"])
    assert set(bench.seconds) == {"joint labels", "pair labels"}
    assert yardstick_of("pair_label") == "same_pool"
    assert yardstick_of("joint_label") is None
    assert Policy("joint_label").uses_generator
    assert Policy("joint_label").recipe.needs_pool
    assert not Policy("pseudo_label").uses_generator
    assert uses_generator({"base": "joint_label", "share": 0})
    assert not uses_generator({"base": "classical", "share": 0})
    with pytest.raises(ValueError, match="no pool"):
        Bench(greys(3, seed=0), None, config(), seed=5).training_set(WITH_GENERATOR["joint_label"])


def test_fixmatch_begins_with_the_labels_of_a_graph_or_of_two_opinions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[str, int, Any]] = []
    real = arms.train_arm

    def recording(recipe: Recipe, *rest: Any, start: Any, **options: Any) -> Any:
        calls.append((recipe.training, rest[3], start))
        return real(recipe, *rest, start=start, **options)

    monkeypatch.setattr(arms, "train_arm", recording)
    pool = greys(20, seed=1)
    bench = Bench(greys(3, seed=0), pool.x, config(), seed=5)
    for recipe in (WITH_GENERATOR["joint_fixmatch"], GENERATOR_FREE["pair_fixmatch"]):
        bench.classifier(recipe)
    told = [(training, seed) for training, seed, _ in calls]
    assert told == [
        ("graph_fixmatch", 5),
        ("joint_fixmatch", 5),
        ("graph_fixmatch", 5 + module.OTHER),
        ("pair_fixmatch", 5),
    ]
    for _, _, (labels, clear) in calls:
        assert torch.equal(labels, pool.y)
        assert clear.dtype == torch.bool
        assert 0 < int(clear.sum()) <= len(pool)
    assert {"graph", "second opinion"} < set(bench.seconds)
    plain = Bench(greys(3, seed=0), pool.x, config(), seed=5)
    plain.classifier(GENERATOR_FREE["fixmatch"])
    assert calls[-1] == ("fixmatch", 5, None)
