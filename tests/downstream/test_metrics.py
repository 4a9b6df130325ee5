from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, log_loss, recall_score, roc_auc_score
from torch import Tensor

from downstream.metrics import (
    METRICS,
    NATS,
    POINTS,
    MissingOutputError,
    NotFiniteError,
    Outputs,
    decisions,
    metric_of,
    per_class_recall,
)
from downstream.verification import measure_verification

SUMMED = [name for name, metric in METRICS.items() if metric.contributions]
OF_CLASSES = [name for name, metric in METRICS.items() if "y" in metric.needs]
OF_PAIRS = [name for name, metric in METRICS.items() if "same" in metric.needs]


def outputs_of(
    count: int = 200, classes: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Outputs:
    """A classifier that is right more often than not; every class has images."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % classes
    logits = torch.randn(count, classes, generator=rng, dtype=torch.float64)
    probs = (logits + 1.5 * torch.eye(classes)[y]).softmax(dim=1)
    number = torch.arange(count)
    combination = 4 * y + number // 3 % 4
    return Outputs(y=y, class_probs=probs.to(dtype), combination=combination, coverage=number % 3)


def pairs_of(count: int = 400, folds: int = 10) -> Outputs:
    same = torch.arange(count) % 2 == 0
    noise = torch.randn(count, generator=torch.Generator().manual_seed(0))
    return Outputs(similarities=noise + same, same=same, folds=torch.arange(count) % 20 // 2)


def score(name: str, y: list[int], class_probs: list[list[float]]) -> float:
    return METRICS[name].of(Outputs(y=torch.tensor(y), class_probs=torch.tensor(class_probs)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", 3 / 4),
        ("error", 1 / 4),
        ("balanced_accuracy", (2 / 3 + 1) / 2),
        ("worst_class_recall", 2 / 3),
        ("negative_log_likelihood", -math.log(0.9 * 0.8 * 0.3 * 0.6) / 4),
        # One bin, for four images are fewer than ten: mean confidence 0.75, accuracy 0.75.
        ("calibration_error", 0.0),
        # Probabilities of class 1: 0.6 of its image, and 0.1, 0.2, 0.7 of the others.
        ("auroc", 2 / 3),
    ],
)
def test_scores_by_hand(name: str, expected: float) -> None:
    rows = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]]
    assert score(name, [0, 0, 0, 1], rows) == pytest.approx(expected, abs=1e-6)


def test_scores_equal_scikit_learn() -> None:
    outputs = outputs_of()
    assert outputs.y is not None
    assert outputs.class_probs is not None
    y, probs, guesses = outputs.y.numpy(), outputs.class_probs.numpy(), decisions(outputs)
    recalls = recall_score(y, guesses, average=None)
    references = {
        "accuracy": (y == guesses).mean(),
        "balanced_accuracy": balanced_accuracy_score(y, guesses),
        "worst_class_recall": recalls.min(),
        "negative_log_likelihood": log_loss(y, probs),
        "auroc": roc_auc_score(y, probs, multi_class="ovr"),
    }
    for name, expected in references.items():
        assert METRICS[name].of(outputs) == pytest.approx(expected), name
    assert per_class_recall(outputs) == pytest.approx(recalls)


def test_auroc_of_two_classes_with_ties_equals_scikit_learn() -> None:
    outputs = outputs_of(300, 2)
    assert outputs.y is not None
    assert outputs.class_probs is not None
    rounded = replace(outputs, class_probs=(10 * outputs.class_probs).round() / 10)
    assert rounded.class_probs is not None
    expected = roc_auc_score(outputs.y, rounded.class_probs[:, 1])
    assert METRICS["auroc"].of(rounded) == pytest.approx(expected)


@given(st.sampled_from(SUMMED), st.integers(3, 60), st.integers(2, 5), st.integers(0, 99))
def test_contributions_sum_to_the_score(name: str, count: int, classes: int, seed: int) -> None:
    metric, outputs = METRICS[name], outputs_of(count, classes, seed, torch.float16)
    assert metric.contributions is not None
    parts = metric.contributions(outputs)
    assert parts.shape == (count,)
    assert parts.sum() == pytest.approx(metric.of(outputs))


@given(st.sampled_from(OF_CLASSES), st.integers(3, 60), st.integers(0, 99))
def test_scores_lie_within_bounds_and_know_no_order(name: str, count: int, seed: int) -> None:
    metric, outputs = METRICS[name], outputs_of(count, 2, seed, torch.float16)
    low, high = metric.bounds
    assert low <= metric.of(outputs) <= high
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    assert metric.of(outputs.subset(order)) == pytest.approx(metric.of(outputs))


def test_auroc_varies_with_test_images_as_delong_says() -> None:
    # Two classes by hand: variance of the placements of each class over its number of images.
    own, others = np.array([0.9, 0.6, 0.4]), np.array([0.5, 0.3, 0.1, 0.4])
    placed_own = np.array([1, 1, 2.5 / 4])
    placed_others = np.array([2 / 3, 1, 1, 2.5 / 3])
    expected = placed_own.var(ddof=1) / 3 + placed_others.var(ddof=1) / 4
    ones = torch.from_numpy(np.concatenate([own, others]))
    outputs = Outputs(
        y=torch.tensor([1] * 3 + [0] * 4), class_probs=torch.stack([1 - ones, ones], 1)
    )
    contributions = METRICS["auroc"].contributions
    assert contributions is not None
    parts = contributions(outputs)
    found = 3 * parts[:3].var(ddof=1) + 4 * parts[3:].var(ddof=1)
    assert METRICS["auroc"].of(outputs) == pytest.approx(placed_own.mean())
    assert found == pytest.approx(expected)


def test_the_first_of_equal_probabilities_decides() -> None:
    rows = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.1, 0.4, 0.4, 0.1], [0.5, 0.0, 0.0, 0.5]])
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        outputs = Outputs(y=torch.zeros(3, dtype=torch.int64), class_probs=rows.to(dtype))
        assert decisions(outputs).tolist() == [0, 1, 0]


def test_float16_changes_scores_by_rounding_only() -> None:
    exact, stored = outputs_of(), outputs_of(dtype=torch.float16)
    for name in OF_CLASSES:
        assert METRICS[name].of(stored) == pytest.approx(METRICS[name].of(exact), abs=2e-3), name


def test_a_probability_of_zero_costs_as_much_as_the_smallest_float16() -> None:
    assert score("negative_log_likelihood", [0], [[0.0, 1.0]]) == pytest.approx(24 * math.log(2))
    assert score("negative_log_likelihood", [0], [[2.0**-24, 1.0]]) == pytest.approx(
        METRICS["negative_log_likelihood"].bounds[1]
    )


def test_classes_without_images_do_not_count() -> None:
    y, rows = [0, 2, 2], [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]
    assert score("balanced_accuracy", y, rows) == pytest.approx(0.75)
    assert score("worst_class_recall", y, rows) == pytest.approx(0.5)
    # 0.5 lies above 0.2 only of 0.2 and 0.6; 0.5 above 0.2, 0.1 below it.
    assert score("auroc", y, rows) == pytest.approx((1 / 2 + 1 / 2) / 2)
    outputs = Outputs(y=torch.tensor(y), class_probs=torch.tensor(rows))
    assert np.isnan(per_class_recall(outputs)[1])


def test_auroc_needs_two_classes() -> None:
    with pytest.raises(ValueError, match="two classes"):
        score("auroc", [1, 1], [[0.5, 0.5], [0.5, 0.5]])


def confidences(values: Tensor, right: Tensor) -> Outputs:
    """Two classes; the given confidence in class 0, which is the true one where ``right``."""
    return Outputs(y=(~right).long(), class_probs=torch.stack([values, 1 - values], dim=1))


def test_calibration_error_by_hand() -> None:
    # Two bins of ten: confidence 0.6 with 3 of 10 right, confidence 0.9 with all right.
    values = torch.tensor([0.6] * 10 + [0.9] * 10, dtype=torch.float64)
    right = torch.tensor([True] * 3 + [False] * 7 + [True] * 10)
    found = METRICS["calibration_error"].of(confidences(values, right))
    assert found == pytest.approx((0.3 + 0.1) / 2)


def test_images_of_equal_confidence_share_their_accuracy() -> None:
    # Cut in order of the images, the bins of a tie would be all right and all wrong: error 0.5.
    values, right = torch.full((300,), 0.5), torch.arange(300) < 150
    assert METRICS["calibration_error"].of(confidences(values, right)) == pytest.approx(0)


def test_a_calibrated_classifier_has_almost_no_calibration_error() -> None:
    rng = torch.Generator().manual_seed(0)
    values = 0.5 + torch.rand(40_000, generator=rng) / 2
    right = torch.rand(40_000, generator=rng) < values
    assert METRICS["calibration_error"].of(confidences(values, right)) < 0.01


def test_verification_metrics_are_those_of_verification() -> None:
    outputs = pairs_of()
    assert outputs.similarities is not None
    assert outputs.same is not None
    assert outputs.folds is not None
    found = measure_verification(outputs.similarities, outputs.same, outputs.folds)
    assert METRICS["verification_accuracy"].of(outputs) == pytest.approx(found.accuracy.value)
    assert METRICS["verification_auc"].of(outputs) == pytest.approx(found.auc.value)
    assert METRICS["tar_at_far_1e-2"].of(outputs) == pytest.approx(found.tar[1e-2].value)
    assert METRICS["tar_at_far_1e-3"].of(outputs) == pytest.approx(found.tar[1e-3].value)


@pytest.mark.parametrize("name", METRICS)
def test_a_missing_field_is_named(name: str) -> None:
    metric, outputs = METRICS[name], pairs_of() if name in OF_PAIRS else outputs_of()
    for field in metric.needs:
        without = replace(outputs, **{field: None})
        with pytest.raises(MissingOutputError, match=f"{name} needs {field}"):
            metric.of(without)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    outputs = outputs_of(10)
    assert outputs.class_probs is not None
    outputs.class_probs[3, 1] = value
    with pytest.raises(NotFiniteError, match="accuracy: class_probs hold 1 NaN"):
        METRICS["accuracy"].of(outputs)
    pairs = pairs_of()
    assert pairs.similarities is not None
    pairs.similarities[:2] = value
    with pytest.raises(NotFiniteError, match="similarities hold 2"):
        METRICS["verification_auc"].of(pairs)


def test_logits_and_empty_outputs_are_refused() -> None:
    with pytest.raises(ValueError, match="sum to one"):
        score("accuracy", [0], [[3.0, -2.0]])
    empty = Outputs(y=torch.zeros(0, dtype=torch.int64), class_probs=torch.zeros(0, 2))
    with pytest.raises(ValueError, match="at least one image"):
        METRICS["accuracy"].of(empty)


def test_outputs_that_do_not_fit_are_refused() -> None:
    y, probs = torch.tensor([0, 1]), torch.full((2, 2), 0.5)
    with pytest.raises(ValueError, match="differ in length"):
        Outputs(y=y, class_probs=probs[:1])
    with pytest.raises(ValueError, match=r"y must lie in \[0, 2\), got 0 to 2"):
        Outputs(y=torch.tensor([0, 2]), class_probs=probs)
    with pytest.raises(ValueError, match=r"class_probs must be \(N, K\)"):
        Outputs(y=y, class_probs=probs[:, 0])
    with pytest.raises(ValueError, match="y must be int64"):
        Outputs(y=y.float(), class_probs=probs)


def test_subsets_and_lengths() -> None:
    outputs = pairs_of(40)
    part = outputs.subset(torch.tensor([5, 0]))
    assert outputs.folds is not None
    assert part.folds is not None
    assert part.folds.tolist() == [int(outputs.folds[5]), int(outputs.folds[0])]
    assert (len(outputs), len(part), len(Outputs())) == (40, 2, 0)
    assert part.y is None


def test_predictions_without_probabilities_score_as_themselves() -> None:
    y, guesses = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1])
    outputs = Outputs.of_predictions(guesses, y, 2)
    assert decisions(outputs).tolist() == guesses.tolist()
    assert METRICS["balanced_accuracy"].of(outputs) == pytest.approx(5 / 6)


def test_units_show_values_and_differences() -> None:
    assert POINTS.shown(0.8132) == "81.3 %"
    assert POINTS.shown_difference(-0.0123) == "−1.2 points"
    assert POINTS.shown_difference(-0.0001) == "−0.01 points"
    assert NATS.shown_difference(0.25) == "+0.250 nats"
    assert (POINTS.plain(0.8132), NATS.plain(-0.0001)) == ("81.3", "0.000")
    # One digit more where a difference would round to zero; none of zero itself.
    assert [POINTS.signed(value) for value in (0.0123, -0.012, 0.0002, -0.0002, 0.0)] == [
        "+1.2",
        "−1.2",
        "+0.02",
        "−0.02",
        "0.0",
    ]


def test_metrics_are_found_by_name() -> None:
    for name, metric in METRICS.items():
        assert metric_of(name) is metric
        assert metric.name == name
    with pytest.raises(ValueError, match=r"'auruc'; did you mean 'auroc'\? known metrics: accur"):
        metric_of("auruc")
    with pytest.raises(ValueError, match="unknown metric 'f1'; known metrics: accuracy, "):
        metric_of("f1")


def test_recall_on_combinations_by_hand() -> None:
    outputs = Outputs(
        y=torch.tensor([0, 0, 0, 1, 1]),
        class_probs=torch.eye(2)[[0, 1, 0, 1, 0]],
        combination=torch.tensor([0, 1, 1, 2, 3]),
        coverage=torch.tensor([0, 2, 2, 2, 1]),
    )
    assert METRICS["covered_combinations"].of(outputs) == 1
    assert METRICS["missing_combinations"].of(outputs) == pytest.approx((0.5 + 1) / 2)
    assert METRICS["thin_combinations"].of(outputs) == 0
    assert METRICS["worst_combination"].of(outputs) == 0


def test_recall_on_missing_combinations_equals_scikit_learn() -> None:
    outputs = outputs_of(600, 4, 3)
    assert outputs.y is not None
    assert outputs.class_probs is not None
    chosen = torch.arange(600) % 3 == 2
    expected = recall_score(
        outputs.y[chosen], outputs.class_probs[chosen].argmax(dim=1), average="macro"
    )
    assert METRICS["missing_combinations"].of(outputs) == pytest.approx(expected)


def test_no_image_of_a_missing_combination_is_said() -> None:
    outputs = replace(outputs_of(9, 2), coverage=torch.zeros(9, dtype=torch.int64))
    with pytest.raises(MissingOutputError, match="no scored image is of a missing combination"):
        METRICS["missing_combinations"].of(outputs)
