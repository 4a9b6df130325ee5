"""The result of ``augmentor gain`` as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from downstream.metrics import METRICS
from pipelines.report.page import scored_words

WIDTH = 80
"""Columns of a terminal."""


def gain_table(result: Mapping[str, Any]) -> str:
    """The arms and comparisons of a result as plain text."""
    lines = [f"On {scored_words(result['scored_on'])}:", *_arm_lines(result)]
    if result["comparisons"]:
        lines += ["", *_comparison_lines(result)]
    return "\n".join(lines)


def _arm_lines(result: Mapping[str, Any]) -> list[str]:
    """The arms by the metric that decides, and by others as far as a line of ``WIDTH`` has room."""
    metric = METRICS[result["metric"]]
    others = [METRICS[name] for name in result["metrics"] if name != metric.name]
    width = max(len(name) for name in result["arms"])
    shown = metric.unit.plain
    head = f"{'arm':<{width}}  {metric.words:>17}  {'95 % interval':<14}"
    others = others[: max(0, (WIDTH - len(head)) // 20)]
    for other in others:
        head += f"  {other.words[:18]:>18}"
    lines = [head.rstrip()]
    for name, arm in result["arms"].items():
        interval = "–" if arm["ci95"] is None else " to ".join(map(shown, arm["ci95"]))
        line = f"{name:<{width}}  {shown(arm['mean']):>17}  {interval:<14}"
        for other in others:
            line += f"  {other.unit.plain(arm['metrics'][other.name]['mean']):>18}"
        lines.append(line.rstrip())
    return lines


def _comparison_lines(result: Mapping[str, Any]) -> list[str]:
    metric, rows = METRICS[result["metric"]], result["comparisons"]
    shown = metric.unit.signed
    names = [f"{row['arm']} - {row['baseline']}" for row in rows]
    title = f"difference, {metric.unit.name}"
    width = max(map(len, [*names, title]))
    lines = [f"{title:<{width}}          95 % interval    Holm p  outcome"]
    for name, row in zip(names, rows, strict=True):
        interval = "–" if row["ci95"] is None else " to ".join(map(shown, row["ci95"]))
        p = "–" if row["p_holm"] is None else f"{row['p_holm']:.3f}"
        line = f"{name:<{width}}  {shown(row['delta']):>6}   {interval:<15}  {p:>6}"
        lines.append(f"{line}  {row['outcome']}")
    for name, row in zip(names, rows, strict=True):
        if row["needed"]:
            lines.append(f"{name}: about {row['needed']} replicates would decide")
    return lines
