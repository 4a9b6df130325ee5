"""The tables of one published run, by kind of result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from downstream.metrics import METRICS, POINTS
from pipelines.evaluate.tables import COLUMNS, Column
from pipelines.report.page import as_share, p_value
from pipelines.summary.read import Document, direction, unit_of
from pipelines.summary.tables import Table

PAIR_METRICS = {
    "accuracy": "accuracy",
    "auc": "ROC AUC",
    "tar_at_far_1e-2": "TAR at FAR 1 %",
    "tar_at_far_1e-3": "TAR at FAR 0.1 %",
}
SHOWN = ("top1", "inception_score", "fid", "precision", "recall", "diversity", "cas")
MEASURES = {key: COLUMNS[key] for key in SHOWN} | {
    "train_seconds_per_1000": Column(
        "s per 1,000 steps", "s/1000", "↓", "time of training", digits=0
    )
}
"""Columns of a comparison of families."""


def _gain_tables(document: Document) -> list[Table]:
    return [_arms(document), _comparisons(document)]


def _arms(document: Document) -> Table:
    others = [name for name in document["metrics"] if name != document["metric"]]
    unit = unit_of(document["metric"])
    rows = []
    for name, arm in arms_best_first(document):
        cells = [name, _what(document, name), unit.plain(arm["mean"])]
        cells.append(_span(unit, arm["ci95"], signed=False))
        for other in others:
            cells.append(unit_of(other).plain(arm["metrics"][other]["mean"]))
        rows.append(tuple(cells))
    heads = map(_head, others)
    columns = ("arm", "what it is", _head(document["metric"]), "95 % interval", *heads)
    lead = "" if direction(document["metric"]) > 0 else "Lower is better."
    return Table("Arms", lead, columns, tuple(rows), words=2)


def arms_best_first(document: Document) -> list[tuple[str, Mapping[str, Any]]]:
    """The arms of a gain run by their mean."""
    sign = direction(document["metric"])
    return sorted(document["arms"].items(), key=lambda one: -sign * float(one[1]["mean"]))


def _head(metric: str) -> str:
    return f"{words_of(metric)}, {unit_of(metric).sign}"


def words_of(metric: str) -> str:
    """A metric's name in sentences."""
    return METRICS[metric].words if metric in METRICS else metric


def _what(document: Document, arm: str) -> str:
    """What a run's own arm is; the arms that every run may have are told in the docs."""
    if arm == "auto" and document["policy"]:
        return str(document["policy"]["name"])
    variant = document["bases"].get(arm)
    words = document["mixtures"].get(arm) or (f"a variant of {variant}" if variant else "")
    return "" if words == arm else str(words)


def _span(unit: Any, interval: Sequence[float] | None, *, signed: bool) -> str:
    if not interval:
        return "–"
    return " to ".join(map(unit.signed if signed else unit.plain, interval))


def _comparisons(document: Document) -> Table:
    rows = []
    for row in document["comparisons"]:
        if row["metric"] == document["metric"]:
            rows.append(_comparison_cells(row))
    lead = (
        "Differences within replicates, in points (one point is 0.01) or in the unit of the "
        "metric; Holm p is corrected over all comparisons of the run."
    )
    columns = ("arm − baseline", "outcome", "difference", "95 % interval", "Holm p")
    return Table("Comparisons", lead, columns, tuple(rows), words=2)


def _comparison_cells(row: Document) -> tuple[str, ...]:
    unit = unit_of(row["metric"])
    outcome = row["outcome"]
    if row.get("needed"):
        outcome += f", about {row['needed']} replicates would decide"
    delta, span = unit.signed(row["delta"]), _span(unit, row["ci95"], signed=True)
    return (f"{row['arm']} − {row['baseline']}", outcome, delta, span, p_value(row["p_holm"]))


