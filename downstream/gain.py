"""Whether one arm is better than another: paired statistics on predictions of the same test images.

A replicate is one repetition of a whole experiment, with its own seed. All arms run in every
replicate, so arms are compared by their differences within replicates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from torch import Tensor

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]

METRICS = ("balanced_accuracy", "accuracy")
FEWEST_TO_PERMUTE = 8
FEWEST_FOR_A_CLAIM = 10
NO_SPREAD = 1e-12  # equal differences leave rounding errors behind
LEVEL = 0.05
EXACT_UP_TO = 16
"""Up to this many replicates all 2^R sign patterns are tried; above, random ones."""


@dataclass(frozen=True)
class ArmScores:
    """How one arm did.

    Args:
        scores: One score a replicate, in [0, 1].
        mean: Their mean.
        ci95: 95 % interval of the mean over replicates (t); not cut at 0 and 1.
        per_class_recall: Mean recall of each class, NaN for a class without test images.
    """

    scores: tuple[float, ...]
    mean: float
    ci95: Interval
    per_class_recall: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """One arm against one baseline; 0.01 is one point.

    Args:
        arm: What is tested.
        baseline: What it is tested against.
        delta: Mean over replicates of score(arm) - score(baseline).
        ci95: 95 % interval of ``delta`` (paired t): replicates vary, test images are fixed.
        ci95_bootstrap: The interval if test images vary too; as wide as ``ci95`` or wider.
        p: Two-sided paired t test of no difference.
        p_permutation: Two-sided sign-flip test, None under 8 replicates.
        p_holm: ``p`` corrected for the number of comparisons.
    """

    arm: str
    baseline: str
    delta: float
    ci95: Interval
    ci95_bootstrap: Interval
    p: float
    p_permutation: float | None
    p_holm: float


@dataclass(frozen=True)
class GainReport:
    """All arms and the comparisons declared beforehand.

    Args:
        metric: Name of the score.
        replicates: R.
        arms: Scores by name of the arm.
        comparisons: In the order they were declared.
    """

    metric: str
    replicates: int
    arms: dict[str, ArmScores]
    comparisons: tuple[Comparison, ...]

    def comparison(self, arm: str, baseline: str) -> Comparison:
        """The declared comparison of two arms.

        Raises:
            KeyError: If it was not declared.
        """
        for one in self.comparisons:
            if (one.arm, one.baseline) == (arm, baseline):
                return one
        raise KeyError(f"{arm} against {baseline} was not declared")

    def to_json(self, classes: Sequence[str]) -> dict[str, object]:
        """The keys ``arms`` and ``comparisons`` of gain.json.

        Args:
            classes: Names of the classes; position is index.
        """
        return {
            "arms": {name: _arm_json(arm, classes) for name, arm in self.arms.items()},
            "comparisons": [_comparison_json(one) for one in self.comparisons],
        }


def measure_gain(
    predictions: Mapping[str, Tensor],
    y: Tensor,
    num_classes: int,
    comparisons: Sequence[tuple[str, str]],
    metric: str = "balanced_accuracy",
    *,
    seed: int = 0,
    bootstraps: int = 2000,
) -> GainReport:
    """Score all arms and compare the declared pairs.

    Args:
        predictions: Predicted classes of every arm, integers, shape (R, N): R replicates, N test
            images.
        y: True classes, int64, (N,) if all replicates share the test images, else (R, N).
        num_classes: Number of classes K.
        comparisons: Pairs (arm, baseline), declared before looking; their number enters Holm's
            correction.
        metric: ``balanced_accuracy`` (mean recall of the classes that have test images) or
            ``accuracy``.
        seed: Decides the bootstrap and, above 16 replicates, the sign patterns.
        bootstraps: Resamples behind ``ci95_bootstrap``.

    Returns:
        The report. Identical arms give delta 0 and p 1; a swapped pair gives the negative delta and
        interval.

    Raises:
        ValueError: If shapes differ, there are fewer than two replicates, or a name is unknown.
    """
    labels = _checked(predictions, y, num_classes, comparisons, metric)
    guesses = np.stack([one.cpu().numpy() for one in predictions.values()])
    correct = (guesses == labels).astype(np.float64)
    image_weights = np.stack([_image_weights(row, metric) for row in labels])
    scores = dict(zip(predictions, (correct * image_weights).sum(axis=2), strict=True))
    resampled = _resample_images(
        correct, labels, image_weights, y.ndim == 1, bootstraps, np.random.default_rng(seed)
    )
    draws = dict(zip(predictions, resampled.mean(axis=2), strict=True))
    recalls = dict(zip(predictions, _mean_recalls(correct, labels, num_classes), strict=True))
    compared = [
        _compare(pair, scores[pair[0]] - scores[pair[1]], draws[pair[0]] - draws[pair[1]], seed)
        for pair in comparisons
    ]
    return GainReport(
        metric=metric,
        replicates=len(labels),
        arms={name: _arm_scores(scores[name], recalls[name]) for name in predictions},
        comparisons=tuple(_with_holm(compared)),
    )


def paired_t(differences: Floats) -> tuple[Interval, float]:
    r"""Student's 95 % interval of the mean difference, and the two-sided p of a mean of zero.

    .. math:: \bar d \pm t_{0.975, R-1}\, s / \sqrt R

    Args:
        differences: One difference a replicate, shape (R,), R >= 2.

    Returns:
        The interval and p. Equal differences do not tell their spread, so they show nothing: p is
        1, and the interval reaches from zero to twice their mean.
    """
    count, mean = len(differences), float(differences.mean())
    error = float(differences.std(ddof=1)) / math.sqrt(count)
    if error < NO_SPREAD:
        return (min(0.0, 2 * mean), max(0.0, 2 * mean)), 1.0
    half = float(stats.t.ppf(0.975, count - 1)) * error
    return (mean - half, mean + half), float(2 * stats.t.sf(abs(mean) / error, count - 1))


def sign_flip_p(differences: Floats, seed: int = 0, draws: int = 100_000) -> float:
    """Two-sided p of a permutation test: how often random signs give a mean at least as far from
    zero.

    Exact over all 2^R sign patterns up to 16 replicates, else over ``draws`` random ones (counting
    the observed one).

    Args:
        differences: One difference a replicate, shape (R,).
        seed: Decides the random patterns.
        draws: Number of random patterns.

    Returns:
        p in (0, 1]; at least 2 / 2^R, as flipping all signs keeps the distance.
    """
    count = len(differences)
    if count <= EXACT_UP_TO:
        bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
    else:
        bits = np.random.default_rng(seed).integers(0, 2, size=(draws, count))
    sums = np.abs((1 - 2 * bits) @ differences)
    extreme = sums >= abs(differences.sum()) - 1e-12  # rounding must not lose the observed pattern
    return (
        float(extreme.mean()) if count <= EXACT_UP_TO else float((extreme.sum() + 1) / (draws + 1))
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for their number, step down: the chance of any false claim stays under the
    level.

    Args:
        p_values: m values in [0, 1].

    Returns:
        Corrected values in the same order, each between its p and 1, in the same ranking.

    Source:
        Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def outcome(ci95: Sequence[float], p_holm: float | None = None) -> str:
    """``better``, ``worse`` or ``open``: on which side of zero the whole 95 % interval of a
    difference lies.

    Args:
        ci95: The interval.
        p_holm: The p value corrected for the number of comparisons; where it is given and not below
            0.05 the outcome is ``open`` too.
    """
    low, high = ci95
    if p_holm is not None and p_holm >= LEVEL:
        return "open"
    return "better" if low > 0 else "worse" if high < 0 else "open"


def _compare(
    pair: tuple[str, str], differences: Floats, image_draws: Floats, seed: int
) -> Comparison:
    """Compare by differences (R,) and by mean differences on resampled test images (B,)."""
    interval, p = paired_t(differences)
    permuted = sign_flip_p(differences, seed) if len(differences) >= FEWEST_TO_PERMUTE else None
    return Comparison(
        *pair,
        delta=float(differences.mean()),
        ci95=interval,
        ci95_bootstrap=_over_images_too(differences, image_draws),
        p=p,
        p_permutation=permuted,
        p_holm=p,
    )


def _over_images_too(differences: Floats, image_draws: Floats) -> Interval:
    """As ``paired_t``, with the variance over draws of the test images added to that over
    replicates.
    """
    count, mean = len(differences), float(differences.mean())
    error = math.sqrt(float(differences.var(ddof=1)) / count + float(image_draws.var()))
    half = float(stats.t.ppf(0.975, count - 1)) * error
    return mean - half, mean + half


def _with_holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    corrected = holm([one.p for one in comparisons])
    return [
        Comparison(**{**vars(one), "p_holm": p})
        for one, p in zip(comparisons, corrected, strict=True)
    ]


def _arm_scores(scores: Floats, recalls: Floats) -> ArmScores:
    mean = float(scores.mean())
    low, high = paired_t(scores - mean)[0]
    return ArmScores(
        tuple(scores.tolist()), mean, (mean + low, mean + high), tuple(recalls.tolist())
    )


def _image_weights(labels: npt.NDArray[np.int64], metric: str) -> Floats:
    """Weight of each test image, so that the score is the sum of the weights of the recognised
    ones.
    """
    if metric == "accuracy":
        return np.full(len(labels), 1 / len(labels))
    counts = np.bincount(labels)
    weights: Floats = 1 / (counts[labels] * np.count_nonzero(counts))
    return weights


def _mean_recalls(correct: Floats, labels: npt.NDArray[np.int64], num_classes: int) -> Floats:
    """Mean over replicates of every class's recall, (A, K); NaN for a class without test images."""
    recalls = np.full((len(correct), num_classes), np.nan)
    for index in range(num_classes):
        members = labels == index
        rows = members.any(axis=1)  # replicates that have test images of this class
        if rows.any():
            right = (correct * members).sum(axis=2)[:, rows]
            recalls[:, index] = (right / members.sum(axis=1)[rows]).mean(axis=1)
    return recalls


