"""How fast ``augmentor synth`` writes sets: images per second by size, format and processes.

    python -m benchmarks.speed.synthesis [--json FILE]

The generator is a CVAE-GAN of the default width after one step; what it renders makes no
difference to the time, but noise compresses badly, so that writing costs more here than in use.
Worker processes take seconds to start, whatever they make, so every way writes a small set and one
of three times its size, and the rate is that of the images between.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augmentor.common.randomness import seed_for
from benchmarks.speed.rounds import medians, tell
from pipelines.config import Config, DataConfig, SourceConfig
from pipelines.generators.synthesize import synthesize_run
from pipelines.generators.train import train_run

CLASSES, ROUNDS, LARGER = 10, 2, 3
PER_CLASS = {28: 512, 64: 128, 128: 64}
"""Images of every class in the small set, by pixels."""


def write_noise(folder: Path, side: int, per_class: int, seed: int) -> Path:
    """A folder of grey noise, CLASSES folders of ``per_class`` images."""
    draw = np.random.default_rng(seed)
    for label in range(CLASSES):
        home = folder / f"class_{label}"
        home.mkdir(parents=True)
        for number in range(per_class):
            pixels = draw.integers(0, 256, (side, side), dtype=np.uint8)
            Image.fromarray(pixels).save(home / f"{number:04d}.png")
    return folder


def run_of(folder: Path, side: int) -> Path:
    """A run of one training step at ``side`` pixels, under ``folder``."""
    data = write_noise(folder / f"noise-{side}", side, 8, seed_for("noise", side) % 2**32)
    run = folder / f"run-{side}"
    config = Config(
        data=DataConfig(data=str(data), size=side), source=SourceConfig(steps=1, batch_size=8)
    )
    train_run(config, run)
    return run


def synth(run: Path, out: Path, per_class: int, kind: Any, processes: int) -> None:
    """Write a set anew."""
    shutil.rmtree(out, ignore_errors=True)
    synthesize_run(run, out, per_class=per_class, format=kind, processes=processes)


def measure(sides: dict[int, int], rounds: int) -> dict[str, Any]:
    """Images per second of every way, and how near two processes come to twice one."""
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        for side, per_class in sides.items():
            run = run_of(Path(name), side)
            ways = {
                (side, kind, processes, times): partial(
                    synth, run, Path(name) / "set", times * per_class, kind, processes
                )
                for kind in ("folder", "shards")
                for processes in (1, 2)
                for times in (1, LARGER)
            }
            seconds = medians(ways, rounds)
            between = (LARGER - 1) * CLASSES * per_class
            for (_, kind, processes, times), small in seconds.items():
                if times == 1:
                    apart = seconds[side, kind, processes, LARGER] - small
                    way = f"{side} px, {kind}, {processes} processes"
                    rates[way] = round(between / apart, 1)
    one = [way for way in rates if way.endswith("1 processes")]
    scaling = {way: rates[way.replace("1 pro", "2 pro")] / (2 * rates[way]) for way in one}
    return {
        "images_per_second": rates,
        "of_linear": {way.removesuffix(", 1 processes"): round(s, 2) for way, s in scaling.items()},
        "synth_scaling": round(min(scaling.values()), 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="small sets, one round: a trial")
    asked = parser.parse_args()
    sides = dict.fromkeys(PER_CLASS, 4) if asked.quick else PER_CLASS
    tell(measure(sides, 1 if asked.quick else ROUNDS), asked.json)


if __name__ == "__main__":
    main()
