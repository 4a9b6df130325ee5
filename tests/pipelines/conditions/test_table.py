"""How classes and conditions hang together."""

from __future__ import annotations

import pytest
import torch

from pipelines.conditions.table import _groups


@pytest.mark.parametrize(
    ("occurring", "groups"),
    [
        ([[1, 0], [0, 1]], 2),
        ([[1, 1], [0, 1]], 1),
        # A chain from the first class to the last, the links in no order.
        ([[0, 0, 1, 1], [1, 0, 0, 0], [0, 1, 1, 0], [1, 1, 0, 0]], 1),
        # A class and a condition that never occur are left out of the count.
        ([[1, 0, 0], [0, 0, 0], [0, 0, 1]], 2),
        ([[0, 0], [0, 0]], 0),
    ],
)
def test_groups_are_what_combinations_link(occurring: list[list[int]], groups: int) -> None:
    assert _groups(torch.tensor(occurring, dtype=torch.bool)) == groups
