"""Class counts × balance strategies: sums are exact and nothing is negative, whatever the counts
are."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from augmentor.data.class_counts import fill_up, read_strategy, resolve_counts
from augmentor.data.splits import long_tail_counts

EXAMPLES = 500
COUNTS = st.lists(
    st.one_of(st.integers(0, 3), st.integers(0, 50), st.integers(0, 10**9)), min_size=1, max_size=40
)
WORDS = st.sampled_from(
    ["auto", "not-majority", "not majority", "all", "minority", "not-minority", " Auto "]
)
NUMBERS = st.one_of(st.integers(0, 100), st.integers(0, 10**12), st.floats(0, 1e6))


def asked_for(strategy: str | int | float, counts: list[int]) -> list[int]:
    """Images of every class afterwards, by the table in ``resolve_counts``, one class at a time."""
    smallest, largest = min(counts), max(counts)
    if not isinstance(strategy, str):
        total = strategy if isinstance(strategy, int) else math.floor(strategy * largest + 0.5)
        return [max(total, n) for n in counts]
    word = strategy.strip().lower().replace(" ", "-")
    if word == "minority":
        return [largest if n == smallest else n for n in counts]
    if word == "not-minority":
        return [n if n == smallest else largest for n in counts]
    return [largest] * len(counts)


def names(counts: list[int]) -> list[str]:
    return [f"class {c}" for c in range(len(counts))]


@settings(max_examples=EXAMPLES)
@given(WORDS | NUMBERS, COUNTS)
def test_every_class_ends_with_what_was_asked_for(
    strategy: str | int | float, counts: list[int]
) -> None:
    added = resolve_counts(strategy, dict(enumerate(counts)), names(counts))
    assert [counts[c] + n for c, n in sorted(added.items())] == asked_for(strategy, counts)
    assert sum(added.values()) == sum(asked_for(strategy, counts)) - sum(counts)
    assert all(type(n) is int and n >= 0 for n in added.values())


@settings(max_examples=200)
@given(WORDS | NUMBERS, COUNTS, st.randoms(use_true_random=False))
def test_the_order_of_the_classes_does_not_matter(
    strategy: str | int | float, counts: list[int], chance: object
) -> None:
    order = list(range(len(counts)))
    chance.shuffle(order)  # type: ignore[attr-defined]
    first = resolve_counts(strategy, dict(enumerate(counts)), names(counts))
    second = resolve_counts(strategy, dict(enumerate(counts[c] for c in order)), names(counts))
    assert [first[c] for c in order] == [second[position] for position in range(len(order))]


@settings(max_examples=200)
@given(WORDS | NUMBERS, COUNTS)
def test_what_is_filled_up_stays_so(strategy: str | int | float, counts: list[int]) -> None:
    assume(
        strategy != "minority" and strategy != "not-minority"
    )  # these go on to the next smallest
    assume(
        not isinstance(strategy, float) or strategy <= 1
    )  # a ratio over one is of a largest class that has grown
    after = asked_for(strategy, counts)
    assert set(resolve_counts(strategy, dict(enumerate(after)), names(counts)).values()) == {0}


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.tuples(st.integers(0, 50), st.integers(0, 10**9)),
        min_size=1,
    )
)
def test_totals_in_a_file_are_met_exactly(wanted: dict[str, tuple[int, int]]) -> None:
    """For any names JSON can hold; a class that is left out gets nothing."""
    classes = [*wanted, "left\nout"]
    assume(len(set(classes)) == len(classes))
    real = {c: n for c, (n, _) in enumerate(wanted.values())} | {len(wanted): 7}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "balance.json"
        path.write_text(
            json.dumps({name: n + more for name, (n, more) in wanted.items()}), encoding="utf-8"
        )
        strategy = read_strategy(str(path))
    added = resolve_counts(strategy, real, classes)
    assert [added[c] for c in range(len(wanted))] == [more for _, more in wanted.values()]
    assert added[len(wanted)] == 0


@settings(max_examples=EXAMPLES)
@given(COUNTS, st.integers(0, 10**10), st.data())
def test_a_budget_is_spent_to_the_last_image(
    counts: list[int], budget: int, data: st.DataObject
) -> None:
    limits = data.draw(
        st.none() | st.lists(st.integers(0, 10**9), min_size=len(counts), max_size=len(counts))
    )
    available = None if limits is None else dict(enumerate(limits))
    added = fill_up(dict(enumerate(counts)), budget, available)
    assert sum(added.values()) == (budget if limits is None else min(budget, sum(limits)))
    assert all(n >= 0 and (limits is None or n <= limits[c]) for c, n in added.items())
    after = [counts[c] + n for c, n in sorted(added.items())]
    open_classes = [c for c in added if limits is None or added[c] < limits[c]]
    raised = max((after[c] for c in added if added[c]), default=0)
    assert all(
        after[c] >= raised - 1 for c in open_classes
    )  # nobody is raised past a class that could have more


@settings(max_examples=200)
@given(st.integers(1, 200), st.integers(1, 10**6), st.floats(1, 1e6))
def test_a_long_tail_falls_from_the_largest_to_the_smallest(
    classes: int, largest: int, imbalance: float
) -> None:
    counts = long_tail_counts(classes, largest, imbalance)
    assert len(counts) == classes
    assert counts[0] == largest
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] >= 1
    assert (
        classes == 1
        or counts[-1] == max(1, math.floor(largest / imbalance + 0.5))
        or imbalance > largest
    )


def test_what_is_no_strategy_is_refused(tally: Callable[[int, int, str], None]) -> None:
    wrong: list[Any] = [
        -1,
        -0.5,
        math.inf,
        -math.inf,
        math.nan,
        True,
        "",
        "most",
        "1e3",
        None,
        [1],
        1j,
    ]
    messages = []
    for strategy in wrong:
        with pytest.raises(ValueError, match="class balance") as caught:
            resolve_counts(strategy, {0: 3, 1: 1}, ("a", "b"))
        messages.append(str(caught.value))
    tally(len(wrong), len(messages), "class balance that is none: refused")
