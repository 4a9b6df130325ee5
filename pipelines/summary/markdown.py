"""Tables and a whole summary as Markdown, with every name escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.summary.tables import Table, tables

CODE = re.compile(r"(`[\w.:+%, -]+`)")


def as_markdown(summary: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The summary as a Markdown page.

    Args:
        summary: The contents of gain_summary.json.
        pictures: What each picture shows, by the name of its file beside the page.
    """
    on = (
        ""
        if summary["scored_on"] == "test"
        else f"Scored on {summary['scored_on']}, not on test images."
    )
    parts = ["# Gain over training without a generator", escaped(summary["verdict"]), on]
    for name, words in pictures.items():
        parts.append(f"![{Path(name).stem}]({name})\n\n{words}")
    for table in tables(summary["results"]):
        parts += [f"## {table.title}", table.lead, markdown_table(table)]
    parts.append(f"Made by: `{_one_line(summary['command'])}`")
    return "\n\n".join(filter(None, parts)) + "\n"


def markdown_table(table: Table, *, links: bool = False) -> str:
    """A table in Markdown, names escaped.

    Args:
        table: The table.
        links: Whether the first column holds links, which are not escaped.
    """
    rule = "---|" * table.words + "---:|" * (len(table.columns) - table.words)
    lines = [_line(table.columns, 0), f"|{rule}"]
    for row in table.rows:
        lines.append(_line(row, int(links)))
    return "\n".join(lines)


def _line(cells: Sequence[str], plain: int) -> str:
    """A row; the first ``plain`` cells are taken as they are."""
    shown = [*cells[:plain], *map(escaped, cells[plain:])]
    return f"| {' | '.join(shown)} |"


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
    return _one_line("".join(pieces))


def _one_line(text: str) -> str:
    return " ".join(text.split())
