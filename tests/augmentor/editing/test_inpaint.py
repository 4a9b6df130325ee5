from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from augmentor.editing.inpaint import box_mask, inpaint

HOLE = box_mask(4, left=1, top=2, width=3, height=1)


def test_a_box_by_hand() -> None:
    assert box_mask(3, left=1, top=0, width=2, height=1).tolist() == [
        [False, True, True],
        [False] * 3,
        [False] * 3,
    ]


@pytest.mark.parametrize("box", [(-1, 0, 2, 2), (0, 0, 0, 2), (3, 0, 2, 2), (0, 3, 1, 2)])
def test_a_box_outside_the_image(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="does not lie inside 4x4"):
        box_mask(4, *box)


def test_two_rounds_by_hand(source: Any) -> None:
    # Visible pixels are 0.5, so the hole begins with that. The source renders half the mean of a
    # row: with p in three of the row's four pixels that is (0.5 + 3 p) / 8.
    x = torch.full((1, 1, 4, 4), 0.5).masked_fill(HOLE, -1)
    rounds = inpaint(source, x, torch.tensor([0]), HOLE, rounds=2)
    first = (0.5 + 3 * 0.5) / 8
    assert rounds[:, 0, 0, 2, 3].tolist() == pytest.approx([0.5, first, (0.5 + 3 * first) / 8])


def test_pixels_outside_the_hole_never_change(source: Any, x: Tensor, y: Tensor) -> None:
    rounds = inpaint(source, x, y, HOLE, rounds=4)
    assert rounds.shape == (5, 3, 1, 4, 4)
    assert all(torch.equal(filled[..., ~HOLE], x[..., ~HOLE]) for filled in rounds)
    assert not torch.equal(rounds[1], rounds[0])


def test_pixels_in_the_hole_are_never_looked_at(source: Any, x: Tensor, y: Tensor) -> None:
    damaged = x.masked_fill(HOLE, float("nan"))
    assert torch.equal(inpaint(source, damaged, y, HOLE, 3), inpaint(source, x, y, HOLE, 3))


def test_fewer_rounds_begin_more(source: Any, x: Tensor, y: Tensor) -> None:
    assert torch.equal(inpaint(source, x, y, HOLE, 5)[:3], inpaint(source, x, y, HOLE, 2))


def test_a_hole_an_image(source: Any, x: Tensor, y: Tensor) -> None:
    holes = torch.stack([HOLE, HOLE.T, HOLE.flip(0)])
    together = inpaint(source, x, y, holes, 2)
    for row, hole in enumerate(holes):
        assert torch.equal(
            together[:, row], inpaint(source, x[row : row + 1], y[row : row + 1], hole, 2)[:, 0]
        )


def test_no_hole_is_no_change(source: Any, x: Tensor, y: Tensor) -> None:
    assert torch.equal(inpaint(source, x, y, torch.zeros(4, 4, dtype=torch.bool), 2)[-1], x)


@pytest.mark.parametrize(
    ("mask", "rounds", "message"),
    [
        (HOLE.float(), 1, "mask must be bool"),
        (HOLE[:3], 1, "mask must be bool"),
        (HOLE.expand(2, 4, 4), 1, r"\(3, 4, 4\)"),
        (HOLE, -1, "0 or more"),
        (torch.ones(4, 4, dtype=torch.bool), 1, "some pixels"),
    ],
)
def test_what_cannot_be_filled(
    source: Any, x: Tensor, y: Tensor, mask: Tensor, rounds: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        inpaint(source, x, y, mask, rounds)
