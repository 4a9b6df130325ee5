"""A report as a reader of HTML sees it."""

from __future__ import annotations

from html.parser import HTMLParser

FOREIGN = {"script", "link", "iframe", "object", "form"}


class Page(HTMLParser):
    """Collects the tags and texts of a page, and checks that its tags close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style" and data.strip():
            self.texts.append(data.strip())


def assert_self_contained(page: Page) -> None:
    """Nothing runs in the page, and nothing is loaded from outside it."""
    for tag, attributes in page.tags:
        assert tag not in FOREIGN
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:image/png;base64,").startswith(
                "data:image/png;base64,"
            )
