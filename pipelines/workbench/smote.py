"""SMOTE on the pixels, in imbalanced-learn's form."""

from __future__ import annotations

import torch

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
    from imblearn.over_sampling import SMOTE, RandomOverSampler

    state = seed % 2**32  # all that NumPy takes
    single, several = {}, {}
    largest = max(train.counts.values())
    for index, count in train.counts.items():
        if count == 1 < largest:
            single[index] = largest
        elif 1 < count < largest:
            several[index] = largest
    x, y = train.x.flatten(1).numpy(), train.y.numpy()
    if single:
        x, y = RandomOverSampler(sampling_strategy=single, random_state=state).fit_resample(x, y)
    for index, wanted in several.items():
        # A small class must not leave the others with few neighbours.
        neighbours = min(NEIGHBOURS, train.counts[index] - 1)
        smote = SMOTE(sampling_strategy={index: wanted}, k_neighbors=neighbours, random_state=state)
        x, y = smote.fit_resample(x, y)
    images = torch.from_numpy(x).float().reshape(-1, *train.image_shape)
    return LabelledImages(images, torch.from_numpy(y).long(), train.classes)
