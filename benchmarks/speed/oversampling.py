"""A long tail topped up by SMOTE and by a generator: seconds, and what a classifier makes of it.

    python -m benchmarks.speed.oversampling [--data mnist] [--json FILE]

1,000 images of the first class down to 10 of the last; every class is topped up to 1,000 by
``fit_resample`` of imbalanced-learn's SMOTE and of ``GanOverSampler``, which trains a generator on
the same images first. A small classifier learns from the images as they are, from these drawn
equally often per class, and from either set. So few draws are a look, not a claim.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from imblearn.over_sampling import SMOTE
from sklearn.metrics import balanced_accuracy_score

from augmentor import GanOverSampler
from augmentor.common.types import LabelledImages
from benchmarks.speed.rounds import tell
from downstream.evaluate import predict_logits
from downstream.train import TrainSettings, balanced_weights
from downstream.trainer import ClassifierTrainer
from pipelines.config import DataConfig
from pipelines.datasets import load_data

SIDE, PER_CLASS, IMBALANCE, DRAWS = 16, 1000, 100.0, 3
WAYS = ("as they are", "drawn evenly", "smote", "generator")
STEPS = 800
"""Of the generator and of the classifier."""


def resampled(sampler: Any, images: LabelledImages) -> LabelledImages:
    """The images and those that the sampler adds."""
    x, y = sampler.fit_resample(images.x.flatten(1).numpy(), images.y.numpy())
    shaped = torch.from_numpy(x).float().reshape(-1, *images.image_shape)
    return LabelledImages(shaped, torch.from_numpy(y).long(), images.classes)


def measure(name: str, per_class: int, imbalance: float, steps: int, draws: int) -> dict[str, Any]:
    """Median seconds of topping up, and balanced accuracy in percent: every draw, and the mean."""
    seconds: dict[str, list[float]] = {"smote": [], "generator": []}
    scores: dict[str, list[float]] = {way: [] for way in WAYS}
    trainer = ClassifierTrainer(settings=TrainSettings(steps=steps), domain="digits")
    data = DataConfig(data=name, size=SIDE, per_class=per_class, imbalance=imbalance)
    for draw in range(draws):
        bundle = load_data(data, draw)
        samplers = {
            "smote": SMOTE(random_state=draw),
            "generator": GanOverSampler(
                family="cvae_gan", steps=steps, random_state=draw, value_range=(-1, 1),
                image_shape=bundle.train.image_shape,
            ),
        }  # fmt: skip
        sets = {"as they are": bundle.train}
        for way, sampler in samplers.items():
            start = time.perf_counter()
            sets[way] = resampled(sampler, bundle.train)
            seconds[way].append(time.perf_counter() - start)
        sets["drawn evenly"] = bundle.train
        for way, images in sets.items():
            even = balanced_weights(images.y, len(images.classes))
            weights = even if way == "drawn evenly" else None
            trained = trainer.train(images, draw, draw_weights=weights)
            said = predict_logits(trained, bundle.test.x).argmax(dim=1)
            scores[way].append(100 * balanced_accuracy_score(bundle.test.y, said))
    return {
        "data": name,
        "draws": draws,
        "pixels": SIDE,
        "images": {way: len(images) for way, images in sets.items()},
        "seconds": {way: round(statistics.median(s), 3) for way, s in seconds.items()},
        "balanced_accuracy": {way: [round(s, 1) for s in found] for way, found in scores.items()},
        "mean": {way: round(statistics.fmean(found), 1) for way, found in scores.items()},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--per-class", type=int, default=PER_CLASS, help="of the first class")
    parser.add_argument("--imbalance", type=float, default=IMBALANCE, help="first over last class")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    figures = measure(asked.data, asked.per_class, asked.imbalance, asked.steps, asked.draws)
    tell(figures, asked.json)


if __name__ == "__main__":
    main()
