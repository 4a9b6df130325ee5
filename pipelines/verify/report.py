"""What ``verify`` found, in words and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from downstream.comparison import FEWEST_FOR_A_CLAIM

BASELINE = "no extra data"
REAL_PEOPLE = "real_people"
METRICS = ("accuracy", "auc", "tar_at_far_1e-2", "tar_at_far_1e-3")
TITLES = dict(zip(METRICS, ("accuracy", "ROC AUC", "TAR, FAR 1 %", "TAR, FAR 0.1 %"), strict=True))


def verdict(result: Mapping[str, Any]) -> dict[str, Any]:
    """``advice``: what helps, if anything; ``lines``: the network, and what each arm adds to its
    accuracy.
    """
    base = result["arms"][BASELINE]["accuracy"]["mean"]
    rows = [row for row in result["comparisons"] if row["metric"] == "accuracy"]
    better = [row["arm"] for row in rows if row["outcome"] == "better"]
    lines = [f"without extra data: {100 * base:.1f} % of the pairs are judged rightly"]
    for row in rows:
        lines.append(f"{row['arm']}: {100 * row['delta']:+.1f} points ({_shown(row)})")
    if rows and result["replicates"] < FEWEST_FOR_A_CLAIM:
        lines.append(f"preliminary: a claim needs {FEWEST_FOR_A_CLAIM} replicates")
    if better:
        advice = f"Train with {' or '.join(better)}: it raises the accuracy on strangers."
    elif rows:
        advice = "No gain from the extra data was found."
    else:
        advice = "Nothing was compared: give --synthetic or --train-folds."
    return {"advice": advice, "lines": lines}


def _shown(row: Mapping[str, Any]) -> str:
    if row["ci95"] is None:
        return "one replicate, so no interval"
    low, high = (100 * bound for bound in row["ci95"])
    return f"95 % interval {low:+.1f} to {high:+.1f}: {row['outcome']}"


def verify_table(result: Mapping[str, Any]) -> str:
    """The arms as a table in Markdown, in percent, with intervals over people."""
    lines = [
        "| trained on | images | people | " + " | ".join(TITLES.values()) + " |",
        "|---|---:|---:|" + "---:|" * len(METRICS),
    ]
    for name, arm in result["arms"].items():
        cells = [_percent(arm[metric]["mean"], arm[metric]["ci95_people"]) for metric in METRICS]
        lines.append(f"| {name} | {arm['images']} | {arm['people']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def as_markdown(result: Mapping[str, Any]) -> str:
    """The result as a page to read."""
    p, versions = result["pairs"], ", ".join(f"{n} {v}" for n, v in result["versions"].items())
    lines = [
        f"# Verification: {result['dataset']}, pairs of {p['name']}\n",
        f"{result['verdict']['advice']}\n",
        "".join(f"- {line}\n" for line in result["verdict"]["lines"]),
        f"{p['same']} pairs of one person and {p['different']} of two, {p['people']} people in "
        f"{len(p['folds'])} "
        f"folds, none of them trained on. Network {result['network']}, {result['head']}, "
        f"{result['steps']} steps for "
        f"every row, {result['replicates']} replicates. Means in percent, with intervals over "
        "people (folds). "
        "A pair is accepted above a threshold chosen on the other folds (accuracy), or above that "
        "at which at most "
        "1 or 0.1 % of all different pairs are (TAR at FAR).\n",
        verify_table(result),
        "",
    ]
    if result["comparisons"]:
        lines += [
            f"Against {BASELINE}, in points: intervals over replicates (paired t) and over "
            "people.\n",
            "| arm | metric | difference | over replicates | over people "
            "|\n|---|---|---:|---:|---:|",
            *(_difference_line(row) for row in result["comparisons"]),
            "",
        ]
    return "\n".join(
        [*lines, f"## Made by\n\n`{result['command']}`\n\n{result['device']}; {versions}.\n"]
    )


def _difference_line(row: Mapping[str, Any]) -> str:
    over = "–" if row["ci95"] is None else _points(row["ci95"])
    cells = (
        row["arm"],
        TITLES[row["metric"]],
        f"{100 * row['delta']:+.1f}",
        over,
        _points(row["ci95_people"]),
    )
    return f"| {' | '.join(cells)} |"


def _points(interval: Sequence[float]) -> str:
    return f"{100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}"


def _percent(mean: float, interval: Sequence[float]) -> str:
    return f"{100 * mean:.1f} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"
