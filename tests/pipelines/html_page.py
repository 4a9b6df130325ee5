"""A report as a reader of HTML sees it."""

from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser

FOREIGN = {"link", "iframe", "object", "form", "base"}
ALONE = ("meta", "img", "input")
UNREAD = ("style", "script")


class Page(HTMLParser):
    """Collects the tags and texts of a page, and checks that its tags close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ALONE:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts.append(data)
        if self._open and self._open[-1] not in UNREAD and data.strip():
            self.texts.append(data.strip())

    @property
    def policy(self) -> str:
        """The content policy of the page."""
        [found] = [a for tag, a in self.tags if tag == "meta" and "http-equiv" in a]
        return str(found["content"])


def assert_self_contained(page: Page) -> None:
    """One script runs, the policy knows it, and nothing is loaded from outside the page."""
    kinds = [attributes.get("type") for tag, attributes in page.tags if tag == "script"]
    assert set(kinds[:-1]) <= {"application/json"}, "data alone, which nothing runs"
    digest = hashlib.sha256(page.scripts[-1].encode()).digest()
    assert f"script-src 'sha256-{base64.b64encode(digest).decode()}'" in page.policy
    assert "unsafe" not in page.policy
    for tag, attributes in page.tags:
        assert tag not in FOREIGN
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert (attributes.get("src") or "data:image/").startswith("data:image/")
        assert (attributes.get("href") or "#").startswith("#")
