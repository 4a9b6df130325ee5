"""Replace part of every batch by synthetic images of the same classes, as MixUp is used: in a
``collate_fn``.

Trains a small CVAE-GAN on digits (seconds on a CPU), then runs one epoch of a loader.
"""

import torch
from torch.utils.data import DataLoader, TensorDataset, default_collate
from torchvision.transforms import v2

from augmentor.data.batch_transform import SyntheticBatch
from pipelines.config import config_from
from pipelines.datasets import load_data
from pipelines.generators.in_memory import train_generator


def main(steps: int = 300) -> list[torch.Size]:
    """Shapes of the labels of one epoch's batches: mixed, so a row of class probabilities each."""
    config = config_from({"data": {"data": "digits"}, "source": {"steps": steps}})
    train = load_data(config.data, seed=0).train
    source = train_generator(train, config.source, seed=0)
    to_input = v2.Lambda(
        lambda pixels: pixels.float() / 127.5 - 1
    )  # the loader's images are in [-1, 1]
    transform = v2.Compose(
        [SyntheticBatch(source, train.classes, p=0.5, to_input=to_input), v2.MixUp(num_classes=10)]
    )
    torch.manual_seed(0)
    loader = DataLoader(
        TensorDataset(train.x, train.y),
        batch_size=64,
        shuffle=True,
        collate_fn=lambda items: transform(*default_collate(items)),
    )
    return [y.shape for x, y in loader]


if __name__ == "__main__":
    shapes = main()
    print(f"{len(shapes)} batches, labels of shape {tuple(shapes[0])}")
