"""The cards of a verification report: the arms, and each metric against no extra data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from downstream.metrics import POINTS
from pipelines.report.cards import (
    Card,
    Cell,
    Column,
    Report,
    Row,
    Table,
    comparison_table,
    render_report,
    strip_cell,
    ticks,
)
from pipelines.report.page import interval, scale_of
from pipelines.verify.scores import BASELINE, METRICS, REAL_PEOPLE, outcome_words
from pipelines.verify.tables import INTERVALS, TITLES, how_it_was_measured

KINDS = {BASELINE: "plain", REAL_PEOPLE: "classical"}
"""Colours of the arms without a generator."""


def verify_report(result: Mapping[str, Any]) -> str:
    """The report of one verification run, the contents of ``verify.json``, as HTML text."""
    cards: list[Card] = [_arms(result)]
    keys = ("ci95", "ci95_replicates", "ci95_people", "p_holm")
    for metric, title in TITLES.items():
        rows = [row for row in result["comparisons"] if row["metric"] == metric]
        if rows:
            title = f"{title[0].upper()}{title[1:]}, against {BASELINE}"
            lead = INTERVALS if len(cards) == 1 else ""
            cards.append(comparison_table(title, rows, POINTS, outcome_words, keys=keys, lead=lead))
    times = result["replicates"]
    report = Report(
        title=f"Verification on {result['dataset']}",
        eyebrow=f"pairs of {result['pairs']['name']} · {times} replicate{'s' * (times > 1)}",
        cards=cards,
        footer="Every arm trains for the same number of steps. Nobody in the scored pairs was "
        "learned from, by a network or by a source of synthetic images.",
    )
    return render_report(result, report)


def _arms(result: Mapping[str, Any]) -> Table:
    values: list[float] = []
    for arm in result["arms"].values():
        values += [*arm["accuracy"]["scores"], *arm["accuracy"]["ci95_people"]]
    axis, rows, counts = scale_of(values), [], ("images", "people", "synthetic")
    for name, arm in result["arms"].items():
        one = arm["accuracy"]
        cells = [strip_cell(axis, one["mean"], one["ci95_people"], one["scores"])]
        cells += [Cell(f"{arm[key]:,}") for key in counts]
        for metric in METRICS:
            words = interval(arm[metric]["ci95_people"], POINTS.plain)
            cells.append(Cell(POINTS.plain(arm[metric]["mean"]), words, best=True))
        rows.append(Row(name, cells, KINDS.get(name, "synthetic")))
    axis_ticks = ticks(axis, POINTS.factor)
    columns: list[Column] = ["trained on", axis_ticks, *counts, *TITLES.values()]
    lead = (
        f"{how_it_was_measured(result)} The strip shows the accuracy: pale dots are replicates, "
        "the large dot is their mean, the whisker its interval over people. People who are hard "
        "are hard for every arm: to compare two arms, read the next tables."
    )
    return Table("Arms", columns, rows, lead)
