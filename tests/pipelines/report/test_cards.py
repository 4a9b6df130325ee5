from __future__ import annotations

from typing import Any

import pytest

from downstream.metrics import POINTS
from pipelines.report import cards
from pipelines.report.page import scale_of
from tests.pipelines.html_page import Page, assert_self_contained

RESULT: dict[str, Any] = {
    "dataset": "<i>digits</i>",
    "verdict": {"advice": "Use `mixup`.", "lines": ["one line"]},
    "setup": {"classes": 10, "first weights": "random", "screening": False, "seeds": [1, 2]},
    "command": "augmentor gain <x>",
    "device": "cpu (2 cores)",
    "versions": {"torch": "2"},
    "seconds": {"total": 200.0},
    "notes": ["official split"],
}


def page(result: dict[str, Any], **changes: Any) -> str:
    own = {"title": "T", "eyebrow": "e", "cards": [], "footer": "All alike."} | changes
    return cards.render_report(result, cards.Report(**own))


def test_a_page_is_verdict_warnings_cards_and_setup_in_this_order() -> None:
    table = cards.Table("Arms", ["arm"], [cards.Row("<b>a</b>", [])], notes=["a note"])
    found = Page(page(RESULT, cards=[table], warnings=["collapsed"]))
    assert_self_contained(found)
    order = ("Use mixup.", "one line", "Warnings", "collapsed", "Arms", "<b>a</b>", "a note")
    places = [found.texts.index(words) for words in (*order, "What was run", "All alike.")]
    assert places == sorted(places)


def test_the_setup_is_told_in_words_with_device_time_versions_and_command() -> None:
    texts = Page(page(RESULT)).texts
    told = {"classes": "10", "first weights": "random", "screening": "no", "seeds": "1, 2"}
    told |= {"device": "cpu (2 cores)", "time": "total: 3 min 20 s", "versions": "torch 2"}
    for name, words in (told | {"note": "official split", "command": "augmentor gain <x>"}).items():
        assert texts[texts.index(name) + 1] == words
    split = RESULT | {"setup": {"split": "official split"}}
    assert "note" not in Page(page(split)).texts, "the setup has it already"


@pytest.mark.parametrize(
    ("scored_on", "warned", "said"),
    [
        (None, False, ""),
        ("test", False, "The test images were read once."),
        ("held-out training images", True, "The test images were not read."),
    ],
)
def test_what_is_said_of_the_test_images_is_what_was_scored(
    scored_on: str | None, warned: bool, said: str
) -> None:
    scored = {} if scored_on is None else {"scored_on": scored_on}
    text = page(RESULT | scored)
    assert ("This is a screening, not a result" in text) == warned
    assert f"<footer>All alike.{f' {said}' if said else ''}</footer>" in text
    assert text.count("test images") == (2 if warned else bool(said))


def test_a_comparison_shows_its_interval_on_an_axis_with_zero() -> None:
    row = {"arm": "a", "baseline": "b", "delta": -0.05, "ci95": [-0.08, -0.02], "p_holm": None}
    row |= {"outcome": "worse"}
    found = cards.comparison_table(
        "T", [row], POINTS, lambda _: "words", keys=("ci95", "p_holm"), lead="L"
    )
    strip, *cells = found.rows[0].cells
    assert strip.strip is not None
    assert strip.strip.low < strip.strip.centre < strip.strip.high < strip.strip.lines["zero"]
    assert [cell.text for cell in cells] == ["−5.0", "−8.0 to −2.0", "–"]
    assert (found.rows[0].kind, found.rows[0].against) == ("worse", "b")
    assert found.columns[2:] == ["difference", "95 % interval", "Holm p"]
    alone = cards.comparison_table("T against b", [row], POINTS, lambda _: "", keys=())
    assert alone.rows[0].against == "", "the title says it"


def test_a_value_without_an_interval_has_a_whisker_without_length() -> None:
    axis = scale_of([0.0, 1.0])
    strip = cards.strip_cell(axis, 0.5, None, [0.0, 1.0], reference=None).strip
    assert strip is not None
    assert strip.low == strip.centre == strip.high
    assert (strip.dots, strip.lines) == ((axis.start, axis.end), {})


def test_ticks_have_a_real_minus() -> None:
    labels = [label for _, label in cards.ticks(scale_of([-0.2, 0.2]), 100)]
    assert labels == ["−20", "−10", "0", "10", "20"]
