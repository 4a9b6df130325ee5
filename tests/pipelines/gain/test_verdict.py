from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from downstream.arms.policy import MixPolicy
from downstream.arms.table import ARMS
from downstream.metrics import METRICS
from pipelines.gain.baselines import (
    baseline_kind,
    best_baselines,
    highest_means,
    picked_on_scored,
    rivals_by_kind,
)
from pipelines.gain.plan import usual_comparisons
from pipelines.gain.run import pairs_of
from pipelines.gain.verdict import verdict


def row(
    arm: str, baseline: str, low: float, high: float, outcome: str = "", **more: Any
) -> dict[str, Any]:
    found = "better" if low > 0 else "worse" if high < 0 else "undecided"
    return {
        "arm": arm,
        "baseline": baseline,
        "delta": (low + high) / 2,
        "ci95": [low, high],
        "outcome": outcome or found,
        "p_holm": 0.01,
        "needed": None,
        "limited_by": None,
        **more,
    }


def told(
    *rows: dict[str, Any], picked: dict[str, int] | None = None, **more: Any
) -> dict[str, Any]:
    result = {
        "comparisons": list(rows),
        "policy": None,
        "mixtures": {"synthetic+classical": "classical + 50% synthetic"},
        "replicates": 10,
        "scored_on": "test",
        "metric": "balanced_accuracy",
        **more,
    }
    return verdict(result, ["classical", "pseudo_label"], picked)


GOOD = row("synthetic+classical", "classical", 0.01, 0.03)


def test_a_gain_over_every_baseline_is_advised_with_its_least_gain() -> None:
    found = told(GOOD, row("synthetic+classical", "pseudo_label", 0.005, 0.015))
    assert found["advice"] == (
        "Use synthetic images (classical + 50% synthetic): +1.0 points over `pseudo_label`."
    )
    assert found["lines"][0] == (
        "synthetic+classical against classical: +2.0 points (95 % interval +1.0 to +3.0), better"
    )
    assert found["lines"][-1] == "10 replicates, test images"


def test_an_interval_that_tells_nothing_advises_neither() -> None:
    blind = row("synthetic+classical", "classical", -0.465, 0.465, limited_by="test images")
    found = told(blind)
    assert found["light"] == "amber"
    assert found["advice"] == (
        "Undecided between `classical` and synthetic images: −46.5 to +46.5 points are possible. "
        "More replicates would not decide it: the limit is the scored images."
    )
    narrower = row("synthetic+classical", "classical", -0.465, 0.09)
    assert told(narrower)["advice"].startswith("Use `classical`: no gain")


def test_a_comparison_without_an_interval_is_told_without_one() -> None:
    """Two replicates with equal scores have none."""
    found = told(row("synthetic+classical", "classical", 0.0, 0.0, ci95=None), replicates=2)
    assert found["lines"][0] == (
        "synthetic+classical against classical: 0.0 points (without a 95 % interval), undecided"
    )


def test_a_loss_names_what_is_better_and_an_open_one_what_would_decide() -> None:
    worse = row("synthetic+classical", "pseudo_label", -0.03, -0.01)
    assert told(GOOD, worse)["advice"] == (
        "Use `pseudo_label`: it is better than synthetic images."
    )
    # Of five rivals one seems the best by chance more easily: five times 0.01 is not below 0.05.
    for rivals, light in ((1, "red"), (4, "red"), (5, "amber")):
        found = told(GOOD, worse, picked={"pseudo_label": rivals})
        assert found["light"] == light
    assert found["advice"].startswith("Use `pseudo_label`: no gain")
    undecided = row("synthetic+classical", "pseudo_label", -0.02, 0.01, needed=25)
    assert "About 25 replicates would probably decide it." in told(GOOD, undecided)["advice"]
    limited = row("synthetic+classical", "pseudo_label", -0.02, 0.01, limited_by="test images")
    assert "the limit is the scored images" in told(GOOD, limited)["advice"]


def test_a_baseline_that_was_beaten_is_not_advised() -> None:
    """The smallest difference is not the one that decides."""
    beaten = row("synthetic+classical", "classical", 0.008, 0.012)
    wide = row("synthetic+classical", "pseudo_label", -0.01, 0.05)
    assert told(beaten, wide)["advice"].startswith("Use `pseudo_label`: no gain")
    open_, lost = (
        row("synthetic+classical", "classical", -0.03, 0.01),
        row("synthetic+classical", "pseudo_label", -0.008, -0.004),
    )
    found = told(open_, lost)
    assert (found["light"], found["advice"]) == (
        "red",
        "Use `pseudo_label`: it is better than synthetic images.",
    )


def test_a_gain_over_a_weak_rival_that_screening_named_is_not_advised() -> None:
    """Screening named `classical`; `mixup` has the highest mean, and few replicates show little."""
    beaten = [GOOD, row("synthetic+classical", "pseudo_label", 0.005, 0.015)]
    highest: dict[str, Any] = {"highest_means": {"classical": "mixup", "same_pool": "pseudo_label"}}
    open_ = row("synthetic+classical", "mixup", -0.01, 0.012, needed=40)
    found = told(*beaten, open_, **highest)
    assert found["light"] == "amber"
    assert found["advice"] == (
        "Undecided: synthetic images did better than `pseudo_label`, but not clearly better than "
        "`mixup`, the highest mean without a generator. About 40 replicates would probably "
        "decide it."
    )
    assert found["lines"][2].endswith("undecided; mixup has the highest mean without a generator")
    assert "was not compared with mixup" in told(*beaten, **highest)["advice"]
    also = row("synthetic+classical", "mixup", 0.002, 0.004)
    assert told(*beaten, also, **highest)["advice"] == (
        "Use synthetic images (classical + 50% synthetic): +0.3 points over `mixup`."
    )
    assert told(*beaten)["light"] == "green", "files of before keep their verdict"
    lost = row("synthetic+classical", "pseudo_label", -0.03, -0.01)
    assert told(GOOD, lost, also, **highest)["advice"].startswith("Use `pseudo_label`: it is")


