"""What rendered combinations of class and condition are worth: the published runs in one file.

``python -m pipelines.summary.conditions docs/results`` writes
``docs/results/conditions_summary.json``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from augmentor.common.atomic_files import write_json
from downstream.arms.table import ARMS
from pipelines.summary.read import RESULT, read, uses_generator

METRIC = "missing_combinations"
SUMMARY = "conditions_summary.json"
CEILING = "oracle"


def conditions_summary(folder: Path) -> dict[str, Any]:
    """The runs that were scored on missing combinations.

    Args:
        folder: With one folder per published run; screenings are left out.

    Returns:
        ``results``, one per run: the best arm with a generator against the best without
        (``delta`` and ``ci95``, fractions), the mean score of every arm, that of the control with
        real photos (``ceiling``; null without it), and how far ``auto`` is behind the best arm
        (null where it did not run).
    """
    results = []
    for path in sorted(folder.glob(f"*/{RESULT}")):
        document = read(path)
        if document["kind"] == "gain" and document["metric"] == METRIC:
            row = _row(document)
            if row is not None and document["scored_on"] == "test":
                results.append({"run": path.parent.name, **row})
    return {"schema": 1, "results": results}


def _row(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """One run; None where no arm with a generator was compared with the best without."""
    scores = {name: arm["mean"] for name, arm in document["arms"].items()}
    rival = document["baselines"].get("classical")
    rows = [
        row
        for row in document["comparisons"]
        if row["baseline"] == rival and _renders(document, row["arm"])
    ]
    if not rows:
        return None
    best = max(rows, key=lambda row: scores[row["arm"]])
    return {
        "dataset": document["dataset"],
        "regime": document["regime"],
        "metric": METRIC,
        "arm": best["arm"],
        "best_without_generator": rival,
        "delta": best["delta"],
        "ci95": best["ci95"],
        "replicates": document["replicates"],
        "scores": scores,
        "ceiling": scores.get(CEILING),
        "auto": _auto(document, scores),
        "command": document["command"],
    }


def _renders(document: Mapping[str, Any], arm: str) -> bool:
    control = arm in ARMS and ARMS[arm].kind == "control"
    return not control and arm != "auto" and uses_generator(document, arm)


def _auto(document: Mapping[str, Any], scores: Mapping[str, float]) -> dict[str, Any] | None:
    """What ``auto`` chose, and how far it is behind the best arm that is not a control."""
    if "auto" not in scores:
        return None
    rivals = [
        score
        for name, score in scores.items()
        if name not in ARMS or ARMS[name].kind not in ("control", "auto")
    ]
    return {"arm": document["policy"]["name"], "behind_best": max(rivals) - scores["auto"]}


if __name__ == "__main__":
    published = Path(sys.argv[1])
    write_json(published / SUMMARY, conditions_summary(published))
