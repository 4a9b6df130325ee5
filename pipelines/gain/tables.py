"""The result of ``augmentor gain`` as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from downstream.metrics import METRICS
from pipelines.report.page import interval, scored_words
from pipelines.report.terminal import WIDTH, fold, plain_table

OTHER = 20
"""Columns that another metric takes."""


def gain_table(result: Mapping[str, Any]) -> str:
    """The arms and comparisons of a result as plain text."""
    lines = [f"On {scored_words(result['scored_on'])}:", _arms(result)]
    if result["comparisons"]:
        lines += ["", *_comparisons(result)]
    return "\n".join(lines)


def _arms(result: Mapping[str, Any]) -> str:
    """The arms by the metric that decides, and by others as far as there is room."""
    metric = METRICS[result["metric"]]
    others = [METRICS[name] for name in result["metrics"] if name != metric.name]
    used = max(map(len, result["arms"])) + len(metric.words) + OTHER
    others = others[: max(0, (WIDTH - used) // OTHER)]
    rows = []
    for name, arm in result["arms"].items():
        cells = [metric.unit.plain(arm["mean"]), interval(arm["ci95"], metric.unit.plain)]
        for other in others:
            cells.append(other.unit.plain(arm["metrics"][other.name]["mean"]))
        rows.append((name, *cells))
    titles = [other.words[: OTHER - 2] for other in others]
    return plain_table(("arm", metric.words, "95 % interval", *titles), rows)


def _comparisons(result: Mapping[str, Any]) -> list[str]:
    metric, rows, needed = METRICS[result["metric"]], [], []
    for row in result["comparisons"]:
        name = f"{row['arm']} -\u00a0{row['baseline']}"
        span = interval(row["ci95"], metric.unit.signed)
        p = "–" if row["p_holm"] is None else f"{row['p_holm']:.3f}"
        rows.append((name, metric.unit.signed(row["delta"]), span, p, row["outcome"]))
        if row["needed"]:
            pair = f"{row['arm']} - {row['baseline']}"
            needed += fold(f"{pair}: about {row['needed']} replicates would decide")
    head = (f"difference, {metric.unit.name}", "", "95 % interval", "Holm p", "outcome")
    return [plain_table(head, rows, left={4}), *needed]
