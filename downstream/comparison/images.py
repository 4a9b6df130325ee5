"""The part of the test images in the variance: other images would have given another score.

By the contributions of single images where a metric has them, else by leaving out groups of images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from downstream.comparison.shares import share_bounds
from downstream.comparison.variance import UNKNOWN, UNKNOWN_IMAGES, ImageVariance, Interval
from downstream.metrics import Floats, Integers, Metric, Outputs

JACKKNIFE_GROUPS = 20
FEWEST_FOLDS = 3
PRIOR_IMAGES = 4.0
"""Images of a class that the variance pooled over all classes counts for."""


@dataclass(frozen=True)
class ScoredImages:
    """How the test images enter the variance of a metric.

    An arm is summed up by one row: its mean contributions over replicates, (N,), or its mean scores
    without each group, (G,). The row of a difference is the difference of the rows.
    """

    metric: Metric
    y: Integers | None
    groups: Integers | None

    @classmethod
    def of(cls, metric: Metric, outputs: Outputs, groups: int, seed: int) -> ScoredImages:
        """For a metric, from the outputs of any replicate; ``seed`` decides the groups."""
        if not metric.contributions:
            return cls(metric, None, jackknife_groups(outputs, groups, seed))
        y = outputs.y.cpu().numpy() if metric.strata and outputs.y is not None else None
        return cls(metric, y, None)

    def row(self, outputs: Sequence[Outputs]) -> Floats:
        """What sums an arm up, from its outputs of every replicate, (N,) or (G,)."""
        summed_up = self.metric.contributions or self._left_out
        total = summed_up(outputs[0])
        for one in outputs[1:]:
            total = total + summed_up(one)
        mean: Floats = total / len(outputs)
        return mean

    def variance(self, row: Floats) -> ImageVariance:
        """The variance over test images of what a row sums up."""
        if self.metric.contributions:
            return image_variance(row[None], self.y)
        count = len(row)
        if count < 2:
            return UNKNOWN_IMAGES
        squares = float(np.square(row - row.mean()).sum())
        return ImageVariance((count - 1) / count * squares, count - 1)

    def bounds(self, row: Floats, outputs: Outputs) -> Interval:
        """The interval of an arm whose replicates all said the same; unknown of a metric that is
        not a share.

        Args:
            row: Of the arm.
            outputs: Of any replicate.
        """
        if self.metric.weights is None:
            return UNKNOWN
        return share_bounds(self.metric.weights(outputs), row)

    def _left_out(self, outputs: Outputs) -> Floats:
        if self.groups is None:
            return np.empty(0)
        scores = np.empty(self.groups.max() + 1)
        for group in range(len(scores)):
            rest = torch.from_numpy(np.flatnonzero(self.groups != group))
            scores[group] = self.metric.function(outputs.subset(rest))
        return scores


def image_variance(difference_contributions: Floats, y: Integers | None = None) -> ImageVariance:
    r"""Variance over test images of the mean over replicates of a sum of contributions.

    With :math:`m_i` the mean contribution of image i, :math:`u_i = n_k m_i` for class k, the
    variance :math:`s_k^2` of u within it and :math:`s^2` pooled over all classes,

    .. math:: V = \sum_k v_k / n_k, \quad
        v_k = \max\Big(s_k^2, \frac{(n_k - 1) s_k^2 + 4 s^2}{n_k - 1 + 4}\Big)

    The few images of a rare class often agree by chance. Their variance of zero would give an
    interval that holds the truth half the time, so it is drawn towards the pooled one, as if four
    more images had that. It is not drawn down: a rare class whose images differ is often a hard
    one. A class with one image takes the pooled variance.

    Args:
        difference_contributions: One row per replicate, (R, N).
        y: Classes, int64 (N,), within which images vary; None lets all vary together.

    Returns:
        The variance, which that without drawing never exceeds. Its degrees of freedom are those of
        Satterthwaite for parts with :math:`n_k - 1 + 4` each, N - K at most. Unknown if every class
        has only one image.

    Source:
        Smyth 2004, "Linear Models and Empirical Bayes Methods", Statistical Applications in
        Genetics and Molecular Biology 3, for the pooled variance as prior observations;
        Satterthwaite 1946, Biometrics Bulletin 2, 110-114.

    Example:
        >>> image_variance(np.array([[0.0, 0.25, 0.25, 0.5]])).value
        0.16666666666666666
    """
    means = difference_contributions.mean(axis=0)
    labels = np.zeros(len(means), np.int64) if y is None else y
    _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    freedom = len(means) - len(counts)
    if freedom == 0:
        return UNKNOWN_IMAGES
    values = means * counts[index]
    centres = np.bincount(index, weights=values) / counts
    squares = np.bincount(index, weights=(values - centres[index]) ** 2)
    prior = PRIOR_IMAGES * squares.sum() / freedom
    weights = counts.astype(np.float64) - 1 + PRIOR_IMAGES
    drawn = (squares + prior) / weights
    own = np.divide(squares, counts - 1, out=np.zeros_like(squares), where=counts > 1)
    parts = np.maximum(own, drawn) / counts
    return ImageVariance(float(parts.sum()), _freedom(parts, weights, freedom))


def _freedom(parts: Floats, weights: Floats, most: int) -> float:
    """Satterthwaite's degrees of freedom of a sum of estimated variances, ``most`` at most."""
    if not parts.any():
        return float(most)
    return min(float(parts.sum() ** 2 / (parts**2 / weights).sum()), float(most))


