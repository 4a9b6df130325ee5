"""Which candidates are kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from augmentor.common.evaluation import evaluating
from augmentor.common.types import Predict, SampleSource
from augmentor.sampling.synthesize import Accept, render

Realism = Callable[[Tensor, Tensor], Tensor]
"""Images (N, C, H, W) and their classes (N,) to how real each looks, (N,); a discriminator's
logits, for example."""

MEASURED = 256
"""Candidates of a class by which its threshold is set."""


def confidence_filter(predict: Predict, threshold: float) -> Accept:
    """Keep the images a judge takes for their class.

    Args:
        predict: The judge: images to logits (N, K), with the classes in the source's order.
        threshold: Least softmax probability of the asked class, in [0, 1]; 0 keeps everything.

    Returns:
        The filter.

    Raises:
        ValueError: If the threshold is not a probability.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"the confidence threshold must lie in [0, 1], got {threshold}")
    return partial(_is_sure, predict, threshold)  # not a closure: worker processes get it


def _is_sure(predict: Predict, threshold: float, x: Tensor, y: Tensor) -> Tensor:
    # Candidates come class by class: batch norm in training mode would take from each what all of
    # them have in common.
    with torch.no_grad(), evaluating(predict):
        probabilities = predict(x).float().softmax(dim=1)
    return probabilities.gather(1, y.to(probabilities.device)[:, None])[:, 0] >= threshold


def realism_filter(source: SampleSource, realism: Realism, share: float, seed: int) -> Accept:
    """Drop the images of every class that look the least real.

    The scores of a discriminator have no scale and differ from class to class, so each class has a
    threshold of its own: what a ``share`` of its first candidates falls short of. Real images would
    not do to set it: a discriminator that has learned them by heart puts every other image below
    them.

    Args:
        source: What renders.
        realism: The judge; larger is more real.
        share: Part of the candidates to drop, in [0, 1); 0 keeps everything.
        seed: That of the candidates.

    Returns:
        The filter.

    Raises:
        ValueError: If the share is out of range.
    """
    if not 0 <= share < 1:
        raise ValueError(f"the share to drop must lie in [0, 1), got {share}")

    thresholds = torch.empty(len(source.classes))
    for index in range(len(source.classes)):
        measured = render(source, index, MEASURED, seed)[0]
        scores = _scores(realism, measured, torch.full((MEASURED,), index))
        thresholds[index] = scores.quantile(share)
    if share == 0:
        thresholds[:] = -torch.inf  # later candidates may be worse than all measured ones
    return partial(_is_real_enough, realism, thresholds)


def both(first: Accept, second: Accept) -> Accept:
    """Keep what two filters keep."""
    return partial(_keep_both, first, second)


def _scores(realism: Realism, x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return realism(x, y).float().cpu()


def _is_real_enough(realism: Realism, thresholds: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return _scores(realism, x, y) >= thresholds[y.cpu()]


def _keep_both(first: Accept, second: Accept, x: Tensor, y: Tensor) -> Tensor:
    return first(x, y).cpu() & second(x, y).cpu()
