"""A synthetic image of the same class as one more albumentations transform, with draws that repeat
for a seed.

Trains a small CVAE-GAN on digits (seconds on a CPU), then reads one epoch through the pipeline.
"""

import os

os.environ.setdefault(
    "NO_ALBUMENTATIONS_UPDATE", "1"
)  # else importing it asks the network for news

import albumentations
import numpy as np
from torch.utils.data import Dataset

from augmentor.data.albumentations import SeededItems, SyntheticReplace
from augmentor.data.fingerprint import to_uint8
from pipelines.config import config_from
from pipelines.datasets import load_data
from pipelines.generators.in_memory import train_generator


class Arrays(Dataset[tuple[np.ndarray, int]]):
    """Images as albumentations wants them: (H, W, C) uint8."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self.x[index], int(self.y[index])


def main(steps: int = 300) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The first 32 items of two epochs."""
    config = config_from({"data": {"data": "digits"}, "source": {"steps": steps}})
    train = load_data(config.data, seed=0).train
    source = train_generator(train, config.source, seed=0)
    replace = SyntheticReplace(source, train.classes, p=0.3)
    compose = albumentations.Compose([replace, albumentations.Affine(rotate=(-10, 10), p=0.5)])
    images = to_uint8(train.x).permute(0, 2, 3, 1).numpy()
    items = SeededItems(
        Arrays(images, train.y.numpy()), compose, seed=0, label_key=replace.metadata_key
    )
    epochs = []
    for epoch in range(2):
        items.set_epoch(epoch)
        epochs.append([np.asarray(items[index][0]) for index in range(32)])
    return epochs[0], epochs[1]


if __name__ == "__main__":
    first, second = main()
    print(
        f"{sum(bool((a != b).any()) for a, b in zip(first, second, strict=True))} of {len(first)} "
        "items differ"
    )
