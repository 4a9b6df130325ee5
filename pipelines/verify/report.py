"""The report of a verification run: one HTML file that needs nothing else, verdict first, then
tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from augmentor.common.atomic_files import write_text
from downstream.metrics import POINTS
from pipelines.report.page import Axis, duration, p_value, render_page, scale_of
from pipelines.verify.scores import BASELINE, METRICS, REAL_PEOPLE, outcome_words
from pipelines.verify.tables import (
    INTERVALS,
    TITLES,
    how_it_was_measured,
    percent_words,
    points_words,
)


def write_verify_report(path: Path, result: Mapping[str, Any]) -> None:
    """Write the report of one verification run.

    Args:
        path: The HTML file to write.
        result: The contents of ``verify.json``.
    """
    write_text(path, render_verify_report(result))


def render_verify_report(result: Mapping[str, Any]) -> str:
    """The report as HTML text; see ``write_verify_report``."""
    arm_axis = scale_of(_ends(result["arms"]))
    return render_page(
        "verify_report.html.j2",
        result=result,
        verdict=result["verdict"],
        measured=how_it_was_measured(result),
        intervals=INTERVALS,
        titles=TITLES,
        arm_axis=_ticks(arm_axis),
        arms=_arm_rows(result, arm_axis),
        tables=_comparison_tables(result),
        seconds={name: duration(value) for name, value in result["seconds"].items()},
    )


def _ends(arms: Mapping[str, Any]) -> list[float]:
    """All that the strips of the accuracy show."""
    values: list[float] = []
    for arm in arms.values():
        values += [*arm["accuracy"]["scores"], *arm["accuracy"]["ci95_people"]]
    return values


def _arm_rows(result: Mapping[str, Any], axis: Axis) -> list[dict[str, Any]]:
    rows = []
    for name, arm in result["arms"].items():
        cells = []
        for metric in METRICS:
            interval = percent_words(arm[metric]["ci95_people"])
            cells.append({"mean": POINTS.plain(arm[metric]["mean"]), "interval": interval})
        accuracy = arm["accuracy"]
        rows.append(
            {
                "name": name,
                "kind": _kind(name),
                "images": f"{arm['images']:,}",
                "people": f"{arm['people']:,}",
                "synthetic": f"{arm['synthetic']:,}",
                "strip": _strip(axis, accuracy["mean"], accuracy["ci95_people"])
                | {"dots": list(map(axis.at, accuracy["scores"]))},
                "cells": cells,
            }
        )
    return rows


def _kind(name: str) -> str:
    """Name of a colour in the template."""
    return {BASELINE: "plain", REAL_PEOPLE: "classical"}.get(name, "synthetic")


def _comparison_tables(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A table per metric."""
    tables = []
    for metric, title in TITLES.items():
        found = [row for row in result["comparisons"] if row["metric"] == metric]
        if found:
            tables.append(_comparison_table(title, found))
    return tables


def _comparison_table(title: str, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values = [0.0]
    for row in found:
        values += [row["delta"], *(row["ci95"] or ())]
    axis = scale_of(values)
    rows = []
    for row in found:
        rows.append(
            {
                "arm": row["arm"],
                "outcome": row["outcome"],
                "words": outcome_words(row),
                "strip": _strip(axis, row["delta"], row["ci95"]) | {"dots": []},
                "delta": POINTS.signed(row["delta"]),
                "interval": points_words(row["ci95"]),
                "replicates": points_words(row["ci95_replicates"]),
                "people": points_words(row["ci95_people"]),
                "p_holm": p_value(row["p_holm"]),
            }
        )
    return {"title": title, "axis": _ticks(axis), "zero": axis.at(0.0), "rows": rows}


def _strip(axis: Axis, centre: float, interval: Sequence[float] | None) -> dict[str, Any]:
    low, high = interval or (centre, centre)
    return {"centre": axis.at(centre), "low": axis.at(low), "high": axis.at(high)}


def _ticks(axis: Axis) -> list[dict[str, Any]]:
    return [{"x": axis.at(tick), "label": f"{100 * tick:.4g}"} for tick in axis.ticks]
