from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from downstream.verification import (
    Figure,
    best_threshold,
    difference,
    far_threshold,
    fold_accuracies,
    fold_interval,
    mean_figure,
    measure_verification,
    pair_scores,
    roc_auc,
    share_interval,
    tar_at_far,
)


def pairs(count: int = 100, folds: int = 5, apart: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Normal scores, those of one person higher by ``apart``; half of every fold are of one
    person."""
    same = torch.arange(count * folds) % 2 == 0
    noise = torch.randn(len(same), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return noise + apart * same, same, torch.arange(folds).repeat_interleave(count)


def test_scores_are_cosines() -> None:
    first = torch.tensor([[3.0, 4.0], [1.0, 0.0], [2.0, 0.0], [0.0, 0.0]])
    second = torch.tensor([[4.0, 3.0], [0.0, 5.0], [-1.0, 0.0], [1.0, 0.0]])
    torch.testing.assert_close(
        pair_scores(first, second), torch.tensor([0.96, 0.0, -1.0, 0.0], dtype=torch.float64)
    )
    torch.testing.assert_close(pair_scores(first, second), pair_scores(second, 7 * first))


def test_scores_refuse_other_shapes_and_numbers() -> None:
    with pytest.raises(ValueError, match=r"two times \(N, F\), got \(2, 3\) and \(2, 4\)"):
        pair_scores(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="NaN"):
        pair_scores(torch.ones(1, 2), torch.tensor([[1.0, math.nan]]))


def test_best_threshold_by_hand() -> None:
    scores, same = np.array([0.1, 0.4, 0.3, 0.8]), np.array([False, False, True, True])
    # Above 0.2: three right; above 0.35: two; above 0.6: three; the upper of the two best is taken.
    assert best_threshold(scores, same) == pytest.approx(0.6)
    assert best_threshold(np.array([0.1, 0.9]), np.array([False, True])) == pytest.approx(0.5)
    assert best_threshold(np.array([0.5, 0.5, 0.5]), np.array([False, True, True])) == -math.inf
    assert best_threshold(np.array([0.5, 0.5, 0.5]), np.array([False, False, True])) == math.inf


def test_accuracy_of_a_fold_takes_the_threshold_of_the_others() -> None:
    #                        fold 0                fold 1
    scores = torch.tensor([0.2, 0.3, 0.6, 0.7, 0.1, 0.5, 0.62, 0.9])
    same = torch.tensor([False, False, True, True] * 2)
    folds = torch.tensor([0] * 4 + [1] * 4)
    # Fold 1 is best parted at 0.56, where all of fold 0 is right; fold 0 at 0.45, where 0.5 of fold
    # 1 is wrong.
    assert fold_accuracies(scores, same, folds).tolist() == [1.0, 0.75]
    found = measure_verification(scores, same, folds)
    assert found.accuracy.value == 0.875
    half = stats.t.ppf(0.975, 1) * np.std([1.0, 0.75], ddof=1) / math.sqrt(2)
    assert found.accuracy.ci95 == pytest.approx((0.875 - half, 0.875 + half))
    assert found.auc.value == 1  # every pair of one person scores above every pair of two


def test_auc_counts_ties_half() -> None:
    scores, same = torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([False, False, True, True])
    assert roc_auc(scores, same) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert roc_auc(-scores, same) == pytest.approx(1 - 3.5 / 4)


def test_tar_by_hand() -> None:
    different = torch.arange(100) / 100  # 0.00 to 0.99
    same = torch.tensor([0.5, 0.97, 0.98, 0.985, 0.99, 1.0])
    scores, labels = torch.cat([different, same]), torch.tensor([False] * 100 + [True] * 6)
    # At 1e-2 one of 100 may be accepted: 0.99 is, 0.98 is not, so that 0.985 and above count.
    assert tar_at_far(scores, labels, 1e-2) == pytest.approx(3 / 6)
    # At 1e-3 none may be; the rate is that at zero.
    assert (
        tar_at_far(scores, labels, 1e-3) == tar_at_far(scores, labels, 0.0) == pytest.approx(1 / 6)
    )
    assert tar_at_far(scores, labels, 1.0) == 1.0
    rates = [tar_at_far(scores, labels, far) for far in (0, 0.01, 0.1, 0.5, 1)]
    assert rates == sorted(rates)


def test_tied_scores_are_not_accepted_beyond_the_rate() -> None:
    different = np.array([0.9, 0.9, 0.1, 0.1])
    assert far_threshold(different, 0.25) == 0.9  # one may pass, but two would
    assert far_threshold(different, 0.5) == 0.1
    assert far_threshold(np.arange(100.0), 0.29) == 70.0  # 0.29 * 100 rounds down to 28.999…


def test_perfect_random_and_constant_scores() -> None:
    scores, same, folds = pairs()
    perfect = measure_verification(same.double(), same, folds)
    assert (
        perfect.accuracy.value,
        perfect.auc.value,
        *[one.value for one in perfect.tar.values()],
    ) == (1, 1, 1, 1)
    assert perfect.auc.ci95 == (1, 1)
    random = measure_verification(scores - same.double(), same, folds)
    assert random.accuracy.value == pytest.approx(0.5, abs=0.06)
    assert random.auc.ci95[0] < 0.5 < random.auc.ci95[1]
    assert random.tar[1e-2].value < 0.05
    constant = measure_verification(torch.zeros(500), same, folds)
    assert (constant.accuracy.value, constant.auc.value, constant.tar[1e-2].value) == (0.5, 0.5, 0)


def test_monotone_maps_change_nothing_that_goes_by_rank() -> None:
    scores, same, folds = pairs()
    before, after = (measure_verification(one, same, folds) for one in (scores, scores.exp()))
    assert (before.auc, before.tar) == (after.auc, after.tar)
    linear = fold_accuracies(3 * scores - 7, same, folds)
    assert linear.tolist() == fold_accuracies(scores, same, folds).tolist()


def test_the_order_of_pairs_and_the_numbers_of_folds_do_not_count() -> None:
    scores, same, folds = pairs()
    order = torch.randperm(len(scores), generator=torch.Generator().manual_seed(1))
    assert measure_verification(
        scores[order], same[order], 10 * folds[order]
    ) == measure_verification(scores, same, folds)


def test_the_jackknife_of_a_mean_is_students_interval() -> None:
    folds = np.array([0.6, 0.7, 0.65, 0.8])
    mean = folds.mean()
    low, high = fold_interval(mean, (folds.sum() - folds) / 3)
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 3, mean, stats.sem(folds)))


def test_intervals_of_the_auc_cover_its_truth() -> None:
    """For normal scores one standard deviation apart the area is Phi(1 / sqrt(2))."""
    found = measure_verification(*pairs(count=200, folds=10))
    low, high = found.auc.ci95
    assert low < stats.norm.cdf(1 / math.sqrt(2)) < high
    assert high - low < 0.1


def test_binomial_interval() -> None:
    assert share_interval(0, 10) == pytest.approx((0, 1 - 0.025**0.1))  # solves (1 - p)^10 = 0.025
    assert share_interval(10, 10) == pytest.approx((0.025**0.1, 1))
    for accepted, total in ((1, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="not a share"):
            share_interval(accepted, total)


@pytest.mark.parametrize(
    ("scores", "same", "folds", "message"),
    [
        (torch.zeros(4), torch.ones(3, dtype=torch.bool), torch.zeros(4).long(), "finite scores"),
        (torch.zeros(4), torch.ones(4), torch.zeros(4).long(), "finite scores"),
        (
            torch.full((4,), math.nan),
            torch.ones(4, dtype=torch.bool),
            torch.zeros(4).long(),
            "finite scores",
        ),
        (torch.zeros(4), torch.tensor([True, False] * 2), torch.zeros(4), "integers"),
        (torch.zeros(4), torch.tensor([True, False] * 2), torch.zeros(4).long(), "two folds"),
        (
            torch.zeros(4),
            torch.tensor([True, False, True, True]),
            torch.tensor([0, 0, 1, 1]),
            "every fold",
        ),
        (torch.zeros(0), torch.zeros(0, dtype=torch.bool), torch.zeros(0).long(), "two folds"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    scores: Tensor, same: Tensor, folds: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure_verification(scores, same, folds)


def test_bad_rates_and_missing_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rate in \[0, 1\]"):
        far_threshold(np.zeros(3), 1.5)
    with pytest.raises(ValueError, match="pairs of two"):
        roc_auc(torch.zeros(2), torch.tensor([True, True]))


def test_means_and_differences_of_figures() -> None:
    first, second = Figure(0.75, (0.5, 1.0)), Figure(0.25, (0.25, 0.25))
    assert mean_figure([first, second]) == Figure(0.5, (0.375, 0.625))
    assert difference(first, second) == Figure(0.5, (0.25, 0.75))
    assert difference(first, first).ci95 == (0, 0)
    assert mean_figure([first]) == first
    with pytest.raises(ValueError, match="same folds"):
        mean_figure([first, Figure(0.5, (0.5,) * 3)])