def jackknife_groups(
    outputs: Outputs, groups: int = JACKKNIFE_GROUPS, seed: int = 0
) -> Integers | None:
    """Which group of test images the jackknife leaves out with each image, int64 (N,).

    Groups have about the same number of images, of each class too. Pairs of images that come in
    folds are left out fold by fold, since pairs within a fold share people.

    Args:
        outputs: Of one replicate.
        groups: Number of groups, 2 or more; at most one per image.
        seed: Decides who is with whom.

    Returns:
        Group numbers from 0 on; None if there are fewer than three folds or two images.

    Example:
        >>> outputs = Outputs.of_predictions(torch.zeros(4).long(), torch.arange(4) % 2, 2)
        >>> np.bincount(jackknife_groups(outputs, groups=2))
        array([2, 2])
    """
    if outputs.folds is not None:
        folds, index = np.unique(outputs.folds.cpu().numpy(), return_inverse=True)
        return index if len(folds) >= FEWEST_FOLDS else None
    count = len(outputs)
    if count < 2:
        return None
    order = np.random.default_rng(seed).permutation(count)
    kinds = outputs.y if outputs.y is not None else outputs.same
    if kinds is not None:
        order = order[np.argsort(kinds.cpu().numpy()[order], kind="stable")]
    found = np.empty(count, np.int64)
    found[order] = np.arange(count) % min(groups, count)
    return found


def jackknife_variance(
    metric: Metric,
    outputs_a: Sequence[Outputs],
    outputs_b: Sequence[Outputs],
    groups: int = JACKKNIFE_GROUPS,
    seed: int = 0,
) -> ImageVariance:
    r"""Variance over test images of the mean difference of two arms, by leaving out groups of them.

    .. math:: V = \frac{G-1}{G} \sum_g (\theta_{-g} - \bar\theta)^2

    where :math:`\theta_{-g}` is the mean difference over replicates without the images of group g.

    Args:
        metric: Any metric.
        outputs_a: One per replicate.
        outputs_b: Those of the other arm.
        groups: G, as in ``jackknife_groups``.
        seed: As there.

    Returns:
        The variance, with G - 1 degrees of freedom; unknown without groups.

    Source:
        Kott 2001, "The Delete-a-Group Jackknife", Journal of Official Statistics 17, 521-526.

    Example:
        >>> from downstream.metrics import metric_of
        >>> same = [Outputs.of_predictions(torch.arange(40) % 3, torch.arange(40) % 2, 3)]
        >>> jackknife_variance(metric_of("calibration_error"), same, same).value
        0.0
    """
    for one in (*outputs_a, *outputs_b):
        metric.require(one)
    leaving_out = replace(metric, contributions=None)
    test = ScoredImages.of(leaving_out, outputs_a[0], groups, seed)
    return test.variance(test.row(outputs_a) - test.row(outputs_b))
