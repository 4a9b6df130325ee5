from __future__ import annotations

import copy
from typing import Any

from pipelines.semi.report import render_semi_report
from pipelines.semi.scores import paired_differences, scores, verdict
from tests.pipelines.html_page import Page, assert_self_contained

EVIL = "<script>alert(1)</script>"


def result(**changes: Any) -> dict[str, Any]:
    errors = {
        "ours": {"20": [0.02, 0.03], "100": [0.008, 0.009]},
        "supervised": {"20": [0.30, 0.40], "100": [0.2, 0.1]},
        EVIL: {"100": [0.05, 0.04]},
    }
    whole: dict[str, Any] = {
        "dataset": 'a" onload="x',
        "default_method": "ours",
        "methods": {
            name: {n: scores(one) for n, one in found.items()} for name, found in errors.items()
        },
        "differences": paired_differences(errors, "ours"),
        "scored_on": "test",
        "images": {"training": 60000, "scored": 10000},
        "notes": ["<i>folder</i>"],
        "command": "augmentor semi <x>",
        "device": "cpu",
        "versions": {"torch": "2"},
        "seconds": {"total": 200.0},
    }
    return {**whole, "verdict": verdict(whole)} | changes


def cell(method: str, labels: int, name: str = "loss") -> dict[str, Any]:
    curve = [{"step": step, name: 1 / step} for step in (1, 50, 100)]
    return {"method": method, "labels": labels, "curve": curve}


CELLS = [cell("ours", 20), cell("ours", 100), cell("ours", 100), cell(EVIL, 100, "<b>loss</b>")]


def test_the_verdict_comes_first_and_nothing_is_loaded_from_outside() -> None:
    text = render_semi_report(result(), CELLS)
    assert text.index("<h1>") < text.index("ours ") < text.index("<table")
    assert_self_contained(Page(text))
    assert "url(" not in text


def test_names_are_escaped_everywhere() -> None:
    text = render_semi_report(result(), CELLS)
    assert "<script" not in text
    assert "<b>loss</b>" not in text
    assert "<i>folder</i>" not in text
    assert EVIL in Page(text).texts


def test_tables_hold_percent_points_and_intervals() -> None:
    texts = Page(render_semi_report(result(), CELLS)).texts
    for expected in ("20 labels", "2.50", "± 0.71", "35.00", "−32.50", "0.85", "−14.15"):
        assert expected in texts


def test_a_strip_a_row_and_a_dot_a_subset() -> None:
    text = render_semi_report(result(), CELLS)
    assert text.count('<svg class="strip') == 2 + 3
    assert text.count('class="run"') == 2 * 5


def test_training_curves_are_those_with_the_most_labels() -> None:
    text = render_semi_report(result(), CELLS)
    assert text.count('class="thin"') == 2 + 1
    assert text.count('class="card k-default"') == 1
    without = render_semi_report(result(), [])
    assert "The trainings" not in without


def test_one_number_of_labels_needs_no_learning_curve() -> None:
    assert "Error against the number of labels" in render_semi_report(result(), [])
    single = copy.deepcopy(result())
    single["methods"] = {"ours": {"20": scores([0.1])}}
    single["differences"] = []
    text = render_semi_report(single, [])
    assert "Error against the number of labels" not in text
    assert "10.00" in text


def test_a_tuning_run_says_so_at_the_top() -> None:
    text = render_semi_report(result(scored_on="held-out training images"), [])
    assert "not the test images" in text[: text.index("<h1>")]
