"""A real browser, where this machine has one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.reports import REPORTS

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
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The file of a job's report, written when it is first asked for."""
    folder = tmp_path_factory.mktemp("report")

    def written(job: str) -> Path:
        file = folder / f"{job}.html"
        if not file.exists():
            file.write_text(REPORTS[job](), encoding="utf-8")
        return file

    return written


@pytest.fixture
def opened(browser: Any, page_file: Callable[[str], Path]) -> Iterator[Opened]:
    """Open a report: its job, width, colours and other features of the browser may be given.

    After the test, whatever the page asked of the network, and its errors, fail it.
    """
    contexts, wrong = [], []

    def asked(route: Any) -> None:
        wrong.append(f"asked for {route.request.url}")
        route.abort()

    def open_(width: int = 1280, job: str = "gain", **features: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **features)
        contexts.append(context)
        context.route(lambda url: not url.startswith(("file:", "data:")), asked)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
        page.goto(page_file(job).as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not wrong
