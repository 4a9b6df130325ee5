from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipelines.config import Config, ConfigError, config_from
from pipelines.gain.recipes import (
    ARMS,
    GENERATOR_FREE,
    USUAL_BASES,
    Policy,
    Recipe,
    known_arms,
    named_policies,
    recipe_of,
)

POOL_ARMS = [
    "pseudo_label",
    "fixmatch",
    "graph_fixmatch",
    "pair_fixmatch",
    "retrieval",
    "pair_label",
]


def config(**gain: Any) -> Config:
    return config_from({"data": {"data": "digits"}, "gain": gain})


def test_the_arms_that_run_unasked_are_the_usual_ones() -> None:
    synthetic = ("synthetic", "synthetic+classical", "auto")
    assert known_arms(config(), pool=True) == (*USUAL_BASES, *synthetic)
    assert known_arms(config(), pool=False) == (*USUAL_BASES[:-3], *synthetic)
    assert USUAL_BASES[-3:] == ("retrieval", "pseudo_label", "graph_fixmatch")


def test_every_arm_can_be_asked_for_by_name() -> None:
    assert known_arms(config(arms=list(ARMS)), pool=True) == ARMS


def test_arms_that_the_data_do_not_allow() -> None:
    for arm in POOL_ARMS:
        with pytest.raises(ValueError, match=f"{arm!r} needs unlabelled images"):
            known_arms(config(arms=[arm]), pool=False)
    own = {"arms": ["own"], "policies": {"own": {"latents": "pool"}}}
    with pytest.raises(ValueError, match="'own' needs unlabelled images"):
        known_arms(config(**own), pool=False)
    assert known_arms(config(**own), pool=True) == ("own",)
    with pytest.raises(ValueError, match="unknown arm 'magic'"):
        known_arms(config(arms=["magic"]), pool=True)
    with pytest.raises(ValueError, match="twice"):
        known_arms(config(arms=["real", "real"]), pool=True)


@pytest.mark.parametrize("arm", GENERATOR_FREE)
def test_what_needs_a_pool(arm: str) -> None:
    assert GENERATOR_FREE[arm].needs_pool == (arm in POOL_ARMS)


def test_auto_without_a_policy_is_an_error() -> None:
    with pytest.raises(ValueError, match="auto"):
        recipe_of("auto", 0.5, None)


def test_a_policy_says_what_it_is() -> None:
    assert Policy("classical").name == "classical"
    assert Policy("pseudo_label", 0.25, 0.5).name == "pseudo_label + 25% synthetic, confidence 0.5"
    assert Policy("pseudo_label", 0.25, 0.5).recipe == Recipe(
        "pseudo_label", True, "classical", share=0.25, confidence=0.5
    )
    carried = Policy(
        "classical", 0.5, strength=0.5, latents="transfer", spread=0.1, short_only=True
    )
    assert carried.name == (
        "classical at strength 0.5 + 50% synthetic, transfer latents, spread 0.1, for short classes"
    )
    assert (
        Policy("classical", 0.5, realism=0.25).name
        == "classical + 50% synthetic, the least real 25% dropped"
    )
    assert Policy("classical", 0.5, schedule="pretrain").name == "classical + 50% synthetic, first"
    assert Policy("classical", 0.5, latents="encoded").recipe.spread == 0.3


def test_a_strength_changes_only_what_has_classical_augmentation() -> None:
    assert Policy("real", strength=0.5).recipe == GENERATOR_FREE["real"]
    assert Policy("real", strength=0.5).name == "real"
    assert Policy("trivialaugment", strength=0.5).recipe == GENERATOR_FREE["trivialaugment"]
    assert Policy("mixup", strength=0.5).recipe.strength == 0.5


def test_an_arm_has_its_tuned_strength_or_that_of_classical() -> None:
    strengths = {"classical": 0.5, "pseudo_label": 2.0}
    found = {
        arm: recipe_of(arm, 0.5, None, strengths=strengths).strength
        for arm in ARMS
        if arm != "auto"
    }
    assert found["pseudo_label"] == 2.0
    assert found["classical"] == found["synthetic+classical"] == found["cutmix"] == 0.5
    assert found["real"] == found["synthetic"] == found["randaugment"] == 1.0
    assert all(recipe_of(arm, 0.5, None) == GENERATOR_FREE[arm] for arm in GENERATOR_FREE)


def test_policies_survive_json_and_the_plain_ones_keep_their_old_form() -> None:
    assert Policy("classical", 0.5, 0.25).to_json() == {
        "base": "classical",
        "share": 0.5,
        "confidence": 0.25,
    }
    for policy in (
        Policy("classical", 0.5, short_only=True),
        Policy("mixup", 1.0, strength=2.0, spread=1.0),
    ):
        assert Policy(**policy.to_json()) == policy


@pytest.mark.parametrize(
    "options",
    [
        {"base": "magic"},
        {"base": "decoupled", "share": 0.5},
        {"base": "fixmatch", "share": 0.5},
        {"base": "reweight", "share": 0.5},
        {"base": "logit_adjusted", "share": 0.5, "short_only": True},
        {"base": "classical", "share": 0.5, "schedule": "pretrain", "short_only": True},
        {"base": "fixmatch", "augment": "none"},
    ],
)
def test_policies_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=r"unknown base|takes no synthetic|nothing to adjust|exclude|do without"
    ):
        Policy(**options)


def test_a_policy_can_augment_otherwise_than_its_base() -> None:
    policy = Policy("pseudo_label", strength=0.5, augment="trivialaugment")
    assert policy.recipe == replace(
        GENERATOR_FREE["pseudo_label"], augment="trivialaugment"
    )  # that has no strength
    assert policy.name == "pseudo_label with trivialaugment"
    assert Policy(**policy.to_json()) == policy
    assert Policy("real", strength=0.5, augment="classical").recipe.strength == 0.5
    assert not Policy("classical", augment="none").recipe.augmented


def test_a_base_with_a_loss_for_the_tail_takes_synthetic_images() -> None:
    recipe = Policy("logit_adjusted", 0.5).recipe
    assert (recipe.loss, recipe.balanced, recipe.share) == ("logit_adjusted", False, 0.5)


def test_policies_of_a_config() -> None:
    named = named_policies(config(policies={"wide": {"spread": 1.5}, "plain": {"share": 0.25}}))
    assert named == {
        "wide": Policy("classical", 0.5, spread=1.5),
        "plain": Policy("classical", 0.25),
    }
    assert recipe_of("wide", 0.9, None, named=named).spread == 1.5
    with pytest.raises(ValueError, match="name of an arm"):
        named_policies(config(policies={"mixup": {}}))
    with pytest.raises(ConfigError, match="latents"):
        config(policies={"own": {"latents": "posterior"}})


def test_policies_that_differ_have_names_that_differ() -> None:
    shares = [Policy("classical", share) for share in (0.12, 0.125, 0.25)]
    assert [policy.name for policy in shares] == [
        f"classical + {words}% synthetic" for words in ("12", "12.5", "25")
    ]
    dropped = {Policy("classical", 0.5, realism=part).name for part in (0.3, 0.305)}
    assert len(dropped) == 2
