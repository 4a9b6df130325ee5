"""The job ``demo``: the main job on real data that need no download, in a few minutes on two CPU
cores. One demo has a long tail of classes, the other combinations of class and condition that are
missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.config import Config, config_from
from pipelines.gain.run import gain_run
from pipelines.progress import Progress

# The same as configs/start/demo.yaml, which an installed package does not have beside it.
DEMO: dict[str, Any] = {
    "data": {"data": "digits", "size": 8, "per_class": 80, "imbalance": 20, "unlabelled": "rest"},
    "source": {"steps": 800},
    "classifier": {"steps": 400},
    "gain": {
        "arms": [
            "real",
            "logit_adjusted",
            "classical",
            "smote",
            "retrieval",
            "pseudo_label",
            "synthetic",
            "synthetic+classical",
            "auto",
        ],
        "candidates": ["real", "logit_adjusted", "classical", "retrieval", "pseudo_label"],
        "shares": [0.5],
        "confidences": [0.0],
        "screening_rounds": 3,
        "replicates": 6,
        "processes": 2,
    },
    "device": "cpu",
    "threads": 1,
    "out": "runs/demo",
}


# The same as configs/start/conditions.yaml.
CONDITIONS: dict[str, Any] = {
    "data": {
        "data": "digits-conditions",
        "size": 16,
        "condition": ["look"],
        "rare": {"classes": 5, "conditions": 2, "images": 10},
    },
    "source": {
        "family": "cvae",
        "steps": 800,
        "options": {"latent_dim": 8, "width": 16, "ema_decay": 0.995},
    },
    "classifier": {"steps": 250},
    "gain": {
        "rehearse": True,
        "arms": ["trivialaugment", "even_conditions", "factored", "oracle", "auto"],
        "candidates": ["trivialaugment", "even_conditions"],
        "shares": [0.75],
        "metric": "missing_combinations",
        "metrics": ["balanced_accuracy", "covered_combinations"],
        "replicates": 3,
        "processes": 2,
    },
    "device": "cpu",
    "threads": 1,
    "out": "runs/demo-conditions",
}


def demo_config(*, conditions: bool = False) -> Config:
    """The demo's config.

    Args:
        conditions: Digits under eight looks, five of them seen under two looks only; otherwise
            digits with 80 to 4 labels per class, the others as an unlabelled pool.
    """
    return config_from(CONDITIONS if conditions else DEMO, where="demo")


def demo_run(
    out: Path, *, conditions: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Train sources, synthesize, mix, and measure the gain of every arm on digits.

    Args:
        out: Folder for gain.json, policy.json and report.html; a run that was stopped goes on
            there.
        conditions: As in ``demo_config``.
        progress: Progress reporter.

    Returns:
        The contents of gain.json.

    Raises:
        Interrupted: After a signal; finished parts stay.
        RunLockedError: If another process works in ``out``.
    """
    return gain_run(demo_config(conditions=conditions), out, progress=progress)
