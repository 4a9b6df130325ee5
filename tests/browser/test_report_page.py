"""The reports in a real browser: on desktop and phone, dark, by keyboard, for a screen reader."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.browser.conftest import Opened
from tests.browser.reports import IMAGES, REPORTS

LOOKS = Path(__file__).parent / "looks"
"""Small pictures of how pages should look; AUGMENTOR_NEW_LOOKS=1 takes them anew."""
SMALL = (160, 120)
TOLERANCE = 6.0
"""Grey values of 255 by which a page may differ on average: other fonts stay below, a page without
its style or colours does not."""
OTHERS = [job for job in REPORTS if job != "gain"]
FOLDED = "document.querySelectorAll('details').forEach(one => one.open = true)"
HIDDEN = """() => [...document.querySelectorAll('td, tbody th')].filter(cell => {
    const box = cell.getBoundingClientRect();
    return cell.offsetParent && (box.left < -1 || box.right > innerWidth + 1);
}).map(cell => cell.textContent.trim())"""
WIDE = """() => [...document.querySelectorAll('.scroll')]
    .filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.ariaLabel)"""
BROKEN = """() => [...document.querySelectorAll('thead th:not(.pic)')].flatMap(head => {
    const text = head.querySelector('a')?.firstChild ?? head.firstChild;
    const words = [...(text.textContent ?? '').matchAll(/[\\p{L}\\p{N}]+/gu)];
    return words.filter(word => {
        const range = document.createRange();
        range.setStart(text, word.index);
        range.setEnd(text, word.index + word[0].length);
        return range.getClientRects().length > 1;
    }).map(word => word[0]);
})"""
CUT = """() => [...document.querySelectorAll('main *')].filter(one => {
    const {overflowX} = getComputedStyle(one);
    return one.tagName !== 'NAV' && ['hidden', 'clip'].includes(overflowX) &&
        !one.matches('.unseen') && one.scrollWidth > one.clientWidth + 1;
}).map(one => one.textContent.trim())"""


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_looks_as_it_did(opened: Opened, width: int, colours: str) -> None:
    page, file = opened(width, color_scheme=colours), LOOKS / f"gain-{width}-{colours}.png"
    now = small(page)
    if os.environ.get("AUGMENTOR_NEW_LOOKS"):
        now.save(file, optimize=True)
    assert apart(now, Image.open(file)) <= TOLERANCE


def test_a_page_without_its_style_looks_otherwise(opened: Opened) -> None:
    """The tolerance is small enough to see that something broke."""
    page = opened(1280, color_scheme="light")
    page.evaluate("document.querySelectorAll('style').forEach(one => one.remove())")
    light = Image.open(LOOKS / "gain-1280-light.png")
    assert apart(small(page), light) > TOLERANCE
    dark = opened(1280, color_scheme="dark")
    assert apart(small(dark), light) > 5 * TOLERANCE


def small(page: Any) -> Image.Image:
    """The first screen of a page, small and grey."""
    whole = Image.open(io.BytesIO(page.screenshot(animations="disabled")))
    return whole.convert("L").resize(SMALL, Image.Resampling.BOX)


def apart(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures in grey values."""
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


@pytest.mark.parametrize(("width", "colours"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing(opened: Opened, width: int, colours: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opened(width, color_scheme=colours)
    page.evaluate(FOLDED)
    # All images take axe ten seconds.
    page.get_by_label("Class", exact=True).select_option("class 3")
    page.locator(".t.made:visible").first.click()
    assert found_by(axe.Axe(), page) == {}


def found_by(axe: Any, page: Any) -> dict[str, list[str]]:
    """What is wrong with a page for some of its readers, by rule."""
    found = axe.run(page).response["violations"]
    return {one["id"]: [node["html"] for node in one["nodes"]] for one in found}


@pytest.mark.parametrize("job", OTHERS)
def test_axe_finds_nothing_in_the_reports_of_other_jobs(opened: Opened, job: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opened(job=job)
    page.evaluate(FOLDED)
    for width, colours in ((1280, "light"), (390, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=colours)
        assert found_by(axe.Axe(), page) == {}, colours


@pytest.mark.parametrize("job", OTHERS)
def test_tables_are_sorted_by_keyboard(opened: Opened, job: str) -> None:
    page = opened(job=job)
    table = page.locator("table:has(.sort)").first
    rows = lambda: table.locator("tbody tr").all_inner_texts()  # noqa: E731
    first = rows()
    table.locator(".sort").first.focus()
    for order in ("descending", "ascending"):
        page.keyboard.press("Enter")
        assert table.locator("th").first.get_attribute("aria-sort") == order
        assert rows() == sorted(first, key=str.casefold, reverse=order == "descending")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert table.locator("th[aria-sort]").count() == 1
    assert table.locator("th").first.get_attribute("aria-sort") is None
    assert page.evaluate("document.activeElement.className") == "sort", "the focus stays"


@pytest.mark.parametrize("job", REPORTS)
def test_no_width_hides_a_column_or_cuts_words(opened: Opened, job: str) -> None:
    page = opened(job=job)
    page.evaluate(FOLDED)
    for width in (390, 768, 1190, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for wrong in (HIDDEN, WIDE, CUT, BROKEN):
            assert page.evaluate(wrong) == [], width


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
    assert copied.startswith("augmentor ")
    assert "<" not in copied


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


def test_thousands_of_images_are_there_at_once_and_can_be_filtered(opened: Opened) -> None:
    page = opened()
    seen = page.locator(".t.made:visible, .t:not(.made):visible")
    total = page.locator(".tiles .t").count()
    assert total > 1.8 * IMAGES
    page.get_by_label("Class", exact=True).select_option("class 2")
    page.get_by_label("Condition", exact=True).select_option("never photographed")
    shown = page.locator(".tiles .t:not([hidden])").count()
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
