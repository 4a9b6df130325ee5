"""Labels that a classifier gives to unlabelled images."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def pseudo_labels(
    logits: Tensor, threshold: float, per_class: int | None = None, balanced: bool = True
) -> tuple[Tensor, Tensor]:
    """Choose the images whose most likely class is likely enough, and label them with it.

    A classifier trained on a long tail gives too many images to the large classes, so a class keeps only its most
    confident ones, up to a limit. That limit fits a pool with about equal classes; turn it off for another pool.

    Args:
        logits: Logits of the unlabelled images, shape (N, K).
        threshold: Least probability of the most likely class, in [0, 1].
        per_class: At most so many images of a class; None is the equal share, N / K rounded up, if ``balanced``.
        balanced: Whether a class is limited to its equal share where ``per_class`` names no limit.

    Returns:
        Image numbers, int64 (M,), ascending, and their labels, int64 (M,), in [0, K). M may be 0.

    Raises:
        ValueError: If the shape is not (N, K) or a number is out of range.

    Source:
        Lee 2013, "Pseudo-Label", ICML workshop on challenges in representation learning.
    """
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"logits must be (N, K), got {tuple(logits.shape)}")
    if not 0 <= threshold <= 1 or (per_class is not None and per_class < 0):
        raise ValueError(f"need threshold in [0, 1] and per_class >= 0, got {threshold} and {per_class}")
    if per_class is None:
        per_class = math.ceil(len(logits) / logits.shape[1]) if balanced else len(logits)
    confidence, labels = logits.softmax(dim=1).max(dim=1)
    kept = [_most_confident(confidence, labels == label, threshold, per_class) for label in range(logits.shape[1])]
    indices = torch.cat(kept).sort().values
    return indices, labels[indices]


def _most_confident(confidence: Tensor, members: Tensor, threshold: float, limit: int) -> Tensor:
    """Numbers of the members from the threshold on, the most confident first, at most ``limit``; ties go by number."""
    sure = (members & (confidence >= threshold)).nonzero().flatten()
    return sure[confidence[sure].argsort(descending=True, stable=True)[:limit]]