def _verify_tables(document: Document) -> list[Table]:
    arms = []
    for name, arm in document["arms"].items():
        cells = [name, str(arm["images"]), str(arm["people"])]
        for metric in PAIR_METRICS:
            span = _span(POINTS, as_share(arm[metric]["ci95_people"]), signed=False)
            cells.append(f"{POINTS.plain(arm[metric]['mean'])} ({span})")
        arms.append(tuple(cells))
    columns = ("trained on", "images", "people", *PAIR_METRICS.values())
    lead = "Means in percent, with 95 % intervals over people."
    return [Table("Arms", lead, columns, tuple(arms), words=1), _verify_comparisons(document)]


def _verify_comparisons(document: Document) -> Table:
    """Comparisons of arms; in files of schema 1 ``ci95`` lets replicates alone vary."""
    old, rows = document["schema"] == 1, []
    for row in document["comparisons"]:
        interval = _span(POINTS, row["ci95"], signed=True)
        people = _span(POINTS, row["ci95_people"], signed=True)
        pair = (f"{row['arm']} − {row['baseline']}", PAIR_METRICS[row["metric"]], row["outcome"])
        told = (POINTS.signed(row["delta"]), interval, people, p_value(row["p_holm"]))
        rows.append((*pair, *told))
    columns = ("arm − baseline", "metric", "outcome", "points")
    intervals = ("over replicates" if old else "95 % interval", "over people", "Holm p")
    lead = "The first interval, which decides, lets replicates and people vary."
    if old:
        lead = "The interval over replicates decides."
    return Table("Comparisons", lead, (*columns, *intervals), tuple(rows))


def _semi_tables(document: Document) -> list[Table]:
    labels = sorted(set().union(*document["methods"].values()), key=int)
    rows = []
    for method, found in document["methods"].items():
        rows.append((method, *(_errors(found.get(count)) for count in labels)))
    columns = ("method", *(f"{count} labels" for count in labels))
    lead = "Error in percent: mean ± standard deviation over labelled subsets (their number)."
    return [Table("Errors", lead, columns, tuple(rows), words=1), _differences(document)]


def _errors(found: Document | None) -> str:
    if found is None:
        return "–"
    spread = "" if found["sd"] is None else f" ± {100 * found['sd']:.2f}"
    return f"{100 * found['mean']:.2f}{spread} ({len(found['errors'])})"


def _differences(document: Document) -> Table:
    rows = []
    for row in document["differences"]:
        pair = (f"{row['method']} − {row['baseline']}", row["outcome"], str(row["labels"]))
        told = (POINTS.signed(row["delta"]), _span(POINTS, row["ci95"], signed=True))
        rows.append((*pair, str(row.get("pairs", "")), *told, p_value(row.get("p_holm"))))
    columns = ("method − baseline", "outcome", "labels", "subsets")
    numbers = ("points", "95 % interval", "Holm p")
    lead = "Below zero the first makes fewer errors."
    return Table("Differences", lead, (*columns, *numbers), tuple(rows), words=2)


def _compare_tables(document: Document) -> list[Table]:
    rows = [("real data", "", *_measures(document["real"]))]
    for name in document["rows"]:
        family = document["families"][name]
        budget = "" if family["equal_budget"] else f"{family['step']:,} steps"
        rows.append((name, budget, *_measures(family)))
    columns = ("row", "other budget", *(column.title for column in MEASURES.values()))
    judge = document["judge"]
    lead = (
        f"One judge for all rows ({judge['steps']:,} steps), {document['samples']:,} images per "
        "row; numbers in its features cannot be compared with those of another judge."
    )
    return [Table("Families", lead, columns, tuple(rows), words=2)]


def _measures(row: Document) -> list[str]:
    return [column.shown(row.get(key)) for key, column in MEASURES.items()]


TABLES = {
    "gain": _gain_tables,
    "verify": _verify_tables,
    "semi": _semi_tables,
    "compare": _compare_tables,
}
"""The kinds whose pages are made here; the others keep the page that their job wrote."""
