"""Laws of the splits: sizes, classes, determinism, nesting."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from augmentor.common.types import DataError
from augmentor.data.splits import (
    copies_together,
    few_labels,
    long_tail,
    long_tail_counts,
    stratified_split,
    tuning_split,
)

SEEDS = st.integers(0, 2**32)


def labels_of(counts: list[int]) -> Tensor:
    """Labels in mixed order, so that position never tells the class."""
    y = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return y[torch.randperm(len(y), generator=torch.Generator().manual_seed(1))]


def counted(y: Tensor, num_classes: int) -> list[int]:
    return torch.bincount(y, minlength=num_classes).tolist()


def test_long_tail_counts_worked_by_hand():
    assert long_tail_counts(10, 80, 20) == [80, 57, 41, 29, 21, 15, 11, 8, 6, 4]
    assert long_tail_counts(3, 100, 100) == [100, 10, 1]
    assert long_tail_counts(3, 4, 100) == [4, 1, 1]
    assert long_tail_counts(1, 7, 100) == [7]
    assert long_tail_counts(4, 5, 1) == [5, 5, 5, 5]


@pytest.mark.parametrize(
    "arguments", [(0, 5, 2), (3, 0, 2), (3, 5, 0.5), (3, 5, float("inf")), (3, 5, float("nan"))]
)
def test_long_tail_counts_refuses(arguments):
    with pytest.raises(ValueError, match="at least 1"):
        long_tail_counts(*arguments)


@given(st.integers(1, 12), st.integers(1, 60), st.floats(1, 200), SEEDS)
@settings(max_examples=50, deadline=None)
def test_long_tail_has_the_counts(num_classes, largest, imbalance, seed):
    y = labels_of([largest] * num_classes)
    chosen = long_tail(y, largest, imbalance, seed)
    assert counted(y[chosen], num_classes) == long_tail_counts(num_classes, largest, imbalance)
    assert torch.equal(chosen, long_tail(y, largest, imbalance, seed))
    assert torch.equal(chosen, chosen.unique())


def test_tails_of_one_seed_are_nested_and_of_two_seeds_differ():
    y = labels_of([50] * 4)
    short, long = long_tail(y, 40, 10, seed=3), long_tail(y, 40, 2, seed=3)
    assert set(short.tolist()) < set(long.tolist())
    assert not torch.equal(short, long_tail(y, 40, 10, seed=4))


def test_long_tail_names_the_class_that_is_too_small():
    with pytest.raises(DataError, match="class 1 has 3 images but 5"):
        long_tail(labels_of([10, 3, 10]), 10, 4, seed=0)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 7), SEEDS)
@settings(max_examples=50, deadline=None)
def test_few_labels_is_balanced(num_classes, each, rest, seed):
    labels = num_classes * each + rest % num_classes
    y = labels_of([10] * num_classes)
    counts = counted(y[few_labels(y, labels, seed)], num_classes)
    assert sum(counts) == labels
    assert max(counts) - min(counts) <= 1


def test_few_labels_refuses():
    y = labels_of([5, 2, 5])
    with pytest.raises(DataError, match=r"9 labels .* class 1 has 2: ask for at most 6"):
        few_labels(y, 9, seed=0)
    with pytest.raises(DataError, match=r"9 labels .* class 'b' has 2: ask for at most 6"):
        few_labels(y, 9, seed=0, names=["a", "b", "c"])
    with pytest.raises(ValueError, match="number of classes, 3"):
        few_labels(y, 2, seed=0)
    with pytest.raises(DataError, match="class 1 has 0 images"):
        few_labels(torch.tensor([0, 2, 2]), 3, seed=0)


@given(st.lists(st.integers(2, 30), min_size=1, max_size=6), st.floats(0.05, 0.95), SEEDS)
@settings(max_examples=50, deadline=None)
def test_stratified_split_parts_every_class(counts, fraction, seed):
    y = labels_of(counts)
    first, second = stratified_split(y, fraction, seed)
    assert torch.equal(torch.cat([first, second]).sort().values, torch.arange(len(y)))
    for c, n in enumerate(counts):
        in_first = int((y[first] == c).sum())
        assert 1 <= in_first <= n - 1
        assert abs(in_first - fraction * n) <= 0.5 or in_first in (1, n - 1)


def test_stratified_split_refuses():
    with pytest.raises(DataError, match="class 1 has 1 image"):
        stratified_split(labels_of([4, 1]), 0.5, seed=0)
    with pytest.raises(ValueError, match="fraction"):
        stratified_split(labels_of([4, 4]), 1.0, seed=0)
    with pytest.raises(ValueError, match="int64"):
        stratified_split(torch.zeros(3), 0.5, seed=0)


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=6).filter(any), st.floats(0.05, 0.95), SEEDS
)
@example([3, 3, 1, 1], 0.75, 0)
@settings(max_examples=50, deadline=None)
def test_tuning_split_leaves_small_classes_whole(counts, fraction, seed):
    y = labels_of(counts)
    fit, tune = tuning_split(y, fraction, seed, turn=seed)
    assert torch.equal(torch.cat([fit, tune]).sort().values, torch.arange(len(y)))
    for c, n in enumerate(counts):
        in_tune = int((y[tune] == c).sum())
        assert in_tune == 0 if n < 4 else in_tune <= n - 1


@given(st.integers(1, 6), st.integers(4, 20), st.floats(0.05, 0.95), SEEDS)
@settings(max_examples=30, deadline=None)
def test_tuning_split_of_equal_classes_holds_out_the_same_of_each(classes, size, fraction, seed):
    y = labels_of([size] * classes)
    _, tune = tuning_split(y, fraction, seed)
    assert set(counted(y[tune], classes)) == {
        size - min(max(int(fraction * size + 0.5), 1), size - 1)
    }


def test_tuning_split_lets_every_other_common_class_stand_in_for_a_rare_one():
    counts = [80, 40, 24, 12, 6, 3, 2]  # three common classes, four others that are rare
    y = labels_of(counts)
    parts = [tuning_split(y, 0.75, seed=5, turn=turn) for turn in (0, 1, 2)]
    assert counted(y[parts[0][0]], 7) == [2, 30, 6, 12, 6, 3, 2]
    assert counted(y[parts[1][0]], 7) == [60, 3, 18, 12, 6, 3, 2]
    assert torch.equal(parts[0][0], parts[2][0])
    assert counted(y[parts[0][1]], 7) == [78, 10, 18, 0, 0, 0, 0]


def test_only_rare_classes_are_stood_in_for():
    y = labels_of([100] * 4 + [60] * 3 + [10])
    assert counted(y[tuning_split(y, 0.75, seed=0)[0]], 8) == [10, 75, 75, 75, 45, 45, 45, 10]


def test_tuning_split_of_three_classes_keeps_their_tail_as_it_is():
    y = labels_of([80, 20, 8])
    assert counted(y[tuning_split(y, 0.75, seed=0)[0]], 3) == [60, 15, 6]


def test_tuning_split_keeps_the_fraction_for_fitting():
    y = labels_of([8, 4, 3])
    fit, tune = tuning_split(y, 0.75, seed=0)
    assert counted(y[fit], 3) == [6, 3, 3]
    assert counted(y[tune], 3) == [2, 1, 0]


@given(st.lists(st.integers(0, 25), min_size=30, max_size=60), SEEDS)
@settings(max_examples=50, deadline=None)
def test_copies_of_an_image_share_its_side(identity, seed):
    y = torch.arange(len(identity)) % 3
    split = partial(tuning_split, fraction=0.7, seed=seed)
    fit, tune = copies_together(split, y, np.array(identity))
    assert sorted([*fit.tolist(), *tune.tolist()]) == list(range(len(y)))
    assert not {identity[i] for i in fit} & {identity[i] for i in tune}


def test_without_copies_the_split_is_as_it_was():
    y = labels_of([12, 30, 7])
    split = partial(tuning_split, fraction=0.75, seed=4)
    together = copies_together(split, y, np.arange(len(y))[::-1].copy())
    assert all(torch.equal(a, b) for a, b in zip(together, split(y), strict=True))
