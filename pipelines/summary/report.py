"""Pictures and page of a summary: a forest plot, gain against the number of real images, and one
HTML file.

The pictures are SVG, black on white, so that they can be printed and stand in Markdown; the page
holds them too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from markupsafe import Markup

from augmentor.common.atomic_files import write_text
from pipelines.report.cards import Card, Cell, Figure, Light, Report, Table
from pipelines.report.cards import Row as CardRow
from pipelines.report.document import render_report
from pipelines.report.page import Axis, axis_of, render_page
from pipelines.summary.markdown import as_markdown
from pipelines.summary.tables import (
    TITLES,
    Row,
    difference,
    gaining,
    of_kind,
    one_sided,
    pair_words,
    remark,
    run_names,
    run_of,
    tables,
)
from pipelines.summary.tables import Table as Texts

LETTER = 7.0  # pixels that a letter takes at most, on average, at the size of the labels
LABEL_LETTERS = 46  # longer labels are cut
PLOT, NUMBERS = 420, 260  # widths of the plotted area, and of the column of numbers at its right
ROW, HEAD, TITLE, FOOT = 20, 28, 40, 44  # heights of a row, a regime, a panel's title and its axis
# whiskers are cut at so many times the usual one, else that of two replicates would flatten all
# others
REACH = 3
COUNTED = ("synthetic+classical", "auto")
COUNT_SIZE, COUNT_EDGES = (
    (720, 330),
    (62, 700, 46, 270),
)  # edges: left, right, top, bottom of the plotted area
TICK_GAP = 34  # least pixels between two ticks of the number of images
SHIFT = 5  # the two arms stand side by side, else their whiskers hide each other
PICTURES = {
    "gain_forest.svg": "Differences in points with 95 % intervals. Full dot: the interval lies on "
    "one side of zero. Grey: not against the strongest baseline. A whisker without an end goes on "
    "outside.",
    "gain_by_count.svg": "Difference from classical augmentation against the real training images "
    "per class.",
}


def write_pages(out: Path, summary: Mapping[str, Any]) -> None:
    """Write gain.md, summary.html and the pictures; one that cannot be drawn any more is removed.

    Args:
        out: The folder.
        summary: The contents of gain_summary.json.
    """
    rows, shown = summary["results"], {}
    drawn = dict(zip(PICTURES, (forest(rows), by_count(rows)), strict=True))
    for name, picture in drawn.items():
        if picture:
            write_text(out / name, picture)
            shown[name] = PICTURES[name]
        else:
            (out / name).unlink(missing_ok=True)
    write_text(out / "gain.md", as_markdown(summary, shown))
    write_text(out / "summary.html", render_summary(summary))


LIGHTS: Mapping[Light, str] = {
    "green": "A generator helps in most runs",
    "amber": "A generator helps in some runs",
    "red": "A generator helps in no run",
}
FOREST = (
    "Whiskers are 95 % intervals, the page of a run says over what; one without an end goes on "
    "outside. A "
    "full dot: the interval lies on one side of zero. Grey: the baseline is not the strongest of "
    "its run. The last column is the number of replicates; under ten they are preliminary."
)
BY_COUNT = (
    "Runs of one data set whose regimes differ in numbers of images alone: difference from "
    "classical augmentation, in points, with 95 % intervals."
)


def render_summary(summary: Mapping[str, Any]) -> str:
    """The page as HTML text."""
    rows = summary["results"]
    # Both drawings come from templates that escape.
    cards: list[Card] = [Figure("Differences with intervals", FOREST, Markup(forest(rows)))]
    if drawn := by_count(rows):
        cards.append(Figure("Gain against the number of real images", BY_COUNT, Markup(drawn)))
    cards += [_card(table) for table in tables(rows)]
    runs, sets = len(run_names(rows)), len({row["dataset"] for row in rows})
    report = Report(
        title="Gain over training without a generator",
        eyebrow=f"{sets} data {'set' if sets == 1 else 'sets'}",
        cards=cards,
        footer="Nothing was trained or scored for this page.",
        lights=LIGHTS,
    )
    return render_report(
        {
            "dataset": f"{runs} {'run' if runs == 1 else 'runs'}",
            "verdict": _verdict(summary),
            "scored_on": summary["scored_on"],
            "command": summary["command"],
        },
        report,
    )


def _verdict(summary: Mapping[str, Any]) -> dict[str, Any]:
    """In how many runs a generator helps; what else the summary's own verdict says."""
    gained, runs = gaining(summary["results"], "classical")
    with_pool, pooled = gaining(summary["results"], "same_pool")
    said = []
    if runs:
        said.append(f"A generator beats the best arm without one in {gained} of {runs} runs.")
    if pooled:
        said.append(f"With unlabelled images for both: in {with_pool} of {pooled}.")
    advice = " ".join(said) or "Open: no arm with a generator was compared with one without."
    helped, count = gained + with_pool, runs + pooled
    light = "green" if 2 * helped > count else "amber" if helped or not count else "red"
    _, _, more = summary["verdict"].partition(": ")
    return {"light": light, "advice": advice, "lines": [line for line in more.split("; ") if line]}


