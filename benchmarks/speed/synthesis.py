"""How fast ``augmentor synth`` writes sets: images per second by size, format and processes.

    python -m benchmarks.speed.synthesis [--json FILE]

The generator is a CVAE-GAN of the default width after one step; what it renders makes no
difference to the time, but noise compresses badly, so that writing costs more here than in use.
Worker processes take seconds to start, whatever they make, so the clock runs from the moment when
every worker has finished its first shard. Rates are medians over rounds; two processes are compared
with one within a round, and the median of these is told.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augmentor.common.randomness import seed_for
from benchmarks.speed.rounds import tell
from pipelines.config import Config, DataConfig, SourceConfig
from pipelines.generators.synthesize import synthesize_run
from pipelines.generators.train import train_run

CLASSES, ROUNDS, WARM_UP = 10, 5, 1
PER_CLASS = {28: 1024, 64: 160, 128: 40}
"""Images of every class, by pixels."""


class Clock:
    """Hears of finished shards, and when."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int]] = []

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Note the time."""
        self.seen.append((time.perf_counter(), done))

    def say(self, line: str) -> None:
        """Ignore a line."""

    def rate(self, processes: int) -> float:
        """Images per second since every process has made one shard."""
        (start, before), (end, after) = self.seen[processes], self.seen[-1]
        return (after - before) / (end - start)


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


def synth(
    run: Path, out: Path, per_class: int, kind: Any, processes: int, clock: Clock | None = None
) -> None:
    """Write a set anew."""
    shutil.rmtree(out, ignore_errors=True)
    synthesize_run(run, out, per_class=per_class, format=kind, processes=processes, progress=clock)


def measure(sides: dict[int, int], rounds: int) -> dict[str, Any]:
    """Images per second of every way, and how near two processes come to twice one."""
    rates, of_linear = dict[str, float](), dict[str, float]()
    with tempfile.TemporaryDirectory() as name:
        for side, per_class in sides.items():
            run = run_of(Path(name), side)
            for kind in ("folder", "shards"):
                found: dict[int, list[float]] = {1: [], 2: []}
                for number in range(WARM_UP + rounds):
                    for processes, own in found.items():
                        clock = Clock()
                        synth(run, Path(name) / "set", per_class, kind, processes, clock)
                        if number >= WARM_UP:
                            own.append(clock.rate(processes))
                for processes, own in found.items():
                    way = f"{side} px, {kind}, {processes} processes"
                    rates[way] = round(statistics.median(own), 1)
                pairs = zip(found[1], found[2], strict=True)
                ratio = statistics.median(two / (2 * one) for one, two in pairs)
                of_linear[f"{side} px, {kind}"] = round(ratio, 2)
    return {
        "images_per_second": rates,
        "of_linear": of_linear,
        "rounds": rounds,
        "synth_scaling": min(of_linear.values()),
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
