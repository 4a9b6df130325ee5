from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Generator, Tensor

from downstream.evaluate import accuracy, balanced_accuracy, per_class_recall
from downstream.gain import EXACT_UP_TO, holm, measure_gain, outcome, paired_t, sign_flip_p


def labels(count: int = 120, classes: int = 4) -> Tensor:
    return torch.randint(0, classes, (count,), generator=Generator().manual_seed(0))


def guesses(y: Tensor, quality: float, replicates: int = 10, seed: int = 1) -> Tensor:
    right = torch.rand(replicates, y.shape[-1], generator=Generator().manual_seed(seed)) < quality
    return torch.where(right, y, (y + 1) % 4)


def test_paired_t_by_hand() -> None:
    # mean 2, standard deviation 1, standard error 1/sqrt(3), t(0.975, 2) = 4.302653.
    (low, high), p = paired_t(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx(
        (2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)), abs=1e-6
    )
    assert p == pytest.approx(0.0741799, abs=1e-6)


def test_paired_t_equals_scipy() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 12))
    expected = stats.ttest_rel(first, second)
    interval, p = paired_t(first - second)
    assert p == pytest.approx(expected.pvalue)
    assert interval == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_paired_t_without_spread() -> None:
    assert paired_t(np.zeros(5)) == ((0.0, 0.0), 1.0)
    # Two replicates that differ by one image of ten alike are no proof.
    assert paired_t(np.full(2, 0.1)) == ((0.0, 0.2), 1.0)
    assert paired_t(np.full(5, -0.1)) == ((-0.2, 0.0), 1.0)


def test_sign_flip_by_hand() -> None:
    # All eight differences of one sign: only the pattern itself and its mirror are as extreme.
    assert sign_flip_p(np.arange(1.0, 9.0)) == 2 / 2**8
    # Sums of +-1 +-2 +-3 are 6, 4, 2, 0, 0, -2, -4, -6; two lie as far from zero as 6, four as far
    # as 4.
    assert sign_flip_p(np.array([1.0, 2.0, 3.0])) == 2 / 8
    assert sign_flip_p(np.array([-1.0, 2.0, 3.0])) == 4 / 8
    assert sign_flip_p(np.zeros(8)) == 1.0


def test_sign_flip_equals_scipy_and_the_random_version() -> None:
    differences = np.random.default_rng(3).normal(0.4, 1, size=EXACT_UP_TO)
    expected = stats.permutation_test((differences, np.zeros_like(differences)), lambda a, b: np.mean(a - b),
                                      permutation_type="samples", n_resamples=np.inf)  # fmt: skip
    assert sign_flip_p(differences) == pytest.approx(expected.pvalue)
    more = np.append(differences, 1e-9)  # one more that decides nothing, but leaves the exact range
    assert sign_flip_p(more, seed=0) == pytest.approx(expected.pvalue, abs=0.01)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_and_keeps_the_ranking(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(
        p <= q <= min(1.0, len(p_values) * p) for p, q in zip(p_values, corrected, strict=True)
    )
    for (p, p_holm), (q, q_holm) in itertools.combinations(
        zip(p_values, corrected, strict=True), 2
    ):
        assert (p_holm - q_holm) * (p - q) >= 0


def test_scores_and_recalls_are_those_of_evaluate() -> None:
    y = labels()
    arm = guesses(y, 0.8, 3)
    balanced = [balanced_accuracy(row, y, 4) for row in arm]
    for metric, scores in (
        ("balanced_accuracy", balanced),
        ("accuracy", [accuracy(row, y) for row in arm]),
    ):
        report = measure_gain({"a": arm}, y, 4, [], metric)
        assert report.arms["a"].scores == pytest.approx(scores)
    expected = torch.stack([per_class_recall(row, y, 4) for row in arm]).mean(dim=0)
    assert report.arms["a"].per_class_recall == pytest.approx(expected.tolist())
    assert report.arms["a"].mean == pytest.approx(sum(report.arms["a"].scores) / 3)


def test_identical_arms_do_not_differ() -> None:
    y = labels()
    arm = guesses(y, 0.8)
    one = measure_gain({"a": arm, "b": arm.clone()}, y, 4, [("a", "b")]).comparison("a", "b")
    assert (one.delta, one.ci95, one.ci95_bootstrap) == (0.0, (0.0, 0.0), (0.0, 0.0))
    assert (one.p, one.p_permutation, one.p_holm) == (1.0, 1.0, 1.0)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 12))
