"""Laws of the class balance: words, totals, budgets."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imblearn.utils import check_sampling_strategy

from augmentor.common.types import DataError
from augmentor.data.class_counts import fill_up, read_strategy, resolve_counts

NAMES = ("cat", "dog", "eel")
REAL = {0: 10, 1: 4, 2: 6}
COUNTS = st.lists(st.integers(0, 50), min_size=1, max_size=6).map(lambda ns: dict(enumerate(ns)))
STRATEGIES = st.one_of(
    st.sampled_from(["auto", "minority", "not-majority", "not minority", "all"]),
    st.integers(0, 100),
    st.floats(0, 3),
)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("auto", {0: 0, 1: 6, 2: 4}),
        ("not majority", {0: 0, 1: 6, 2: 4}),
        ("all", {0: 0, 1: 6, 2: 4}),
        ("minority", {0: 0, 1: 6, 2: 0}),
        ("not-minority", {0: 0, 1: 0, 2: 4}),
        (7, {0: 0, 1: 3, 2: 1}),
        (1, {0: 0, 1: 0, 2: 0}),
        (0.5, {0: 0, 1: 1, 2: 0}),
        (1.0, {0: 0, 1: 6, 2: 4}),
        (2.0, {0: 10, 1: 16, 2: 14}),
        ({"dog": 9}, {0: 0, 1: 5, 2: 0}),
        ({1: 9, 0: 12}, {0: 2, 1: 5, 2: 0}),
    ],
)
def test_worked_by_hand(strategy, expected):
    assert resolve_counts(strategy, REAL, NAMES) == expected


@given(STRATEGIES, COUNTS)
def test_never_negative_and_every_class_is_there(strategy, counts):
    added = resolve_counts(strategy, counts, [str(c) for c in counts])
    assert set(added) == set(counts)
    assert all(n >= 0 and type(n) is int for n in added.values())


@given(st.lists(st.integers(1, 20), min_size=2, max_size=5, unique=True))
def test_words_agree_with_imbalanced_learn(counts):
    y = [c for c, n in enumerate(counts) for _ in range(n)]
    for word in ("auto", "minority", "not majority", "not minority", "all"):
        theirs = check_sampling_strategy(word, y, "over-sampling")
        ours = resolve_counts(word, dict(enumerate(counts)), [str(c) for c in range(len(counts))])
        assert {c: n for c, n in ours.items() if n} == {
            int(c): int(n) for c, n in theirs.items() if n
        }


@given(COUNTS)
def test_auto_ends_balanced(counts):
    added = resolve_counts("auto", counts, [str(c) for c in counts])
    assert {counts[c] + n for c, n in added.items()} == {max(counts.values())}


@pytest.mark.parametrize(
    ("strategy", "same"),
    [
        (np.int64(7), 7),
        (np.uint8(7), 7),
        (np.float32(0.5), 0.5),
        ({np.int64(1): np.int32(9)}, {1: 9}),
        ({"dog": np.uint8(9)}, {"dog": 9}),
    ],
)
def test_numpys_numbers_are_pythons(strategy, same):
    of_numpy = resolve_counts(strategy, {c: np.int64(n) for c, n in REAL.items()}, NAMES)
    assert of_numpy == resolve_counts(same, REAL, NAMES)
    assert {type(n) for n in of_numpy.values()} == {int}


def test_a_class_left_out_of_the_counts_has_no_images():
    assert resolve_counts("auto", {0: 3}, ("a", "b")) == {0: 0, 1: 3}


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("most", "unknown class balance 'most': use auto"),
        (-1, "number per class"),
        (True, "number per class"),
        (np.True_, "number per class"),
        (np.int64(-1), "number per class"),
        ({"dog": np.True_}, "class 'dog' has 4 images"),
        ({"dog": np.float64(9)}, "class 'dog' has 4 images"),
        ({np.int64(3): 9}, "unknown class"),
        (float("nan"), "number per class"),
        ({"cow": 9}, "unknown class 'cow': known are 'cat', 'dog', 'eel'"),
        ({3: 9}, "unknown class 3"),
        ({"1": 9}, "unknown class '1'"),
        ({"dog": 3}, "class 'dog' has 4 images"),
        ({"dog": 9.5}, "class 'dog' has 4 images"),
        ({"dog": 9, 1: 9}, "class 'dog' is named twice"),
    ],
)
def test_errors_name_the_class(strategy, message):
    with pytest.raises(ValueError, match=message):
        resolve_counts(strategy, REAL, NAMES)


def test_read_strategy(tmp_path):
    path = tmp_path / "balance.json"
    path.write_text(json.dumps({"dog": 9}))
    texts = ("auto", "Not Majority", "500", "1", "0.5", "1.0", str(path))
    assert [read_strategy(text) for text in texts] == [
        "auto",
        "not-majority",
        500,
        1,
        0.5,
        1.0,
        {"dog": 9},
    ]
    assert type(read_strategy("1")) is int
    assert type(read_strategy("1.0")) is float
    with pytest.raises(ValueError, match="unknown class balance 'most'"):
        read_strategy("most")


@pytest.mark.parametrize("content", [None, "[1]", "{", '{"dog": 1.5}', '{"dog": true}'])
def test_read_strategy_refuses_a_bad_file(tmp_path, content):
    path = tmp_path / "balance.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=r"balance\.json"):
        read_strategy(str(path))


@given(COUNTS, st.integers(0, 200))
def test_fill_up_spends_the_budget_on_the_smallest(counts, budget):
    added = fill_up(counts, budget)
    assert sum(added.values()) == budget
    assert all(n >= 0 for n in added.values())
    raised = [counts[c] + n for c, n in added.items() if n]
    assert not raised or max(raised) - min(raised) <= 1
    assert all(counts[c] + n >= max(raised, default=0) - 1 for c, n in added.items())


@given(COUNTS, st.integers(0, 200), st.lists(st.integers(0, 40), min_size=6, max_size=6))
def test_fill_up_stays_within_what_is_available(counts, budget, limits):
    available = {c: limits[c] for c in counts}
    added = fill_up(counts, budget, available)
    assert sum(added.values()) == min(budget, sum(available.values()))
    assert all(0 <= n <= available[c] for c, n in added.items())


def test_fill_up_by_hand():
    assert fill_up({0: 10, 1: 4, 2: 6}, 3) == {0: 0, 1: 3, 2: 0}
    assert fill_up({0: 10, 1: 4, 2: 6}, 5) == {0: 0, 1: 4, 2: 1}
    assert fill_up({0: 10, 1: 4, 2: 6}, 12) == {0: 1, 1: 7, 2: 4}
    assert fill_up({0: 10, 1: 4, 2: 6}, 5, {1: 1, 2: 9}) == {0: 0, 1: 1, 2: 4}
    with pytest.raises(ValueError, match="budget"):
        fill_up({0: 1}, -1)
