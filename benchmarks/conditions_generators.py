"""What the parts of a generator of combinations are worth, and does ``auto`` refuse a bad one?

    python benchmarks/conditions_generators.py docs/results/conditions_faces/config.yaml \
        --out runs/generators

The rehearsal of a configuration, on training images hidden on purpose, once per generator: as it
is, with one part changed, and two that learned nothing true (20 steps; images that carry each
other's conditions). Nothing else differs. The test images are not read; finished parts are kept, so
that a stopped benchmark resumes.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Mapping
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

MISINFORMED = "cvae_misinformed"
AS_IT_IS = "as it is"
DAMAGED = ("20 training steps", "shuffled conditions")


class MisinformedTrainer(VaeTrainer):
    """A CVAE's step on images that carry the conditions of others in their batch."""

    def step(
        self,
        x: Tensor,
        y: Tensor,
        condition: Tensor | None = None,
        *,
        rng: torch.Generator,
    ) -> dict[str, Tensor]:
        """As ``VaeTrainer.step``."""
        assert condition is not None
        order = torch.randperm(len(x), generator=rng)
        return super().step(x, y, condition[order], rng=rng)


def changes(config: Config) -> dict[str, dict[str, Any]]:
    """What each generator changes in ``source``, by a name for people."""
    options = config.source.options
    adversarial: dict[str, Any] = {"family": "cvae_gan"}
    return {
        AS_IT_IS: {},
        "half of the steps": {"steps": config.source.steps // 2},
        "condition on features": {"options": {**options, "condition_on": "features"}},
        "condition on the whole image": {"options": {**options, "condition_on": "whole_image"}},
        "condition beside the latent": {"options": {**options, "condition_at_start": True}},
        "cvae_gan": adversarial,
        "cvae_gan, no recombination": adversarial | {"options": {**options, "recombine": False}},
        "cvae_gan, no adversarial part": (
            adversarial | {"options": {**options, "weight_adversarial": 0.0}}
        ),
        DAMAGED[0]: {"steps": 20},
        DAMAGED[1]: {"family": MISINFORMED},
    }


def measured(config: Config, change: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """What the rehearsal says of a generator, and what ``auto`` takes."""
    source = config.source.model_copy(update=change)
    plan = gain_plan(config.model_copy(update={"source": source}), out)
    with opened(out, make_trainings, Lines(every=60), processes=1, threads=1) as job:
        found = screen(plan, job)
    rows = []
    for row in found["screening"]["candidates"]:
        rows.append(
            {key: row[key] for key in ("name", "base", "share", "rounds", "scores", "mean")}
        )
    rendered = [row["mean"] for row in rows if row["share"]]
    without = [row["mean"] for row in rows if not row["share"] and row["rounds"] == plan.rounds]
    return {
        "chosen": found["name"],
        "takes_synthetic": bool(found["share"]),
        "best_rendered": max(rendered, default=None),
        "best_without": max(without, default=None),
        "ceiling": found["rehearsal"]["ceiling"],
        "condition_agreement": found["screening"]["condition_agreement"],
        "candidates": rows,
    }


def main() -> None:
    """Measure and write ``generators.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=None, help="names of generators")
    parser.add_argument(
        "--rivals",
        nargs="+",
        help="candidates without a generator, in the place of the configuration's: the fewer there "
        "are, the easier a bad generator is taken",
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    config = load_config(asked.config)
    if asked.rivals:
        gain = config.gain.model_copy(update={"candidates": tuple(asked.rivals)})
        config = config.model_copy(update={"gain": gain})
    FAMILIES[MISINFORMED] = Family(Vae, MisinformedTrainer, CVAE_PRESETS, takes_conditions=True)
    known = changes(config)
    if unknown := set(asked.only or ()) - set(known):
        parser.error(f"unknown {sorted(unknown)}; known: {sorted(known)}")
    generators = {}
    for name in asked.only or known:
        generators[name] = measured(config, known[name], asked.out / "run")
        found = generators[name]
        print(f"{name}: {found['best_rendered']:.3f}, takes {found['chosen']}", flush=True)
    line = shlex.join([Path(__file__).name, *sys.argv[1:]])
    result = {
        "schema": 1,
        "dataset": config.data.data,
        "metric": "recall of hidden combinations",
        "generators": generators,
        **provenance(
            {"total": time.perf_counter() - start}, "cpu", None, f"python benchmarks/{line}"
        ),
    }
    write_json(asked.out / "generators.json", result)


if __name__ == "__main__":
    main()
