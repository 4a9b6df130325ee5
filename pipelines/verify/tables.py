"""The result of ``augmentor verify`` as a table for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from downstream.metrics import POINTS
from pipelines.report.markdown import escaped
from pipelines.report.page import as_share, interval, p_value
from pipelines.report.terminal import plain_table
from pipelines.verify.scores import BASELINE, METRICS, outcome_words

TITLES = dict(zip(METRICS, ("accuracy", "ROC AUC", "TAR, FAR 1 %", "TAR, FAR 0.1 %"), strict=True))
COLUMNS = ("trained on", "images", "people", *TITLES.values())


def verify_table(result: Mapping[str, Any]) -> str:
    """The arms as plain text, in percent, with intervals over people."""
    return plain_table(COLUMNS, _arms(result))


def _arms(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The cells of every arm."""
    rows = []
    for name, arm in result["arms"].items():
        cells = [name, str(arm["images"]), str(arm["people"])]
        for metric in METRICS:
            mean = POINTS.plain(arm[metric]["mean"])
            people = interval(as_share(arm[metric]["ci95_people"]), POINTS.plain)
            cells.append(f"{mean} ({people})")
        rows.append(tuple(cells))
    return rows


def as_markdown(result: Mapping[str, Any]) -> str:
    """The result as a page to read."""
    advice, lines = result["verdict"]["advice"], result["verdict"]["lines"]
    parts = [
        f"# Verification: {escaped(result['dataset'])}, pairs of "
        f"{escaped(result['pairs']['name'])}",
        escaped(advice),
        "\n".join(f"- {escaped(line)}" for line in lines),
        how_it_was_measured(result),
        _arms_in_markdown(result),
    ]
    if result["comparisons"]:
        parts += [f"Against {BASELINE}. {INTERVALS}", _comparisons(result)]
    parts.append(_origin(result))
    return "\n\n".join(parts) + "\n"


INTERVALS = (
    "Differences within replicates, in points. The first interval, which decides, lets replicates "
    "and people vary and is corrected for training images that replicates share; the second lets "
    "replicates alone vary, the third people alone. Holm's p allows for the number of arms."
)


def how_it_was_measured(result: Mapping[str, Any]) -> str:
    """What was scored, by what, and what the metrics mean."""
    pairs, replicates = result["pairs"], result["replicates"]
    times = "1 replicate" if replicates == 1 else f"{replicates} replicates"
    return (
        f"{pairs['same']:,} pairs of one person and {pairs['different']:,} of two: "
        f"{pairs['people']:,} people in {len(pairs['folds'])} folds, none of whom is among "
        f"the training images. Network {result['network']}, {result['head']}, "
        f"{result['steps']:,} steps for every arm, {times}. Means in percent, with "
        "intervals over people (folds). A pair counts as one person above a threshold: the one "
        "that is best on the other folds (accuracy), or the lowest at which at most 1 or "
        "0.1 % of the pairs of two people are accepted (TAR at FAR)."
    )


def _arms_in_markdown(result: Mapping[str, Any]) -> str:
    lines = [f"| {' | '.join(COLUMNS)} |", f"|---|{'---:|' * (len(COLUMNS) - 1)}"]
    for name, *cells in _arms(result):
        lines.append(f"| {' | '.join([escaped(name), *cells])} |")
    return "\n".join(lines)


def _comparisons(result: Mapping[str, Any]) -> str:
    lines = [
        "| arm | metric | difference | 95 % interval | replicates alone | people alone | Holm p "
        "| outcome |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for row in result["comparisons"]:
        cells = [escaped(row["arm"]), TITLES[row["metric"]], POINTS.signed(row["delta"])]
        for key in ("ci95", "ci95_replicates", "ci95_people"):
            cells.append(interval(row[key], POINTS.signed))
        cells += [p_value(row["p_holm"]), outcome_words(row)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _origin(result: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return f"## Made by\n\n`{result['command']}`\n\n{result['device']}; {versions}."
