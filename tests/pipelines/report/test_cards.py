from __future__ import annotations

from typing import Any

import pytest

from downstream.metrics import POINTS
from pipelines.report import cards
from pipelines.report.document import render_report
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
    lights = {"green": "go", "amber": "wait", "red": "halt"}
    own = {"title": "T", "eyebrow": "e", "cards": [], "footer": "All alike.", "lights": lights}
    return render_report(result, cards.Report(**{**own, **changes}))


def test_a_page_is_verdict_warnings_cards_and_setup_in_this_order() -> None:
    table = cards.Table("Arms", ["arm"], [cards.Row("<b>a</b>", [])], notes=["a note"])
    found = Page(page(RESULT, cards=[table], warnings=["collapsed"]))
    assert_self_contained(found)
    order = ("wait", "mixup", "one line", "Warnings", "collapsed", "Arms", "<b>a</b>", "a note")
    here = 0
    for words in (*order, "What was run", "All alike."):
        here = found.texts.index(words, here)


def test_three_lines_of_evidence_stand_below_the_verdict_and_the_others_are_folded() -> None:
    lines = ["first", "second", "third", "fourth", "fifth"]
    verdict = {"light": "red", "advice": "No.", "lines": lines}
    found = Page(page(RESULT | {"verdict": verdict}))
    assert found.texts.index("halt") < found.texts.index("No.")
    places = [found.texts.index(words) for words in ("third", "2 more lines of evidence", "fourth")]
    assert places == sorted(places)


def test_a_step_has_a_command_to_copy() -> None:
    steps = [cards.Step("Run more.", "augmentor gain <run>"), cards.Step("Read `docs`.")]
    texts = Page(page(RESULT, steps=steps)).texts
    assert {"What to do now", "Run more.", "augmentor gain <run>", "docs"} <= set(texts)
    assert "What to do now" not in Page(page(RESULT)).texts


def test_names_lead_to_their_meaning_at_the_end_of_the_page() -> None:
    rows = [cards.Row("<b>a</b>", [], meaning="the first"), cards.Row("b", [], against="<b>a</b>")]
    found = Page(page(RESULT, cards=[cards.Table("Arms", ["arm"], rows)]))
    links = [a for tag, a in found.tags if tag == "a" and a.get("class") == "term"]
    assert [link["href"] for link in links] == ["#word-0", "#word-3", "#word-3"]
    ids = {a["id"] for tag, a in found.tags if tag == "dd" and "id" in a}
    assert {str(link["aria-describedby"]) for link in links} <= ids
    assert found.texts.index("Words") < found.texts.index("the first")


def test_the_setup_is_told_in_words_with_device_time_versions_and_command() -> None:
    texts = Page(page(RESULT)).texts
    told = {"classes": "10", "first weights": "random", "screening": "no", "seeds": "1, 2"}
    told |= {"device": "cpu (2 cores)", "time": "total: 3 min 20 s", "versions": "torch 2"}
    for name, words in (told | {"note": "official split", "Made by": "augmentor gain <x>"}).items():
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


@pytest.mark.parametrize(
    ("outcome", "ends", "kind"),
    [
        ("better", [0.01, 0.03], "better"),
        ("undecided", [-0.01, 0.03], "undecided"),
        ("undecided", [0.01, 0.03], "leaning"),
        ("undecided", [-0.03, -0.01], "leaning"),
        ("undecided", None, "undecided"),
    ],
)
def test_grey_and_full_means_that_the_interval_holds_zero(
    outcome: str, ends: list[float] | None, kind: str
) -> None:
    row = {"arm": "a", "baseline": "b", "delta": 0.01, "ci95": ends, "outcome": outcome}
    table = cards.comparison_table("T", [row], POINTS, lambda _: "", keys=())
    assert table.rows[0].kind == kind
    assert table.legend == {kind: cards.OUTCOMES[kind]}, "the legend holds what is drawn, alone"


def test_a_value_without_an_interval_has_a_whisker_without_length() -> None:
    axis = scale_of([0.0, 1.0])
    strip = cards.strip_cell(axis, 0.5, None, [0.0, 1.0], reference=None).strip
    assert strip is not None
    assert strip.low == strip.centre == strip.high
    assert (strip.dots, strip.lines) == ((axis.start, axis.end), {})


def test_ticks_have_a_real_minus() -> None:
    labels = [label for _, label in cards.ticks(scale_of([-0.2, 0.2]), 100)]
    assert labels == ["−20", "−10", "0", "10", "20"]
