"""Small configurations and made-up results for the tests of a comparison."""

from __future__ import annotations

from typing import Any

from pipelines.compare.verdict import order_of, verdict
from pipelines.config import Config, config_from

SMALL = {"width": 4, "latent_dim": 4}
TINY: dict[str, Any] = {
    "data": {"data": "digits", "size": 8},
    "source": {"steps": 3, "batch_size": 16, "checkpoint_every": 1},
    "compare": {
        "families": [
            {"cvae": {"options": SMALL}},
            {"narrow": {"family": "cgan", "options": SMALL}},
        ],
        "samples": 40,
        "judge_steps": 5,
        "student_steps": 3,
    },
    "device": "cpu",
    "threads": 1,
}
REAL = {
    "top1": 0.99,
    "inception_score": 9.8,
    "fid": 0.05,
    "kid": 0.0001,
    "precision": 0.95,
    "recall": 0.96,
    "density": 0.94,
    "coverage": 0.95,
    "diversity": 1.0,
    "cas": 0.985,
}
ROW: dict[str, Any] = {
    "top1": 0.9,
    "inception_score": 8.5,
    "fid": 2.5,
    "kid": 0.0123,
    "precision": 0.8,
    "recall": 0.7,
    "density": 0.75,
    "coverage": 0.6,
    "diversity": 0.875,
    "cas": 0.925,
    "memorisation_p": 0.25,
    "train_seconds_per_1000": 123.4,
    "images_per_second": 3456.7,
    "samples": 5000,
    "warnings": [],
    "parameters": {"generator": 1_760_000, "all": 3_180_000},
    "equal_budget": True,
    "step": 1500,
    "batch_size": 64,
    "family": "cvae",
    "preset": "default",
    "options": {},
}


def tiny(**changes: Any) -> Config:
    """Everything real, but with a few steps only."""
    whole = dict(TINY)
    for key, value in changes.items():
        whole[key] = {**whole.get(key, {}), **value} if isinstance(value, dict) else value
    return config_from(whole)


def row(**changes: Any) -> dict[str, Any]:
    """A row of compare.json."""
    return ROW | changes


def result_of(**rows: dict[str, Any]) -> dict[str, Any]:
    """The contents of compare.json with these rows."""
    result: dict[str, Any] = {
        "dataset": "mnist",
        "regime": "60000 images",
        "budget": {
            "steps": 1500,
            "batch_size": 64,
            "images": 96000,
            "source_augment": "none",
            "seed": 0,
        },
        "samples": 5000,
        "real": REAL | {"memorisation_p": None},
        "rows": list(rows),
        "families": rows,
        "order": order_of(rows),
        "judge": {"name": "auto", "steps": 1500, "batch_size": 64, "features": 128},
        "student": {"name": "auto", "steps": 1500, "batch_size": 64},
        "images": {"train": 60000, "test": 10000},
        "k": 5,
        "notes": ["official split"],
        "setup": {"data": "mnist", "split": "official split", "seed": 0},
        "command": "augmentor compare x",
        "device": "cpu",
        "versions": {"torch": "2"},
        "seconds": {"total": 1.0},
    }
    return result | {"verdict": verdict(result)}
