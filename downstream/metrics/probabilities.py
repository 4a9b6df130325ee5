"""Metrics of class probabilities: how well they are calibrated, how they rank, what they cost."""

from __future__ import annotations

import numpy as np

from downstream.metrics.outputs import (
    Floats,
    Integers,
    Outputs,
    as_floats,
    most_probable,
    probabilities,
    true_classes,
)

SMALLEST_PROBABILITY = 2.0**-24
"""The smallest positive number that float16 holds: no stored probability counts as less."""
CALIBRATION_BINS = 15
FEWEST_PER_BIN = 10


def surprise(outputs: Outputs) -> Floats:
    """Negative logarithm of the probability of the true class, (N,)."""
    y = true_classes(outputs)
    found = as_floats(probabilities(outputs))[np.arange(len(y)), y]
    surprises: Floats = -np.log(np.maximum(found, SMALLEST_PROBABILITY))
    return surprises


def calibration_error(outputs: Outputs) -> float:
    r"""Expected calibration error: how far confidence and accuracy lie apart.

    .. math:: \sum_b \frac{n_b}{N} \lvert \mathrm{accuracy}_b - \mathrm{confidence}_b \rvert

    Confidence is the highest probability of an image. Images are sorted by it and cut into 15 bins
    of equal size, fewer where a bin would hold less than ten images. Images of equal confidence
    share their mean accuracy before the cut, so their order does not matter.

    Args:
        outputs: With ``y`` and ``class_probs``.

    Returns:
        The error in [0, 1]; 0 where every bin is as accurate as it is confident.

    Source:
        Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2; bins of equal size:
        Nixon et al. 2019, "Measuring Calibration in Deep Learning".
    """
    confidence, decided = most_probable(outputs)
    right, order = (decided == true_classes(outputs)).astype(np.float64), np.argsort(confidence)
    gaps = _mean_of_ties(right[order], confidence[order]) - confidence[order]
    bins = max(1, min(CALIBRATION_BINS, len(gaps) // FEWEST_PER_BIN))
    starts = np.arange(bins) * len(gaps) // bins
    return float(np.abs(np.add.reduceat(gaps, starts)).sum() / len(gaps))


def auroc(outputs: Outputs) -> float:
    """Area under the ROC curve of each class against the rest, mean over classes.

    For one class it is the probability that one of its images gets a higher probability of the
    class than an image of another class; ties count half.

    Args:
        outputs: With ``y`` and ``class_probs``. Only classes count that have images and do not
            have all of them.

    Returns:
        The mean area in [0, 1]; 1/2 for constant probabilities.

    Raises:
        ValueError: If all images are of the same class.

    Source:
        Hand & Till 2001, Machine Learning 45, 171-186; one against rest as in scikit-learn's
        ``roc_auc_score(multi_class="ovr")``.
    """
    y, probs = true_classes(outputs), as_floats(probabilities(outputs))
    areas = []
    for label in _ranked_classes(y):
        own, others = probs[y == label, label], probs[y != label, label]
        areas.append(_share_below(own, others).mean())
    return float(np.mean(areas))


def auroc_contributions(outputs: Outputs) -> Floats:
    """Part of each image in ``auroc``, float64 (N,); the variance of their sum is DeLong's.

    Of the area of one class its own images carry half and the others half.

    Source:
        DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44, 837-845.
    """
    y, probs = true_classes(outputs), as_floats(probabilities(outputs))
    parts, labels = np.zeros(len(y)), _ranked_classes(y)
    for label in labels:
        mine = y == label
        own, others = probs[mine, label], probs[~mine, label]
        above = _share_below(own, others)
        half = above.mean() / 2
        parts[mine] += (above - half) / len(own)
        parts[~mine] += (_share_below(-others, -own) - half) / len(others)
    parts /= len(labels)
    return parts


def _ranked_classes(y: Integers) -> Integers:
    labels: Integers = np.unique(y)
    if len(labels) < 2:
        raise ValueError("AUROC needs images of two classes or more")
    return labels


def _share_below(values: Floats, others: Floats) -> Floats:
    """Share of the others that lie below each value, ties half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    share: Floats = below / (2 * len(others))
    return share


def _mean_of_ties(values: Floats, keys: Floats) -> Floats:
    """Each value replaced by the mean over all with its key; keys ascend."""
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    sizes = np.diff(starts, append=len(keys))
    means: Floats = np.repeat(np.add.reduceat(values, starts) / sizes, sizes)
    return means
