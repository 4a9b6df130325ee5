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
from pipelines.report.page import Axis, axis_of, render_page
from pipelines.summary.tables import (
    TITLES,
    Row,
    as_markdown,
    difference,
    one_sided,
    pair_words,
    remark,
    run_names,
    run_of,
    tables,
)

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
    rows = summary["results"]
    drawn = dict(zip(PICTURES, (forest(rows), by_count(rows)), strict=True))
    for name, picture in drawn.items():
        if picture:
            write_text(out / name, picture)
        else:
            (out / name).unlink(missing_ok=True)
    write_text(
        out / "gain.md",
        as_markdown(summary, {name: PICTURES[name] for name in drawn if drawn[name]}),
    )
    write_text(out / "summary.html", render_summary(summary))


def render_summary(summary: Mapping[str, Any]) -> str:
    """The page as HTML text."""
    rows = summary["results"]
    return render_page(
        "summary.html.j2",
        summary=summary,
        verdict=summary["verdict"].partition(": "),
        runs=len(run_names(rows)),
        datasets=len({row["dataset"] for row in rows}),
        forest=Markup(forest(rows)),  # both come from templates that escape
        by_count=Markup(by_count(rows)),
        tables=tables(rows),
    )


def forest(rows: Sequence[Row]) -> str:
    """Differences with intervals as SVG: a panel per kind of baseline, in it a group per run."""
    shown = {
        title: [row for row in rows if row["yardstick"] == name] for name, title in TITLES.items()
    }
    texts = [pair_words(row) for row in rows] + [
        ", ".join(name) for name in run_names(rows).values()
    ]
    left = LETTER * (min(max(map(len, texts)), LABEL_LETTERS) + 3)
    panels, top = [], 0.0
    for title, found in shown.items():
        if found:
            panels.append(_panel(title, found, left, top, run_names(rows)))
            top = panels[-1]["bottom"] + FOOT
    return render_page(
        "gain_forest.svg.j2", panels=panels, size=(left + PLOT + NUMBERS, top), left=left, plot=PLOT
    )


def _panel(
    title: str, rows: Sequence[Row], left: float, top: float, names: Mapping[Any, tuple[str, str]]
) -> Row:
    axis = axis_of([0.0, *_within_reach(rows)], left, left + PLOT)
    y, groups = top + TITLE, []
    for run, name in names.items():
        own = [row for row in rows if run_of(row) == run]
        if own:
            lines = [_line(row, axis, y + HEAD + ROW * index) for index, row in enumerate(own)]
            groups.append(
                {
                    "name": _cut(", ".join(name)),
                    "whole": ", ".join(name),
                    "y": y + HEAD / 2,
                    "lines": lines,
                }
            )
            y += HEAD + ROW * len(own)
    ticks = [
        {"x": axis.at(tick), "label": f"{100 * tick:.4g}".replace("-", "−")} for tick in axis.ticks
    ]
    return {
        "title": title,
        "top": top,
        "bottom": y,
        "zero": axis.at(0.0),
        "ticks": ticks,
        "groups": groups,
    }


def _within_reach(rows: Sequence[Row]) -> list[float]:
    """All differences, and the ends of their intervals as far as they are drawn."""
    deltas = [row["delta"] for row in rows]
    usual = median(max(map(abs, row["ci95"])) for row in rows)
    reach = max(REACH * usual, *map(abs, deltas), 0.001)
    return [*deltas, *(max(-reach, min(reach, end)) for row in rows for end in row["ci95"])]


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
    charts = [_count_chart(*names, own) for names, own in found.items()]
    drawn = [chart for chart in charts if chart["lines"]]
    size = (COUNT_SIZE[0], COUNT_SIZE[1] * len(drawn))
    return (
        render_page("gain_by_count.svg.j2", charts=drawn, size=size, height=COUNT_SIZE[1])
        if drawn
        else ""
    )


def kind_of(row: Row) -> str:
    """A regime without its numbers; a long tail keeps its ratio, and a source its augmentation."""
    tail = re.match(r"(\d+) to (\d+) per class", row["regime"])
    ratio = f", about {int(tail[1]) / max(int(tail[2]), 1):.0f} : 1" if tail else ""
    source = ", augmented source" if row.get("source_augment") == "classical" else ""
    return re.sub(r"\d+", "n", row["regime"]) + ratio + source


def _count_chart(dataset: str, kind: str, rows: Sequence[Row]) -> dict[str, Any]:
    lines = {arm: sorted((r for r in rows if r["arm"] == arm), key=_images) for arm in COUNTED}
    lines = {arm: found for arm, found in lines.items() if len({_images(row) for row in found}) > 1}
    shown = [row for found in lines.values() for row in found]
    left, right, top, bottom = COUNT_EDGES
    counts = sorted({_images(row) for row in shown}) or [1.0]
    x = Axis(counts[0] / 1.15, counts[-1] * 1.15, tuple(counts), left, right, logarithmic=True)
    y = axis_of(
        [0.0, *(value for row in shown for value in (row["delta"], *row["ci95"]))], bottom, top
    )
    return {
        "title": f"{dataset}, {kind}",
        "edges": COUNT_EDGES,
        "zero": y.at(0.0),
        "x": _count_ticks(x),
        "y": [
            {"at": y.at(tick), "label": f"{100 * tick:.4g}".replace("-", "−")} for tick in y.ticks
        ],
        "lines": [
            {
                "arm": arm,
                "filled": arm == COUNTED[0],
                "points": [_count_point(row, x, y) for row in found],
            }
            for arm, found in lines.items()
        ],
    }


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
    low, high = (y.at(end) for end in row["ci95"])
    shift = math.copysign(SHIFT, -1 if row["arm"] == COUNTED[0] else 1)
    words = f"{pair_words(row)}, {row['regime']}: {difference(row)}"
    return {
        "x": x.at(_images(row)) + shift,
        "y": y.at(row["delta"]),
        "low": low,
        "high": high,
        "words": words,
    }
