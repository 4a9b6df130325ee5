from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from downstream.evaluate import accuracy, balanced_accuracy, per_class_recall


def test_hand_worked_scores() -> None:
    y = torch.tensor([0, 0, 0, 1])
    guesses = torch.tensor([0, 0, 1, 1])
    assert accuracy(guesses, y) == 0.75
    assert per_class_recall(guesses, y, 2).tolist() == pytest.approx([2 / 3, 1.0])
    assert balanced_accuracy(guesses, y, 2) == pytest.approx(5 / 6)


def test_balanced_accuracy_equals_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    y, guesses = torch.randint(0, 4, (2, 100), generator=generator)
    assert balanced_accuracy(guesses, y, 4) == pytest.approx(balanced_accuracy_score(y, guesses))


def test_class_without_images_does_not_count() -> None:
    y = torch.tensor([0, 2])
    recall = per_class_recall(torch.tensor([0, 1]), y, 3).tolist()
    assert recall[0] == 1
    assert math.isnan(recall[1])
    assert recall[2] == 0
    assert balanced_accuracy(torch.tensor([0, 1]), y, 3) == 0.5


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="equal shapes"):
        accuracy(torch.zeros(3, dtype=torch.int64), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="N > 0"):
        balanced_accuracy(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), 2)
