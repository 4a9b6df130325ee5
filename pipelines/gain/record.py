"""How the arms did in published runs, by kind of regime: what ``auto`` goes by where its race ends
in a tie.

``record.json`` is written by ``python -m pipelines.summary.record docs/results`` from result files.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from statistics import median
from typing import Any

from augmentor.common.types import LabelledImages

TAIL = 3.0  # largest over smallest class from which labels count as a long tail
FEW = 20  # images of the largest class up to which labels count as few


def kind_of_regime(train: LabelledImages, *, pool: bool) -> str:
    """The kind of regime of a training set, as the record names it.

    Args:
        train: Labelled images.
        pool: Whether there are unlabelled ones.

    Returns:
        ``long tail``, ``few labels`` or ``many labels``, with ``, with a pool`` if there is one.
    """
    counts = [count for count in train.counts.values() if count]
    return kind_of_counts(counts, pool=pool)


def kind_of_counts(counts: list[int], *, pool: bool) -> str:
    """As ``kind_of_regime``, of the sizes of the classes that have images.

    Example:
        >>> kind_of_counts([80, 20, 4], pool=False)
        'long tail'
        >>> kind_of_counts([5, 5], pool=True)
        'few labels, with a pool'
    """
    if max(counts) >= TAIL * min(counts):
        kind = "long tail"
    else:
        kind = "few labels" if max(counts) <= FEW else "many labels"
    return f"{kind}, with a pool" if pool else kind


def record_for(kind: str, dataset: str) -> dict[str, float]:
    """Median distance of every arm to the best arm without a generator, over published runs.

    Runs on the data set itself are left out: their test images would choose.

    Args:
        kind: From ``kind_of_regime``.
        dataset: Name of the data set.

    Returns:
        By arm, as a fraction (0.01 is one point), 0 or more; empty without such runs.
    """
    behind: dict[str, list[float]] = {}
    for run in _runs():
        if run["kind"] == kind and run["dataset"] != dataset:
            for arm, value in run["behind"].items():
                behind.setdefault(arm, []).append(value)
    return {arm: median(values) for arm, values in sorted(behind.items())}


@cache
def _runs() -> list[dict[str, Any]]:
    text = resources.files("pipelines.gain").joinpath("record.json").read_text("utf-8")
    runs: list[dict[str, Any]] = json.loads(text)["runs"]
    return runs
