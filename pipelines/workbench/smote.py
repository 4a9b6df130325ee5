"""SMOTE on the pixels, in imbalanced-learn's form."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from augmentor.common.types import LabelledImages

NEIGHBOURS = 5  # SMOTE's own default, fewer in a class that has fewer


def oversample_by_smote(train: LabelledImages, seed: int) -> LabelledImages:
    """Top every class up to the largest by SMOTE on the pixels; a class of one image, without
    neighbour, is repeated.

    Args:
        train: Images; classes without any stay empty.
        seed: Draws neighbours and positions between them.

    Returns:
        The given images followed by the new ones.

    Source:
        Chawla et al. 2002, arXiv:1106.1813, in imbalanced-learn's form.
    """
    largest, parts = max(train.counts.values()), [train]
    # A class at a time, since all images together may not fit in memory.
    for index, count in train.counts.items():
        if count == 1 < largest:
            parts.append(train.subset((train.y == index).nonzero()[:, 0].repeat(largest - 1)))
    for index, count in train.counts.items():
        if 1 < count < largest:
            x = _interpolated(train.x[train.y == index], largest - count, seed)
            y = torch.full((len(x),), index)
            parts.append(LabelledImages(x, y, train.classes))
    x, y = torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts])
    return LabelledImages(x, y, train.classes)


def _interpolated(x: Tensor, count: int, seed: int) -> Tensor:
    """So many new images between neighbours among the images ``x`` of one class."""
    from imblearn.over_sampling import SMOTE

    rows = x.flatten(1).numpy()
    smote = SMOTE(
        sampling_strategy={1: len(rows) + count},
        # A small class must not leave the others with few neighbours.
        k_neighbors=min(NEIGHBOURS, len(rows) - 1),
        random_state=seed % 2**32,  # all that NumPy takes
    )
    # It asks for two classes and leaves the second alone.
    found, _ = smote.fit_resample(np.pad(rows, ((0, 1), (0, 0))), [1] * len(rows) + [0])
    return torch.from_numpy(found[-count:]).float().reshape(-1, *x.shape[1:])
