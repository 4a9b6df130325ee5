from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from downstream.arms.policy import MixPolicy, policy_of, recipe_of
from downstream.arms.recipe import Recipe
from downstream.arms.table import (
    ARMS,
    BASES,
    KINDS,
    arms_help,
    as_markdown,
    default_arms,
    outside_arms,
    usual_bases,
)
from downstream.arms.training import TRAININGS
from downstream.augmentations import known_augmentations
from downstream.trainer import LOSSES
from pipelines.workbench.workbench import IMAGES

POOL_ARMS = {
    "pseudo_label",
    "fixmatch",
    "graph_fixmatch",
    "pair_fixmatch",
    "joint_fixmatch",
    "retrieval",
    "pair_label",
    "joint_label",
}


@pytest.mark.parametrize("arm", ARMS.values(), ids=ARMS)
def test_every_arm_names_what_there_is(arm: Any) -> None:
    assert arm.kind in KINDS
    assert arm.words
    if arm.recipe is not None:
        assert arm.recipe.images in IMAGES
        assert arm.recipe.training in TRAININGS
        assert arm.recipe.loss in LOSSES
        known_augmentations(arm.recipe.augment)
        assert arm.recipe.needs_pool == (arm.name in POOL_ARMS)
    assert not arm.mixes_into or arm.mixes_into in BASES


def test_the_arms_that_run_by_default() -> None:
    alone = default_arms(pool=False)
    assert alone == (
        "real",
        "oversample",
        "logit_adjusted",
        "classical",
        "smote",
        "smote+classical",
        "synthetic",
        "synthetic+classical",
        "auto",
    )
    extra = set(default_arms(pool=True)) - set(alone)
    assert extra == {"retrieval", "pseudo_label", "graph_fixmatch"}
    assert usual_bases(pool=False) == alone[:6]
    assert set(usual_bases(pool=True)) - set(usual_bases(pool=False)) == extra


def test_help_and_docs_name_every_arm() -> None:
    for text in (arms_help(), as_markdown()):
        assert all(name in text for name in ARMS)
    assert "| `real` | labelled images only |" in as_markdown()
    for name, needs, default in (
        ("real", "", "without conditions"),
        ("classical", "", "yes"),
        ("cutmix", "", "by name"),
        ("graph_fixmatch", "a pool", "with a pool"),
        ("factored", "conditions", "with conditions"),
        ("auto", "", "yes"),
    ):
        [row] = [row for row in as_markdown().splitlines() if row.startswith(f"| `{name}` |")]
        assert row.endswith(f"| {needs} | {default} |"), row
    page = Path(__file__).parents[3] / "docs" / "concepts" / "arms.md"
    assert as_markdown() in page.read_text(encoding="utf-8"), as_markdown()


def test_the_control_repeats_the_real_images_in_the_draws_of_the_synthetic_ones() -> None:
    control, arm = recipe_of("replay", share=0.3), recipe_of("synthetic+classical", share=0.3)
    assert replace(control, mixed="synthetic") == arm
    assert not control.uses_generator
    assert arm.uses_generator


def test_auto_without_a_policy_is_an_error() -> None:
    with pytest.raises(ValueError, match="auto"):
        recipe_of("auto")
    assert recipe_of("auto", chosen=MixPolicy("mixup")) == BASES["mixup"]
    with pytest.raises(ValueError, match="unknown arm 'magic'"):
        recipe_of("magic")


def test_a_policy_says_what_it_is() -> None:
    assert MixPolicy("classical").name == "classical"
    filtered = MixPolicy("pseudo_label", 0.25, 0.5)
    assert filtered.name == "pseudo_label + 25% synthetic, confidence 0.5"
    assert filtered.recipe == Recipe(
        "pseudo_label", augment=("classical",), share=0.25, confidence=0.5
    )
    carried = MixPolicy(
        "classical", 0.5, strength=0.5, latents="transfer", spread=0.1, short_only=True
    )
    assert carried.name == (
        "classical at strength 0.5 + 50% synthetic, transfer latents, spread 0.1, for short classes"
    )
    dropped = MixPolicy("classical", 0.5, realism=0.25)
    assert dropped.name == "classical + 50% synthetic, the least real 25% dropped"
    first = MixPolicy("classical", 0.5, schedule="pretrain")
    assert first.name == "classical + 50% synthetic, first"
    assert MixPolicy("classical", 0.5, latents="encoded").recipe.spread == 0.3
    assert MixPolicy("lisa", intensity=0.4).name == "lisa at intensity 0.4"
    assert MixPolicy("fourier", strength=0.5).name == "fourier at strength 0.5"


def test_a_strength_changes_only_what_has_classical_augmentation() -> None:
    assert MixPolicy("real", strength=0.5).recipe == BASES["real"]
    assert MixPolicy("real", strength=0.5).name == "real"
    assert MixPolicy("trivialaugment", strength=0.5).recipe == BASES["trivialaugment"]
    assert MixPolicy("mixup", strength=0.5).recipe.strength == 0.5


