"""The cards of a semi report: a table and the differences per number of labels, then curves."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from downstream.comparison import FEWEST_FOR_A_CLAIM
from pipelines.report.cards import (
    Card,
    Cell,
    Chart,
    Charts,
    Light,
    Line,
    Report,
    Row,
    Step,
    Table,
    comparison_table,
    strip_cell,
    ticks,
)
from pipelines.report.document import render_report
from pipelines.report.page import MARGIN, STRIP_WIDTH, Axis, axis_of
from pipelines.report.repeat import more_steps
from pipelines.semi.methods import words_of
from pipelines.semi.scores import ERROR, UNIT
from pipelines.semi.tables import label_counts, outcome_words, scored_on_words

CHART = (760, 330)
CHART_EDGES = (56, 744, 14, 290)  # left, right, top, bottom of the plotted area
CARD = (300, 128)
CARD_EDGES = (48, 280, 8, 92)
WHISKER_SHIFT = 6
COLOURS = ("plain", "classical", "pool", "synthetic", "olive", "rose", "sky")
DEFAULT = "auto"
"""The colour of the default method; the others take turns."""

Trainings = Sequence[Mapping[str, Any]]
Curves = Sequence[Sequence[Mapping[str, Any]]]


LIGHTS: Mapping[Light, str] = {
    "green": "One method is ahead",
    "amber": "No method is shown to be best",
    "red": "",
}


def semi_report(result: Mapping[str, Any], trainings: Trainings, folder: Path = Path("RUN")) -> str:
    """The report of one semi run as HTML text.

    Args:
        result: The contents of ``semi.json``.
        trainings: ``method``, ``labels`` and ``curve`` of every training.
        folder: Of the run, for the commands to copy.
    """
    counts, colours = label_counts(result), _colours(result)
    cards: list[Card] = []
    for labels in counts:
        cards += _tables(result, labels, colours, first=labels == counts[0])
    if len(counts) > 1:
        cards.append(_learning(result, counts, colours))
    charts: list[Chart] = []
    for name in result["methods"]:
        charts += _training_charts(name, trainings, colours[name])
    if charts:
        cards.append(Charts("The trainings", TRAININGS, charts))
    report = Report(
        title=f"Few labels on {result['dataset']}",
        eyebrow=f"few labels · {scored_on_words(result)}",
        cards=cards,
        footer="All methods of a subset start from the same labelled images; the seed draws these, "
        "equally many of every class. The labels of all other training images are removed before "
        "a method sees them.",
        lights=LIGHTS,
        steps=_steps(result, folder),
    )
    return render_report(result, report)


def _steps(result: Mapping[str, Any], folder: Path) -> list[Step]:
    """What would decide more, and how to measure the method on an own classifier."""
    run, rows = shlex.quote(str(folder)), result["differences"]
    most = max((row["needed"] or 0 for row in rows if row["outcome"] == "undecided"), default=0)
    fewest = min((row["pairs"] for row in rows), default=FEWEST_FOR_A_CLAIM)
    wanted = max(most, FEWEST_FOR_A_CLAIM if fewest < FEWEST_FOR_A_CLAIM else 0)
    steps = []
    if wanted:
        seed = result.get("setup", {}).get("seed", 0)
        # Where the others ran on fewer subsets than the reference, those are what is missing.
        reference = result["methods"][result["default_method"]].values()
        kept = max(len(one["errors"]) for one in reference)
        more = f"--baseline-subsets {wanted}" if fewest < kept else ""
        steps += more_steps("semi", folder, "subsets", (fewest, wanted), seed, more)
    labels = label_counts(result)[0]
    words = "Ask whether synthetic images add to few labels."
    command = f"augmentor gain {run}/config.yaml --labels {labels}"
    steps.append(Step(words, f"{command} --out {run}-gain"))
    return steps


TRAININGS = (
    "What each method reported while it trained, with the most labels it was run with; one line "
    "per subset; scales differ, and are logarithmic where values span more than a factor of four. "
    "Nothing was chosen by these curves: the last weights, or the average of the last ones, are "
    "the ones that count."
)


def _colours(result: Mapping[str, Any]) -> dict[str, str]:
    colours: dict[str, str] = {}
    for name in result["methods"]:
        if name != result["default_method"]:
            colours[name] = COLOURS[len(colours) % len(COLOURS)]
    return colours | {result["default_method"]: DEFAULT}


def _tables(
    result: Mapping[str, Any], labels: str, colours: Mapping[str, str], *, first: bool
) -> list[Card]:
    """The methods with one number of labels, the best mean first, and their differences."""
    found = {name: one[labels] for name, one in result["methods"].items() if labels in one}
    rows = [row for row in result["differences"] if str(row["labels"]) == labels]
    better = "more" if ERROR.higher_is_better else "less"
    lead = (
        f"{ERROR.words.capitalize()} in percent on {scored_on_words(result)}; {better} is better. "
        "Pale dots are labelled subsets, the large dot is their mean, the whisker one standard "
        "deviation to each side."
    )
    cards: list[Card] = [_errors(f"{labels} labels", found, colours, lead if first else "")]
    if rows:
        cards.append(_differences(f"{labels} labels, differences", rows, told=first))
    return cards


def _errors(title: str, found: Mapping[str, Any], colours: Mapping[str, str], lead: str) -> Table:
    errors: list[float] = []
    for one in found.values():
        errors += one["errors"]
    axis, rows = axis_of(errors, MARGIN, STRIP_WIDTH - MARGIN), []
    for name, one in sorted(found.items(), key=lambda item: float(item[1]["mean"])):
        mean, spread = one["mean"], one["sd"] or 0.0
        cells = [strip_cell(axis, mean, (mean - spread, mean + spread), one["errors"])]
        cells.append(Cell(UNIT.plain(mean), best=True))
        cells.append(Cell("" if one["sd"] is None else f"± {UNIT.plain(spread)}"))
        cells += [Cell(UNIT.plain(one["median"])), Cell(str(len(one["errors"])))]
        rows.append(Row(name, cells, colours[name], meaning=words_of(name)))
    columns = ("method", ticks(axis, UNIT.factor), "mean", "sd", "median", "subsets")
    return Table(title, columns, rows, lead)


def _differences(title: str, rows: Sequence[Mapping[str, Any]], *, told: bool) -> Table:
    lead = (
        f"On the same subsets, in {UNIT.name}; below zero the first makes fewer errors. The first "
        "interval, which decides, lets subsets and scored images vary and is corrected for "
        "labelled images that subsets share; the second lets subsets alone vary. Holm's p allows "
        "for the methods with the same number of labels."
    )
    keys, words = ("ci95", "ci95_replicates", "p_holm"), "subsets"
    return comparison_table(
        title, rows, UNIT, outcome_words, keys=keys, name="method", drawn=words, lead=lead * told
    )


def _learning(
    result: Mapping[str, Any], counts: Sequence[str], colours: Mapping[str, str]
) -> Charts:
    """Mean error against the number of labels, whiskers of one standard deviation."""
    left, right, top, bottom = CHART_EDGES
    values: list[float] = []
    for found in result["methods"].values():
        for one in found.values():
            values += [one["mean"], *one["errors"]]
    y, numbers = axis_of(values, bottom, top), tuple(map(float, counts))
    # Some room at both sides; every number of labels is its own tick.
    x = Axis(numbers[0] / 1.15, numbers[-1] * 1.15, numbers, left, right, logarithmic=True)
    middle, lines = (len(result["methods"]) - 1) / 2, []
    for index, (name, found) in enumerate(result["methods"].items()):
        # Side by side, as their whiskers would hide each other.
        shift = WHISKER_SHIFT * (index - middle)
        beside = replace(x, start=x.start + shift, end=x.end + shift)
        lines.append(_learning_line(name, found, colours[name], beside, y))
    lines.sort(key=lambda line: line.kind == DEFAULT)  # on top
    title, below = f"{ERROR.words.capitalize()} against the number of labels", "labelled images"
    chart = Chart(CHART, CHART_EDGES, ticks(x), ticks(y, UNIT.factor), lines, below, ERROR.words)
    lead = "Means over subsets in percent, whiskers of one standard deviation."
    legend = {colours[name]: name for name in result["methods"]}
    return Charts(title, lead, [chart], legend)


def _learning_line(name: str, found: Mapping[str, Any], kind: str, x: Axis, y: Axis) -> Line:
    marks = []
    for labels, one in sorted(found.items(), key=lambda item: int(item[0])):
        mean, spread = one["mean"], one["sd"] or 0.0
        words = f"{name}, {labels} labels: {UNIT.shown(mean)}"
        place = x.at(float(labels))
        marks.append((place, y.at(mean), y.at(mean - spread), y.at(mean + spread), words))
    return Line(kind, [mark[:2] for mark in marks], marks)


def _training_charts(method: str, trainings: Trainings, kind: str) -> list[Chart]:
    """A small chart for each value that a method named, with the most labels it was run with."""
    own = [one for one in trainings if one["method"] == method]
    most = max((one["labels"] for one in own), default=0)
    curves = [one["curve"] for one in own if one["labels"] == most]
    names: dict[str, None] = {}
    for curve in curves:
        for point in curve:
            names |= dict.fromkeys(point)
    names.pop("step", None)
    charts = []
    for name in names:
        chart = _training_chart(name, curves, kind)
        if chart is not None:
            charts.append(replace(chart, name=method, note=f"{name}, {most} labels", kind=kind))
    return charts


def _training_chart(name: str, curves: Curves, kind: str) -> Chart | None:
    """One line per subset; None without a value."""
    series = []
    for curve in curves:
        series.append([(p["step"], p[name]) for p in curve if p.get(name) is not None])
    points = [point for one in series for point in one]
    if not points:
        return None
    left, right, top, bottom = CARD_EDGES
    last = max(step for step, _ in points)
    y = axis_of([value for _, value in points], bottom, top)
    x = Axis(0.0, last, (0.0, last), left, right, logarithmic=False)
    lines = []
    for one in series:
        lines.append(Line(kind, [(x.at(step), y.at(value)) for step, value in one]))
    ends = replace(y, ticks=(y.low, y.high))
    return Chart(CARD, CARD_EDGES, ticks(x), ticks(ends), lines, "steps")
