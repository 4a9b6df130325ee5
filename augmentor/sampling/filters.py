"""Which candidates are kept."""

from __future__ import annotations

import torch
from torch import Tensor

from augmentor.sampling.synthesize import Accept
from augmentor.types import Predict


def confidence_filter(predict: Predict, threshold: float) -> Accept:
    """Keep the images a judge takes for their class.

    Args:
        predict: The judge: images to logits (N, K), with the classes in the source's order.
        threshold: Least softmax probability of the asked class, in [0, 1]; 0 keeps everything.

    Returns:
        The filter.

    Raises:
        ValueError: If the threshold is no probability.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"the confidence threshold must lie in [0, 1], got {threshold}")

    def accept(x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            probabilities = predict(x).float().softmax(dim=1)
        return probabilities.gather(1, y.to(probabilities.device)[:, None])[:, 0] >= threshold

    return accept
