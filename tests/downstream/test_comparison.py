from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from downstream.comparison import (
    EXACT_UP_TO,
    FIXED_IMAGES,
    UNKNOWN,
    ImageVariance,
    Variance,
    compare,
    compare_scores,
    expected_overlap,
    holm,
    image_variance,
    jackknife_groups,
    jackknife_variance,
    measured_overlap,
    outcome,
    paired_t,
    score_arm,
    sign_flip_p,
)
from downstream.metrics import METRICS, Floats, Outputs, per_class_recall

ACCURACY = METRICS["accuracy"]


def classifier(quality: float, seed: int, count: int = 120, classes: int = 4) -> Outputs:
    """Outputs of one replicate; ``quality`` moves the true class's logit."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % classes
    logits = torch.randn(count, classes, generator=rng) + quality * torch.eye(classes)[y]
    return Outputs(y=y, class_probs=logits.softmax(dim=1).half())


def arm(quality: float, replicates: int = 5, seed: int = 0, count: int = 120) -> list[Outputs]:
    return [classifier(quality, 1000 * seed + r, count) for r in range(replicates)]


def verifiers(replicates: int, seed: int, folds: int = 5) -> list[Outputs]:
    found = []
    for replicate in range(replicates):
        rng = torch.Generator().manual_seed(100 * seed + replicate)
        same = torch.arange(40 * folds) % 2 == 0
        similarities = torch.randn(len(same), generator=rng) + seed * same
        number = torch.arange(folds).repeat_interleave(40)
        found.append(Outputs(similarities=similarities, same=same, folds=number))
    return found


# --- plain statistics ---


def test_paired_t_by_hand() -> None:
    # mean 2, standard deviation 1, standard error 1/sqrt(3), t(0.975, 2) = 4.302653.
    interval, p = paired_t(np.array([1.0, 2.0, 3.0]))
    half = 4.302653 / math.sqrt(3)
    assert interval == pytest.approx((2 - half, 2 + half), abs=1e-6)
    assert p == pytest.approx(0.0741799, abs=1e-6)


def test_paired_t_equals_scipy() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 12))
    expected = stats.ttest_rel(first, second)
    interval, p = paired_t(first - second)
    assert p == pytest.approx(expected.pvalue)
    assert interval == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_paired_t_without_spread_or_with_one_replicate() -> None:
    assert paired_t(np.zeros(5)) == ((0.0, 0.0), 1.0)
    # Two replicates that differ by one image of ten alike are no proof.
    assert paired_t(np.full(2, 0.1)) == ((0.0, 0.2), 1.0)
    assert paired_t(np.full(5, -0.1)) == ((-0.2, 0.0), 1.0)
    assert paired_t(np.array([0.1])) == (UNKNOWN, 1.0)


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
    expected = stats.permutation_test(
        (differences, np.zeros_like(differences)),
        lambda a, b: np.mean(a - b),
        permutation_type="samples",
        n_resamples=np.inf,
    )
    assert sign_flip_p(differences) == pytest.approx(expected.pvalue)
    more = np.append(differences, 1e-9)  # one more that decides nothing, but leaves the exact range
    assert sign_flip_p(more, seed=0) == pytest.approx(expected.pvalue, abs=0.01)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_and_keeps_the_ranking(p_values: list[float]) -> None:
    rows = list(zip(p_values, holm(p_values), strict=True))
    for p, corrected in rows:
        assert p <= corrected <= min(1.0, len(p_values) * p)
    for (p, p_holm), (q, q_holm) in itertools.combinations(rows, 2):
        assert (p_holm - q_holm) * (p - q) >= 0


def test_outcome_needs_interval_correction_and_three_replicates() -> None:
    assert outcome((0.01, 0.02), 0.049) == "better"
    assert outcome((-0.02, -0.01), 0.01) == "worse"
    assert outcome((-0.02, -0.01), 0.01, higher_is_better=False) == "better"
    for interval, p, replicates in (
        ((-0.01, 0.02), 0.01, 10),
        ((0.0, 0.02), 0.01, 10),
        ((0.01, 0.02), 0.05, 10),
        ((0.01, 0.02), 0.01, 2),
    ):
        assert outcome(interval, p, replicates=replicates) == "undecided"


# --- variance ---


def test_variance_by_hand() -> None:
    # s^2 = 1, R = 3, rho = 0.5: 1 * (1/3 + 1) = 4/3, and 2/3 of the images: 2 in all.
    variance = Variance.of(np.array([1.0, 2.0, 3.0]), 0.5, ImageVariance(2 / 3, 10))
    assert variance.total == pytest.approx(2)
    freedom = 2**2 / ((4 / 3) ** 2 / 2 + (2 / 3) ** 2 / 10)
    assert variance.freedom == pytest.approx(freedom)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(2)
    interval, p = variance.interval(2.0)
    assert interval == pytest.approx((2 - half, 2 + half))
    assert p == pytest.approx(2 * stats.t.sf(2 / math.sqrt(2), freedom))


def test_without_overlap_and_test_images_it_is_the_paired_t() -> None:
    differences = np.random.default_rng(1).normal(size=7)
    variance = Variance.of(differences, 0.0, FIXED_IMAGES)
    assert variance.freedom == pytest.approx(6)
    assert variance.interval(float(differences.mean())) == paired_t(differences)


def test_replicates_of_the_same_training_images_speak_about_these_only() -> None:
    variance = Variance(4, 0.04, 1.0, FIXED_IMAGES)
    assert variance.conditional
    assert variance.total == pytest.approx(0.01)
    assert not Variance(4, 0.04, 0.99, FIXED_IMAGES).conditional
    with pytest.raises(ValueError, match=r"overlap must lie in \[0, 1\], got 1.5"):
        Variance(4, 0.04, 1.5, FIXED_IMAGES)


@given(st.floats(0, 0.9), st.floats(1e-4, 1), st.integers(2, 30), st.floats(0.1, 3))
def test_needed_is_the_smallest_number_that_decides(
    overlap: float, images: float, replicates: int, delta: float
) -> None:
    variance = Variance(replicates, 1.0, overlap, ImageVariance(images, 90))
    needed = variance.needed(delta)
    numbers = np.arange(max(3, replicates + 1), 1001)
    deciding = numbers[variance.half_widths(numbers) < delta]
    assert needed == (int(deciding[0]) if len(deciding) else None)


def test_what_limits_an_undecided_comparison() -> None:
    assert Variance(5, 1.0, 0.0, ImageVariance(0.5, 90)).limited_by == "test images"
    assert Variance(5, 1.0, 0.5, ImageVariance(0.5, 90)).limited_by == "training images"
    assert Variance(5, 1.0, 0.0, FIXED_IMAGES).limited_by == "replicates"
    assert Variance(5, 0.0, 0.5, FIXED_IMAGES).limited_by is None
    assert Variance(1, math.inf, 0.5, ImageVariance(0.5, 90)).limited_by == "replicates"


# --- test images ---


def test_image_variance_by_hand() -> None:
    # Means over replicates 1, 3 | 0, 2, 4, times 2 | 3: variances 8 | 36, pooled (8 + 72) / 3.
    # The first is drawn up to (8 + 4 * 80 / 3) / 5, the second stays.
    rows = np.array([[0.0, 2, 0, 2, 4], [2.0, 4, 0, 2, 4]])
    found = image_variance(rows, np.array([0, 0, 7, 7, 7]))
    assert found.value == pytest.approx((8 + 4 * 80 / 3) / 5 / 2 + 36 / 3)
    assert found.freedom == 3
    assert image_variance(rows).value == pytest.approx(5 * np.var([1, 3, 0, 2, 4], ddof=1))


def test_image_variance_of_accuracy_is_that_of_a_mean() -> None:
    values = np.random.default_rng(0).integers(-1, 2, 100).astype(float)
    found = image_variance(values[None] / 100)
    assert found.value == pytest.approx(values.var(ddof=1) / 100)
    assert found.freedom == 99


def test_a_class_with_one_image_takes_the_pooled_variance() -> None:
    # Recalls of the images of class 0: 0, 1; of class 1: 0, 1, 1; class 2: one image.
    y, values = np.array([0, 0, 1, 1, 1, 2]), np.array([0, 1, 0, 1, 1, 1.0])
    contributions = values / np.bincount(y)[y]
    pooled = (0.5 + 2 / 3) / 3
    expected = 0.5 / 2 + (2 / 3 + 4 * pooled) / 6 / 3 + pooled
    found = image_variance(contributions[None], y)
    assert found.value == pytest.approx(expected)
    assert found.freedom == 3


def test_images_that_are_all_alone_tell_nothing() -> None:
    assert math.isinf(image_variance(np.ones((2, 3)), np.arange(3)).value)
    assert math.isinf(image_variance(np.ones((2, 1))).value)


def test_jackknife_with_groups_of_one_is_the_variance_of_a_mean() -> None:
    first, second = arm(1.0, 3, count=30), arm(1.0, 3, seed=1, count=30)
    contributions = ACCURACY.contributions
    assert contributions is not None
    rows = [contributions(a) - contributions(b) for a, b in zip(first, second, strict=True)]
    found = jackknife_variance(ACCURACY, first, second, groups=30)
    expected = image_variance(np.array(rows)).value
    assert found.value == pytest.approx(expected)
    assert found.freedom == 29


def test_jackknife_with_twenty_groups_agrees_with_the_formula() -> None:
    for name in ("balanced_accuracy", "auroc", "negative_log_likelihood"):
        metric = METRICS[name]
        found, analytic = [], []
        for seed in range(10):
            first, second = arm(1.0, 2, 2 * seed, 400), arm(1.5, 2, 2 * seed + 1, 400)
            found.append(jackknife_variance(metric, first, second, seed=seed).value)
            assert metric.contributions is not None
            rows = [
                metric.contributions(a) - metric.contributions(b)
                for a, b in zip(first, second, strict=True)
            ]
            assert first[0].y is not None
            y = first[0].y.numpy() if metric.strata else None
            analytic.append(image_variance(np.array(rows), y).value)
        assert np.mean(found) == pytest.approx(np.mean(analytic), rel=0.25), name


def test_groups_have_equal_shares_of_each_class() -> None:
    outputs = classifier(1.0, 0, count=400)
    groups = jackknife_groups(outputs)
    assert groups is not None
    assert outputs.y is not None
    table = np.zeros((4, 20), int)
    np.add.at(table, (outputs.y.numpy(), groups), 1)
    assert (table == 5).all()
    assert (groups == jackknife_groups(outputs)).all()
    assert (groups != jackknife_groups(outputs, seed=1)).any()


def test_pairs_are_left_out_by_fold() -> None:
    first = verifiers(1, 1, folds=5)[0]
    groups = jackknife_groups(first)
    assert groups is not None
    assert first.folds is not None
    assert groups.tolist() == first.folds.tolist()
    assert jackknife_groups(verifiers(1, 1, folds=2)[0]) is None
    assert jackknife_groups(classifier(1.0, 0, count=1)) is None


# --- overlap ---


def test_expected_overlap_by_hand() -> None:
    assert expected_overlap([4, 4], [40, 8]) == pytest.approx(0.3)
    assert expected_overlap([5, 0], [5, 100]) == 1  # the class without images does not count
    for drawn, available in (([5], [4]), ([0], [4]), ([1, 2], [4])):
        with pytest.raises(ValueError, match="cannot draw"):
            expected_overlap(drawn, available)


def test_measured_overlap_by_hand() -> None:
    y = np.array([0, 0, 1])
    ids = [np.array([1, 2, 3]), np.array([2, 4, 3]), np.array([5, 6, 7])]
    # First and second: 1 of 2 and 1 of 1; the third has nothing in common with either.
    assert measured_overlap(ids, [y] * 3) == pytest.approx(0.75 / 3)
    assert measured_overlap([ids[0]] * 2, [y] * 2) == 1
    with pytest.raises(ValueError, match="two replicates"):
        measured_overlap(ids[:1], [y])


def test_measured_overlap_is_the_expected_one_on_average() -> None:
    rng, y = np.random.default_rng(0), np.repeat([0, 1], [40, 10])
    ids, classes = [], []
    for _ in range(30):
        chosen = np.concatenate([rng.permutation(40)[:8], 40 + rng.permutation(10)[:8]])
        ids.append(chosen)
        classes.append(y[chosen])
    expected = expected_overlap([8, 8], [40, 10])
    assert measured_overlap(ids, classes) == pytest.approx(expected, abs=0.02)


# --- comparisons ---


def test_comparison_by_hand() -> None:
    # Right answers of two images per class and replicate; three replicates, two classes.
    y = torch.tensor([0, 0, 1, 1])
    first = [Outputs.of_predictions(torch.tensor(g), y, 2) for g in ([0, 0, 1, 1],) * 3]
    guesses = ([0, 1, 1, 1], [0, 1, 1, 0], [1, 1, 1, 1])
    second = [Outputs.of_predictions(torch.tensor(g), y, 2) for g in guesses]
    arms = {"a": first, "b": second}
    scores, (row,) = compare(arms, METRICS["balanced_accuracy"], [("a", "b")], overlap=0.5)
    assert scores["b"].scores == (0.75, 0.5, 0.5)
    assert scores["b"].per_class_recall == pytest.approx((1 / 3, 5 / 6))
    differences = np.array([0.25, 0.5, 0.5])
    assert row.delta == pytest.approx(5 / 12)
    # Mean differences of the images: 1/3, 1 of class 0 and 0, 1/3 of class 1, halved twice.
    first_class, second_class = (2 / 3) ** 2 / 2 / 4, (1 / 3) ** 2 / 2 / 4
    pooled = (first_class + second_class) / 2
    images = first_class / 2 + (second_class + 4 * pooled) / 5 / 2
    variance = Variance.of(differences, 0.5, ImageVariance(images, 2))
    assert row.ci95 == pytest.approx(variance.interval(5 / 12)[0])
    assert row.ci95_replicates == pytest.approx(paired_t(differences)[0])
    assert (row.arm, row.baseline, row.metric) == ("a", "b", "balanced_accuracy")
    assert row.p_permutation is None


def with_combinations(outputs: Sequence[Outputs]) -> list[Outputs]:
    """Three conditions in turn; every replicate covers, thins out and misses others."""
    found = []
    for replicate, one in enumerate(outputs):
        assert one.y is not None
        place = torch.arange(len(one)) // 4 % 3
        coverage = (place + one.y + replicate) % 3
        found.append(replace(one, combination=3 * one.y + place, coverage=coverage))
    return found


COMPARING = sorted(name for name, metric in METRICS.items() if not metric.lowest)


@settings(max_examples=10)
@given(st.integers(0, 999), st.integers(1, 9), st.sampled_from(COMPARING))
def test_swapping_arm_and_baseline_negates(seed: int, replicates: int, name: str) -> None:
    arms = {"a": arm(1.0, replicates, seed), "b": arm(1.3, replicates, seed + 1)}
    if "same" in METRICS[name].needs:
        arms = {"a": verifiers(replicates, 1), "b": verifiers(replicates, 2)}
    elif {"coverage", "combination"} & set(METRICS[name].needs):
        arms = {arm: with_combinations(own) for arm, own in arms.items()}
    pairs = [("a", "b"), ("b", "a")]
    _, (one, other) = compare(arms, METRICS[name], pairs, overlap=0.4)
    opposite = {"better": "worse", "worse": "better", "undecided": "undecided"}
    assert one.delta == pytest.approx(-other.delta)
    assert one.ci95 == pytest.approx((-other.ci95[1], -other.ci95[0]))
    assert (one.p, one.p_permutation) == pytest.approx((other.p, other.p_permutation))
    assert one.outcome == opposite[other.outcome]
    assert one.needed == other.needed


@pytest.mark.parametrize("name", ["balanced_accuracy", "calibration_error"])
def test_identical_arms_do_not_differ(name: str) -> None:
    arms = {"a": arm(1.0, 8), "b": arm(1.0, 8)}
    scores, (row,) = compare(arms, METRICS[name], [("a", "b")], overlap=0.4)
    assert scores["a"] == scores["b"]
    assert (row.delta, row.ci95, row.ci95_replicates) == (0.0, (0.0, 0.0), (0.0, 0.0))
    assert (row.p, row.p_permutation, row.p_holm) == (1.0, 1.0, 1.0)
    assert (row.outcome, row.needed, row.limited_by) == ("undecided", None, None)


def test_an_identical_arm_changes_nothing_but_the_correction() -> None:
    arms = {"a": arm(1.2), "b": arm(1.0, seed=1)}
    metric = METRICS["balanced_accuracy"]
    _, (alone,) = compare(arms, metric, [("a", "b")], overlap=0.2)
    more = arms | {"c": arms["b"]}
    _, (first, second) = compare(more, metric, [("a", "b"), ("c", "b")], overlap=0.2)
    assert (second.delta, second.p) == (0.0, 1.0)
    assert first.p_holm == pytest.approx(min(1.0, 2 * alone.p))
    assert (first.ci95, first.p) == (alone.ci95, alone.p)


def test_direction_decides_what_is_better() -> None:
    arms = {"good": arm(4.0), "poor": arm(0.5, seed=1)}
    for name in ("accuracy", "error", "negative_log_likelihood", "auroc"):
        metric = METRICS[name]
        _, (row,) = compare(arms, metric, [("good", "poor")], overlap=0.0)
        assert row.outcome == "better", name
        assert (row.delta > 0) == metric.higher_is_better
        assert (row.needed, row.limited_by) == (None, None)


def test_two_replicates_give_no_advice() -> None:
    arms = {"good": arm(4.0, 2, count=4000), "poor": arm(0.5, 2, seed=1, count=4000)}
    for replicates in (1, 2):
        some = {name: own[:replicates] for name, own in arms.items()}
        _, (row,) = compare(some, ACCURACY, [("good", "poor")], overlap=0.0)
        assert row.outcome == "undecided"
        assert row.limited_by == "replicates"
    _, (row,) = compare(arms, ACCURACY, [("good", "poor")], overlap=0.0)
    assert row.needed == 3


def test_one_replicate_has_an_interval_without_ends() -> None:
    arms = {"a": arm(1.0, 1), "b": arm(1.2, 1, seed=1)}
    scores, (row,) = compare(arms, ACCURACY, [("a", "b")], overlap=0.3)
    assert row.ci95 == UNKNOWN
    assert scores["a"].ci95 == UNKNOWN
    assert row.to_json()["ci95"] is None


def test_two_folds_do_not_tell_how_people_vary() -> None:
    arms = {"a": verifiers(4, 1, folds=2), "b": verifiers(4, 3, folds=2)}
    metric = METRICS["verification_accuracy"]
    _, (row,) = compare(arms, metric, [("b", "a")], overlap=0.0)
    assert (row.outcome, row.limited_by, row.ci95) == ("undecided", "test images", UNKNOWN)


def test_permutation_begins_at_eight_replicates() -> None:
    for replicates, present in ((7, False), (8, True)):
        scores = {"a": np.linspace(0.8, 0.9, replicates), "b": np.linspace(0.7, 0.9, replicates)}
        (row,) = compare_scores(scores, [("a", "b")], ACCURACY)
        assert (row.p_permutation is not None) is present


def test_needed_replicates_decide_if_all_stays_as_it_is() -> None:
    scores: dict[str, Floats] = {"a": np.array([0.80, 0.84, 0.80, 0.84]), "b": np.full(4, 0.80)}
    images = {("a", "b"): ImageVariance(0.00002, 500)}
    (row,) = compare_scores(scores, [("a", "b")], ACCURACY, 0.0, images)
    assert row.outcome == "undecided"
    assert row.limited_by == "replicates"
    variance = Variance.of(scores["a"] - scores["b"], 0.0, images["a", "b"])
    assert row.needed is not None
    at, before = variance.half_widths(np.array([row.needed, row.needed - 1]))
    assert at < row.delta <= before


def test_needed_allows_for_the_correction() -> None:
    scores: dict[str, Floats] = {"a": np.array([0.80, 0.84, 0.80, 0.84]), "b": np.full(4, 0.80)}
    (alone,) = compare_scores(scores, [("a", "b")], ACCURACY)
    rows = compare_scores(scores | {"c": scores["a"]}, [("a", "b"), ("c", "b")], ACCURACY)
    assert alone.needed is not None
    assert rows[0].needed is not None
    assert rows[0].needed > alone.needed


def test_more_replicates_do_not_help_where_images_limit() -> None:
    scores: dict[str, Floats] = {"a": np.array([0.80, 0.82, 0.81]), "b": np.array([0.8, 0.8, 0.8])}
    images = {("a", "b"): ImageVariance(0.01, 50)}
    (row,) = compare_scores(scores, [("a", "b")], ACCURACY, 0.0, images)
    assert (row.needed, row.limited_by) == (None, "test images")
    (row,) = compare_scores(scores, [("a", "b")], ACCURACY, 0.9)
    assert (row.needed, row.limited_by) == (None, "training images")


def test_the_interval_grows_with_overlap_and_with_fewer_test_images() -> None:
    arms = {"a": arm(1.2, count=400), "b": arm(1.0, seed=1, count=400)}

    def width(some: dict[str, list[Outputs]], overlap: float) -> float:
        _, (row,) = compare(some, ACCURACY, [("a", "b")], overlap=overlap)
        return row.ci95[1] - row.ci95[0]

    widths = [width(arms, overlap) for overlap in (0.0, 0.4, 0.8)]
    assert widths == sorted(widths)
    few = {name: [one.subset(torch.arange(40)) for one in own] for name, own in arms.items()}
    assert width(few, 0.0) > widths[0]
    _, (row,) = compare(arms, ACCURACY, [("a", "b")], overlap=1.0)
    assert row.conditional


def test_scores_and_recalls_are_those_of_the_metric() -> None:
    own = arm(1.0, 3)
    for name in ("auroc", "calibration_error"):
        scores, rows = compare({"a": own}, METRICS[name], [], overlap=0.0)
        assert scores["a"].scores == tuple(METRICS[name].of(one) for one in own)
        assert rows == ()
    recalls = np.mean([per_class_recall(one) for one in own], axis=0)
    assert scores["a"].per_class_recall == pytest.approx(recalls.tolist())


def test_the_interval_of_an_arm_stays_within_bounds() -> None:
    found = score_arm(np.array([0.99, 0.90, 1.0]), ACCURACY)
    assert found.ci95[1] == 1.0
    assert 0 < found.ci95[0] < found.mean


def test_nothing_limits_a_difference_of_zero_that_replicates_alone_leave_open() -> None:
    scores = {"a": np.array([0.5, 0.6, 0.7]), "b": np.array([0.7, 0.6, 0.5])}
    (row,) = compare_scores(scores, [("a", "b")], ACCURACY)
    assert (row.delta, row.needed, row.limited_by) == (pytest.approx(0), None, None)
    images = {("a", "b"): ImageVariance(0.01, 50)}
    (row,) = compare_scores(scores, [("a", "b")], ACCURACY, image_variances=images)
    assert row.limited_by == "test images"


def test_an_arm_without_any_spread_has_the_interval_of_its_images() -> None:
    y = torch.arange(60) % 3
    right = [Outputs.of_predictions(y, y, 3)] * 5
    for name in ("accuracy", "error"):
        found = compare({"a": right}, METRICS[name], [], overlap=0.0)[0]["a"].ci95
        low, high = stats.binomtest(60, 60).proportion_ci(0.95, method="exact")
        expected = (low, high) if name == "accuracy" else (1 - high, 1 - low)
        assert found == pytest.approx(expected)


def test_a_rare_class_leaves_more_open_than_a_common_one() -> None:
    # What 500 and 4 right images leave open is most where all of it is in the class of 4.
    y = torch.tensor([0] * 500 + [1] * 4)
    right = [Outputs.of_predictions(y, y, 2)] * 3
    low, high = compare({"a": right}, METRICS["balanced_accuracy"], [], overlap=0.0)[0]["a"].ci95
    alone = stats.binomtest(4, 4).proportion_ci(0.95, method="exact").low
    assert (low, high) == pytest.approx(((1 + alone) / 2, 1.0))
    wrong = [Outputs.of_predictions(torch.zeros(504).long(), y, 2)] * 3
    low, high = compare({"a": wrong}, METRICS["balanced_accuracy"], [], overlap=0.0)[0]["a"].ci95
    assert 0.49 < low < 0.5 < high < 1
    assert high == pytest.approx(0.5 + (1 - alone) / 2)


def test_where_nothing_tells_the_spread_an_arm_has_no_interval() -> None:
    y = torch.arange(60) % 3
    right = [Outputs.of_predictions(y, y, 3)] * 3
    for metric, own in (("auroc", right), ("accuracy", right[:1])):
        found = compare({"a": own}, METRICS[metric], [], overlap=0.0)[0]["a"]
        assert found.to_json()["ci95"] is None
    assert score_arm(np.full(4, 0.5), ACCURACY).to_json()["ci95"] is None


@pytest.mark.parametrize("name", ["worst_class_recall", "worst_combination"])
def test_the_lowest_of_several_recalls_describes_an_arm_and_compares_none(name: str) -> None:
    """Nine classes at 99 % and one at 90 % are not better in it than ten at 90 %."""
    y, rng = torch.arange(200) % 10, np.random.default_rng(0)
    arms: dict[str, list[Outputs]] = {}
    for one, others in (("mostly", 0.99), ("all", 0.9)):
        chance = np.where(y == 0, 0.9, others)
        arms[one] = []
        for _ in range(10):
            right = torch.from_numpy(rng.random(200) < chance)
            guesses = torch.where(right, y, (y + 1) % 10)
            arms[one].append(replace(Outputs.of_predictions(guesses, y, 10), combination=y))
    found, _ = compare(arms, METRICS[name], [], overlap=0.0)
    assert found["mostly"].mean > found["all"].mean + 0.05  # the bias
    assert found["all"].to_json()["ci95"] is None
    with pytest.raises(ValueError, match=f"{name} compares no arms"):
        compare(arms, METRICS[name], [("mostly", "all")], overlap=0.0)


def test_json_has_no_nan_and_names_the_classes() -> None:
    y = torch.arange(60) % 2
    arms = {}
    for number, name in enumerate("ab"):
        guesses = torch.where(torch.arange(60) % (5 + number) == 0, 1 - y, y)
        arms[name] = [Outputs.of_predictions(guesses, y, 3)] * 3
    scores, (row,) = compare(arms, METRICS["balanced_accuracy"], [("a", "b")], overlap=0.0)
    found = json.loads(json.dumps([scores["a"].to_json("xyz"), row.to_json()], allow_nan=False))
    assert set(found[0]) == {"scores", "mean", "ci95", "per_class_recall"}
    assert found[0]["per_class_recall"]["z"] is None
    assert scores["a"].to_json()["per_class_recall"] == list(found[0]["per_class_recall"].values())
    assert set(found[1]) == set(vars(row))


def test_nonsense_is_refused() -> None:
    own = arm(1.0, 3)
    others = [replace(one, y=one.y.flip(0)) for one in own if one.y is not None]
    cases: Sequence[tuple[dict[str, list[Outputs]], str]] = [
        ({}, "every arm needs"),
        ({"a": own, "b": []}, "every arm needs"),
        ({"a": own, "b": own[:2]}, "same number of replicates"),
        ({"a": own, "b": others}, "replicate 0 of b was scored on other test images"),
        ({"a": own, "b": [*own[:2], own[2].subset(torch.arange(9))]}, "replicate 2 of b"),
        ({"a": own, "b": verifiers(3, 1)}, "other test images"),
        ({"a": own}, "unknown arm 'b'; known arms: a"),
    ]
    for arms, words in cases:
        with pytest.raises(ValueError, match=words):
            compare(arms, ACCURACY, [("a", "b")], overlap=0.0)
    with pytest.raises(ValueError, match="scores of a are not finite"):
        compare_scores({"a": np.array([math.nan, 1.0])}, [], ACCURACY)
