"""Draws by weights, in one process and shared among several."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from augmentor.common import ranks
from augmentor.data.weighted_draws import WeightedDraws


def of_rank(monkeypatch: pytest.MonkeyPatch, rank: int, size: int, **asked: int) -> WeightedDraws:
    monkeypatch.setattr(ranks, "group", lambda: (rank, size))
    return WeightedDraws(torch.tensor([1.0, 0.0, 3.0, 0.0]), **{"length": 9, **asked})


def test_items_are_drawn_by_their_weights() -> None:
    draws = list(WeightedDraws([1.0, 0.0, 3.0, 0.0], length=40_000, seed=1))
    shares = torch.bincount(torch.tensor(draws), minlength=4) / len(draws)
    assert shares.tolist() == pytest.approx([0.25, 0, 0.75, 0], abs=0.01)


def test_an_epoch_has_draws_of_its_own_that_come_again() -> None:
    draws = WeightedDraws(torch.ones(1000), length=50)
    first = list(draws)
    assert list(draws) == first
    draws.set_epoch(1)
    assert list(draws) != first
    assert list(WeightedDraws(torch.ones(1000), length=50, seed=1)) != first


def test_processes_share_the_draws_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [of_rank(monkeypatch, rank, 3) for rank in range(3)]
    alone = list(of_rank(monkeypatch, 0, 1))
    assert [len(part) for part in parts] == [3, 3, 3]
    assert [draw for together in zip(*parts, strict=True) for draw in together] == alone


def test_every_process_gets_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [of_rank(monkeypatch, rank, 4) for rank in range(4)]
    assert [len(list(part)) for part in parts] == [len(part) for part in parts] == [3, 3, 3, 3]


def test_in_a_loader() -> None:
    data = TensorDataset(torch.arange(4))
    loader = DataLoader(data, 5, sampler=WeightedDraws([0.0, 1.0, 0.0, 0.0], length=12))
    assert [batch.tolist() for (batch,) in loader] == [[1] * 5, [1] * 5, [1] * 2]


@pytest.mark.parametrize("weights", [[], [0.0], [-1.0, 2.0], [float("nan")], [[1.0]]])
def test_weights_that_say_nothing_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights must be numbers of 0 or more"):
        WeightedDraws(weights, length=1)


def test_an_epoch_without_draws_is_refused() -> None:
    with pytest.raises(ValueError, match="length must be 1 or more, got 0"):
        WeightedDraws([1.0], length=0)
