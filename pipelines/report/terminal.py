"""Tables of plain text that fit in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial

WIDTH = 80
"""Columns of a terminal."""
GAP = "  "
SHORTEST = 24
"""Longer names are broken before a column moves below the table."""

fold = partial(
    textwrap.wrap,
    width=WIDTH,
    subsequent_indent=GAP,
    break_long_words=False,
    break_on_hyphens=False,
)
"""Words in lines of ``WIDTH`` columns; a path or a name is never cut."""


def plain_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[int] = ()
) -> str:
    """A table of at most ``WIDTH`` columns, unless a single word is longer.

    Columns that have no room beside the others follow below, beside the names once more. Names that
    are too long are broken at their spaces, never at no-break spaces; so is the last column, if it
    holds words.

    Args:
        head: Title of every column.
        rows: Cells of every row, the name first.
        left: Numbers of the columns of words, which stand to the left, beside that of the names;
            others stand to the right.

    Example:
        >>> print(plain_table(("arm", "accuracy"), [("real", "91.0"), ("mixup", "92.5")]))
        arm    accuracy
        real       91.0
        mixup      92.5
    """
    lines = [tuple(head), *map(tuple, rows)]
    widths = _widths(lines, words_end=len(head) - 1 in left)
    blocks = []
    for columns in _blocks(widths):
        found: list[str] = []
        for line in lines:
            found += _row(line, [0, *columns], widths, left)
        blocks.append("\n".join(found))
    return "\n\n".join(blocks)


def _widths(lines: Sequence[Sequence[str]], *, words_end: bool) -> list[int]:
    """Of every column: as wide as its cells, but for the names and a last column of words, which
    can be broken.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rest = WIDTH - sum(len(GAP) + width for width in widths[1:])
    if words_end and rest < widths[0]:
        wanted = widths[-1] + rest - min(widths[0], SHORTEST)
        widths[-1] = min(widths[-1], max(wanted, SHORTEST))
        rest = WIDTH - sum(len(GAP) + width for width in widths[1:])
    widths[0] = min(widths[0], max(rest, SHORTEST))
    return widths


def _blocks(widths: Sequence[int]) -> Iterator[list[int]]:
    """The columns after the first, as many at a time as have room beside it."""
    columns: list[int] = []
    used = widths[0]
    for column, width in enumerate(widths[1:], start=1):
        if columns and used + len(GAP) + width > WIDTH:
            yield columns
            columns, used = [], widths[0]
        columns.append(column)
        used += len(GAP) + width
    yield columns


def _row(
    line: Sequence[str], columns: Sequence[int], widths: Sequence[int], left: Collection[int]
) -> list[str]:
    """The lines of one row: first those of its name but the last, which the cells stand beside."""
    parts = {k: _broken(line[k], widths[k]) if k in (0, *left) else [line[k]] for k in columns}
    above = len(parts[0]) - 1
    lines = parts[0][:above]
    parts[0] = parts[0][above:]
    for number in range(max(map(len, parts.values()))):
        cells = []
        for k, part in parts.items():
            cell = part[number] if number < len(part) else ""
            cells.append(cell.ljust(widths[k]) if k in (0, *left) else cell.rjust(widths[k]))
        lines.append(GAP.join(cells).rstrip())
    return lines


def _broken(words: str, width: int) -> list[str]:
    """The words in lines; the last one fits the column."""
    lines = [line.replace("\u00a0", " ") for line in fold(words, width=width)] or [""]
    return lines if len(lines[-1]) <= width else [*lines, ""]
