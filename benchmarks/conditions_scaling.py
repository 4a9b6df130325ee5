"""How much do rendered combinations add, by how much of the classes and conditions is known?

    python benchmarks/conditions_scaling.py benchmarks/conditions_scaling.yaml \
        --out runs/conditions_scaling --json docs/results/conditions_scaling.json

Three scales: how many classes are seen in all conditions, how many images a rare class keeps, and
how far its conditions reach. On each one number changes, the others stay as in the configuration.
FILE is written after every point; finished points are kept, so that a stopped benchmark resumes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from augmentor.common.atomic_files import write_json, write_text
from downstream.metrics import POINTS
from pipelines.config import Config, config_from, load_config
from pipelines.datasets import load_data
from pipelines.experiment.provenance import provenance
from pipelines.gain.run import gain_run
from pipelines.progress import Lines

WHOLE_CLASSES = (2, 6, 10, 14, 17)
IMAGES = (1, 4, 16)
REACHES = (10, 25, 70)
"""Degrees from the front, in both angles."""
HEADS = {
    "whole_classes": ("How many people are seen in every light", "people"),
    "images": ("How many photos there are of each of the others", "photos"),
    "reach": ("How far the light of these photos moves from the front", "degrees"),
}
ARMS = {
    "trivialaugment": "without a generator",
    "factored": "with rendered combinations",
    "oracle": "with real photos of them",
}


def points(config: Config, classes: int) -> dict[str, dict[int, dict[str, Any]]]:
    """What every point changes in ``data.rare``, by scale and number."""
    rare = config.data.rare
    if rare is None or not rare.within:
        raise ValueError("the configuration needs data.rare with within")
    reach = {}
    for degrees in REACHES:
        reach[degrees] = {"within": dict.fromkeys(rare.within, (-float(degrees), float(degrees)))}
    return {
        "whole_classes": {whole: {"classes": classes - whole} for whole in WHOLE_CLASSES},
        "images": {images: {"images": images} for images in IMAGES},
        "reach": reach,
    }


def changed(config: Config, change: dict[str, Any]) -> Config:
    """The configuration of a point."""
    assert config.data.rare is not None
    rare = config.data.rare.model_copy(update=change)
    return config.model_copy(update={"data": config.data.model_copy(update={"rare": rare})})


def measured(config: Config, out: Path) -> dict[str, Any]:
    """Recall of the missing combinations for every arm, and what the generator changes."""
    result = gain_run(config, out, progress=Lines(every=60))
    arms = result["arms"]
    return {
        "regime": result["regime"],
        "replicates": result["replicates"],
        "means": {name: arm["mean"] for name, arm in arms.items()},
        "scores": {name: arm["scores"] for name, arm in arms.items()},
        "gain": arms["factored"]["mean"] - arms["trivialaugment"]["mean"],
    }


def page(found: dict[str, Any]) -> str:
    """The page of the figures."""
    config = config_from(found["config"])
    assert config.data.rare is not None
    middle = {
        "whole_classes": found["classes"] - int(config.data.rare.classes),
        "images": config.data.rare.images,
        "reach": round((config.data.rare.within or {}).popitem()[1][1]),
    }
    parts = [
        "# What rendering adds, by how much is known",
        f"Made by `{found['command']}` on {found['device']}, in "
        f"{found['seconds']['total']:,.0f} s.",
        "Faces under light at 32 pixels: some people are seen in every light, of the others there "
        "are a few photos in light from the front. Each row is the mean recall, in percent, of the "
        f"combinations that training lacks, over {config.gain.replicates} replicates: too few for "
        "an interval. The row of the middle of all three scales is bold. The settings of the "
        f"generator are those of [conditions_faces](conditions_faces/page.md), but for its steps: "
        f"{config.source.steps:,}.",
    ]
    for scale, (title, unit) in HEADS.items():
        if scale in found["scales"]:
            parts += [f"## {title}", _table(found["scales"][scale], unit, middle[scale])]
    return "\n\n".join(parts) + "\n"


def _table(rows: dict[str, Any], unit: str, middle: int | None) -> str:
    lines = [f"| {unit} | {' | '.join(ARMS.values())} | rendering adds, points |"]
    lines.append("|---:|" + "---:|" * (len(ARMS) + 1))
    for number in sorted(rows, key=int):
        row = rows[number]
        cells = [POINTS.plain(row["means"][arm]) for arm in ARMS]
        cells = [number, *cells, POINTS.signed(row["gain"])]
        if int(number) == middle:
            cells = [f"**{cell}**" for cell in cells]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write after every point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=1, help="replicates at the same time")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    start, config = time.perf_counter(), load_config(asked.config)
    classes = len(load_data(config.data, config.seed).train.classes)
    known = json.loads(asked.json.read_text(encoding="utf-8")) if asked.json.exists() else {}
    # As configurations: a key that came later is at its default.
    same = bool(known) and config_from(known["config"]) == config
    scales: dict[str, dict[str, Any]] = known["scales"] if same else {}
    spent = known["seconds"]["total"] if same else 0.0
    command = f"python benchmarks/{Path(__file__).name} {asked.config} --out {asked.out}"
    rows: dict[str, dict[str, Any]] = {}  # the scales meet in one point: measured once
    for scale, changes in points(config, classes).items():
        found = scales.setdefault(scale, {})
        for number, change in changes.items():
            point = changed(config, change)
            key = point.data.model_dump_json()
            if str(number) in found:
                rows[key] = found[str(number)]
                continue
            if key not in rows:
                gain = point.gain.model_copy(update={"processes": asked.processes})
                point = point.model_copy(update={"gain": gain})
                rows[key] = measured(point, asked.out / f"{scale}-{number}")
            found[str(number)] = rows[key]
            print(scale, number, json.dumps(found[str(number)]["means"]), flush=True)
            total = {"total": spent + time.perf_counter() - start}
            result = {
                "schema": 1,
                "dataset": config.data.data,
                "metric": config.gain.metric,
                "classes": classes,
                "config": config.model_dump(mode="json"),
                "scales": scales,
                **provenance(total, "cpu", None, f"{command} --json {asked.json}"),
            }
            write_json(asked.json, result)
            write_text(asked.json.with_suffix(".md"), page(result))


if __name__ == "__main__":
    main()
