"""Group DRO: training for the worst group of images instead of the mean over all."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from downstream.augment import Augment
from downstream.train import TrainSettings, train_classifier

STEP_SIZE = 0.01
"""η of the paper's experiments."""


def train_group_dro(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    settings: TrainSettings,
    *,
    group: Tensor,
    seed: int,
    step_size: float = STEP_SIZE,
    draw_weights: Tensor | None = None,
    augment: Augment | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> nn.Module:
    """Train a classifier by ``GroupLoss``.

    The paper draws every group equally often. The arm draws every class equally often, and within
    it every group: a class seen under few conditions would else be rare, and the score is balanced.

    Args:
        model: Network from images to logits (N, K); trained in place.
        x: Images, shape (N, C, H, W), float32 in [-1, 1].
        y: Classes, int64 (N,).
        settings: Steps, rates and so on.
        group: Group of every image, int64 (N,), any numbers; here class and condition.
        seed: Decides order, augmentation and dropout.
        step_size: As in ``GroupLoss``.
        draw_weights: How often each image is drawn, (N,), any scale; None is equally often.
        augment: Applied to every drawn image.
        on_step: As in ``train_classifier``.

    Returns:
        The same model in evaluation mode.

    Raises:
        NonFiniteLossError: If the loss or a weight stops being finite.
        ValueError: If shapes do not fit.

    Source:
        Sagawa et al. 2020, "Distributionally Robust Neural Networks for Group Shifts",
        arXiv:1911.08731, algorithm 1.

    Example:
        >>> from downstream.classifier import build_classifier
        >>> model, y = build_classifier("auto", 2, (1, 8, 8), seed=0), torch.arange(4) % 2
        >>> settings = TrainSettings(steps=2, batch_size=4)
        >>> x, group = torch.rand(4, 1, 8, 8), torch.arange(4)
        >>> train_group_dro(model, x, y, settings, group=group, seed=0).training
        False
    """
    if group.shape != (len(x),):
        raise ValueError(f"need a group for each of {len(x)} images, got {tuple(group.shape)}")
    loss = GroupLoss(group, step_size)
    return train_classifier(
        model,
        x,
        y,
        settings,
        seed=seed,
        draw_weights=draw_weights,
        augment=augment,
        loss=loss,
        drawn=loss.drawn,
        on_step=on_step,
    )


class GroupLoss:
    r"""Mean loss of every group, weighed by a share that grows with it.

    .. math::
        q_g \leftarrow \frac{q_g e^{\eta \ell_g}}{\sum_h q_h e^{\eta \ell_h}}, \qquad
        L = \sum_g q_g \ell_g

    A group without images in the batch has a loss of 0 there.

    Args:
        group: Group of every training image, int64 (N,).
        step_size: η, 0 or more; at 0 all groups keep the same weight.

    Source:
        Sagawa et al. 2020, arXiv:1911.08731.

    Example:
        >>> loss = GroupLoss(torch.tensor([7, 9]))
        >>> _ = loss.drawn(torch.tensor([0, 1]), 0)
        >>> value = loss(torch.tensor([[9.0, 0.0], [9.0, 0.0]]), torch.tensor([0, 1]))
        >>> bool(loss.weights[1] > loss.weights[0])
        True
    """

    def __init__(self, group: Tensor, step_size: float = STEP_SIZE) -> None:
        occurring, self._group = torch.unique(group.cpu(), return_inverse=True)
        self._seen = self._group
        self.step_size = step_size
        self.weights = torch.full((len(occurring),), 1 / len(occurring))

    def drawn(self, numbers: Tensor, step: int) -> Tensor:
        """Hear whose losses come next: numbers of training images, int64 (B,), given back."""
        self._seen = self._group[numbers]
        return numbers

    def __call__(self, logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """The loss of the images heard of last, a scalar; the weights are updated first.

        Args:
            logits: Shape (B, K).
            target: Classes, int64 (B,), or probabilities, float (B, K).
            label_smoothing: As in torch's ``cross_entropy``.
        """
        losses = cross_entropy(logits, target, reduction="none", label_smoothing=label_smoothing)
        # A product, not a sum by index, which differs from run to run on a GPU.
        member = one_hot(self._seen.to(logits.device), len(self.weights)).to(losses)
        of_group = losses @ member / member.sum(dim=0).clamp(min=1)
        raised = self.weights.to(losses) * torch.exp(self.step_size * of_group.detach())
        self.weights = raised / raised.sum()
        return self.weights @ of_group
