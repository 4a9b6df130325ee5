"""Is what ``auto`` chooses stable? The choice again under twenty perturbations.

    python benchmarks/auto_stability.py CONFIG --out runs/stability --json FILE

First every candidate without a generator is measured on the test images, with the replicates of the
configuration: that says how far behind the best arm each choice is. Then the race is run again with
other splits and training seeds, bfloat16 on and off, one thread and two. The choices never see the
test images. FILE is written after every choice. A run that finds one of the same configuration goes
on where it ended, on another machine too.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from augmentor.common.atomic_files import write_json
from pipelines.config import Config, config_from, load_config
from pipelines.experiment.job import opened, parts_folder
from pipelines.experiment.parts import PartStore
from pipelines.experiment.provenance import provenance
from pipelines.gain.plan import GainPlan, gain_plan
from pipelines.gain.run import gain_run
from pipelines.gain.screening import screen
from pipelines.progress import Lines
from pipelines.workbench.training_parts import make_trainings

PERTURBATIONS = 20
SPLITS_APART = 1000
WITHIN = 0.01
SCHEMA = 1
RESULTS = "docs/results"


def perturbed(plan: GainPlan, number: int, out: Path) -> tuple[GainPlan, dict[str, Any]]:
    """A plan with other screening splits and seeds, precision and thread count."""
    bfloat16, threads = number % 2 == 1, 1 + number // 2 % 2
    trainer = plan.setting.trainer
    settings = replace(trainer.settings, bfloat16=bfloat16)
    setting = replace(plan.setting, trainer=replace(trainer, settings=settings))
    store = PartStore(parts_folder(out))
    first = SPLITS_APART * (number + 1)
    changes = {"first_split": first, "bfloat16": bfloat16, "threads": threads}
    return replace(plan, setting=setting, store=store, first_split=first), changes


def measured(
    config: Config, plan: GainPlan, out: Path, progress: Lines, command: str
) -> dict[str, Any]:
    """Every candidate on the test images: what a choice is compared with."""
    start = time.perf_counter()
    names = tuple(dict.fromkeys(policy.base for policy in plan.candidates))
    gain = config.gain.model_copy(update={"arms": names, "comparisons": ()})
    result = gain_run(config.model_copy(update={"gain": gain}), out, progress=progress)
    return {
        "schema": SCHEMA,
        "config": config.model_dump(mode="json"),
        "dataset": result["dataset"],
        "regime": result["regime"],
        "replicates": result["replicates"],
        "scores": {name: arm["mean"] for name, arm in result["arms"].items()},
        "choices": [],
        **provenance(
            {"candidates": time.perf_counter() - start}, plan.setting.device, None, command
        ),
    }


def chosen(plan: GainPlan, number: int, out: Path, progress: Lines) -> dict[str, Any]:
    """What ``auto`` chooses under one perturbation, and the seconds of this call, in which finished
    trainings take none.
    """
    start = time.perf_counter()
    plan, changes = perturbed(plan, number, out)
    with opened(out, make_trainings, progress, processes=1, threads=changes["threads"]) as job:
        document = screen(plan, job)
    screening = document["screening"]
    return {
        **changes,
        "chosen": document["base"],
        "rounds": screening["budget"]["rounds"],
        "trainings": screening["budget"]["trainings"],
        "probability_of_a_better_one": screening["probability_of_a_better_one"],
        "seconds": round(time.perf_counter() - start, 1),
    }


def begun(file: Path, config: Config) -> dict[str, Any] | None:
    """What an earlier run with this configuration has written, if there is any."""
    if not file.exists():
        return None
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    # As configurations: a key that came later is at its default.
    same = config_from(document["config"]) == config
    return document if same and document.get("schema") == SCHEMA else None


def main() -> None:
    """Measure, and write after every choice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--perturbations", type=int, default=PERTURBATIONS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    progress, config = Lines(every=60), load_config(asked.config)
    plan = gain_plan(config, asked.out / "choice")
    result = begun(asked.json, config)
    if result is None:
        told = f"{asked.config} --out {asked.out} --json {RESULTS}/{asked.json.name}"
        command = f"python benchmarks/auto_stability.py {told}"
        result = measured(config, plan, asked.out / "truth", progress, command)
    scores = result["scores"]
    for number in range(len(result["choices"]), asked.perturbations):
        row = chosen(plan, number, asked.out / f"perturbation-{number:02d}", progress)
        row["behind_best"] = max(scores.values()) - scores[row["chosen"]]
        print(json.dumps(row), flush=True)
        result["choices"].append(row)
        behind = [choice["behind_best"] for choice in result["choices"]]
        result["within_one_point"] = sum(points <= WITHIN for points in behind)
        result["of"] = len(behind)
        write_json(asked.json, result)
    print(f"within a point of the best: {result['within_one_point']} of {result['of']}")


if __name__ == "__main__":
    main()
