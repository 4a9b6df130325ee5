"""SMOTE class by class is imbalanced-learn's SMOTE of all images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from imblearn.over_sampling import SMOTE, RandomOverSampler

from augmentor.common.types import LabelledImages
from augmentor.data.fingerprint import from_uint8
from augmentor.data.lazy_images import LazyImages, RowsInMemory
from pipelines.workbench.smote import oversample_by_smote

COUNTS = {0: 3, 1: 12, 2: 1, 3: 0, 4: 9, 5: 1, 6: 12}


def images(lazy: bool) -> LabelledImages:
    y = torch.tensor([label for label, count in COUNTS.items() for _ in range(count)])
    rng = torch.Generator().manual_seed(0)
    y = y[torch.randperm(len(y), generator=rng)]
    pixels = torch.randint(0, 256, (len(y), 3, 8, 8), generator=rng, dtype=torch.uint8)
    x = LazyImages([RowsInMemory(pixels)], most=10**4) if lazy else from_uint8(pixels)
    return LabelledImages(x, y, tuple("abcdefg"))


def of_all_images(train: LabelledImages, seed: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = train.x.flatten(1).numpy(), train.y.numpy()
    single = {2: 12, 5: 12}
    x, y = RandomOverSampler(sampling_strategy=single, random_state=seed).fit_resample(x, y)
    for index, neighbours in ((0, 2), (4, 5)):
        smote = SMOTE(sampling_strategy={index: 12}, k_neighbors=neighbours, random_state=seed)
        x, y = smote.fit_resample(x, y)
    return x, y


@pytest.mark.parametrize("lazy", [False, True])
def test_class_by_class_is_all_at_once(lazy: bool) -> None:
    found = oversample_by_smote(images(lazy), seed=2**32 + 3)
    x, y = of_all_images(images(lazy=False), seed=3)
    assert np.array_equal(found.x.flatten(1).numpy(), x)
    assert np.array_equal(found.y.numpy(), y)
    assert found.counts == {0: 12, 1: 12, 2: 12, 3: 0, 4: 12, 5: 12, 6: 12}


def test_a_balanced_set_stays_what_it_is() -> None:
    whole = images(lazy=True)
    train = whole.subset(((whole.y == 1) | (whole.y == 6)).nonzero()[:, 0])
    found = oversample_by_smote(train, seed=0)
    assert torch.equal(found.x.clone(), train.x.clone())
    assert torch.equal(found.y, train.y)
