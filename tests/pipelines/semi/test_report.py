from __future__ import annotations

import copy
from typing import Any

from pipelines.semi.report import semi_report
from pipelines.semi.scores import errors_of, paired_differences, scores, verdict
from tests.pipelines.html_page import Page, assert_self_contained
from tests.pipelines.semi.outputs import of_methods

EVIL = "<script>alert(1)</script>"


def result(**changes: Any) -> dict[str, Any]:
    found = of_methods(
        {
            "ours": {20: [0.02, 0.03], 100: [0.01, 0.005]},
            "supervised": {20: [0.30, 0.40], 100: [0.2, 0.1]},
            EVIL: {100: [0.05, 0.04]},
        }
    )
    whole: dict[str, Any] = {
        "dataset": 'a" onload="x',
        "metric": "error",
        "default_method": "ours",
        "methods": errors_of(found),
        "differences": paired_differences(found, "ours", {20: 0.0, 100: 0.1}),
        "scored_on": "test",
        "images": {"training": 60000, "scored": 10000},
        "setup": {
            "classifier": "<u>resnet</u>",
            "first weights": "random",
            "seeds of the subsets": [11, 22],
            "screening": False,
        },
        "notes": ["<i>folder</i>"],
        "command": "augmentor semi <x>",
        "device": "cpu",
        "versions": {"torch": "2"},
        "seconds": {"total": 200.0},
    }
    whole |= changes
    return {**whole, "verdict": verdict(whole)}


def training(method: str, labels: int, name: str = "loss") -> dict[str, Any]:
    curve = [{"step": step, name: 1 / step} for step in (1, 50, 100)]
    return {"method": method, "labels": labels, "curve": curve}


TRAININGS = [
    training("ours", 20),
    training("ours", 100),
    training("ours", 100),
    training(EVIL, 100, "<b>loss</b>"),
]


def test_the_verdict_comes_first_and_nothing_is_loaded_from_outside() -> None:
    text = semi_report(result(), TRAININGS)
    assert text.index("<h1>") < text.index("ours against supervised, 20 labels")
    assert text.index("ours against supervised, 20 labels") < text.index("<table")
    assert_self_contained(Page(text))


def test_more_subsets_are_asked_of_the_methods_that_ran_on_fewer() -> None:
    """Else the reference alone would train, and nothing would be decided."""
    found = of_methods(
        {
            "ours": {20: [0.02, 0.03, 0.02, 0.03, 0.02]},
            "supervised": {20: [0.02, 0.04, 0.03]},
        }
    )
    parts = {"differences": paired_differences(found, "ours", {20: 0.0})}
    text = semi_report(result(methods=errors_of(found), **parts), [])
    assert "--baseline-subsets" in text
    assert "--baseline-subsets" not in semi_report(result(), [])


def test_names_are_escaped_everywhere() -> None:
    text = semi_report(result(), TRAININGS)
    assert text.count("<script") == 1, "the page's own"
    assert "<b>loss</b>" not in text
    assert "<i>folder</i>" not in text
    assert "<u>resnet</u>" not in text
    assert EVIL in Page(text).texts


def test_tables_hold_percent_points_and_intervals() -> None:
    texts = Page(semi_report(result(), TRAININGS)).texts
    for expected in ("20 labels", "2.50", "± 0.71", "35.00", "−32.50", "0.75", "−14.25"):
        assert expected in texts


def test_the_setup_is_told() -> None:
    texts = Page(semi_report(result(), TRAININGS)).texts
    for name, value in {"first weights": "random", "seeds of the subsets": "11, 22"}.items():
        assert texts[texts.index(name) + 1] == value
    assert texts[texts.index("classifier") + 1] == "<u>resnet</u>"


def test_a_strip_per_row_and_a_dot_per_subset() -> None:
    text = semi_report(result(), TRAININGS)
    assert text.count('<svg class="strip') == 2 + 3 + 1 + 2, "and one a difference"
    assert text.count('class="run"') == 2 * 5


def test_training_curves_are_those_with_the_most_labels() -> None:
    text = semi_report(result(), TRAININGS)
    small = text[text.index("<h2>The trainings") :]
    assert small.count('<polyline class="line"') == 2 + 1
    assert small.count('class="card k-auto"') == 1
    without = semi_report(result(), [])
    assert "The trainings" not in without


def test_one_number_of_labels_needs_no_learning_curve() -> None:
    assert "Error against the number of labels" in semi_report(result(), [])
    single = copy.deepcopy(result())
    single["methods"] = {"ours": {"20": scores([0.1])}}
    single["differences"] = []
    text = semi_report(single, [])
    assert "Error against the number of labels" not in text
    assert "10.00" in text


def test_a_screening_says_so_at_the_top_and_claims_no_test_images() -> None:
    text = semi_report(result(scored_on="held-out training images"), [])
    assert "the test images were not read" in text[: text.index("<table")]
    assert text.count("test images") == 2, "the warning and the footer, which deny it"
