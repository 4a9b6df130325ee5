from __future__ import annotations

import base64
import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.report import page


@pytest.mark.parametrize(
    "values", [[0.8, 0.97], [-0.031, 0.0, 0.04], [0.5], [0.9991, 0.9992], [0.0, 1.0], []]
)
def test_scale_holds_all_values_and_ends_on_its_ticks(values: list[float]) -> None:
    scale = page.scale_of(values)
    assert 2 <= len(scale.ticks) <= 8
    assert scale.ticks[0] == pytest.approx(scale.low)
    assert scale.ticks[-1] == pytest.approx(scale.high)
    for value in values:
        assert page.MARGIN - 1e-6 <= scale.at(value) <= page.STRIP_WIDTH - page.MARGIN + 1e-6


def test_scale_is_linear() -> None:
    scale = page.scale_of([0.0, 1.0])
    assert scale.at(0.5) == pytest.approx((scale.at(0.0) + scale.at(1.0)) / 2, abs=0.01)


def test_image_strip_holds_the_very_pixels() -> None:
    x = torch.tensor([-1.0, 0.0, 0.5, 1.0]).reshape(2, 1, 1, 2)
    strip = page.image_strip(x)
    assert strip is not None
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(strip["uri"].split(",")[1]))))
    assert (strip["count"], strip["width"], strip["height"]) == (2, 5, 1)
    np.testing.assert_array_equal(pixels[0, :, 0], [0, 128, 0, 191, 255])
    np.testing.assert_array_equal(pixels[0, :, 3], [255, 255, 0, 255, 255])


@pytest.mark.parametrize(
    "values", [[0.008, 0.3], [0.0, 0.3], [0.01, 0.011], [0.5], [1e-6, 1.0], [-1.0, 3.0], []]
)
def test_an_axis_holds_all_values_between_its_ends(values: list[float]) -> None:
    axis = page.axis_of(values, 290.0, 14.0)
    assert 2 <= len(axis.ticks) <= page.MOST_TICKS
    assert axis.ticks[0] == pytest.approx(axis.low)
    assert axis.ticks[-1] == pytest.approx(axis.high)
    for value in values:
        assert axis.low <= value + 1e-12
        assert value - 1e-12 <= axis.high
    assert (axis.at(axis.low), axis.at(axis.high)) == (290.0, 14.0)
    assert axis.at(axis.high + 1) == 14.0


def test_a_wide_range_is_logarithmic() -> None:
    axis = page.axis_of([0.01, 1.0], 0.0, 100.0)
    assert axis.logarithmic
    assert axis.at(0.1) == pytest.approx(50)
    assert math.isclose(axis.ticks[1], 0.02)
    assert not page.axis_of([0.0, 1.0], 0.0, 100.0).logarithmic


def test_no_line_of_a_command_ends_inside_an_option() -> None:
    command = "augmentor synth 'a--b <x>' --class-balance --out set"
    option = '<span class="option">{}</span>'
    found = page.unbroken(command)
    assert found.striptags() == command
    for name in ("--class-balance", "--out"):
        assert option.format(name) in found
    assert found.count("<span") == 2
    assert "&lt;x&gt;" in found


def test_no_line_of_words_ends_before_a_unit_or_inside_a_name() -> None:
    assert page.together("top-1 99 % (−5 to -3)") == "top-\u20601 99\u00a0% (−5 to -\u20603)"