def test_swapping_arm_and_baseline_flips_the_sign(seed: int, replicates: int) -> None:
    y = labels()
    arms = {"a": guesses(y, 0.8, replicates, seed), "b": guesses(y, 0.7, replicates, seed + 1)}
    report = measure_gain(arms, y, 4, [("a", "b"), ("b", "a")], bootstraps=50)
    one, other = report.comparisons
    assert one.delta == pytest.approx(-other.delta)
    assert one.ci95 == pytest.approx((-other.ci95[1], -other.ci95[0]))
    assert one.ci95_bootstrap == pytest.approx((-other.ci95_bootstrap[1], -other.ci95_bootstrap[0]))
    assert (one.p, one.p_permutation) == pytest.approx((other.p, other.p_permutation))


def test_a_comparison_is_that_of_its_scores() -> None:
    y = labels()
    report = measure_gain({"a": guesses(y, 0.9), "b": guesses(y, 0.8, seed=2)}, y, 4, [("a", "b")])
    one = report.comparison("a", "b")
    expected = stats.ttest_rel(report.arms["a"].scores, report.arms["b"].scores)
    assert one.p == pytest.approx(expected.pvalue)
    assert one.ci95 == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert one.p_holm == one.p


def test_permutation_begins_at_eight_replicates() -> None:
    y = labels()
    for replicates, present in ((7, False), (8, True)):
        arms = {"a": guesses(y, 0.9, replicates), "b": guesses(y, 0.8, replicates, 2)}
        one = measure_gain(arms, y, 4, [("a", "b")]).comparisons[0]
        assert (one.p_permutation is not None) is present


def test_bootstrap_shows_a_small_test_set() -> None:
    # Every replicate predicts the same: without spread over replicates only the test images are
    # left to vary.
    y = torch.arange(40) % 4
    arm, baseline = y.clone(), y.clone()
    baseline[:8] = (y[:8] + 1) % 4
    arms = {"a": arm.expand(5, -1), "b": baseline.expand(5, -1)}
    one = measure_gain(arms, y, 4, [("a", "b")], bootstraps=4000).comparisons[0]
    assert one.ci95 == pytest.approx((0.0, 0.4))
    # Two of ten images a class are wrong: the sum over classes is Binomial(10, 0.2) four times, sd
    # 0.0632 of the mean.
    assert one.ci95_bootstrap == pytest.approx(
        (0.2 - 2.776 * 0.0632, 0.2 + 2.776 * 0.0632), abs=0.01
    )


def test_bootstrap_covers_the_replicates_too() -> None:
    # Whole replicates are right or wrong, so images do not matter, and only the t interval is left.
    y = torch.arange(40) % 4
    right, wrong = y, (y + 1) % 4
    arms = {"a": torch.stack([right, right, wrong, wrong]), "b": wrong.expand(4, -1)}
    one = measure_gain(arms, y, 4, [("a", "b")], bootstraps=4000).comparisons[0]
    assert one.delta == pytest.approx(0.5)
    assert one.ci95_bootstrap == pytest.approx(one.ci95)


