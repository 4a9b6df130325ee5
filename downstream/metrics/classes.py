"""Metrics of the class that a network decides for: the one with the highest probability."""

from __future__ import annotations

import numpy as np

from downstream.metrics.outputs import (
    Floats,
    Integers,
    Outputs,
    most_probable,
    probabilities,
    true_classes,
)


def decisions(outputs: Outputs) -> Integers:
    """The class with the highest probability for each image, int64 (N,); the first of equals."""
    return most_probable(outputs)[1]


def per_class_recall(outputs: Outputs) -> Floats:
    r"""Share of the images of each class that are recognised.

    .. math:: r_k = \frac{1}{n_k} \sum_{i: y_i = k} [\hat y_i = k]

    Args:
        outputs: With ``y`` and ``class_probs``.

    Returns:
        Recalls, float64 (K,), in [0, 1]; NaN for a class without images.

    Example:
        >>> import torch
        >>> outputs = Outputs(y=torch.tensor([0, 0]), class_probs=torch.eye(2))
        >>> per_class_recall(outputs)
        array([0.5, nan])
    """
    y, count = true_classes(outputs), probabilities(outputs).shape[1]
    total = np.bincount(y, minlength=count)
    right = np.bincount(y[decisions(outputs) == y], minlength=count)
    recalls = np.full(count, np.nan)
    np.divide(right, total, out=recalls, where=total > 0)
    return recalls


def balanced_accuracy(outputs: Outputs) -> float:
    """Mean of the recalls of the classes that have images."""
    return float(np.nanmean(per_class_recall(outputs)))


def balanced_contributions(outputs: Outputs) -> Floats:
    """Part of each image in ``balanced_accuracy``, float64 (N,)."""
    return recognised(outputs) * balanced_weights(outputs)


def balanced_weights(outputs: Outputs) -> Floats:
    """What each image adds to ``balanced_accuracy`` if it is recognised, float64 (N,)."""
    y = true_classes(outputs)
    counts = np.bincount(y)
    weights: Floats = 1 / counts[y] / np.count_nonzero(counts)
    return weights


def equal_weights(outputs: Outputs) -> Floats:
    """What each image adds to a share of all images, float64 (N,)."""
    return np.full(len(outputs), 1 / len(outputs))


def worst_class_recall(outputs: Outputs) -> float:
    """The lowest recall of a class that has images."""
    return float(np.nanmin(per_class_recall(outputs)))


def recognised(outputs: Outputs) -> Floats:
    """1 for each image that is recognised and 0 for the others, (N,)."""
    right: Floats = (decisions(outputs) == true_classes(outputs)).astype(np.float64)
    return right


def missed(outputs: Outputs) -> Floats:
    """1 for each image that is not recognised and 0 for the others, (N,)."""
    return 1 - recognised(outputs)
