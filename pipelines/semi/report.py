"""The report of a semi run: one HTML file that needs nothing else, verdict first, then tables and
curves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    signed_points,
)
from pipelines.semi.scores import outcome_of_errors
from pipelines.semi.tables import label_counts

CHART = (760, 330)
CHART_EDGES = (56, 744, 14, 290)  # left, right, top, bottom of the plotted area
CARD = (300, 110)
CARD_EDGES = (4, 296, 6, 92)
WHISKER_SHIFT = 6
COLOURS = 7  # of the methods beside the default one, as named in the template
NOTES = {
    "supervised": "the labelled images as they are",
    "classical": "the labelled images with classical augmentation",
    "pseudo_label": "unlabelled images with predicted labels, classical augmentation",
    "fixmatch": "weakly and strongly augmented views of an unlabelled image must agree",
    "graph_fixmatch": "FixMatch that begins with the clearest labels of a graph of similar images",
    "improved_gan": "K + 1 classes, fakes of a generator trained along by feature matching",
    "head_cvae_gan": "K + 1 classes, fakes of a trained CVAE-GAN",
}


def write_semi_report(
    path: Path, result: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]
) -> None:
    """Write the report of one semi run.

    Args:
        path: The HTML file to write.
        result: The contents of ``semi.json``.
        cells: The cells behind it, for the curves of the trainings.
    """
    write_text(path, render_semi_report(result, cells))


def render_semi_report(result: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> str:
    """The report as HTML text; see ``write_semi_report``."""
    counts, colours = label_counts(result), _colours(result)
    return render_page(
        "semi_report.html.j2",
        result=result,
        verdict=result["verdict"].partition(": "),
        tuned=result["scored_on"] != "test",
        tables=[_table(result, n, colours) for n in counts],
        colours=colours,
        learning=_learning_chart(result, counts, colours) if len(counts) > 1 else None,
        trainings=[
            card
            for name in result["methods"]
            for card in _training_cards(name, cells, colours[name])
        ],
        seconds={name: duration(value) for name, value in result["seconds"].items()},
    )


def _colours(result: Mapping[str, Any]) -> dict[str, str]:
    """Method -> name of a colour in the template; the default method has one of its own."""
    default = result["default_method"]
    others = [name for name in result["methods"] if name != default]
    return {name: f"m{index % COLOURS}" for index, name in enumerate(others)} | {default: "default"}


def _table(result: Mapping[str, Any], labels: str, colours: Mapping[str, str]) -> dict[str, Any]:
    """The methods with one number of labels, the best mean first."""
    found = {name: one[labels] for name, one in result["methods"].items() if labels in one}
    differences = {
        row["baseline"]: row for row in result["differences"] if str(row["labels"]) == labels
    }
    axis = axis_of(
        (e for one in found.values() for e in one["errors"]), MARGIN, STRIP_WIDTH - MARGIN
    )
    rows = [
        {
            "name": name,
            "note": NOTES.get(name, ""),
            "colour": colours[name],
            "mean": _percent(one["mean"]),
            "sd": "" if one["sd"] is None else f"± {_percent(one['sd'])}",
            "median": _percent(one["median"]),
            "subsets": len(one["errors"]),
            "strip": _strip(axis, one),
            "difference": _difference(differences.get(name)),
        }
        for name, one in sorted(found.items(), key=lambda item: item[1]["mean"])
    ]
    ticks = [{"x": axis.at(tick), "label": _tick(tick)} for tick in axis.ticks]
    return {"labels": labels, "axis": ticks, "rows": rows}


def _strip(axis: Axis, one: Mapping[str, Any]) -> dict[str, Any]:
    spread = one["sd"] or 0.0
    low, high = axis.at(one["mean"] - spread), axis.at(one["mean"] + spread)
    return {
        "centre": axis.at(one["mean"]),
        "low": low,
        "high": high,
        "dots": [axis.at(e) for e in one["errors"]],
    }


def _difference(row: Mapping[str, Any] | None) -> dict[str, str] | None:
    if row is None:
        return None
    interval = (
        "–" if row["ci95"] is None else " to ".join(signed_points(end, 2) for end in row["ci95"])
    )
    p_holm = p_value(row.get("p_holm"))
    return {
        "delta": signed_points(row["delta"], 2),
        "interval": interval,
        "p_holm": p_holm,
        "outcome": outcome_of_errors(row),
    }


def _learning_chart(
    result: Mapping[str, Any], counts: Sequence[str], colours: Mapping[str, str]
) -> dict[str, Any]:
    """Mean error against the number of labels, whiskers of one standard deviation."""
    left, right, top, bottom = CHART_EDGES
    shown = [one for found in result["methods"].values() for one in found.values()]
    y = axis_of((e for one in shown for e in (one["mean"], *one["errors"])), bottom, top)
    numbers = tuple(float(n) for n in counts)
    # Some room at both sides; every number of labels is its own tick.
    x = Axis(numbers[0] / 1.15, numbers[-1] * 1.15, numbers, left, right, logarithmic=True)
    middle = (
        len(result["methods"]) - 1
    ) / 2  # methods stand side by side, else their whiskers hide each other
    lines = [
        _learning_line(
            name, found, colours[name], replace(x, start=x.start + shift, end=x.end + shift), y
        )
        for index, (name, found) in enumerate(result["methods"].items())
        for shift in [WHISKER_SHIFT * (index - middle)]
    ]
    return {
        "size": CHART,
        "edges": CHART_EDGES,
        "x": [{"at": x.at(n), "label": f"{n:g}"} for n in numbers],
        "y": [{"at": y.at(tick), "label": _tick(tick)} for tick in y.ticks],
        "lines": sorted(
            lines, key=lambda line: bool(line["colour"] == "default")
        ),  # the default is drawn on top
    }


def _learning_line(
    name: str, found: Mapping[str, Any], colour: str, x: Axis, y: Axis
) -> dict[str, Any]:
    points = [
        _learning_point(name, n, one, x, y)
        for n, one in sorted(found.items(), key=lambda item: int(item[0]))
    ]
    return {"colour": colour, "path": _path((p["x"], p["y"]) for p in points), "points": points}


def _learning_point(
    name: str, labels: str, one: Mapping[str, Any], x: Axis, y: Axis
) -> dict[str, Any]:
    spread = one["sd"] or 0.0
    low, high = y.at(one["mean"] - spread), y.at(one["mean"] + spread)
    words = f"{name}, {labels} labels: {_percent(one['mean'])} %"
    return {
        "x": x.at(float(labels)),
        "y": y.at(one["mean"]),
        "low": low,
        "high": high,
        "words": words,
    }


def _training_cards(
    method: str, cells: Sequence[Mapping[str, Any]], colour: str
) -> list[dict[str, Any]]:
    """One small chart for each value that a method named, with the most labels it was run with, a
    line a subset.
    """
    own = [cell for cell in cells if cell["method"] == method]
    labels = max((cell["labels"] for cell in own), default=0)
    curves = [cell["curve"] for cell in own if cell["labels"] == labels]
    names = dict.fromkeys(
        name for curve in curves for point in curve for name in point if name != "step"
    )
    return [
        card | {"method": method, "value": name, "labels": labels, "colour": colour}
        for name in names
        if (card := _training_card(name, curves)) is not None
    ]


def _training_card(
    name: str, curves: Sequence[Sequence[Mapping[str, float | None]]]
) -> dict[str, Any] | None:
    series = [[(p["step"], p[name]) for p in curve if p.get(name) is not None] for curve in curves]
    flat: list[Any] = [point for one in series for point in one]
    if not flat:
        return None
    left, right, top, bottom = CARD_EDGES
    y = axis_of((value for _, value in flat), bottom, top)
    last = max(step for step, _ in flat)
    x = Axis(0.0, last, (), left, right, logarithmic=False)
    paths = [_path((x.at(step), y.at(value)) for step, value in one) for one in series]  # type: ignore[arg-type]
    low, high = (f"{end:.3g}" for end in (y.low, y.high))
    return {
        "size": CARD,
        "paths": paths,
        "low": low,
        "high": high,
        "steps": f"{last:,}".replace(",", "\u202f"),
    }


def _path(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _percent(error: float) -> str:
    return f"{100 * error:.2f}"


def _tick(error: float) -> str:
    return f"{100 * error:.4g}"