def test_the_arm_of_the_advice_is_compared_with_the_highest_means() -> None:
    arms = ("classical", "mixup", "synthetic+classical", "factored", "auto")
    plan: Any = SimpleNamespace(arms=arms, own={}, outside=())
    best = {"classical": "classical"}
    for base, share, lead in (("mixup", 0.25, "auto"), ("mixup", 0.0, "factored")):
        policy = MixPolicy(base, share).to_json()
        pairs = pairs_of(plan, {}, policy, best, {"classical": "mixup"})
        assert [pair for pair in pairs if "mixup" in pair] == [(lead, "mixup")]
        assert len(set(pairs)) == len(pairs)


def test_two_replicates_give_no_advice() -> None:
    assert told(GOOD, replicates=2)["advice"].startswith("No recommendation: 2 replicates")


def test_a_missing_comparison_leaves_it_undecided_and_none_gives_no_advice() -> None:
    assert "was not compared with pseudo_label" in told(GOOD)["advice"]
    assert told()["advice"].startswith("No recommendation: none of the arms")


def test_a_screening_and_few_replicates_say_so() -> None:
    found = told(GOOD, scored_on="held-out training images", replicates=5)
    assert found["lines"][-1] == (
        "5 replicates, preliminary, held-out training images, which is a screening"
    )


def test_auto_leads_where_its_policy_uses_a_generator() -> None:
    policy = MixPolicy("classical", 0.25)
    document = policy.to_json() | {"name": policy.name}
    found = told(GOOD, row("auto", "classical", -0.02, -0.01), policy=document)
    assert found["advice"] == "Use `classical`: it is better than synthetic images."
    assert "auto is: classical + 25% synthetic" in found["lines"]
    plain = MixPolicy("mixup").to_json() | {"name": "mixup"}
    same = told(GOOD, row("auto", "classical", 0.0, 0.0), policy=plain)
    assert "auto against classical: the same in every replicate" in same["lines"]


def test_a_metric_of_which_less_is_better_is_read_in_its_direction() -> None:
    better = row("synthetic+classical", "classical", -0.3, -0.1, outcome="better")
    also = row("synthetic+classical", "pseudo_label", -0.5, -0.4, outcome="better")
    found = told(better, also, metric="negative_log_likelihood")
    assert found["advice"] == (
        "Use synthetic images (classical + 50% synthetic): −0.200 nats over `classical`."
    )


def test_kinds_of_baselines() -> None:
    kinds = {name: baseline_kind(arm.recipe) for name, arm in ARMS.items()}
    assert kinds["mixup"] == kinds["smote"] == "classical"
    assert kinds["pair_label"] == kinds["graph_fixmatch"] == "same_pool"
    for name in ("joint_label", "synthetic", "replay", "auto"):
        assert kinds[name] is None


def test_the_baseline_is_the_screened_one_unless_another_is_clearly_better() -> None:
    accuracy = METRICS["accuracy"]
    scores = {
        "classical": [0.80, 0.81, 0.79, 0.80],
        "mixup": [0.805, 0.80, 0.80, 0.80],
        "synthetic": [0.99] * 4,
        "pseudo_label": [0.9, 0.9, 0.9, 0.91],
    }
    policy = {"best_classical": "classical", "best_with_pool": None}
    best = best_baselines(scores, {}, policy, accuracy)
    assert best == {"classical": "classical", "same_pool": "pseudo_label"}
    assert highest_means(scores, {}, accuracy)["classical"] == "mixup"
    assert highest_means(scores, {}, METRICS["error"])["classical"] == "classical"
    rivals = rivals_by_kind(list(scores), {})
    assert rivals == {"classical": ["classical", "mixup"], "same_pool": ["pseudo_label"]}
    assert picked_on_scored(best, rivals, policy) == {"pseudo_label": 1}
    assert picked_on_scored(best, rivals, None) == {"classical": 2, "pseudo_label": 1}
    scores["mixup"] = [0.90, 0.91, 0.90, 0.90]
    assert best_baselines(scores, {}, policy, accuracy)["classical"] == "mixup"
    assert best_baselines(scores, {}, None, METRICS["error"])["classical"] == "classical"


def test_the_usual_comparisons_are_those_whose_arms_run() -> None:
    everything = list(ARMS)
    pairs = usual_comparisons(everything, [], "classical", "pseudo_label")
    assert pairs == [
        ("synthetic", "real"),
        ("synthetic", "smote"),
        ("synthetic+classical", "replay"),
        ("synthetic+classical", "classical"),
        ("factored", "classical"),
        ("auto", "classical"),
        ("synthetic+classical", "pseudo_label"),
        ("factored", "pseudo_label"),
        ("auto", "pseudo_label"),
        ("factored", "label_only"),
        ("factored", "oracle"),
        ("pseudo_label", "classical"),
    ]
    more = usual_comparisons(everything, ["own"], "mixup", "fixmatch")
    assert {("auto", "fixmatch"), ("auto", "mixup"), ("fixmatch", "classical")} < set(more)
    assert ("synthetic", "classical") in usual_comparisons(
        ["synthetic", "classical"], [], "classical", "pseudo_label"
    )


@pytest.mark.parametrize("own", [["mine"], []])
def test_own_policies_are_compared_with_the_baselines(own: list[str]) -> None:
    pairs = usual_comparisons(["mine", "classical"], own, "classical", "pseudo_label")
    assert (("mine", "classical") in pairs) == bool(own)
