"""Decoupled training for long tails: features from images as they are, then a new last layer on
balanced classes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from torch import Tensor, nn

from augmentor.common.randomness import seed_for
from downstream.augment import Augment
from downstream.train import TrainSettings, balanced_weights, train_classifier

HEAD_SHARE = 0.2
"""Part of the steps that the last layer alone gets."""


def train_decoupled(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    settings: TrainSettings,
    *,
    seed: int,
    num_classes: int,
    augment: Augment | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> nn.Module:
    """Train a network with every image drawn equally often, then its last layer anew with every
    class.

    The second stage begins with the last layer as it was before the first and leaves everything
    else as the first left it, batch-norm statistics too. Each has a warm-up and a cosine of its
    own; together they take ``settings.steps`` steps.

    Args:
        model: A network with timm's ``get_classifier``; trained in place.
        x: Images, shape (N, C, H, W), float32 in [-1, 1].
        y: Classes, int64 (N,).
        settings: Steps, 2 or more, rates and so on.
        seed: Decides order, augmentation and dropout.
        num_classes: Number of classes K.
        augment: Applied to every drawn image in both stages.
        on_step: As in ``train_classifier``; the count begins anew with the second stage.

    Returns:
        The same model in evaluation mode.

    Raises:
        NonFiniteLossError: If the loss or a weight stops being finite.
        ValueError: If shapes do not fit or there is one step only.

    Source:
        Kang et al. 2020, "Decoupling Representation and Classifier for Long-Tailed Recognition",
        arXiv:1910.09217, there cRT (classifier re-training).
    """
    head = cast(nn.Module, cast(Any, model).get_classifier())
    drawn = copy.deepcopy(head.state_dict())
    head_steps = max(1, round(HEAD_SHARE * settings.steps))
    first = replace(settings, steps=settings.steps - head_steps)
    train_classifier(model, x, y, first, seed=seed, augment=augment, on_step=on_step)
    head.load_state_dict(drawn)
    balanced = balanced_weights(y, num_classes)
    second = replace(settings, steps=head_steps)
    train_classifier(
        _HeadOnly(model, head),
        x,
        y,
        second,
        seed=seed_for("second stage", seed),
        draw_weights=balanced,
        augment=augment,
        on_step=on_step,
    )
    return model.requires_grad_(True).eval()


class _HeadOnly(nn.Module):
    """A network of which only the last layer learns; the rest stays in evaluation mode."""

    def __init__(self, model: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        head.requires_grad_(True)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        return logits

    def train(self, mode: bool = True) -> _HeadOnly:
        """Stay in evaluation mode: the statistics belong to the features."""
        super().train(mode)
        self.model.eval()
        return self
