from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pipelines.report.pictures import class_rows, png_bytes, sample_grid


def row(n: int, value: float, channels: int = 1, size: int = 8) -> Tensor:
    return torch.full((n, channels, size, size), value)


def dark_boxes(picture: Image.Image, level: int = 0) -> int:
    """How many pixels have exactly this grey."""
    return int((np.asarray(picture) == level).all(axis=2).sum())


def test_every_pixel_of_a_small_image_becomes_a_whole_square() -> None:
    image = torch.tensor([[-1.0, 1.0], [0.0, -1.0]]).reshape(1, 1, 2, 2)
    grid = np.asarray(sample_grid([image], [""]))
    black = np.argwhere((grid == 0).all(axis=2))
    assert len(black) == 2 * 24 * 24
    top, left = black.min(axis=0)
    assert (grid[top : top + 24, left : left + 24] == 0).all()
    assert (grid[top : top + 24, left + 24 : left + 48] == 255).all()
    assert (grid[top + 24 : top + 48, left : left + 24] == 128).all()


@pytest.mark.parametrize(
    ("size", "tile"), [(8, 48), (16, 48), (28, 56), (32, 64), (64, 64), (128, 128)]
)
def test_factor_is_whole_and_large_images_stay(size: int, tile: int) -> None:
    grid = sample_grid([row(3, -1.0, size=size)], [""])
    assert dark_boxes(grid) == 3 * tile * tile


def test_colours_arrive() -> None:
    image = torch.tensor([1.0, -1.0, 0.0]).reshape(1, 3, 1, 1).expand(1, 3, 64, 64)
    grid = np.asarray(sample_grid([image], [""]))
    assert (grid == [255, 0, 128]).all(axis=2).sum() == 64 * 64


def test_values_outside_the_range_and_nan_do_not_wrap() -> None:
    image = torch.tensor([-7.0, 7.0, float("nan")]).reshape(3, 1, 1, 1).expand(3, 1, 64, 64)
    assert dark_boxes(sample_grid([image], [""])) == 2 * 64 * 64


def test_rows_may_differ_in_length_and_be_empty() -> None:
    grid = sample_grid([row(4, -1.0), row(2, -1.0), row(0, -1.0)], ["a", "b", "c"])
    assert dark_boxes(grid) == 6 * 48 * 48
    assert sample_grid([row(0, 0.0)], ["none"]).width > 48


def test_names_are_drawn_and_take_room() -> None:
    bare, named = (sample_grid([row(2, 1.0)], [name]) for name in ("", "seven"))
    assert named.width > bare.width + 30
    assert (np.asarray(bare) == 255).all()
    assert not (np.asarray(named) == 255).all()


def test_long_and_odd_names_are_cut_to_one_line() -> None:
    long = sample_grid([row(1, 1.0)], ["n" * 5000])
    assert long.width < 500
    assert (
        sample_grid([row(1, 1.0)], ["two\nlines"]).size
        == sample_grid([row(1, 1.0)], ["two lines"]).size
    )


def test_group_gaps_and_column_names_make_the_picture_larger() -> None:
    rows = [row(6, -1.0)]
    plain, grouped = (
        sample_grid(rows, ["a"]),
        sample_grid(rows, ["a"], column_names=["x", "y"] * 3, group=2),
    )
    assert grouped.width == plain.width + 2 * 11
    assert grouped.height > plain.height
    assert dark_boxes(grouped) == dark_boxes(plain)


def test_class_rows_takes_the_first_of_each_class() -> None:
    x = torch.arange(6.0).reshape(6, 1, 1, 1)
    rows = class_rows(x, torch.tensor([1, 0, 1, 1, 2, 0]), [1, 0, 3], n=2)
    assert [r.flatten().tolist() for r in rows] == [[0.0, 2.0], [1.0, 5.0], []]


def test_png_bytes_read_back_exactly() -> None:
    grid = sample_grid(
        torch.rand(2, 3, 1, 8, 8, generator=torch.Generator().manual_seed(0)), ["a", "b"]
    )
    back = Image.open(io.BytesIO(png_bytes(grid)))
    assert (back.format, back.mode) == ("PNG", "RGB")
    np.testing.assert_array_equal(np.asarray(back), np.asarray(grid))


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="as many names"):
        sample_grid([row(1, 0.0)], ["a", "b"])
    with pytest.raises(ValueError, match="as many names"):
        sample_grid([], [])
    with pytest.raises(ValueError, match="1 or 3"):
        sample_grid([row(1, 0.0, channels=2)], ["a"])
    with pytest.raises(ValueError, match="differ in size"):
        sample_grid([row(1, 0.0), row(1, 0.0, size=9)], ["a", "b"])