def _resample_images(
    correct: Floats, labels: npt.NDArray[np.int64], image_weights: Floats, shared: bool, bootstraps: int,
    generator: np.random.Generator,
) -> Floats:  # fmt: skip
    """Scores on resampled test images, (A, B, R).

    Images are drawn with replacement within each class, so every class keeps its size. All arms see
    the same draw; so do all replicates if they share the test images, for then a lucky image is
    lucky in all of them.
    """
    arms, replicates, _ = correct.shape
    scores = np.zeros((arms, bootstraps, replicates))
    groups = [list(range(replicates))] if shared else [[r] for r in range(replicates)]
    for group in groups:
        row = group[0]
        for label in np.unique(labels[row]):
            members = np.flatnonzero(labels[row] == label)
            right = correct[:, group][:, :, members] * image_weights[row, members]
            draws = _draw_counts(len(members), bootstraps, generator)
            scores[:, :, group] += np.einsum("bn,arn->abr", draws, right, optimize=True)
    return scores


def _draw_counts(size: int, bootstraps: int, generator: np.random.Generator) -> Floats:
    """How often each of ``size`` things comes up in ``size`` draws with replacement, shape
    (bootstraps, size).
    """
    drawn = (
        generator.integers(0, size, size=(bootstraps, size)) + size * np.arange(bootstraps)[:, None]
    )
    return (
        np.bincount(drawn.ravel(), minlength=bootstraps * size)
        .reshape(bootstraps, size)
        .astype(np.float64)
    )


