"""The cards that the reports of all jobs are made of; a job's own report only says what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from markupsafe import Markup

from downstream.metrics import Unit
from pipelines.report.explorer import Explorer
from pipelines.report.page import Axis, interval, p_value, scale_of

Light = Literal["green", "amber", "red"]
"""The verdict of a job at a glance; beside it always stand words."""

COMPARISON = {
    "ci95": "95 % interval",
    "ci95_replicates": "replicates alone",
    "ci95_people": "people alone",
    "p": "p",
    "p_permutation": "sign flips",
    "p_holm": "Holm p",
}
"""Keys of a comparison to the titles of their columns."""
OUTCOMES = {
    "better": "better: the interval lies on the good side of zero, after Holm's correction too",
    "worse": "worse: the interval lies on the bad side of zero, after Holm's correction too",
    "leaning": "open: the interval excludes zero, but too many comparisons or too few replicates "
    "leave it undecided",
    "undecided": "undecided: the interval holds zero",
}
"""What the colours of a comparison mean; ``leaning`` rows are drawn hollow."""

Ticks = tuple[tuple[float, str], ...]
"""Places on an axis, and what is written there."""
Column = str | Ticks
"""The title of a column, or its axis."""


@dataclass(frozen=True)
class Strip:
    """A value with its interval on the axis of a column: all in pixels; ``lines`` by their look."""

    centre: float
    low: float
    high: float
    dots: Sequence[float] = ()
    lines: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One cell: words or a strip, what stands small below, ``heat`` from 0 to 100 behind it."""

    text: str = ""
    note: str = ""
    best: bool = False
    look: str = ""
    strip: Strip | None = None
    heat: int | None = None


@dataclass(frozen=True)
class Row:
    """A row by its name; ``kind`` is the colour of its dot and strip, an empty one gives none.

    ``meaning`` explains the name: on hover and focus, and among the words at the end of a page.
    """

    name: str
    cells: Sequence[Cell]
    kind: str = ""
    note: str = ""
    against: str = ""
    meaning: str = ""


@dataclass(frozen=True)
class Table:
    """A table: ``columns`` are titles or axes, the one of the names first; ``legend`` goes from
    kinds to words; ``folded`` are the words behind which the rows are hidden.

    Readers may sort it by any column of numbers. Where it is wider than the page, each row becomes
    a card, so that no column is out of sight.
    """

    macro: ClassVar = "table"
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    lead: str = ""
    legend: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    folded: str = ""
    look: str = ""

    @property
    def width(self) -> str:
        """``two``, ``few``, ``some`` or ``many`` columns: the style knows how much room each
        takes. Two have room on every page.
        """
        count = len(self.columns) + sum(not isinstance(one, str) for one in self.columns)
        if count <= 2:
            return "two"
        return "few" if count <= 4 else "some" if count <= 9 else "many"


@dataclass(frozen=True)
class Line:
    """A line of a chart through ``points``; ``marks`` are points with the low and high end of a
    whisker and words.
    """

    kind: str
    points: Sequence[tuple[float, float]]
    marks: Sequence[tuple[float, float, float, float, str]] = ()


@dataclass(frozen=True)
class Chart:
    """Lines between axes; ``edges`` are left, right, top and bottom of the plotted area."""

    size: tuple[int, int]
    edges: tuple[int, int, int, int]
    x: Ticks
    y: Ticks
    lines: Sequence[Line]
    below: str
    name: str = ""
    note: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Charts:
    """One large chart, or many small ones with names."""

    macro: ClassVar = "charts"
    title: str
    lead: str
    charts: Sequence[Chart]
    legend: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pictures:
    """Groups of rows of images: by the name of the group, each row a name, what ``image_strip``
    gives, and words below.
    """

    macro: ClassVar = "pictures"
    title: str
    lead: str
    groups: Sequence[tuple[str, Sequence[tuple[str, dict[str, Any] | None, str]]]]
    zoom: int = 34