def test_an_arm_has_its_screened_strength_or_that_of_classical() -> None:
    strengths = {"classical": 0.5, "pseudo_label": 2.0}
    found = {name: recipe_of(name, strengths=strengths).strength for name in ARMS if name != "auto"}
    assert found["pseudo_label"] == 2.0
    assert found["classical"] == found["synthetic+classical"] == found["cutmix"] == 0.5
    assert found["real"] == found["synthetic"] == found["randaugment"] == 1.0


@pytest.mark.parametrize(
    "policy",
    [
        MixPolicy("classical", 0.5, 0.25),
        MixPolicy("classical", 0.5, short_only=True),
        MixPolicy("mixup", 1.0, strength=2.0, spread=1.0),
        MixPolicy("real"),
        MixPolicy("group_dro", intensity=10.0),
    ],
)
def test_policies_survive_json(policy: MixPolicy) -> None:
    document = policy.to_json()
    assert document["balanced"] == policy.recipe.balanced
    assert policy_of(document) == policy


@pytest.mark.parametrize(
    "options",
    [
        {"base": "magic"},
        {"base": "decoupled", "share": 0.5},
        {"base": "fixmatch", "share": 0.5},
        {"base": "reweight", "share": 0.5},
        {"base": "logit_adjusted", "share": 0.5, "short_only": True},
        {"base": "smote", "share": 0.5, "short_only": True},
        {"base": "classical", "share": 0.5, "schedule": "pretrain", "short_only": True},
        {"base": "fixmatch", "augment": "none"},
        {"base": "lisa", "share": 0.5},
        {"base": "classical", "fill": True, "confidence": 0.5},
        {"base": "classical", "fill": True, "short_only": True},
        {"base": "lisa", "intensity": 2.1},
        {"base": "mixstyle", "intensity": 0.0},
        {"base": "classical", "intensity": 0.5},
    ],
)
def test_policies_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    known = (
        "unknown base|cannot be combined|short_only draws|exclude|needs a strong|intensity|"
        "fill renders"
    )
    with pytest.raises(ValueError, match=known):
        MixPolicy(**options)


def test_a_policy_can_augment_otherwise_than_its_base() -> None:
    policy = MixPolicy("pseudo_label", strength=0.5, augment="trivialaugment")
    assert policy.recipe == replace(BASES["pseudo_label"], augment=("trivialaugment",))
    assert policy.name == "pseudo_label with trivialaugment"
    assert policy_of(policy.to_json()) == policy
    assert MixPolicy("real", strength=0.5, augment="classical").recipe.strength == 0.5
    assert not MixPolicy("classical", augment="none").recipe.augmented


def test_another_augmentation_leaves_the_mixes_of_the_base() -> None:
    augment = {
        (base, own): MixPolicy(base, augment=own).recipe.augment
        for base in ("mixup", "fourier")
        for own in ("randaugment", "none")
    }
    assert augment["mixup", "randaugment"] == ("randaugment", "mixup")
    assert augment["mixup", "none"] == ("mixup",)
    assert augment["fourier", "randaugment"] == ("randaugment", "fourier")
    assert augment["fourier", "none"] == ("fourier",)


def test_images_made_elsewhere_are_arms_alone_and_beside_augmentations() -> None:
    ran = ["real", "classical", "smote+classical", "mixup", "logit_adjusted", "fixmatch", "auto"]
    arms = {arm.name: arm for arm in outside_arms("bought", "0f1e", ran)}
    assert list(arms) == [
        "synthetic:bought",
        "synthetic:bought+classical",
        "synthetic:bought+mixup",
    ]
    for arm in arms.values():
        assert arm.kind == "outside"
        assert arm.recipe is not None
        assert arm.recipe.outside == "0f1e"
        assert arm.recipe.uses_synthetic
        assert not arm.recipe.uses_generator
        assert replace(arm.recipe, outside="", share=0.0) == BASES[arm.mixes_into]
    recipe = recipe_of(
        "synthetic:bought+classical", share=0.25, strengths={"classical": 2.0}, table=arms
    )
    assert (recipe.share, recipe.strength) == (0.25, 2.0)


def test_a_run_with_such_images_trains_no_generator_by_default() -> None:
    names = default_arms(pool=False, own_generator=False)
    assert set(default_arms(pool=False)) - set(names) == {"synthetic", "synthetic+classical"}


def test_a_policy_with_such_images_says_whose_and_comes_back_from_json() -> None:
    policy = MixPolicy("classical", share=0.5, outside="a:b:0f1e")
    assert policy.name == "classical + 50% synthetic of a:b"
    assert policy.recipe.outside == "0f1e"
    assert policy.uses_synthetic
    assert not policy.uses_generator
    assert policy_of(json.loads(json.dumps(policy.to_json()))) == policy