def _card(table: Texts) -> Table:
    found = []
    for name, *texts in table.rows:
        cells = []
        for place, text in enumerate(texts, start=1):
            cells.append(Cell(text, look="words" if place < table.words else ""))
        found.append(CardRow(name, cells))
    return Table(table.title, table.columns, found, table.lead)


def forest(rows: Sequence[Row]) -> str:
    """Differences with intervals as SVG: a panel per kind of baseline, in it a group per run."""
    names = run_names(rows)
    left = LETTER * (min(_longest_label(rows, names), LABEL_LETTERS) + 3)
    panels, top = [], 0.0
    for kind, title in TITLES.items():
        found = of_kind(rows, kind)
        if found:
            panels.append(_panel(title, found, left, top, names))
            top = panels[-1]["bottom"] + FOOT
    return render_page(
        "gain_forest.svg.j2", panels=panels, size=(left + PLOT + NUMBERS, top), left=left, plot=PLOT
    )


def _longest_label(rows: Sequence[Row], names: Mapping[Any, tuple[str, str]]) -> int:
    longest = 0
    for row in rows:
        longest = max(longest, len(pair_words(row)), len(", ".join(names[run_of(row)])))
    return longest


def _panel(
    title: str, rows: Sequence[Row], left: float, top: float, names: Mapping[Any, tuple[str, str]]
) -> Row:
    axis = axis_of([0.0, *_within_reach(rows)], left, left + PLOT)
    y, groups = top + TITLE, []
    for run, name in names.items():
        own = [row for row in rows if run_of(row) == run]
        if own:
            groups.append(_group(", ".join(name), own, axis, y))
            y += HEAD + ROW * len(own)
    return {
        "title": title,
        "top": top,
        "bottom": y,
        "zero": axis.at(0.0),
        "ticks": _ticks(axis, "x"),
        "groups": groups,
    }


def _group(name: str, rows: Sequence[Row], axis: Axis, y: float) -> Row:
    """The rows of one run below its name."""
    lines = []
    for index, row in enumerate(rows):
        lines.append(_line(row, axis, y + HEAD + ROW * index))
    return {"name": _cut(name), "whole": name, "y": y + HEAD / 2, "lines": lines}


def _ticks(axis: Axis, at: str) -> list[dict[str, Any]]:
    """Where the ticks are, under the key ``at``, and what they say, in points."""
    ticks = []
    for tick in axis.ticks:
        ticks.append({at: axis.at(tick), "label": f"{100 * tick:.4g}".replace("-", "−")})
    return ticks


def _within_reach(rows: Sequence[Row]) -> list[float]:
    """All differences, and the ends of their intervals as far as they are drawn."""
    deltas, ends, widest = [], [], []
    for row in rows:
        deltas.append(row["delta"])
        ends += row["ci95"]
        widest.append(max(map(abs, row["ci95"])))
    reach = max(REACH * median(widest), *map(abs, deltas), 0.001)
    return [*deltas, *(max(-reach, min(reach, end)) for end in ends)]


