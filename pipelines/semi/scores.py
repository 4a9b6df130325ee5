"""From what the methods say about the scored images to errors, paired differences and a verdict.
Lower is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median, stdev
from typing import Any

from downstream.comparison import FEWEST_FOR_A_CLAIM, FEWEST_TO_DECIDE, Comparison, compare
from downstream.metrics import METRICS, Outputs
from pipelines.report.page import in_a_row

ByLabels = Mapping[str, Mapping[int, Sequence[Outputs]]]
"""Method -> number of labels -> outputs, one per subset, subsets in one order for all."""

ERROR = METRICS["error"]
UNIT = replace(ERROR.unit, digits=2)
"""Errors of a few per mille are compared, so they have one digit more than elsewhere."""


def scores(errors: Sequence[float]) -> dict[str, Any]:
    """Errors of one method and number of labels as semi.json has them: with mean, median and sample
    deviation.
    """
    deviation = stdev(errors) if len(errors) > 1 else None
    return {
        "errors": list(errors),
        "mean": fmean(errors),
        "median": median(errors),
        "sd": deviation,
    }


def errors_of(outputs: ByLabels) -> dict[str, dict[str, dict[str, Any]]]:
    """``methods`` of semi.json: method -> number of labels -> ``scores``."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name, by_labels in outputs.items():
        found[name] = {}
        for labels, own in sorted(by_labels.items()):
            found[name][str(labels)] = scores(list(map(ERROR.of, own)))
    return found


def paired_differences(
    outputs: ByLabels, reference: str, overlaps: Mapping[int, float]
) -> list[dict[str, Any]]:
    """The reference minus every other method with the same number of labels, paired by subset.

    Args:
        outputs: Of all methods. Where one has fewer subsets, the first ones of the reference are
            its partners.
        reference: Name of the method that the others are compared with.
        overlaps: Share of labelled images that two subsets have in common, by number of labels.

    Returns:
        Rows of ``differences`` in semi.json: ``delta`` below zero means that the reference makes
        fewer errors. The p of Holm allows for the methods with the same number of labels. A single
        pair has neither an interval nor p.
    """
    rows = []
    for labels in sorted(outputs[reference]):
        found = {name: one[labels] for name, one in outputs.items() if labels in one}
        count = min(map(len, found.values()))
        paired = {name: one[:count] for name, one in found.items()}
        pairs = [(reference, name) for name in found if name != reference]
        _, comparisons = compare(paired, ERROR, pairs, overlap=overlaps[labels])
        for one in comparisons:
            rows.append(_row(one, labels, count))
    return rows


def _row(comparison: Comparison, labels: int, pairs: int) -> dict[str, Any]:
    row = comparison.to_json()
    method = row.pop("arm")
    row.pop("metric")
    if pairs == 1:
        row |= {"p": None, "p_holm": None}
    return {
        "method": method,
        "baseline": row.pop("baseline"),
        "labels": labels,
        "pairs": pairs,
    } | row


def verdict(result: Mapping[str, Any]) -> dict[str, Any]:
    """Which method to use, in one sentence, and the comparisons it rests on, one per line.

    The reference makes fewer errors than a method if it is better at every number of labels at
    which both ran: the whole 95 % interval, over subsets and scored images, lies below zero, and
    this outlasts the correction for the number of methods. Methods are compared with the reference
    alone, so of several that may be ahead of it none is advised.

    Args:
        result: ``methods``, ``differences``, ``default_method`` and ``scored_on`` of semi.json.

    Returns:
        ``light``: green if a method is advised, amber if not; ``advice`` and ``lines``.
    """
    lines = list(map(_line, result["differences"]))
    reference = result["default_method"]
    for labels, one in result["methods"][reference].items():
        lines.append(f"{reference}, {labels} labels: {_told(one)}")
    lines.append(_caution(result))
    advice = _advice(result)
    light = "green" if advice.startswith("Use ") else "amber"
    return {"light": light, "advice": advice, "lines": lines}


