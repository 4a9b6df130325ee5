"""A real browser, where this machine has one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.reports import report_of_gain

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
Opened = Callable[..., Any]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(NAMES)} is on the PATH; browsers are not downloaded")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(report_of_gain(), encoding="utf-8")
    return file


@pytest.fixture
def opened(browser: Any, page_file: Path) -> Iterator[Opened]:
    """Open the report: width, colours and other features of the browser may be given.

    After the test, whatever the page asked of the network, and its errors, fail it.
    """
    contexts, wrong = [], []

    def asked(route: Any) -> None:
        wrong.append(f"asked for {route.request.url}")
        route.abort()

    def open_(width: int = 1280, **features: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **features)
        contexts.append(context)
        context.route(lambda url: not url.startswith(("file:", "data:")), asked)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
        page.goto(page_file.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not wrong
