"""From the errors of semi-supervised methods to means, paired differences and a verdict. Lower is
better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median, stdev
from typing import Any

import numpy as np

from downstream.gain import FEWEST_FOR_A_CLAIM, holm, outcome, paired_t

Errors = Mapping[str, Mapping[str, Sequence[float]]]
"""Method -> number of labels -> one error a subset, as fractions, subsets in one order for all."""


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


def paired_differences(errors: Errors, default: str) -> list[dict[str, Any]]:
    """The default method minus every other one with the same number of labels, paired by subset.

    Args:
        errors: Of all methods. Where one has fewer subsets, the first ones of the other are its
            partners.
        default: Name of the default method; without it there is nothing to compare.

    Returns:
        Rows of ``differences`` in semi.json: ``delta`` below zero means that the default makes
        fewer errors. ``ci95`` and ``p`` (paired t) are None for a single pair; ``p_holm`` allows
        for the number of rows.
    """
    rows = [
        _difference(default, other, labels, own, theirs[labels])
        for labels, own in errors.get(default, {}).items()
        for other, theirs in errors.items()
        if other != default and labels in theirs
    ]
    tested = [row for row in rows if row["p"] is not None]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p
    return rows


def _difference(
    default: str, other: str, labels: str, own: Sequence[float], theirs: Sequence[float]
) -> dict[str, Any]:
    differences = np.array([a - b for a, b in zip(own, theirs, strict=False)])
    interval, p = paired_t(differences) if len(differences) > 1 else (None, None)
    return {
        "method": default,
        "baseline": other,
        "labels": int(labels),
        "pairs": len(differences),
        "delta": float(differences.mean()),
        "ci95": None if interval is None else list(interval),
        "p": p,
        "p_holm": None,
    }


def outcome_of_errors(row: Mapping[str, Any]) -> str:
    """``better``, ``worse`` or ``open`` for the default method: where the whole 95 % interval of a
    difference lies.
    """
    return "open" if row["ci95"] is None else outcome([-bound for bound in reversed(row["ci95"])])


def verdict(result: Mapping[str, Any]) -> str:
    """One sentence: which methods the default one beats, and how large its error is.

    "Fewer errors than" a method means that the whole 95 % interval of the paired difference lies
    below zero at every number of labels at which both were run.

    Args:
        result: ``methods``, ``differences``, ``default_method`` and ``scored_on`` of semi.json.
    """
    name, methods = result["default_method"], result["methods"]
    if name not in methods:
        return f"Nothing was compared: {name}, the default method, was not run."
    grouped = _outcomes(result["differences"])
    subsets = max(len(one["errors"]) for one in methods[name].values())
    pairs = min((row["pairs"] for row in result["differences"]), default=FEWEST_FOR_A_CLAIM)
    caution = ", preliminary" if pairs < FEWEST_FOR_A_CLAIM else ""
    where = "test images" if result["scored_on"] == "test" else result["scored_on"]
    errors = "; ".join(
        f"{_told(one)} with {labels} labels" for labels, one in methods[name].items()
    )
    return f"{name} {_headline(grouped)}: {errors}; {subsets} subsets, {where}{caution}."


def _headline(grouped: Mapping[str, str]) -> str:
    better, worse, undecided = (
        [one for one in grouped if grouped[one] == key] for key in ("better", "worse", "open")
    )
    parts = [f"makes fewer errors than {joined(better)}"] if better else []
    parts += [f"makes more errors than {joined(worse)}"] if worse else []
    parts += (
        [f"is shown neither better nor worse throughout than {joined(undecided)}"]
        if undecided
        else []
    )
    return ", ".join(parts) or "alone"


def _outcomes(differences: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The other methods with the outcome that is the same at all numbers of labels, or ``open``."""
    seen: dict[str, set[str]] = {}
    for row in differences:
        seen.setdefault(row["baseline"], set()).add(outcome_of_errors(row))
    return {name: one.pop() if len(one) == 1 else "open" for name, one in seen.items()}


def _told(one: Mapping[str, Any]) -> str:
    spread = "" if one["sd"] is None else f" ± {100 * one['sd']:.2f}"
    return f"{100 * one['mean']:.2f}{spread} % error"


def joined(names: Sequence[str]) -> str:
    """Names in a row: "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
