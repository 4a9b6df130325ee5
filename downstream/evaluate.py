"""What a classifier says about images, and how right it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()  # not inference_mode: its tensors could never enter a later training step
def predict_logits(model: nn.Module, x: Tensor, batch_size: int = 256) -> Tensor:
    """Logits of images in evaluation mode.

    Args:
        model: Classifier; left in the mode it was in.
        x: Images, shape (N, C, H, W), in [-1, 1]; N may be 0 only if the caller needs no class
            count.
        batch_size: Images per pass; changes the result by rounding only.

    Returns:
        Logits, float32, shape (N, K), on the device of ``x``.
    """
    training, device = model.training, next(model.parameters()).device
    model.eval()
    parts = [model(part.to(device)).float().to(x.device) for part in torch.split(x, batch_size)]
    model.train(training)
    return torch.cat(parts)


def accuracy(predictions: Tensor, y: Tensor) -> float:
    """Share of predictions (N,) that equal the labels y (N,), in [0, 1]."""
    _check(predictions, y)
    return float((predictions == y).double().mean())


def per_class_recall(predictions: Tensor, y: Tensor, num_classes: int) -> Tensor:
    """Share of each class's images that were recognised.

    Args:
        predictions: Predicted classes, int64 (N,).
        y: True classes, int64 (N,), in [0, num_classes).
        num_classes: Number of classes K.

    Returns:
        Recall in [0, 1], float64, shape (K,); NaN for a class without images.
    """
    _check(predictions, y)
    total = torch.bincount(y, minlength=num_classes).double()
    right = torch.bincount(y[predictions == y], minlength=num_classes).double()
    return right / total


def balanced_accuracy(predictions: Tensor, y: Tensor, num_classes: int) -> float:
    """Mean recall over the classes that have images, in [0, 1]; equals accuracy if classes have
    equal size.
    """
    return float(per_class_recall(predictions, y, num_classes).nanmean())


def _check(predictions: Tensor, y: Tensor) -> None:
    if predictions.shape != y.shape or y.ndim != 1 or len(y) == 0:
        raise ValueError(
            f"need equal shapes (N,) with N > 0, got {tuple(predictions.shape)} and "
            f"{tuple(y.shape)}"
        )
