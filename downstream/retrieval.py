"""Unlabelled images that lie nearest to the labelled ones, with the class of the neighbour as their
label.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

ROWS = 4096  # unlabelled images compared at a time


def nearest_labelled(
    features: Tensor, known: Tensor, y: Tensor, num_classes: int, per_class: int
) -> tuple[Tensor, Tensor]:
    """The unlabelled images nearest to the labelled images of each class, equally many a class.

    An image has the class of the labelled image at the least angle, and a class keeps the
    ``per_class`` nearest ones. That differs from pseudo-labels: no classifier's opinion and no
    threshold is asked, only nearness to a single labelled image, so a class that a classifier
    overlooks gets its images too, and none is left out for doubt.

    Args:
        features: Of the unlabelled images, shape (M, F).
        known: Of the labelled images, shape (N, F), N > 0.
        y: Their classes, int64 (N,), in [0, num_classes).
        num_classes: Number of classes K.
        per_class: Most images of a class, 0 or more.

    Returns:
        Image numbers, int64 (n,), ascending, and their labels, int64 (n,); n is at most K times
        ``per_class``. Lengths of features do not matter.

    Raises:
        ValueError: If shapes do not fit.
    """
    if (
        features.ndim != 2
        or known.shape[1:] != features.shape[1:]
        or y.shape != (len(known),)
        or len(known) == 0
    ):
        shapes = [tuple(tensor.shape) for tensor in (features, known, y)]
        raise ValueError(f"need features (M, F) and (N, F), N > 0, and classes (N,), got {shapes}")
    if per_class < 0:
        raise ValueError(f"per_class must be 0 or more, got {per_class}")
    directions = normalize(known, dim=1).T
    nearest = [
        (normalize(rows, dim=1) @ directions).max(dim=1) for rows in torch.split(features, ROWS)
    ]
    similarity = torch.cat([found.values for found in nearest])
    labels = y[torch.cat([found.indices for found in nearest])]
    kept = []
    for label in range(num_classes):
        members = (labels == label).nonzero().flatten()
        kept.append(members[similarity[members].argsort(descending=True, stable=True)[:per_class]])
    numbers = torch.cat(kept).sort().values
    return numbers, labels[numbers]
