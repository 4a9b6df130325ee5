"""The record of the arms in published runs, which ``auto`` goes by where its race ends in a tie.

``python -m pipelines.summary.record docs/results`` writes ``pipelines/gain/record.json`` from the
result files.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from augmentor.common.atomic_files import write_json
from downstream.arms.table import BASES
from downstream.metrics import METRICS
from pipelines.gain.record import kind_of_counts
from pipelines.summary.read import RESULT, direction, read, uses_generator

FEWEST_ARMS = 3
RECORD = Path(__file__).parents[1] / "gain" / "record.json"


def record_of(folder: Path) -> dict[str, Any]:
    """How far every arm was behind the best arm without a generator, run by run.

    Args:
        folder: With one folder per published run; screenings are left out, and so are runs with
            fewer than three arms without a generator.

    Returns:
        The contents of ``record.json``: ``runs``, each with ``run``, ``dataset``, ``kind`` (of
        regime) and ``behind`` (by arm, a fraction).
    """
    runs = []
    for path in sorted(folder.glob(f"*/{RESULT}")):
        document = read(path)
        if document["kind"] != "gain" or "training_counts" not in document:
            continue
        if "coverage" in METRICS[document["metric"]].needs:
            continue  # recall on missing combinations says nothing about other regimes
        behind = _behind(document)
        if len(behind) < FEWEST_ARMS:
            continue
        counts = [count for count in document["training_counts"].values() if count]
        pool = "unlabelled" in document["regime"]
        runs.append(
            {
                "run": path.parent.name,
                "dataset": document["dataset"],
                "kind": kind_of_counts(counts, pool=pool),
                "behind": behind,
            }
        )
    return {"schema": 1, "runs": runs}


def _behind(document: Mapping[str, Any]) -> dict[str, float]:
    """Distance of the arms of the table without a generator to the best of them."""
    sign = direction(document["metric"])
    means = {}
    for name, arm in document["arms"].items():
        if name in BASES and not uses_generator(document, name):
            means[name] = sign * arm["mean"]
    best = max(means.values(), default=0.0)
    return {name: round(best - mean, 5) for name, mean in sorted(means.items())}


if __name__ == "__main__":
    write_json(RECORD, record_of(Path(sys.argv[1])))
