"""Does ``auto`` refuse the images of a generator that learned nothing true?

    python benchmarks/auto_spoiled.py docs/results/conditions_faces/config.yaml --out runs/damaged

The rehearsal of a configuration is run three times: with its generator as it is, with one that
trained for 20 steps, and with one whose training images carry each other's conditions. Nothing else
differs. The test images are not read; finished parts are kept, so that a stopped benchmark resumes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from augmentor.common.atomic_files import write_json
from augmentor.families import FAMILIES
from augmentor.families.family import Family
from augmentor.families.vae import CVAE_PRESETS, Vae, VaeTrainer
from pipelines.config import Config, load_config
from pipelines.experiment.job import opened
from pipelines.experiment.provenance import provenance
from pipelines.gain.plan import gain_plan
from pipelines.gain.screening import screen
from pipelines.progress import Lines
from pipelines.workbench.training_parts import make_trainings

FEW_STEPS = 20
MISINFORMED = "cvae_misinformed"


class MisinformedTrainer(VaeTrainer):
    """A CVAE's step on images that carry the conditions of others in their batch."""

    def step(
        self,
        x: Tensor,
        y: Tensor,
        condition: Tensor | None = None,
        *,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """As ``VaeTrainer.step``."""
        assert condition is not None
        order = torch.randperm(len(x), generator=generator)
        return super().step(x, y, condition[order], generator=generator)


FAMILIES[MISINFORMED] = Family(Vae, MisinformedTrainer, CVAE_PRESETS, takes_conditions=True)


def sources(config: Config) -> dict[str, Config]:
    """The configuration with its own generator and with the two damaged ones."""
    assert config.source.family == "cvae"
    found = {"as it is": config}
    for name, change in {
        f"{FEW_STEPS} training steps": {"steps": FEW_STEPS},
        "shuffled conditions": {"family": MISINFORMED},
    }.items():
        found[name] = config.model_copy(update={"source": config.source.model_copy(update=change)})
    return found


def choice(config: Config, out: Path) -> dict[str, Any]:
    """What ``auto`` takes, and what the rehearsal says of it."""
    plan = gain_plan(config, out)
    with opened(out, make_trainings, Lines(every=60), processes=1, threads=1) as job:
        found = screen(plan, job)
    rows = []
    for row in found["screening"]["candidates"]:
        rows.append({key: row[key] for key in ("name", "rounds", "mean", "share")})
    said = {key: found["rehearsal"][key] for key in ("without", "with", "ceiling")}
    return {"chosen": found["name"], "share": found["share"], **said, "candidates": rows}


def main() -> None:
    """Choose and write ``choices.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    config = load_config(asked.config)
    choices = {name: choice(one, asked.out / "run") for name, one in sources(config).items()}
    for name, found in choices.items():
        print(f"{name}: {found['chosen']}")
    result = {
        "schema": 1,
        "dataset": config.data.data,
        "choices": choices,
        **provenance({"total": time.perf_counter() - start}, "cpu"),
    }
    write_json(asked.out / "choices.json", result)


if __name__ == "__main__":
    main()
