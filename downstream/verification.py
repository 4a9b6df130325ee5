"""Verification: do two images show one person? Judged by the cosine of their features, in folds of
different people.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import stats
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import cosine_similarity

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]
Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

FARS = (1e-2, 1e-3)


@dataclass(frozen=True)
class Figure:
    """One number, and its values with each fold left out, from which its interval over people
    comes.

    Args:
        value: On all folds.
        without: With each fold left out, ascending.
    """

    value: float
    without: tuple[float, ...]

    @property
    def ci95(self) -> Interval:
        """See ``fold_interval``; not cut at 0 and 1."""
        return fold_interval(self.value, np.array(self.without))


@dataclass(frozen=True)
class Verification:
    """How well scores tell pairs of one person from pairs of two.

    Args:
        accuracy: Mean over folds of ``fold_accuracies``.
        auc: ``roc_auc``.
        tar: ``tar_at_far`` by rate, those of ``FARS``.
    """

    accuracy: Figure
    auc: Figure
    tar: dict[float, Figure]


def mean_figure(figures: Sequence[Figure]) -> Figure:
    """The mean of a figure over replicates with the same folds, its interval over people included.

    Raises:
        ValueError: If there are none or the numbers of folds differ.
    """
    count = len(figures)
    if not count or len({len(one.without) for one in figures}) > 1:
        raise ValueError("need figures of the same folds")
    columns = zip(*(one.without for one in figures), strict=True)
    return Figure(
        sum(one.value for one in figures) / count, tuple(sum(column) / count for column in columns)
    )


def difference(first: Figure, second: Figure) -> Figure:
    """First minus second, of the same pairs; people who are hard for both count for neither."""
    parts = zip(first.without, second.without, strict=True)
    return Figure(first.value - second.value, tuple(a - b for a, b in parts))


def pair_scores(first: Tensor, second: Tensor) -> Tensor:
    r"""Cosine of the features of two images, :math:`\langle f, g\rangle / (\lVert f\rVert \lVert
    g\rVert)`.

    Args:
        first: Features, shape (N, F).
        second: Those of the other images, shape (N, F).

    Returns:
        Scores, float64 (N,) in [-1, 1]; 1 for equal directions, 0 where features are all zero.
        Symmetric.

    Raises:
        ValueError: If the shapes are not the same (N, F), or a feature is not finite.
    """
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(
            f"need two times (N, F), got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    if not bool(first.isfinite().all() & second.isfinite().all()):
        raise ValueError("features hold NaN or infinite values")
    return cosine_similarity(first.double(), second.double()).clamp(-1, 1)


def measure_verification(scores: Tensor, same: Tensor, folds: Tensor) -> Verification:
    """All figures of a set of pairs, with intervals over folds.

    Args:
        scores: One score a pair, shape (N,); higher means rather the same person.
        same: Whether the two are one person, bool (N,).
        folds: Fold of every pair, int64 (N,); two at least, none with people of another, both kinds
            in each.

    Returns:
        The figures. Scores that are all alike give 1/2, 1/2 and 0; equal scores give equal figures.

    Raises:
        ValueError: If shapes or types differ, or there are too few folds or pairs.
    """
    s, y, f = _checked(scores, same, folds)
    found = fold_accuracies(scores, same, folds)
    mean, without = float(found.mean()), (found.sum() - found) / (len(found) - 1)
    return Verification(
        accuracy=Figure(mean, tuple(without.tolist())),
        auc=_figure(_auc, s, y, f),
        tar={far: _figure(partial(_tar, far=far), s, y, f) for far in FARS},
    )


def fold_accuracies(scores: Tensor, same: Tensor, folds: Tensor) -> Floats:
    """Accuracy on every fold, at the threshold that is best on the others.

    Args:
        scores: As in ``measure_verification``.
        same: As there.
        folds: As there.

    Returns:
        Share of pairs judged rightly, float64, one a fold in ascending order, in [0, 1]. Unchanged
        by a positive factor on the scores or a constant added.

    Raises:
        ValueError: As there.

    Source:
        Huang et al. 2007, "Labeled Faces in the Wild", UMass technical report 07-49, section 4: the
        estimated mean accuracy of view 2.
    """
    s, y, f = _checked(scores, same, folds)
    accuracies = []
    for fold in np.unique(f):
        here = f == fold
        threshold = best_threshold(s[~here], y[~here])
        accuracies.append(float(((s[here] > threshold) == y[here]).mean()))
    return np.array(accuracies)


def best_threshold(scores: Floats, same: Bools) -> float:
    """The threshold above which pairs are best called the same.

    Thresholds lie half-way between neighbouring scores, or below or above all; of equally good ones
    it is the middle one (the upper of two).

    Args:
        scores: Float64 (N,), N > 0.
        same: Bool (N,).

    Returns:
        The threshold, infinite where all pairs are best called the same or different.
    """
    order = scores.argsort()
    s, y = scores[order], same[order]
    # Behind position k all up to k are called different; the first entry calls none so.
    right = y.sum() + np.concatenate([[0], np.cumsum(np.where(y, -1, 1))])
    right[1:-1][s[1:] == s[:-1]] = -1  # no threshold parts equal scores
    cuts = np.concatenate([[-np.inf], (s[1:] + s[:-1]) / 2, [np.inf]])
    best = np.flatnonzero(right == right.max())
    return float(cuts[best[len(best) // 2]])


def roc_auc(scores: Tensor, same: Tensor) -> float:
    """Area under the ROC curve: the chance that a pair of one person scores above a pair of two;
    ties count half.

    Args:
        scores: Shape (N,).
        same: Bool (N,), both kinds among them.

    Returns:
        The area in [0, 1]; unchanged by any strictly increasing map of the scores, 1 minus itself
        for negated ones.

    Raises:
        ValueError: If shapes differ or a kind is missing.
    """
    s, y, _ = _checked(scores, same, None)
    return _auc(s, y)


def tar_at_far(scores: Tensor, same: Tensor, far: float) -> float:
    """Share of pairs of one person accepted at the threshold of ``far_threshold`` (true accept at
    false accept rate).

    With fewer different pairs than 1 / far not one of them may be accepted: what comes back is then
    the rate at a false accept rate of zero, which is at most that at ``far``.

    Args:
        scores: Shape (N,).
        same: Bool (N,), both kinds among them.
        far: The false accept rate allowed, in [0, 1].

    Returns:
        The share in [0, 1]; unchanged by any strictly increasing map of the scores, never less for
        a larger ``far``.

    Raises:
        ValueError: If shapes differ, a kind is missing or the rate is out of range.
    """
    s, y, _ = _checked(scores, same, None)
    return _tar(s, y, far)


def far_threshold(different: Floats, far: float) -> float:
    r"""The lowest threshold at which at most a share ``far`` of different pairs is accepted, that
    is scores above it.

    It is the score of rank :math:`\lfloor n \cdot far \rfloor + 1` from above; equal scores are
    accepted together or not at all, so that fewer than allowed may be.

    Args:
        different: Scores of pairs of two people, float64 (n,), n > 0.
        far: In [0, 1].

    Returns:
        The threshold; minus infinity where all may be accepted.

    Raises:
        ValueError: If pairs are missing or the rate is out of range.
    """
    if not 0 <= far <= 1 or len(different) == 0:
        raise ValueError(f"need pairs and a rate in [0, 1], got {len(different)} and {far}")
    allowed = math.floor(len(different) * far + 1e-9)  # 0.29 * 100 is a little under 29
    return float(np.sort(different)[::-1][allowed]) if allowed < len(different) else -math.inf


def fold_interval(value: float, without: Floats) -> Interval:
    r"""95 % interval of a figure over folds, by the jackknife.

    .. math::

        \theta \pm t_{0.975, F-1}
        \sqrt{\tfrac{F-1}{F} \sum_f (\theta_{-f} - \bar\theta_{-f})^2}

    Folds hold different people, so they are what is independent; pairs within one are not.

    Args:
        value: The figure on all folds.
        without: The figure with each fold left out, shape (F,), F >= 2.

    Returns:
        The interval; for a mean over equal folds it is Student's of the folds' own figures.

    Source:
        Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 11.
    """
    count = len(without)
    error = math.sqrt((count - 1) / count * float(np.square(without - without.mean()).sum()))
    half = float(stats.t.ppf(0.975, count - 1)) * error
    return value - half, value + half


def share_interval(accepted: int, total: int) -> Interval:
    """Exact 95 % binomial interval (Clopper & Pearson 1934) of a share, in [0, 1].

    Raises:
        ValueError: If not 0 <= accepted <= total, or total is 0.
    """
    if not 0 <= accepted <= total or total == 0:
        raise ValueError(f"{accepted} of {total} is not a share")
    low, high = stats.binomtest(accepted, total).proportion_ci(0.95, method="exact")
    return float(low), float(high)


def _figure(
    statistic: Callable[[Floats, Bools], float], s: Floats, y: Bools, f: Integers
) -> Figure:
    value = statistic(s, y)
    return Figure(value, tuple(statistic(s[f != fold], y[f != fold]) for fold in np.unique(f)))


def _auc(scores: Floats, same: Bools) -> float:
    return float(roc_auc_score(same, scores))


def _tar(scores: Floats, same: Bools, far: float) -> float:
    return float((scores[same] > far_threshold(scores[~same], far)).mean())


def _checked(scores: Tensor, same: Tensor, folds: Tensor | None) -> tuple[Floats, Bools, Integers]:
    s, y = scores.detach().cpu().double().numpy(), same.cpu().numpy()
    if s.ndim != 1 or s.shape != y.shape or y.dtype != np.bool_ or not np.isfinite(s).all():
        raise ValueError(
            f"need finite scores (N,) and same, bool (N,): {s.shape}, {y.dtype} {y.shape}"
        )
    f = np.zeros(len(s), dtype=np.int64) if folds is None else folds.cpu().numpy()
    if f.shape != s.shape or not np.issubdtype(f.dtype, np.integer):
        raise ValueError(f"need folds, integers (N,): {f.dtype} {f.shape} for {len(s)} pairs")
    numbers = np.unique(f)
    if folds is not None and len(numbers) < 2:
        raise ValueError("need two folds at least")
    if not len(s) or any(len(np.unique(y[f == fold])) < 2 for fold in numbers):
        raise ValueError("every fold needs pairs of one person and pairs of two")
    return s, y, f.astype(np.int64)
