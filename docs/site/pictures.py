"""The pictures of the README: parts of a report, as Chromium shows them.

    python docs/site/pictures.py runs/demo-conditions

``docs/images/report.png`` is the top of the report, ``docs/images/combinations.png`` the
matrix of real and rendered combinations. It needs playwright, which ``make setup``
installs, and a Chromium on the PATH.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).parents[1] / "images"
CARD = "Matrix"
WIDTH, TOP = 900, 720
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def main() -> None:
    """Take both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a run with conditions")
    report = (parser.parse_args().run / "report.html").resolve()
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise SystemExit(f"none of {', '.join(NAMES)} is on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": TOP}, device_scale_factor=1)
        page.goto(report.as_uri())
        page.screenshot(path=IMAGES / "report.png")
        card = page.locator("section").filter(has=page.get_by_role("heading", name=CARD))
        # So high that nothing scrolls: the bar that stays at the top would cover the card.
        page.set_viewport_size({"width": WIDTH, "height": 12_000})
        card.locator("svg, img").first.screenshot(path=IMAGES / "combinations.png")
        browser.close()


if __name__ == "__main__":
    main()
