"""A gain report with everything it can have: thousands of images, many arms, odd names; and the
other jobs' reports of published results.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from augmentor.common.types import LabelledImages
from pipelines.compare.report import compare_report
from pipelines.compare.verdict import verdict as verdict_of_compare
from pipelines.datasets import DataBundle
from pipelines.evaluate.report import PICTURES, evaluate_report
from pipelines.evaluate.verdict import verdict as verdict_of_evaluate
from pipelines.gain.gallery import Gallery
from pipelines.gain.report import gain_report
from pipelines.report.explorer import Shown
from pipelines.report.pictures import packed, sample_grid
from pipelines.results import Kind, read_result
from pipelines.semi.report import semi_report
from pipelines.semi.scores import verdict as verdict_of_semi
from pipelines.verify.report import verify_report
from pipelines.verify.scores import verdict as verdict_of_verify

RESULTS = Path(__file__).parents[2] / "docs" / "results"

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


def report_of_semi() -> str:
    """A page as ``augmentor semi`` writes it, with two curves of every training."""
    result = _published("semi_mnist", "semi")
    result["differences"] = [_completed(row) for row in result["differences"]]
    trainings = []
    for name in result["methods"]:
        for subset in range(3):
            curve = [{"step": k, "loss": (5 + subset) / k, "kept": k / 1500} for k in STEPS]
            trainings.append({"method": name, "labels": 100, "curve": curve})
    return semi_report(result | {"verdict": verdict_of_semi(result)}, trainings)


def report_of_compare() -> str:
    """A page as ``augmentor compare`` writes it."""
    result = _published("compare_mnist_small", "compare")
    real = LabelledImages(_drawn(100), torch.arange(100) % 10, tuple("0123456789"))
    bundle = DataBundle("mnist", "made up", real, real, None, "")
    strip = packed(_drawn(20))
    shown = {name: {"samples": strip, "reconstructions": strip} for name in result["families"]}
    return compare_report(result | {"verdict": verdict_of_compare(result)}, shown, bundle)


def report_of_verify() -> str:
    """A page as ``augmentor verify`` writes it."""
    result = _published("verify_lfw_32", "verify")
    result["comparisons"] = [_completed(row) for row in result["comparisons"]]
    return verify_report(result | {"verdict": verdict_of_verify(result)})


def report_of_evaluate() -> str:
    """A page as ``augmentor evaluate`` writes it, with a warning."""
    result = _published("mnist", "evaluate")
    result["warnings"] = ["collapsed: images of 3 are almost the same whatever the latent"]
    grid = sample_grid([_drawn(12) for _ in range(10)], result["classes"])
    pictures = dict.fromkeys(PICTURES, grid)
    return evaluate_report(result | {"verdict": verdict_of_evaluate(result)}, pictures)


STEPS = range(30, 1501, 30)
REPORTS: dict[str, Callable[[], str]] = {
    "gain": report_of_gain,
    "semi": report_of_semi,
    "compare": report_of_compare,
    "verify": report_of_verify,
    "evaluate": report_of_evaluate,
}
"""Pages by the job that writes them."""


def _published(run: str, kind: Kind) -> dict[str, Any]:
    """A result of ``docs/results``, with some setup where its form has none."""
    result = read_result(RESULTS / run / "result.json", kind)
    setup = {"classifier": "auto", "first weights": "random", "training images": 60_000}
    return {"setup": setup, "notes": []} | result


def _completed(row: dict[str, Any]) -> dict[str, Any]:
    """A difference with what the newest form tells of it; one row of each outcome."""
    low, high = row["ci95"]
    outcome = "undecided" if low <= 0 <= high else "better"
    limits = {"needed": None, "limited_by": "test images", "conditional": True}
    return {"ci95_replicates": row["ci95"], "outcome": outcome, **limits, **row}


def _drawn(count: int) -> Tensor:
    """Grey pictures of a bright spot, (N, 1, 28, 28)."""
    rng = torch.Generator().manual_seed(count)
    place, line = torch.rand(count, 2, 1, 1, generator=rng), torch.linspace(0, 1, 28)
    far = (line[:, None] - place[:, 0]).square() + (line - place[:, 1]).square()
    return 2 * torch.exp(-40 * far)[:, None] - 1