@dataclass(frozen=True)
class Figure:
    """A drawing made elsewhere, with what it shows in words."""

    macro: ClassVar = "figure"
    title: str
    lead: str
    svg: Markup


Card = Table | Charts | Pictures | Figure | Explorer


@dataclass(frozen=True)
class Step:
    """Something to do after reading: what for, and the command to copy; some have none."""

    words: str
    command: str = ""


@dataclass(frozen=True)
class Report:
    """What a job's page has of its own.

    Args:
        title: Of the window.
        eyebrow: What was run, in few words, beside the name of the data set.
        cards: Between the verdict and the setup.
        footer: What a reader can rely on.
        lights: What green, amber and red mean here, in two or three words each.
        steps: What to do now.
        warnings: What should stop a reader, below the verdict.
    """

    title: str
    eyebrow: str
    cards: Sequence[Card]
    footer: str
    lights: Mapping[Light, str]
    steps: Sequence[Step] = ()
    warnings: Sequence[str] = ()


def ticks(axis: Axis, factor: float = 1.0) -> Ticks:
    """Place and words of every tick; values are shown times the factor."""
    found = []
    for tick in axis.ticks:
        found.append((axis.at(tick), f"{factor * tick:.4g}".replace("-", "−")))
    return tuple(found)


def strip_cell(
    axis: Axis,
    centre: float,
    ends: Sequence[float] | None,
    dots: Iterable[float] = (),
    **lines: float | None,
) -> Cell:
    """A value on the axis of its column; without an interval its whisker has no length.

    Args:
        axis: Of the column.
        centre: The value.
        ends: Its interval.
        dots: Values below it.
        lines: Values to mark across, by the look of the line, ``zero`` or ``reference``.
    """
    low, high = ends or (centre, centre)
    marked = {look: axis.at(value) for look, value in lines.items() if value is not None}
    places = tuple(map(axis.at, dots))
    return Cell(strip=Strip(axis.at(centre), axis.at(low), axis.at(high), places, marked))


def comparison_table(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    unit: Unit,
    words: Callable[[Mapping[str, Any]], str],
    *,
    keys: Sequence[str],
    name: str = "arm",
    drawn: str = "replicates",
    **rest: Any,
) -> Table:
    """Differences with their intervals, the one that decides as a strip.

    Args:
        title: Of the card; a baseline that it names is not named again by the rows.
        rows: Comparisons as the results hold them.
        unit: Of the differences.
        words: What stands below the name of a row.
        keys: Of ``COMPARISON``, the columns.
        name: Key of what is compared with the baseline.
        drawn: What is drawn anew from replicate to replicate.
        rest: More of ``Table``.
    """
    values = [0.0]
    for row in rows:
        values += [row["delta"], *(row["ci95"] or ())]
    axis, found = scale_of(values), []
    for row in rows:
        cells = [strip_cell(axis, row["delta"], row["ci95"], zero=0.0)]
        cells.append(Cell(unit.signed(row["delta"]), best=True, look=row["outcome"]))
        for key in keys:
            is_p = key.startswith("p")
            cells.append(Cell(p_value(row[key]) if is_p else interval(row[key], unit.signed)))
        against = "" if row["baseline"] in title else row["baseline"]
        found.append(Row(row[name], cells, outcome_kind(row), words(row), against))
    titles = [COMPARISON[key].replace("replicates", drawn) for key in keys]
    columns: list[Column] = [name, ticks(axis, unit.factor), "difference", *titles]
    kinds = {row.kind for row in found}
    legend = {kind: words for kind, words in OUTCOMES.items() if kind in kinds}
    return Table(title, columns, found, legend=legend, **rest)


def outcome_kind(row: Mapping[str, Any]) -> str:
    """The key of ``OUTCOMES`` that is true of a comparison."""
    ends = row["ci95"]
    if row["outcome"] == "undecided" and ends is not None and (ends[0] > 0 or ends[1] < 0):
        return "leaning"
    return str(row["outcome"])
