"""Arms without a generator, tuned for combinations that were never photographed.

    python -m benchmarks.conditions_rivals docs/results/conditions_faces/config.yaml \
        --out runs/rivals_faces

The rehearsal of a configuration, on training images hidden on purpose, with two or three settings
of every rival, beside the arm with rendered images as the configuration has it. The settings race:
one that is clearly behind drops out after two folds. The test images are not read; finished parts
are kept, so that a stopped benchmark resumes. What is best for your own data goes into a
configuration as one of ``gain.policies`` and ``gain.candidates``.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import torch

from augmentor.common.atomic_files import write_json
from benchmarks.conditions_generators import measured
from pipelines.config import Config, PolicyConfig, load_config
from pipelines.experiment.provenance import provenance

SETTINGS: dict[str, tuple[dict[str, Any], ...]] = {
    "classical": ({"strength": 0.5}, {}, {"strength": 2.0}),
    "trivialaugment": ({}, {"augment": "randaugment"}),
    "mixup": ({}, {"augment": "trivialaugment"}, {"augment": "randaugment"}),
    "logit_adjusted": (
        {},
        {"augment": "trivialaugment"},
        {"augment": "trivialaugment", "intensity": 2.0},
    ),
    "even_conditions": ({}, {"augment": "classical"}, {"augment": "randaugment"}),
    "mixstyle": ({}, {"intensity": 3.0}, {"intensity": 10.0}),
    "fourier": ({}, {"strength": 0.5}, {"augment": "classical"}),
    "group_dro": ({"intensity": 0.1}, {}, {"intensity": 10.0}),
    "domain_adversarial": ({"intensity": 0.03}, {"intensity": 0.1}, {"intensity": 0.3}),
    "lisa": ({"intensity": 0.4}, {}, {"intensity": 1.6}),
}
"""Of every rival: what its paper says, where it learns with that, and what lies beside it."""


def tuned(config: Config) -> Config:
    """The configuration with these settings as candidates, beside its own rendered ones."""
    policies = dict(config.gain.policies)
    for base, settings in SETTINGS.items():
        for number, setting in enumerate(settings, 1):
            policies[f"{base}_{number}"] = PolicyConfig(base=base, share=0.0, **setting)
    candidates = tuple(name for name in policies if name not in config.gain.policies)
    change = {"policies": policies, "candidates": candidates}
    return config.model_copy(update={"gain": config.gain.model_copy(update=change)})


def best_of_each(candidates: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By rival the setting that was best, by the mean over the folds that it ran."""
    best: dict[str, dict[str, Any]] = {}
    for row in candidates:
        if row["share"]:
            continue
        known = best.get(row["base"])
        if known is None or (row["rounds"], row["mean"]) > (known["rounds"], known["mean"]):
            best[row["base"]] = row
    return best


def main() -> None:
    """Measure and write ``rivals.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    config = load_config(asked.config)
    found = measured(tuned(config), {}, asked.out / "run")
    best = best_of_each(found["candidates"])
    for base, row in sorted(best.items(), key=lambda item: -item[1]["mean"]):
        print(f"{base}: {row['mean']:.3f} in {row['rounds']} folds, {row['name']}", flush=True)
    line = shlex.join(sys.argv[1:])
    result = {
        "schema": 1,
        "dataset": config.data.data,
        "metric": "recall of hidden combinations",
        "best_of_each": {base: row["name"] for base, row in best.items()},
        **found,
        **provenance(
            {"total": time.perf_counter() - start},
            "cpu",
            None,
            f"python -m benchmarks.conditions_rivals {line}",
        ),
    }
    write_json(asked.out / "rivals.json", result)


if __name__ == "__main__":
    main()