def _advice(result: Mapping[str, Any]) -> str:
    reference, rows = f"`{result['default_method']}`", result["differences"]
    if not rows:
        return f"Nothing to compare: {reference} ran alone."
    fewest = min(row["pairs"] for row in rows)
    if fewest < FEWEST_TO_DECIDE:
        subsets = "1 subset is" if fewest == 1 else f"{fewest} subsets are"
        return f"No recommendation: {subsets} too few; run {FEWEST_TO_DECIDE} or more."
    better, worse, undecided, mixed = _by_outcome(rows)
    if worse:
        return _ahead(reference, worse, [*mixed, *undecided])
    if not undecided and not mixed:
        return f"Use {reference}: it makes fewer errors than {joined(better)}."
    said = [f"{reference} makes fewer errors than {joined(better)}"] if better else []
    if mixed:
        said.append(f"the outcome against {joined(mixed)} depends on the number of labels")
    if undecided:
        said.append(f"undecided: {reference} against {joined(undecided)}")
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}.{_needed(rows)}"


def _ahead(reference: str, ahead: Sequence[str], open_: Sequence[str]) -> str:
    """What follows from methods being ahead of the reference, with which alone all are compared:
    one is the best only where no other may be ahead of the reference too.
    """
    if len(ahead) == 1 and not open_:
        return f"Use {joined(ahead)}: it makes fewer errors than {reference}."
    verb = "makes" if len(ahead) == 1 else "make"
    rivals = joined([*ahead, *open_])
    return (
        f"{joined(ahead)} {verb} fewer errors than {reference}; {rivals} were not compared with "
        "each other."
    )


def _by_outcome(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], ...]:
    """The other methods than which the reference is better or worse at all numbers of labels,
    those it is not told from at some, and those it is better and worse than.
    """
    seen: dict[str, set[str]] = {}
    for row in rows:
        seen.setdefault(row["baseline"], set()).add(row["outcome"])
    found: dict[str, list[str]] = {"better": [], "worse": [], "undecided": [], "mixed": []}
    for name, outcomes in seen.items():
        open_ = "mixed" if {"better", "worse"} <= outcomes else "undecided"
        found[outcomes.pop() if len(outcomes) == 1 else open_].append(name)
    return tuple(found.values())


def _needed(rows: Sequence[Mapping[str, Any]]) -> str:
    most = 0
    for row in rows:
        if row["outcome"] == "undecided" and row["needed"]:
            most = max(most, row["needed"])
    return f" About {most} subsets would probably decide." if most else ""


def _line(row: Mapping[str, Any]) -> str:
    interval = ""
    if row["ci95"] is not None:
        low, high = row["ci95"]
        interval = f" (95 % interval {UNIT.signed(low)} to {UNIT.signed(high)})"
    return (
        f"{row['method']} against {row['baseline']}, {row['labels']} labels: "
        f"{UNIT.signed(row['delta'])} {UNIT.name} of {ERROR.words}{interval}, {row['outcome']}"
    )


def _caution(result: Mapping[str, Any]) -> str:
    subsets = max(
        len(one["errors"]) for one in result["methods"][result["default_method"]].values()
    )
    pairs = min((row["pairs"] for row in result["differences"]), default=subsets)
    few = ", preliminary" if pairs < FEWEST_FOR_A_CLAIM else ""
    where = result["scored_on"]
    where = "test images" if where == "test" else f"{where}, which is a screening"
    return f"{subsets} subset{'s' if subsets > 1 else ''}{few}, {where}"


def _told(one: Mapping[str, Any]) -> str:
    spread = "" if one["sd"] is None else f" ± {UNIT.plain(one['sd'])}"
    return f"{UNIT.plain(one['mean'])}{spread} {UNIT.sign} {ERROR.words}"


def joined(names: Sequence[str]) -> str:
    """Names in a row, as code: "`a`, `b` and `c`"."""
    return in_a_row([f"`{name}`" for name in names])
