"""The report in a real browser: on desktop and phone, dark, by keyboard, for a screen reader."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from tests.browser.conftest import Opened
from tests.browser.reports import IMAGES

FOLDED = "document.querySelectorAll('details').forEach(one => one.open = true)"
HIDDEN = """() => [...document.querySelectorAll('td, tbody th')].filter(cell => {
    const box = cell.getBoundingClientRect();
    return cell.offsetParent && (box.left < -1 || box.right > innerWidth + 1);
}).map(cell => cell.textContent.trim())"""
WIDE = """() => [...document.querySelectorAll('.scroll')]
    .filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.ariaLabel)"""


@pytest.mark.parametrize(("width", "colours"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing(opened: Opened, width: int, colours: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opened(width, color_scheme=colours)
    page.evaluate(FOLDED)
    # All images take axe ten seconds.
    page.get_by_label("Class", exact=True).select_option("class 3")
    page.locator(".t.made:visible").first.click()
    found = axe.Axe().run(page).response["violations"]
    assert {one["id"]: [node["html"] for node in one["nodes"]] for one in found} == {}


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_no_width_hides_a_column(opened: Opened, width: int) -> None:
    page = opened(width)
    page.evaluate(FOLDED)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(HIDDEN) == []
    assert page.evaluate(WIDE) == []


def test_on_a_phone_every_cell_bears_the_title_of_its_column(opened: Opened) -> None:
    page = opened(390)
    cell = page.locator("table").first.locator("td:not(.pic)").first
    before = "one => getComputedStyle(one, '::before').content"
    assert cell.evaluate(before) == '"mean"'
    assert opened(1280).locator("td:not(.pic)").first.evaluate(before) == "none"


def test_the_verdict_is_in_sight_and_has_a_light_with_words(opened: Opened) -> None:
    for width in (1280, 390):
        page = opened(width)
        box = page.locator("h1").bounding_box()
        assert box["y"] + box["height"] < 900
        assert page.locator(".signal").inner_text() == "Synthetic images help here"
    lit = "fill => getComputedStyle(document.querySelector(`.light .${fill}`)).fill"
    assert page.evaluate(lit, "green") != page.evaluate(lit, "red")


def test_a_command_is_copied(opened: Opened) -> None:
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    page.locator(".command button").first.click()
    assert page.locator(".command button").first.inner_text() == "Copied"
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator(".command code").first.inner_text()


def test_a_table_sorts_by_its_columns_and_back(opened: Opened) -> None:
    page = opened()
    table = page.locator("table").first
    names = lambda: table.locator("tbody .name").all_inner_texts()  # noqa: E731
    first = names()
    sort = table.get_by_role("button", name="Sort by mean")
    sort.click()
    sort.click()
    assert table.locator("th[aria-sort=ascending]").count() == 1
    assert names()[0] == "real"
    sort.click()
    assert names() == first


def test_an_arm_is_explained_on_hover_and_focus_until_escape(opened: Opened) -> None:
    page = opened()
    term, bubble = page.locator("tbody .term", has_text="smote").first, page.locator("#bubble")
    assert not bubble.is_visible()
    term.hover()
    assert "SMOTE" in bubble.inner_text()
    page.keyboard.press("Escape")
    assert not bubble.is_visible()
    term.focus()
    assert bubble.is_visible()
    meaning = page.evaluate(
        "one => document.getElementById(one.getAttribute('aria-describedby')).textContent",
        term.element_handle(),
    )
    assert "SMOTE" in meaning


def test_thousands_of_images_are_there_at_once_and_filter_fast(opened: Opened) -> None:
    page = opened()
    seen = page.locator(".t.made:visible, .t:not(.made):visible")
    total = page.locator(".tiles .t").count()
    assert total > 1.8 * IMAGES
    start = time.perf_counter()
    page.get_by_label("Class", exact=True).select_option("class 2")
    page.get_by_label("Condition", exact=True).select_option("never photographed")
    shown = page.locator(".tiles .t:not([hidden])").count()
    assert time.perf_counter() - start < 3
    assert 0 < shown < total / 10
    assert re.match(f"{shown} of {total} images", page.locator(".count").inner_text())
    page.get_by_label("Judge", exact=True).select_option("names another class")
    assert 0 < page.locator(".tiles .t:not([hidden])").count() < shown
    assert seen.count() <= shown


def test_an_image_shows_its_nearest_training_images(opened: Opened) -> None:
    page = opened()
    page.locator(".t.made").first.click()
    detail = page.locator(".detail")
    assert "rendered" in detail.inner_text()
    assert "judge" in detail.inner_text()
    assert detail.locator("figure .t").count() == 4
    box = detail.locator(".large").bounding_box()
    assert min(box["width"], box["height"]) > 100


def test_images_are_walked_by_keyboard(opened: Opened) -> None:
    page = opened()
    page.locator(".tiles .t[tabindex='0']").focus()
    name = "document.activeElement.ariaLabel"
    first = page.evaluate(name)
    page.keyboard.press("ArrowDown")
    assert page.evaluate(name) != first
    page.keyboard.press("Home")
    assert page.evaluate(name) == first
    page.keyboard.press("Enter")
    assert first.split(" ", 1)[1] in page.locator(".detail").inner_text()
    assert page.locator(".tiles .t[tabindex='0']").count() == 1, "one stop for all images"


def test_the_keyboard_reaches_the_results_first(opened: Opened) -> None:
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"


def test_odd_names_are_words_and_nothing_else(opened: Opened) -> None:
    page = opened()
    page.on("dialog", lambda _: pytest.fail("a class name ran"))
    assert page.locator(".group h3", has_text="<script>alert(1)</script>").count() == 4


def test_without_scripts_the_page_tells_all_the_same(opened: Opened) -> None:
    page = opened(java_script_enabled=False)
    assert page.locator(".sheets img").count() == 3
    assert page.locator(".sheets img").first.is_visible()
    assert not page.locator(".filters").is_visible()
    assert page.get_by_text("the labelled images as they are").is_visible()


def test_paper_shows_what_is_folded(opened: Opened) -> None:
    page: Any = opened()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
