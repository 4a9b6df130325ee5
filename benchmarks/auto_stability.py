"""Is what ``auto`` chooses stable? The choice again under twenty perturbations.

    python benchmarks/auto_stability.py CONFIG --out runs/stability

First every candidate without a generator is measured on the test images, with the replicates of the
configuration: that says how far behind the best arm each choice is. Then the race is run again with
other splits and training seeds, bfloat16 on and off, one thread and two. The choices never see the
test images; finished parts are kept, so that a stopped benchmark resumes.
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
from pipelines.config import load_config
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


def perturbed(plan: GainPlan, number: int, out: Path) -> tuple[GainPlan, dict[str, Any]]:
    """A plan with other screening splits and seeds, precision and thread count."""
    bfloat16, threads = number % 2 == 1, 1 + number // 2 % 2
    trainer = plan.setting.trainer
    settings = replace(trainer.settings, bfloat16=bfloat16)
    setting = replace(plan.setting, trainer=replace(trainer, settings=settings), threads=threads)
    store = PartStore(parts_folder(out))
    first = SPLITS_APART * (number + 1)
    changes = {"first_split": first, "bfloat16": bfloat16, "threads": threads}
    return replace(plan, setting=setting, store=store, first_split=first), changes


def main() -> None:
    """Measure and write ``stability.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--perturbations", type=int, default=PERTURBATIONS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    start, progress = time.perf_counter(), Lines(every=60)
    config = load_config(asked.config)
    plan = gain_plan(config, asked.out / "choice")
    names = tuple(dict.fromkeys(policy.base for policy in plan.candidates))
    gain = config.gain.model_copy(update={"arms": names, "comparisons": ()})
    measured = gain_run(
        config.model_copy(update={"gain": gain}), asked.out / "truth", progress=progress
    )
    means = {name: arm["mean"] for name, arm in measured["arms"].items()}
    best = max(means.values())
    rows = []
    for number in range(asked.perturbations):
        folder = asked.out / f"perturbation-{number:02d}"
        changed, changes = perturbed(plan, number, folder)
        with opened(
            folder, make_trainings, progress, processes=1, threads=changes["threads"]
        ) as job:
            document = screen(changed, job)
        screening = document["screening"]
        row = {
            **changes,
            "chosen": document["base"],
            "behind_best": best - means[document["base"]],
            "rounds": screening["budget"]["rounds"],
            "trainings": screening["budget"]["trainings"],
            "probability_of_a_better_one": screening["probability_of_a_better_one"],
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
    good = sum(row["behind_best"] <= WITHIN for row in rows)
    result = {
        "schema": 1,
        "dataset": measured["dataset"],
        "regime": measured["regime"],
        "replicates": measured["replicates"],
        "scores": means,
        "choices": rows,
        "within_one_point": good,
        "of": len(rows),
        **provenance({"total": time.perf_counter() - start}, plan.setting.device),
    }
    write_json(asked.out / "stability.json", result)
    print(f"within one point of the best arm in {good} of {len(rows)}")


if __name__ == "__main__":
    main()
