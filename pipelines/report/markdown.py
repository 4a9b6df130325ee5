"""Text of results in Markdown: names come from folders and results from elsewhere."""

from __future__ import annotations

import re

CODE = re.compile(r"(`[\w.:+%, -]+`)")


def escaped(text: str) -> str:
    r"""Names come from folders: none may end a table cell or start a tag or a link.

    What a verdict itself sets as code stays code.

    Example:
        >>> escaped("Use `mixup` for a|b")
        'Use `mixup` for a\\|b'
    """
    pieces = CODE.split(text)
    for place in range(0, len(pieces), 2):
        for sign in "\\|[`*":
            pieces[place] = pieces[place].replace(sign, f"\\{sign}")
        pieces[place] = pieces[place].replace("&", "&amp;").replace("<", "&lt;")
    return one_line("".join(pieces))


def one_line(text: str) -> str:
    """The text without line breaks, which would end a row."""
    return " ".join(text.split())
