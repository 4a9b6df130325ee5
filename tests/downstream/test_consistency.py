from __future__ import annotations

import pytest
import torch

from downstream.consistency import pseudo_labels

# Probabilities of class 0: 0.99, 0.95, 0.6, 0.97, 0.05 and 0.3.
LOGITS = torch.tensor([[p, 1 - p] for p in (0.99, 0.95, 0.6, 0.97, 0.05, 0.3)]).log()


def chosen(*arguments: object, **options: object) -> tuple[list[int], list[int]]:
    indices, labels = pseudo_labels(LOGITS, *arguments, **options)  # type: ignore[arg-type]
    return indices.tolist(), labels.tolist()


def test_confident_images_are_kept_up_to_the_equal_share() -> None:
    assert chosen(0.9) == ([0, 1, 3, 4], [0, 0, 0, 1])


def test_limit_keeps_the_most_confident() -> None:
    assert chosen(0.0, per_class=2) == ([0, 3, 4, 5], [0, 0, 1, 1])
    assert chosen(0.9, per_class=1) == ([0, 4], [0, 1])
    assert chosen(0.9, per_class=0) == ([], [])


def test_equal_share_limits_unless_turned_off() -> None:
    assert chosen(0.0) == ([0, 1, 3, 4, 5], [0, 0, 0, 1, 1])
    assert chosen(0.0, balanced=False) == ([0, 1, 2, 3, 4, 5], [0, 0, 0, 0, 1, 1])


def test_ties_go_by_number() -> None:
    indices, _ = pseudo_labels(torch.zeros(5, 1), 0.5, per_class=2)
    assert indices.tolist() == [0, 1]


def test_nothing_is_kept_of_an_empty_pool_or_of_nan() -> None:
    for logits in (torch.zeros(0, 3), torch.full((4, 3), float("nan"))):
        indices, labels = pseudo_labels(logits, 0.5)
        assert (len(indices), len(labels), indices.dtype) == (0, 0, torch.int64)


@pytest.mark.parametrize(
    ("shape", "threshold", "limit"), [((3,), 0.5, 1), ((3, 2), 1.5, 1), ((3, 2), 0.5, -1)]
)
def test_nonsense_is_refused(shape: tuple[int, ...], threshold: float, limit: int) -> None:
    with pytest.raises(ValueError, match=r"logits|threshold"):
        pseudo_labels(torch.zeros(shape), threshold, limit)
