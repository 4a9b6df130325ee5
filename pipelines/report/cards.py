"""The cards that the reports of all jobs are made of; a job's own report only says what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from downstream.metrics import Unit
from pipelines.report.page import (
    Axis,
    duration,
    interval,
    p_value,
    plain,
    render_page,
    scale_of,
    scored_words,
)

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
    "better": "better",
    "worse": "worse",
    "undecided": "undecided: the interval holds zero, or the number of comparisons leaves it open",
}

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
    """A row by its name; ``kind`` is the colour of its dot and strip, an empty one gives none."""

    name: str
    cells: Sequence[Cell]
    kind: str = ""
    note: str = ""
    against: str = ""


@dataclass(frozen=True)
class Table:
    """A table: ``columns`` are titles or axes, the one of the names first; ``legend`` goes from
    kinds to words; ``folded`` are the words behind which the rows are hidden.
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


Card = Table | Charts | Pictures


@dataclass(frozen=True)
class Report:
    """What a job's page has of its own.

    Args:
        title: Of the window.
        eyebrow: What was run, in few words, beside the name of the data set.
        cards: Between the verdict and the setup.
        footer: What a reader can rely on.
        warnings: What should stop a reader, below the verdict.
    """

    title: str
    eyebrow: str
    cards: Sequence[Card]
    footer: str
    warnings: Sequence[str] = ()


def render_report(result: Mapping[str, Any], report: Report) -> str:
    """A job's page as HTML: verdict, warnings, the job's cards, and the card of the setup.

    Every text is escaped. Of a result that scored held-out images the page says so on top.
    """
    where, footer, warnings = result.get("scored_on"), report.footer, list(report.warnings)
    if where is not None:
        read = "were read once" if where == "test" else "were not read"
        footer += f" The test images {read}."
        if where != "test":
            warnings.insert(
                0,
                f"This is a screening, not a result: it scored {scored_words(where)}; the test "
                f"images {read}.",
            )
    setup = _setup(result)
    return render_page(
        "page.html.j2", result=result, report=report, setup=setup, footer=footer, warnings=warnings
    )


def _setup(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was trained on what, by which command, where, and how long it took."""
    told = {name: plain(value) for name, value in result["setup"].items()}
    told["device"] = result["device"]
    told["time"] = "; ".join(f"{name}: {duration(s)}" for name, s in result["seconds"].items())
    told["versions"] = ", ".join(f"{name} {one}" for name, one in result["versions"].items())
    new = [note for note in result.get("notes", ()) if note not in told.values()]
    return [*told.items(), *(("note", note) for note in new)]


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
        found.append(Row(row[name], cells, row["outcome"], words(row), against))
    titles = [COMPARISON[key].replace("replicates", drawn) for key in keys]
    columns: list[Column] = [name, ticks(axis, unit.factor), "difference", *titles]
    return Table(title, columns, found, legend=OUTCOMES, **rest)
