"""Small classifiers trained one after the other, and side by side with stacked weights.

    python -m benchmarks.speed.classifiers [--device cuda] [--json FILE]

Both ways in one process, in turns: the same networks, images and batches.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from augmentor.common.types import LabelledImages
from benchmarks.speed.rounds import medians
from downstream.train import TrainSettings
from downstream.trainer import ClassifierTrainer, Training

SIDES = {"cuda": (8, 28, 64), "cpu": (8, 28)}
CLASSIFIERS, CLASSES, IMAGES = 8, 10, 512


def trainings_of(side: int) -> list[Training]:
    """Arms on noise: every second one with the classical augmentation."""
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(IMAGES, 1, side, side, generator=draw) * 2 - 1
    images = LabelledImages(x, torch.arange(IMAGES) % CLASSES, tuple(map(str, range(CLASSES))))
    augment = [("classical",) if number % 2 else () for number in range(CLASSIFIERS)]
    return [Training(images, number, augment=names) for number, names in enumerate(augment)]


def measure(side: int, device: str, steps: int, rounds: int) -> dict[str, float]:
    """Images per second of either way, and how many times as fast side by side is."""
    settings = TrainSettings(steps=steps)
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    ways = {}
    for name, count in (("alone", 1), ("side by side", CLASSIFIERS)):
        trainer = ClassifierTrainer(settings=settings, device=device, side_by_side=count)
        ways[name] = partial(_train, trainer, trainings_of(side), wait)
    seconds = medians(ways, rounds)
    images = CLASSIFIERS * steps * settings.batch_size
    return {
        "images_per_second_alone": round(images / seconds["alone"], 1),
        "images_per_second_side_by_side": round(images / seconds["side by side"], 1),
        "times_as_fast": round(seconds["alone"] / seconds["side by side"], 2),
    }


def _train(
    trainer: ClassifierTrainer, trainings: list[Training], wait: Callable[[], object]
) -> None:
    if trainer.side_by_side > 1:
        trainer.train_together(trainings)
    else:
        for one in trainings:
            trainer.train(one.images, one.seed, augment=one.augment)
    wait()


def main() -> None:
    """Measure, print as it goes, and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sides", type=int, nargs="+", help="pixels; 64 too on a GPU")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, object] = {"classifiers": CLASSIFIERS}
    for side in asked.sides or SIDES[asked.device]:
        found[str(side)] = measure(side, asked.device, asked.steps, asked.rounds)
        print(side, json.dumps(found[str(side)]), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
