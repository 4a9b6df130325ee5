"""The report of a semi run: one HTML file that needs nothing else, verdict first, then tables and
curves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from augmentor.common.atomic_files import write_text
from pipelines.report.page import (
    MARGIN,
    STRIP_WIDTH,
    Axis,
    axis_of,
    duration,
    p_value,
    render_page,
)
from pipelines.semi.methods import words_of
from pipelines.semi.scores import ERROR, UNIT
from pipelines.semi.tables import (
    interval_words,
    label_counts,
    outcome_words,
    plain,
    scored_words,
)

CHART = (760, 330)
CHART_EDGES = (56, 744, 14, 290)  # left, right, top, bottom of the plotted area
CARD = (300, 110)
CARD_EDGES = (4, 296, 6, 92)
WHISKER_SHIFT = 6
COLOURS = 7  # of the methods beside the default one, as named in the template


def write_semi_report(
    path: Path, result: Mapping[str, Any], trainings: Sequence[Mapping[str, Any]]
) -> None:
    """Write the report of one semi run.

    Args:
        path: The HTML file to write.
        result: The contents of ``semi.json``.
        trainings: ``method``, ``labels`` and ``curve`` of every training.
    """
    write_text(path, render_semi_report(result, trainings))


def render_semi_report(result: Mapping[str, Any], trainings: Sequence[Mapping[str, Any]]) -> str:
    """The report as HTML text; see ``write_semi_report``."""
    counts, colours = label_counts(result), _colours(result)
    cards: list[dict[str, Any]] = []
    for name in result["methods"]:
        cards += _training_cards(name, trainings, colours[name])
    return render_page(
        "semi_report.html.j2",
        result=result,
        metric=ERROR,
        unit=UNIT,
        verdict=result["verdict"],
        screening=result["scored_on"] != "test",
        scored=scored_words(result),
        tables=_tables(result, counts, colours),
        colours=colours,
        learning=_learning_chart(result, counts, colours) if len(counts) > 1 else None,
        trainings=cards,
        setup=_in_words(result["setup"], plain),
        seconds=_in_words(result["seconds"], duration),
    )


def _in_words(values: Mapping[str, Any], words: Callable[[Any], str]) -> dict[str, str]:
    return dict(zip(values, map(words, values.values()), strict=True))


def _colours(result: Mapping[str, Any]) -> dict[str, str]:
    """Method -> name of a colour in the template; the default method has one of its own."""
    default = result["default_method"]
    colours: dict[str, str] = {}
    for name in result["methods"]:
        if name != default:
            colours[name] = f"m{len(colours) % COLOURS}"
    return colours | {default: "default"}


def _tables(
    result: Mapping[str, Any], counts: Sequence[str], colours: Mapping[str, str]
) -> list[dict[str, Any]]:
    """A table per number of labels."""
    tables = []
    for labels in counts:
        found = {name: one[labels] for name, one in result["methods"].items() if labels in one}
        tables.append({"labels": labels} | _table(found, _differences(result, labels), colours))
    return tables


def _differences(result: Mapping[str, Any], labels: str) -> dict[str, dict[str, str]]:
    """How the default method differs from every other one with one number of labels."""
    differences = {}
    for row in result["differences"]:
        if str(row["labels"]) == labels:
            differences[row["baseline"]] = _difference(row)
    return differences


def _table(
    found: Mapping[str, Any],
    differences: Mapping[str, dict[str, str]],
    colours: Mapping[str, str],
) -> dict[str, Any]:
    """The methods with one number of labels, the best mean first."""
    errors: list[float] = []
    for one in found.values():
        errors += one["errors"]
    axis = axis_of(errors, MARGIN, STRIP_WIDTH - MARGIN)
    rows = []
    for name, one in sorted(found.items(), key=lambda item: float(item[1]["mean"])):
        row = _method_row(name, one, axis)
        rows.append(row | {"colour": colours[name], "difference": differences.get(name)})
    return {"axis": _ticks(axis, UNIT.factor), "rows": rows}


def _method_row(name: str, one: Mapping[str, Any], axis: Axis) -> dict[str, Any]:
    return {
        "name": name,
        "note": words_of(name),
        "mean": UNIT.plain(one["mean"]),
        "sd": "" if one["sd"] is None else f"± {UNIT.plain(one['sd'])}",
        "median": UNIT.plain(one["median"]),
        "subsets": len(one["errors"]),
        "strip": _strip(axis, one),
    }


def _strip(axis: Axis, one: Mapping[str, Any]) -> dict[str, Any]:
    spread = one["sd"] or 0.0
    low, high = axis.at(one["mean"] - spread), axis.at(one["mean"] + spread)
    dots = list(map(axis.at, one["errors"]))
    return {"centre": axis.at(one["mean"]), "low": low, "high": high, "dots": dots}


def _difference(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "delta": UNIT.signed(row["delta"]),
        "interval": interval_words(row["ci95"]),
        "alone": interval_words(row["ci95_replicates"]),
        "p_holm": p_value(row["p_holm"]),
        "outcome": row["outcome"],
        "words": outcome_words(row),
    }


def _learning_chart(
    result: Mapping[str, Any], counts: Sequence[str], colours: Mapping[str, str]
) -> dict[str, Any]:
    """Mean error against the number of labels, whiskers of one standard deviation."""
    left, right, top, bottom = CHART_EDGES
    values: list[float] = []
    for found in result["methods"].values():
        for one in found.values():
            values += [one["mean"], *one["errors"]]
    y = axis_of(values, bottom, top)
    numbers = tuple(map(float, counts))
    # Some room at both sides; every number of labels is its own tick.
    x = Axis(numbers[0] / 1.15, numbers[-1] * 1.15, numbers, left, right, logarithmic=True)
    lines = _learning_lines(result["methods"], colours, x, y)
    return {
        "size": CHART,
        "edges": CHART_EDGES,
        "x": _ticks(x),
        "y": _ticks(y, UNIT.factor),
        "lines": lines,
    }


def _learning_lines(
    methods: Mapping[str, Any], colours: Mapping[str, str], x: Axis, y: Axis
) -> list[dict[str, Any]]:
    """Methods side by side, as their whiskers would hide each other; the default one on top."""
    middle = (len(methods) - 1) / 2
    lines = []
    for index, (name, found) in enumerate(methods.items()):
        shift = WHISKER_SHIFT * (index - middle)
        beside = replace(x, start=x.start + shift, end=x.end + shift)
        lines.append(_learning_line(name, found, colours[name], beside, y))
    return sorted(lines, key=lambda line: bool(line["colour"] == "default"))


def _learning_line(
    name: str, found: Mapping[str, Any], colour: str, x: Axis, y: Axis
) -> dict[str, Any]:
    points = []
    for labels, one in sorted(found.items(), key=lambda item: int(item[0])):
        points.append(_learning_point(name, labels, one, x, y))
    return {"colour": colour, "path": _path([(p["x"], p["y"]) for p in points]), "points": points}


def _learning_point(
    name: str, labels: str, one: Mapping[str, Any], x: Axis, y: Axis
) -> dict[str, Any]:
    spread = one["sd"] or 0.0
    return {
        "x": x.at(float(labels)),
        "y": y.at(one["mean"]),
        "low": y.at(one["mean"] - spread),
        "high": y.at(one["mean"] + spread),
        "words": f"{name}, {labels} labels: {UNIT.shown(one['mean'])}",
    }


def _training_cards(
    method: str, trainings: Sequence[Mapping[str, Any]], colour: str
) -> list[dict[str, Any]]:
    """One small chart for each value that a method named, with the most labels it was run with, a
    line per subset.
    """
    labels, curves = _curves_with_most_labels(method, trainings)
    cards = []
    for name in _value_names(curves):
        card = _training_card(name, curves)
        if card is not None:
            cards.append(
                card | {"method": method, "value": name, "labels": labels, "colour": colour}
            )
    return cards


def _curves_with_most_labels(
    method: str, trainings: Sequence[Mapping[str, Any]]
) -> tuple[int, list[Any]]:
    by_labels: dict[int, list[Any]] = {}
    for one in trainings:
        if one["method"] == method:
            by_labels.setdefault(one["labels"], []).append(one["curve"])
    most = max(by_labels, default=0)
    return most, by_labels.get(most, [])


def _value_names(curves: Sequence[Sequence[Mapping[str, Any]]]) -> list[str]:
    names: dict[str, None] = {}
    for curve in curves:
        for point in curve:
            names |= dict.fromkeys(point)
    names.pop("step", None)
    return list(names)


def _training_card(
    name: str, curves: Sequence[Sequence[Mapping[str, Any]]]
) -> dict[str, Any] | None:
    series: list[list[tuple[float, float]]] = []
    steps: list[float] = []
    values: list[float] = []
    for curve in curves:
        points = [(p["step"], p[name]) for p in curve if p.get(name) is not None]
        series.append(points)
        for step, value in points:
            steps.append(step)
            values.append(value)
    if not values:
        return None
    left, right, top, bottom = CARD_EDGES
    y, last = axis_of(values, bottom, top), max(steps)
    x = Axis(0.0, last, (), left, right, logarithmic=False)
    paths = []
    for one in series:
        paths.append(_path([(x.at(step), y.at(value)) for step, value in one]))
    return {
        "size": CARD,
        "paths": paths,
        "low": f"{y.low:.3g}",
        "high": f"{y.high:.3g}",
        "steps": f"{last:,}".replace(",", "\u202f"),
    }


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _ticks(axis: Axis, factor: float = 1.0) -> list[dict[str, Any]]:
    """Place and words of every tick; values are shown times the factor."""
    ticks = []
    for tick in axis.ticks:
        ticks.append({"at": axis.at(tick), "x": axis.at(tick), "label": f"{factor * tick:.4g}"})
    return ticks
