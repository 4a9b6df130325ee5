"""A source that was trained with conditions renders a combination that it never saw."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from augmentor.common.conditions import Conditions
from augmentor.common.types import LabelledImages
from augmentor.families import FAMILIES
from augmentor.training.batches import Batches
from augmentor.training.ema import averaged
from augmentor.training.loop import fit

CLASSES, LIGHT = ("left", "middle", "right"), Conditions(("light",), ("night", "day"))
GROUND, BAR = torch.tensor([-0.9, 0.1]), 0.8
STEPS = 100
PLACES = (slice(0, 2), slice(3, 5), slice(6, 8))
UNSEEN = (2, 1)
"""The right bar was never seen by day."""


def bars() -> LabelledImages:
    """The class is where a bar stands, the condition is how bright the ground is."""
    rng = torch.Generator().manual_seed(0)
    pairs = [(y, light) for y in range(3) for light in range(2) if (y, light) != UNSEEN]
    y, light = torch.tensor(pairs * 12).T
    x = 0.05 * torch.randn(len(y), 1, 8, 8, generator=rng) + GROUND[light][:, None, None, None]
    for place, columns in enumerate(PLACES):
        x[y == place, :, :, columns] = BAR
    return LabelledImages(x.clamp(-1, 1), y, CLASSES, light, LIGHT)


def rendered(images: LabelledImages) -> Tensor:
    """Right bars by day, of a source that was trained on these images for ``STEPS`` steps; the
    right bars of one that knows classes alone.
    """
    cvae = FAMILIES["cvae"]
    small = {"width": 4, "latent_dim": 2, "sigma": 0.5, "learning_rate": 1e-2}
    options = cvae.options_for("default", small | {"bfloat16": False, "ema_decay": 0.9})
    torch.manual_seed(0)
    model = cvae.build(images.classes, images.image_shape, options, images.conditions)
    average = averaged(model, options.ema_decay)
    for _ in fit(cvae.trainer(model), average, Batches(images, 24, 0), steps=STEPS, seed=0):
        pass
    z = torch.randn(32, 2, generator=torch.Generator().manual_seed(1)) / 2
    label, light = UNSEEN
    given = [torch.full((32,), light)] if images.conditions else []
    source: Any = average.module.eval()
    x: Tensor = source.sample(torch.full((32,), label), z, *given)
    return x


def ground(x: Tensor) -> float:
    """How bright it is left of the right bar, on average."""
    return float(x[..., : PLACES[2].start].mean())


def test_a_source_renders_what_it_never_saw_and_one_of_classes_alone_cannot() -> None:
    halfway = float(GROUND.mean())
    made = rendered(bars())
    assert ground(made) > halfway
    assert float(made[..., PLACES[2]].mean()) > ground(made)
    assert ground(rendered(bars().without_conditions())) < halfway
