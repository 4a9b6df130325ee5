"""Tables and a whole summary as Markdown, with every name escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.report.markdown import escaped, one_line
from pipelines.summary.tables import Table, tables


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
    parts.append(f"Made by: `{one_line(summary['command'])}`")
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
