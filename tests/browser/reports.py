"""A report with everything a report can have: thousands of images, many arms, odd names."""

from __future__ import annotations

from typing import Any

import torch

from pipelines.gain.gallery import Gallery
from pipelines.gain.report import gain_report
from pipelines.report.explorer import Shown

CLASSES = ("cat", "<script>alert(1)</script>", 'a" onload="x', *(f"class {k}" for k in range(7)))
CONDITIONS = ("sun", "rain", "night", "snow")
ARMS = {
    "real": 0.70,
    "classical": 0.80,
    "logit_adjusted": 0.81,
    "mixup": 0.79,
    "smote": 0.71,
    "factored": 0.90,
    "oracle": 0.95,
    "auto": 0.90,
}
IMAGES = 1_200
"""Of each origin: as many as a page shows at most."""


def report_of_gain() -> str:
    """A page as ``augmentor gain`` writes it."""
    return gain_report(result(), gallery())


def result() -> dict[str, Any]:
    """The contents of a gain.json with combinations."""
    arms = {name: _arm(mean) for name, mean in ARMS.items()}
    missing = [[0, 12, 12, 12] if k % 2 else [12] * 4 for k in range(len(CLASSES))]
    verdict = {
        "light": "green",
        "advice": "Use synthetic images: +9.0 points over `logit_adjusted`.",
        "lines": [f"line {k} of the evidence" for k in range(5)],
    }
    return {
        "dataset": "photos <b>of</b> pets",
        "regime": "long tail",
        "source_augment": "classical",
        "metric": "missing_combinations",
        "metrics": ["missing_combinations", "balanced_accuracy", "negative_log_likelihood"],
        "scored_on": "test",
        "replicates": 4,
        "arms": arms,
        "comparisons": _comparisons(),
        "verdict": verdict,
        "policy": None,
        "mixtures": {"factored": "classical + 50% synthetic"},
        "bases": {},
        "baselines": {"classical": "logit_adjusted"},
        "training_counts": dict.fromkeys(CLASSES, 40),
        "combinations": {
            "classes": list(CLASSES),
            "conditions": list(CONDITIONS),
            "train": missing,
        },
        "notes": ["a note"],
        "setup": {"classifier": "auto", "replicates": 4, "first weights": "random"},
        "command": "augmentor gain photos --condition weather --out runs/pets",
        "versions": {"torch": "2"},
        "device": "cpu",
        "seconds": {"total": 200.0},
    }


def gallery() -> Gallery:
    """Thousands of images, each rendered one with its neighbours and the judge's opinion."""
    rng = torch.Generator().manual_seed(0)
    number = torch.arange(IMAGES)
    y, condition = number % len(CLASSES), number // len(CLASSES) % len(CONDITIONS)
    x = torch.rand(IMAGES, 3, 12, 12, generator=rng) * 2 - 1
    confidence = torch.rand(IMAGES, generator=rng)
    photographed = ~((y % 2 == 1) & (condition == 0))
    near = (number[:, None] + torch.arange(4)) % 50
    made = Shown(
        "rendered",
        -x,
        y,
        condition,
        confidence,
        confidence > 0.5,
        near,
        torch.linspace(0.1, 0.4, 4).expand(IMAGES, 4),
    )
    real = Shown("real", x[photographed], y[photographed], condition[photographed])
    known = Shown("training", x[:50], y[:50], condition[:50], listed=False)
    return Gallery(CLASSES, [real, made, known], CONDITIONS)


def _arm(mean: float) -> dict[str, Any]:
    recalls = {name: mean - 0.01 * index for index, name in enumerate(CLASSES)}
    scores = {"scores": [mean - 0.01, mean, mean + 0.01], "mean": mean, "ci95": [mean - 0.02, mean]}
    names = ("missing_combinations", "balanced_accuracy", "negative_log_likelihood")
    return {**scores, "per_class_recall": recalls, "metrics": dict.fromkeys(names, scores)}


def _comparisons() -> list[dict[str, Any]]:
    """One of every kind: better, worse, leaning, undecided."""
    found = []
    for arm, delta, spread, outcome in (
        ("factored", 0.09, 0.03, "better"),
        ("mixup", -0.02, 0.01, "worse"),
        ("smote", 0.03, 0.02, "undecided"),
        ("real", 0.01, 0.02, "undecided"),
    ):
        row = {"arm": arm, "baseline": "logit_adjusted", "delta": delta, "outcome": outcome}
        ends = [delta - spread, delta + spread]
        row |= {"ci95": ends, "ci95_replicates": ends, "p": 0.01, "p_permutation": None}
        found.append(row | {"p_holm": 0.04, "needed": None, "limited_by": None})
    return found