@pytest.mark.parametrize("replicates", [2, 3, 10])
def test_bootstrap_covers_the_truth_as_often_as_it_says(replicates: int) -> None:
    # Two arms that are equally good, over draws of replicates and of test images.
    y, hits, generator = torch.arange(60) % 4, 0, torch.Generator().manual_seed(replicates)
    for _ in range(200):
        difficulty = torch.rand(60, generator=generator)
        right = torch.rand(2, replicates, 60, generator=generator) < difficulty
        a, b = torch.where(right, y, (y + 1) % 4)
        low, high = (
            measure_gain({"a": a, "b": b}, y, 4, [("a", "b")], bootstraps=200)
            .comparisons[0]
            .ci95_bootstrap
        )
        hits += low <= 0 <= high
    assert (
        hits >= 0.95 * 200 - 8
    )  # wider than needed, since replicates vary with the images of one draw too


def test_what_does_not_outlast_the_correction_is_open() -> None:
    assert [outcome((0.01, 0.02), p) for p in (None, 0.049, 0.05)] == ["better", "better", "open"]
    assert outcome((-0.02, -0.01), 0.01) == "worse"


def test_own_test_images_a_replicate() -> None:
    y = torch.stack([labels(), labels().flip(0), (labels() + 1) % 4])
    arm = guesses(y, 0.8, 3)
    report = measure_gain({"a": arm, "b": y}, y, 4, [("a", "b")], bootstraps=200)
    assert report.arms["a"].scores == pytest.approx(
        [balanced_accuracy(g, row, 4) for g, row in zip(arm, y, strict=True)]
    )
    low, high = report.comparisons[0].ci95_bootstrap
    assert low < report.comparisons[0].delta < high < 0


def test_bootstrap_repeats_for_a_seed() -> None:
    y = labels()
    arms = {"a": guesses(y, 0.9), "b": guesses(y, 0.8, seed=2)}
    same = [measure_gain(arms, y, 4, [("a", "b")], seed=5) for _ in range(2)]
    assert same[0] == same[1]
    assert measure_gain(arms, y, 4, [("a", "b")], seed=6) != same[0]


def test_json_names_the_classes_and_has_no_nan() -> None:
    y = labels(classes=3)
    arms = {"a": guesses(y, 0.9), "b": guesses(y, 0.8, seed=2)}
    found = json.loads(
        json.dumps(measure_gain(arms, y, 4, [("a", "b")]).to_json("wxyz"), allow_nan=False)
    )
    assert set(found) == {"arms", "comparisons"}
    assert set(found["arms"]["a"]) == {"scores", "mean", "ci95", "per_class_recall"}
    assert list(found["arms"]["a"]["per_class_recall"]) == list("wxyz")
    assert found["arms"]["a"]["per_class_recall"]["z"] is None
    assert set(found["comparisons"][0]) == {
        "arm", "baseline", "delta", "ci95", "ci95_bootstrap", "p", "p_permutation", "p_holm",
    }  # fmt: skip


def test_nonsense_is_refused() -> None:
    y = labels()
    arm = guesses(y, 0.9)
    for arms, truth, pairs, metric, words in (
        ({"a": arm}, y, [], "f1", "metric"),
        ({"a": arm[:1]}, y, [], "accuracy", "R >= 2"),
        ({"a": arm, "b": arm[:4]}, y, [], "accuracy", "one shape"),
        ({}, y, [], "accuracy", "one shape"),
        ({"a": arm}, y[:9], [], "accuracy", "y must be"),
        ({"a": arm}, y + 1, [], "accuracy", "lie in"),
        ({"a": arm}, y, [("a", "c")], "accuracy", "unknown arm 'c'"),
    ):
        with pytest.raises(ValueError, match=words):
            measure_gain(arms, truth, 4, pairs, metric)


def test_outcome_needs_the_whole_interval_on_one_side() -> None:
    assert outcome([0.01, 0.02]) == "better"
    assert outcome([-0.02, -0.01]) == "worse"
    assert outcome([-0.01, 0.02]) == "open"
    assert outcome([0.0, 0.02]) == "open"