def _arm_json(arm: ArmScores, classes: Sequence[str]) -> dict[str, object]:
    recalls = {
        name: None if math.isnan(recall) else recall
        for name, recall in zip(classes, arm.per_class_recall, strict=True)
    }
    return {
        "scores": list(arm.scores),
        "mean": arm.mean,
        "ci95": list(arm.ci95),
        "per_class_recall": recalls,
    }


def _comparison_json(one: Comparison) -> dict[str, object]:
    return {**vars(one), "ci95": list(one.ci95), "ci95_bootstrap": list(one.ci95_bootstrap)}


def _checked(
    predictions: Mapping[str, Tensor],
    y: Tensor,
    num_classes: int,
    comparisons: Sequence[tuple[str, str]],
    metric: str,
) -> npt.NDArray[np.int64]:
    """The labels as (R, N), after every argument was looked at."""
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; known metrics: {', '.join(METRICS)}")
    shapes = {name: tuple(one.shape) for name, one in predictions.items()}
    shape = next(iter(shapes.values()), ())
    if len(set(shapes.values())) != 1 or len(shape) != 2 or shape[0] < 2 or shape[1] == 0:
        raise ValueError(
            f"every arm needs predictions (R, N) of one shape with R >= 2, got {shapes}"
        )
    if tuple(y.shape) not in (shape, shape[1:]):
        raise ValueError(f"y must be {shape[1:]} or {shape}, got {tuple(y.shape)}")
    if not 0 <= int(y.min()) <= int(y.max()) < num_classes:
        raise ValueError(f"y must lie in [0, {num_classes}), got {int(y.min())} to {int(y.max())}")
    for arm in {name for pair in comparisons for name in pair}:
        if arm not in predictions:
            raise ValueError(f"unknown arm {arm!r}; known arms: {', '.join(predictions)}")
    labels: npt.NDArray[np.int64] = np.broadcast_to(y.cpu().numpy(), shape)
    return labels
