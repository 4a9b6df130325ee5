"""From the similarities of pairs to scores, comparisons and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from downstream import metrics
from downstream.comparison import (
    FEWEST_FOLDS,
    FEWEST_FOR_A_CLAIM,
    FEWEST_TO_DECIDE,
    ArmScores,
    Comparison,
    compare,
)
from downstream.metrics import POINTS, Metric, Outputs
from downstream.verification import (
    Figure,
    Verification,
    difference,
    mean_figure,
    measure_verification,
)
from pipelines.report.page import in_a_row

BASELINE = "no extra data"
REAL_PEOPLE = "real_people"

METRICS: dict[str, Metric] = {
    "accuracy": metrics.METRICS["verification_accuracy"],
    "auc": metrics.METRICS["verification_auc"],
    "tar_at_far_1e-2": metrics.METRICS["tar_at_far_1e-2"],
    "tar_at_far_1e-3": metrics.METRICS["tar_at_far_1e-3"],
}
"""Metric by its key in verify.json."""

ByArm = Mapping[str, Sequence[Outputs]]
"""Arm -> similarities of all pairs, one per replicate, the baseline first."""
Row = Mapping[str, Any]


def scored(outputs: ByArm, overlap: float) -> tuple[dict[str, dict[str, Any]], list[Row]]:
    """Scores of every arm, and every other arm against the baseline.

    Args:
        outputs: Of all arms.
        overlap: Share of the training images that two replicates have in common.

    Returns:
        By arm and metric the sections of ``arms`` in verify.json, and its ``comparisons``. ``ci95``
        lets replicates and people vary, ``ci95_people`` people alone; folds hold different people.
        An interval about which nothing is known is None. Holm's p allows for the arms, for each
        metric by itself.
    """
    pairs = [(name, BASELINE) for name in outputs if name != BASELINE]
    figures = {name: list(map(_figures, own)) for name, own in outputs.items()}
    arms: dict[str, dict[str, Any]] = {name: {} for name in outputs}
    rows: list[Row] = []
    for key, metric in METRICS.items():
        found, comparisons = compare(outputs, metric, pairs, overlap=overlap)
        for name, one in found.items():
            people = mean_figure([replicate[key] for replicate in figures[name]])
            arms[name][key] = _scores_json(one, people)
        for row in comparisons:
            rows.append(_row(row, key, figures))
    return arms, rows


def _figures(outputs: Outputs) -> dict[str, Figure]:
    """The metrics of one network, each with its values without one fold."""
    assert outputs.similarities is not None
    assert outputs.same is not None
    assert outputs.folds is not None
    found: Verification = measure_verification(outputs.similarities, outputs.same, outputs.folds)
    return dict(zip(METRICS, [found.accuracy, found.auc, *found.tar.values()], strict=True))


def _scores_json(scores: ArmScores, people: Figure) -> dict[str, Any]:
    row = {key: scores.to_json()[key] for key in ("mean", "scores", "ci95")}
    return row | {"ci95_people": list(people.ci95)}


def _row(
    comparison: Comparison, key: str, figures: Mapping[str, Sequence[Mapping[str, Figure]]]
) -> dict[str, Any]:
    """A comparison as verify.json has it; where nothing is known p is left out."""
    own = []
    for arm, base in zip(figures[comparison.arm], figures[comparison.baseline], strict=True):
        own.append(difference(arm[key], base[key]))
    row = comparison.to_json()
    row |= {"metric": key, "ci95_people": list(mean_figure(own).ci95)}
    if row["ci95"] is None:
        row |= {"p": None, "p_holm": None}
    return row


def verdict(result: Row) -> dict[str, Any]:
    """``light``: green if something raises the accuracy, red if all lower it, else amber;
    ``advice``: what raises it, if anything; ``lines``: the baseline, what each arm
    adds to it, and what to bear in mind.
    """
    base = result["arms"][BASELINE]["accuracy"]["mean"]
    rows = [row for row in result["comparisons"] if row["metric"] == "accuracy"]
    lines = [f"{BASELINE}: {POINTS.shown(base)} of the pairs are judged rightly"]
    lines += map(_line, rows)
    if rows and result["replicates"] < FEWEST_FOR_A_CLAIM:
        lines.append(f"preliminary: a claim needs {FEWEST_FOR_A_CLAIM} replicates")
    if rows and len(result["pairs"]["folds"]) < FEWEST_FOLDS:
        lines.append(f"to let people vary, {FEWEST_FOLDS} folds or more must be scored")
    if any(row["conditional"] for row in rows):
        lines.append("about these training images: every replicate has all of them")
    advice = _advice(result, rows)
    return {"light": _light(advice), "advice": advice, "lines": lines}


def _light(advice: str) -> str:
    if advice.startswith("Train without"):
        return "red"
    return "green" if advice.startswith("Train with") else "amber"


def _line(row: Row) -> str:
    interval = ""
    if row["ci95"] is not None:
        low, high = map(POINTS.signed, row["ci95"])
        interval = f" (95 % interval {low} to {high})"
    return f"{row['arm']}: {POINTS.shown_difference(row['delta'])}{interval}, {outcome_words(row)}"


def outcome_words(row: Row) -> str:
    """``better``, ``worse``, or ``undecided`` with what would decide."""
    if row["outcome"] != "undecided":
        return str(row["outcome"])
    if row["needed"]:
        return f"undecided; about {row['needed']} replicates would probably decide"
    if row["limited_by"]:
        limit = str(row["limited_by"]).replace("test images", "people in the pairs")
        return f"undecided; limited by the {limit}"
    return "undecided"


def _advice(result: Row, rows: Sequence[Row]) -> str:
    replicates = result["replicates"]
    if not rows:
        return "Nothing was compared: give --synthetic or --train-folds."
    if replicates < FEWEST_TO_DECIDE:
        few = "1 replicate is" if replicates == 1 else f"{replicates} replicates are"
        return f"No recommendation: {few} too few; run {FEWEST_TO_DECIDE} or more."
    by_outcome: dict[str, list[str]] = {"better": [], "worse": [], "undecided": []}
    for row in rows:
        by_outcome[row["outcome"]].append(row["arm"])
    named = {outcome: in_a_row(names, "or") for outcome, names in by_outcome.items()}
    if named["better"]:
        return f"Train with {named['better']}: it raises the accuracy on strangers."
    if named["undecided"]:
        return f"Undecided: no gain from {named['undecided']} was shown, and none was ruled out."
    return f"Train without {named['worse']}: it lowers the accuracy on strangers."