def _line(row: Row, axis: Axis, y: float) -> Row:
    low, high = row["ci95"]
    return {
        "label": _cut(pair_words(row)),
        "words": f"{pair_words(row)}: {difference(row)} {remark(row)}".strip(),
        "y": y,
        "low": axis.at(low),
        "high": axis.at(high),
        "caps": [axis.at(end) for end in (low, high) if axis.low <= end <= axis.high],
        "centre": axis.at(row["delta"]),
        "decided": one_sided(row),
        "weaker": row["baseline"] != row["best_baseline"],
        "numbers": difference(row),
        "replicates": str(row["replicates"]),
    }


def _cut(text: str) -> str:
    """A text that fits; its end is kept, where the number of a run is."""
    return text if len(text) <= LABEL_LETTERS else f"{text[: LABEL_LETTERS - 9]}…{text[-8:]}"


def by_count(rows: Sequence[Row]) -> str:
    """Difference from classical augmentation against real images per class, as SVG; empty without
    two such runs.

    A panel holds runs of one data set whose regimes differ in numbers of images alone.
    """
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["arm"] in COUNTED and row["baseline"] == "classical" and "images_per_class" in row:
            found.setdefault((row["dataset"], kind_of(row)), []).append(row)
    charts = []
    for names, own in found.items():
        chart = _count_chart(*names, own)
        if chart["lines"]:
            charts.append(chart)
    if not charts:
        return ""
    size = (COUNT_SIZE[0], COUNT_SIZE[1] * len(charts))
    return render_page("gain_by_count.svg.j2", charts=charts, size=size, height=COUNT_SIZE[1])


def kind_of(row: Row) -> str:
    """A regime without its numbers; a long tail keeps its ratio, and a source its augmentation."""
    tail = re.match(r"(\d+) to (\d+) per class", row["regime"])
    ratio = f", about {int(tail[1]) / max(int(tail[2]), 1):.0f} : 1" if tail else ""
    source = ", augmented source" if row.get("source_augment") == "classical" else ""
    return re.sub(r"\d+", "n", row["regime"]) + ratio + source


def _count_chart(dataset: str, kind: str, rows: Sequence[Row]) -> dict[str, Any]:
    lines = _counted_lines(rows)
    counts, values = {1.0} if not lines else set(), [0.0]
    for own in lines.values():
        for row in own:
            counts.add(_images(row))
            values += [row["delta"], *row["ci95"]]
    left, right, top, bottom = COUNT_EDGES
    ticks = tuple(sorted(counts))
    x = Axis(ticks[0] / 1.15, ticks[-1] * 1.15, ticks, left, right, logarithmic=True)
    y = axis_of(values, bottom, top)
    return {
        "title": f"{dataset}, {kind}",
        "edges": COUNT_EDGES,
        "zero": y.at(0.0),
        "x": _count_ticks(x),
        "y": _ticks(y, "at"),
        "lines": [_count_line(arm, own, x, y) for arm, own in lines.items()],
    }


def _counted_lines(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each arm by their number of images, where there are two numbers at least."""
    lines = {}
    for arm in COUNTED:
        own = sorted((row for row in rows if row["arm"] == arm), key=_images)
        if own and _images(own[0]) != _images(own[-1]):
            lines[arm] = own
    return lines


def _count_line(arm: str, rows: Sequence[Row], x: Axis, y: Axis) -> dict[str, Any]:
    points = [_count_point(row, x, y) for row in rows]
    return {"arm": arm, "filled": arm == COUNTED[0], "points": points}


def _images(row: Row) -> float:
    return float(row["images_per_class"])


def _count_ticks(x: Axis) -> list[dict[str, Any]]:
    """The numbers of images themselves, without those whose labels would run into the one
    before.
    """
    ticks: list[dict[str, Any]] = []
    for count in x.ticks:
        if not ticks or x.at(count) - ticks[-1]["at"] >= TICK_GAP:
            ticks.append({"at": x.at(count), "label": f"{count:g}"})
    return ticks


def _count_point(row: Row, x: Axis, y: Axis) -> dict[str, Any]:
    low, high = map(y.at, row["ci95"])
    shift = math.copysign(SHIFT, -1 if row["arm"] == COUNTED[0] else 1)
    words = f"{pair_words(row)}, {row['regime']}: {difference(row)}"
    return {
        "x": x.at(_images(row)) + shift,
        "y": y.at(row["delta"]),
        "low": low,
        "high": high,
        "words": words,
    }
