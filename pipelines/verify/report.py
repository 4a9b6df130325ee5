"""The cards of a verification report: the arms, and each metric against no extra data."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downstream.comparison import FEWEST_FOLDS, FEWEST_FOR_A_CLAIM
from downstream.metrics import POINTS
from pipelines.report.cards import (
    Card,
    Cell,
    Column,
    Light,
    Report,
    Row,
    Step,
    Table,
    comparison_table,
    strip_cell,
    ticks,
)
from pipelines.report.document import render_report
from pipelines.report.page import as_share, interval, scale_of
from pipelines.report.repeat import more_steps
from pipelines.verify.scores import BASELINE, METRICS, REAL_PEOPLE, outcome_words
from pipelines.verify.tables import INTERVALS, TITLES, how_it_was_measured

KINDS = {BASELINE: "plain", REAL_PEOPLE: "classical"}
"""Colours of the arms without a generator."""


LIGHTS: Mapping[Light, str] = {
    "green": "Extra images help with strangers",
    "amber": "No gain shown",
    "red": "Extra images do harm",
}


def verify_report(result: Mapping[str, Any], folder: Path = Path("RUN")) -> str:
    """The report of one verification run as HTML text.

    Args:
        result: The contents of ``verify.json``.
        folder: Of the run, for the commands to copy.
    """
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
        footer="Every arm trains for the same number of steps. Nobody in the scored pairs is among "
        "the training images of this run or of our generators. The run cannot tell whom trained "
        "weights, or the maker of an imported set, saw before.",
        lights=LIGHTS,
        steps=_steps(result, folder),
    )
    return render_report(result, report)


def _steps(result: Mapping[str, Any], folder: Path) -> list[Step]:
    """What would decide more."""
    rows, run = result["comparisons"], shlex.quote(str(folder))
    if not rows:
        words = "Give a synthetic set as an arm."
        return [Step(words, f"augmentor verify {run} --synthetic FOLDER_OF_THE_SET")]
    if len(result["pairs"]["folds"]) < FEWEST_FOLDS:
        few = f"Fewer than {FEWEST_FOLDS} folds decide nothing. Leave more out of --train-folds."
        return [Step(few)]
    most = max((row["needed"] or 0 for row in rows if row["outcome"] == "undecided"), default=0)
    wanted = max(most, FEWEST_FOR_A_CLAIM)
    if wanted <= result["replicates"]:
        return [Step("More replicates would tell little. Add people to the pairs, or other sets.")]
    seed = result.get("setup", {}).get("seed", 0)
    return more_steps("verify", folder, "replicates", (result["replicates"], wanted), seed)


def _arms(result: Mapping[str, Any]) -> Table:
    values: list[float] = []
    for arm in result["arms"].values():
        values += [*arm["accuracy"]["scores"], *as_share(arm["accuracy"]["ci95_people"])]
    axis, rows, counts = scale_of(values), [], ("images", "people", "synthetic")
    for name, arm in result["arms"].items():
        one = arm["accuracy"]
        cells = [strip_cell(axis, one["mean"], as_share(one["ci95_people"]), one["scores"])]
        cells += [Cell(f"{arm[key]:,}") for key in counts]
        for metric in METRICS:
            words = interval(as_share(arm[metric]["ci95_people"]), POINTS.plain)
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
