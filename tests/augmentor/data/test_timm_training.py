"""timm trains on a folder that we wrote, with the pieces of its own training script.

The script ``train.py`` is not in timm's package. These are its data set, loader, model, optimiser,
loss and schedule.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from timm.data import create_dataset, create_loader
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from torch import Tensor

from augmentor.data.synthetic_store import Recipe, trained_on_digest
from augmentor.sampling.synthesize import synthesize_set

EPOCHS = 8

# timm's reader leaves the files of images open.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Levels:
    """Renders dark and light images with noise."""

    classes, image_shape, latent_dim = ("dark", "light"), (3, 16, 16), 4

    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        level = (y * 1.2 - 0.6)[:, None, None, None] + 0.1 * z[:, :3, None, None].tanh()
        return level.repeat(1, 1, 16, 16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of twelve images of each class."""
    seen = np.zeros(0, dtype=np.int64)
    recipe = Recipe(
        family="levels",
        source_sha256="0" * 64,
        classes=Levels.classes,
        image_shape=Levels.image_shape,
        counts={"dark": 12, "light": 12},
        seed=1,
        source_augment="none",
        trained_on=trained_on_digest(seen),
        format="folder",
    )
    synthesize_set(Levels(), recipe, tmp_path / "set", seen)
    return tmp_path / "set"


def loader_of(folder: Path, training: bool) -> torch.utils.data.DataLoader:
    dataset = create_dataset("", root=str(folder), is_training=training)
    assert dataset.reader.class_to_idx == {"dark": 0, "light": 1}
    return create_loader(
        dataset,
        input_size=(3, 32, 32),
        batch_size=8,
        is_training=training,
        use_prefetcher=False,
        scale=(0.8, 1.0),
        num_workers=0,
    )


def test_timm_trains_on_a_set_and_learns_its_classes(folder: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model("test_resnet", num_classes=2)
        optimiser = create_optimizer_v2(model, opt="adamw", lr=3e-3)
        schedule, epochs = create_scheduler_v2(optimiser, sched="cosine", num_epochs=EPOCHS)
        loss, train = LabelSmoothingCrossEntropy(0.1), loader_of(folder, True)
        for epoch in range(epochs):
            for x, y in train:
                optimiser.zero_grad()
                loss(model(x), y).backward()
                optimiser.step()
            schedule.step(epoch + 1)
    model.eval()
    with torch.no_grad():
        right = [(model(x).argmax(1) == y).float().mean() for x, y in loader_of(folder, False)]
    assert torch.stack(right).mean() > 0.9
