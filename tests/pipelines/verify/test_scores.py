from __future__ import annotations

from typing import Any

import pytest
import torch

from downstream.comparison import jackknife_variance, paired_t
from downstream.metrics import Outputs
from pipelines.verify.scores import BASELINE, METRICS, outcome_words, scored, verdict

PAIRS = 40  # per fold


def outputs(noise: float, seed: int, folds: int = 5) -> Outputs:
    """Similarities of one network; the first half of every fold's pairs are of one person."""
    rng = torch.Generator().manual_seed(seed)
    number = torch.arange(folds * PAIRS)
    same = number % PAIRS < PAIRS // 2
    similarities = same + noise * torch.randn(len(number), generator=rng)
    return Outputs(similarities=similarities, same=same, folds=number // PAIRS)


def of_arms(noises: dict[str, float], replicates: int, folds: int = 5) -> dict[str, list[Outputs]]:
    found = {}
    for place, (name, noise) in enumerate(noises.items()):
        found[name] = [outputs(noise, 100 * place + index, folds) for index in range(replicates)]
    return found


def result(noises: dict[str, float], replicates: int, folds: int = 5) -> dict[str, Any]:
    """What the verdict reads."""
    arms, comparisons = scored(of_arms(noises, replicates, folds), overlap=0.0)
    whole = {"arms": arms, "comparisons": comparisons, "replicates": replicates}
    whole["pairs"] = {"folds": list(range(folds))}
    return whole | {"verdict": verdict(whole)}


NOISES = {BASELINE: 1.0, "good": 0.3, "alike": 1.0}


def test_scores_are_those_of_the_metrics() -> None:
    given = of_arms(NOISES, 3)
    arms, comparisons = scored(given, overlap=0.0)
    assert list(arms) == list(NOISES)
    for name, own in given.items():
        for key, metric in METRICS.items():
            assert arms[name][key]["scores"] == [metric.of(one) for one in own]
    pairs = [(row["metric"], row["arm"]) for row in comparisons]
    assert pairs == [(key, arm) for key in METRICS for arm in ("good", "alike")]


def test_the_interval_that_decides_lets_replicates_and_people_vary() -> None:
    given = of_arms(NOISES, 4)
    _, comparisons = scored(given, overlap=0.0)
    for row in comparisons:
        arm, metric = given[row["arm"]], METRICS[row["metric"]]
        differences = [metric.of(a) - metric.of(b) for a, b in zip(arm, given[BASELINE])]  # noqa: B905
        values = torch.tensor(differences).double().numpy()
        assert row["ci95_replicates"] == pytest.approx(paired_t(values)[0])
        people = jackknife_variance(metric, arm, given[BASELINE])
        assert people.value > 0
        # The sum of two variances is wider than the larger one at the same quantile.
        half = 1.96 * (values.var(ddof=1) / len(values) + people.value) ** 0.5
        assert (row["ci95"][1] - row["ci95"][0]) / 2 > half


def test_a_shared_training_set_widens_the_interval() -> None:
    given = of_arms(NOISES, 4)
    alone, shared = (scored(given, overlap=overlap)[1][0]["ci95"] for overlap in (0.0, 0.8))
    assert shared[0] < alone[0] < alone[1] < shared[1]


def test_a_clear_gain_is_told_and_the_undecided_named() -> None:
    found = result(NOISES, 10)
    rows = {row["arm"]: row for row in found["comparisons"] if row["metric"] == "accuracy"}
    assert (rows["good"]["outcome"], rows["alike"]["outcome"]) == ("better", "undecided")
    told = found["verdict"]
    assert told["advice"] == "Train with good: it raises the accuracy on strangers."
    assert any(line.startswith("good: +") and "better" in line for line in told["lines"])
    assert not any("preliminary" in line for line in told["lines"])


def test_harm_and_indecision() -> None:
    harm = result({BASELINE: 0.3, "noisy": 1.0}, 5)["verdict"]
    assert harm["advice"] == "Train without noisy: it lowers the accuracy on strangers."
    assert any("preliminary" in line for line in harm["lines"])
    alike = result({BASELINE: 1.0, "alike": 1.0}, 5)["verdict"]
    assert alike["advice"].startswith("Undecided: no gain from alike")


@pytest.mark.parametrize("replicates", [1, 2])
def test_few_replicates_give_no_advice(replicates: int) -> None:
    found = result(NOISES, replicates)
    assert found["verdict"]["advice"].startswith("No recommendation: ")
    assert all(row["outcome"] == "undecided" for row in found["comparisons"])
    if replicates == 1:
        assert all(row["ci95"] is row["p"] is row["p_holm"] is None for row in found["comparisons"])
        assert found["arms"]["good"]["accuracy"]["ci95"] is None


def test_two_folds_cannot_tell_how_people_vary() -> None:
    found = result(NOISES, 4, folds=2)
    row = found["comparisons"][0]
    assert (row["ci95"], row["outcome"], row["limited_by"]) == (None, "undecided", "test images")
    assert row["ci95_replicates"] is not None
    assert any("3 folds or more" in line for line in found["verdict"]["lines"])


def test_words_of_an_outcome() -> None:
    row = {"outcome": "undecided", "needed": 12, "limited_by": "replicates"}
    assert outcome_words(row) == "undecided; about 12 replicates would probably decide"
    people = row | {"needed": None, "limited_by": "test images"}
    assert outcome_words(people) == "undecided; limited by the people in the pairs"
    assert outcome_words(row | {"needed": None, "limited_by": None}) == "undecided"
    assert outcome_words(row | {"outcome": "worse", "needed": None}) == "worse"


def test_nothing_to_compare() -> None:
    assert "Nothing was compared" in result({BASELINE: 1.0}, 3)["verdict"]["advice"]
