from __future__ import annotations

import pytest
import torch

from augmentor.common.conditions import Conditions
from augmentor.data.combinations import INTERVALS, MOST_BINS, MOST_COLUMNS, VALUES, Bins, bins_of


def numbers(*columns: list[float]) -> Bins:
    names = tuple(f"c{place}" for place in range(len(columns)))
    unscaled = {"centre": (0.0,) * len(names), "scale": (1.0,) * len(names)}
    return bins_of(Conditions(names, **unscaled), torch.tensor(columns).T)


def test_a_column_of_few_numbers_has_a_bin_for_each() -> None:
    bins = numbers([30.0, 0.0, 15.0, 15.0, -7.5])
    assert bins.names == ("c0 -7.5", "c0 0", "c0 15", "c0 30")
    assert bins.of(torch.tensor([[15.0], [-7.5], [30.0]])).tolist() == [2, 0, 3]
    assert len(numbers([*map(float, range(VALUES))])) == VALUES


def test_more_numbers_and_more_columns_are_cut_into_intervals() -> None:
    many = [*map(float, range(VALUES + 1))]
    assert numbers(many).names[0] == "c0 0 to 3.5"
    assert len(numbers(many)) == INTERVALS
    assert len(numbers(many, many)) == INTERVALS**2
    assert numbers(many, [*[1.0] * VALUES, 2.0]).names[1] == "c0 0 to 3.5, c1 2"


def test_there_are_never_more_bins_than_fit() -> None:
    many = [*map(float, range(VALUES + 1))]
    for columns in range(1, MOST_COLUMNS + 1):
        assert len(numbers(*[many] * columns)) <= MOST_BINS
    with pytest.raises(ValueError, match="13 columns of numbers have too many"):
        numbers(*[many] * (MOST_COLUMNS + 1))


def test_borders_that_are_near_each_other_have_names_of_their_own() -> None:
    days = [20240000.0 + 2 * day for day in range(3 * VALUES)]
    names = numbers(days).names
    assert len(set(names)) == INTERVALS
    assert names[0] == "c0 20240000 to 20240023"
