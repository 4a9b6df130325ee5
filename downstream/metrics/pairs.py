"""Metrics of pairs of images: do both show the same person?"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from downstream.metrics.outputs import Outputs
from downstream.verification import fold_accuracies, roc_auc, tar_at_far


def verification_accuracy(outputs: Outputs) -> float:
    """Accuracy at the threshold that is best on the other folds, mean over folds."""
    similarities, same = _pairs(outputs)
    assert outputs.folds is not None
    return float(fold_accuracies(similarities, same, outputs.folds).mean())


def verification_auc(outputs: Outputs) -> float:
    """Area under the ROC curve of the similarities."""
    return roc_auc(*_pairs(outputs))


def tar_at(far: float) -> Callable[[Outputs], float]:
    """Share of pairs of one person accepted at the threshold of a false accept rate ``far``."""
    return lambda outputs: tar_at_far(*_pairs(outputs), far)


def _pairs(outputs: Outputs) -> tuple[Tensor, Tensor]:
    assert outputs.similarities is not None
    assert outputs.same is not None
    return outputs.similarities, outputs.same
