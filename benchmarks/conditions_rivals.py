"""Arms without a generator, tuned for combinations that were never photographed.

    python -m benchmarks.conditions_rivals docs/results/conditions_{faces,mnist,fonts}/config.yaml \
        --out runs/conditions_rivals --json docs/results/conditions_rivals.json

The rehearsal of every configuration, on training images hidden on purpose, with two or three
settings of every rival, beside the arms with rendered images as the configuration has them. The
settings race: one that is clearly behind drops out after two folds. The test images are not read;
finished parts are kept, so that a stopped benchmark resumes. What is best for your own data goes
into a configuration as one of ``gain.policies`` and ``gain.candidates``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from augmentor.common.atomic_files import write_json, write_text
from benchmarks.conditions_generators import measured
from downstream.metrics import POINTS
from pipelines.config import Config, PolicyConfig, load_config
from pipelines.experiment.provenance import provenance
from pipelines.gain.screening import FIRST_LOOK

SETTINGS: dict[str, tuple[dict[str, Any], ...]] = {
    "classical": ({}, {"strength": 2.0}),
    "trivialaugment": ({}, {"augment": "randaugment"}),
    "mixup": ({}, {"augment": "trivialaugment"}),
    "logit_adjusted": (
        {},
        {"augment": "trivialaugment"},
        {"augment": "trivialaugment", "intensity": 2.0},
    ),
    "even_conditions": ({}, {"augment": "classical"}),
    "mixstyle": ({}, {"intensity": 3.0}),
    "fourier": ({}, {"augment": "classical"}),
    "group_dro": ({}, {"intensity": 10.0}),
    "domain_adversarial": ({}, {"intensity": 0.1}),
    "lisa": ({}, {"intensity": 0.4}),
}
"""Of every rival: what its paper says, and what lies beside it."""


def tuned(config: Config) -> Config:
    """The configuration with these settings as candidates, beside its own rendered ones."""
    policies = dict(config.gain.policies)
    for base, settings in SETTINGS.items():
        for number, setting in enumerate(settings, 1):
            policies[f"{base}_{number}"] = PolicyConfig(base=base, share=0.0, **setting)
    candidates = tuple(name for name in policies if name not in config.gain.policies)
    change = {"policies": policies, "candidates": candidates}
    return config.model_copy(update={"gain": config.gain.model_copy(update=change)})


def in_first_folds(row: dict[str, Any]) -> float:
    """Mean over the folds that every candidate ran."""
    return statistics.fmean(row["scores"][:FIRST_LOOK])


def best_of_each(candidates: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By rival the setting that was best in the folds that all of them ran."""
    best: dict[str, dict[str, Any]] = {}
    for row in candidates:
        known = best.get(row["base"])
        if not row["share"] and (known is None or in_first_folds(row) > in_first_folds(known)):
            best[row["base"]] = row
    return best


def page(found: dict[str, Any]) -> str:
    """The page of the figures."""
    seconds = sum(one["seconds"] for one in found["datasets"].values())
    parts = [
        "# Rivals without a generator, tuned",
        f"Made by `{found['command']}` on {found['device']}, in {seconds:,.0f} s.",
        "Each row is the recall, in percent, of combinations that were hidden from training on "
        f"purpose: the mean of the first {FIRST_LOOK} folds of the rehearsal, which every setting "
        "ran. Rivals have two or three settings each; the best one is shown beside the one of the "
        "published runs. The test images were not read.",
    ]
    for name, one in found["datasets"].items():
        parts += [f"## {name}", _sentence(one), _table(one["candidates"])]
    return "\n\n".join(parts) + "\n"


def _sentence(found: dict[str, Any]) -> str:
    rounds = max(row["rounds"] for row in found["candidates"])
    return (
        f"`auto` takes {found['chosen']}. In all {rounds} folds the best setting without a "
        f"generator reached {POINTS.shown(found['best_without'])}, rendered images "
        f"{POINTS.shown(found['best_rendered'])}, real photos {POINTS.shown(found['ceiling'])}."
    )


def _table(candidates: Sequence[dict[str, Any]]) -> str:
    published = {row["name"]: row for row in candidates}
    lines = ["| arm | as published | best setting | its recall |", "|---|---:|---|---:|"]
    best = best_of_each(candidates)
    for base in sorted(best, key=lambda one: -in_first_folds(best[one])):
        usual = published.get(base)
        before = POINTS.plain(in_first_folds(usual)) if usual else ""
        after = POINTS.plain(in_first_folds(best[base]))
        lines.append(f"| `{base}` | {before} | {best[base]['name']} | {after} |")
    for row in candidates:
        if row["share"]:
            lines.append(f"| rendered |  | {row['name']} | {POINTS.plain(in_first_folds(row))} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write after every data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    known = json.loads(asked.json.read_text(encoding="utf-8")) if asked.json.exists() else {}
    datasets: dict[str, Any] = known.get("datasets", {})
    command = f"python -m benchmarks.conditions_rivals {shlex.join(sys.argv[1:])}"
    for file in asked.configs:
        start, config = time.perf_counter(), tuned(load_config(file))
        given = config.model_dump(mode="json")
        name = config.data.data
        if datasets.get(name, {}).get("config") != given:
            found = measured(config, {}, asked.out / name)
            datasets[name] = {"config": given, **found, "seconds": time.perf_counter() - start}
        result = {
            "schema": 1,
            "metric": "recall of hidden combinations",
            "datasets": datasets,
            **provenance({}, "cpu", None, command),
        }
        write_json(asked.json, result)
        write_text(asked.json.with_suffix(".md"), page(result))
        print(page(result), flush=True)


if __name__ == "__main__":
    main()
