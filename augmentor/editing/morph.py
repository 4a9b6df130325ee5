"""The way from one image of a class to another."""

from __future__ import annotations

import torch
from torch import Tensor

from augmentor.common.conditions import Conditions
from augmentor.common.types import EncodingSource, conditions_of
from augmentor.data.candidates import encode, sample
from augmentor.editing.reconstruct import require_images


def morph(
    source: EncodingSource,
    x_first: Tensor,
    x_last: Tensor,
    y: Tensor,
    steps: int,
    condition_first: Tensor | None = None,
    condition_last: Tensor | None = None,
    condition_to: Tensor | None = None,
) -> Tensor:
    r"""Walk along a straight line between two latents with the label held:
    :math:`G((1 - t)\,\mu(x_1, y) + t\,\mu(x_2, y),\ y)`.

    Of a source with conditions the condition walks too: numbers along a straight line, categories
    through mixtures. One image twice with ``condition_to`` walks through the conditions alone.

    Args:
        source: A source with an encoder.
        x_first: Images to begin with, float32 (N, C, H, W) in [-1, 1], on the source's device.
        x_last: Images to end with, of the same shape and classes.
        y: The class of either, int64 (N,), or mixtures, float (N, K).
        steps: Images on the way, both ends included; 2 or more.
        condition_first: Conditions of ``x_first``, as ``Conditions.rows`` takes them; None for a
            source without.
        condition_last: Those of ``x_last``; the same unless given.
        condition_to: Where the conditions walk to; ``condition_last`` unless given.

    Returns:
        Images, float32 (N, steps, C, H, W) in [-1, 1]. The ends are the reconstructions of the two
        images.

    Raises:
        ValueError: If shapes or labels do not fit the source or each other, or there are fewer than
            two steps.

    Source:
        Bao et al. 2017, arXiv:1703.10155, section 4.3.
    """
    require_images(source, x_first)
    if x_first.shape != x_last.shape or steps < 2:
        raise ValueError(
            f"need two batches of one shape and 2 or more steps, "
            f"got {tuple(x_first.shape)}, {tuple(x_last.shape)}, {steps} steps"
        )
    condition_last = condition_first if condition_last is None else condition_last
    condition_to = condition_last if condition_to is None else condition_to
    z_first = encode(source, x_first, y, condition_first)
    z_last = encode(source, x_last, y, condition_last)
    walk = []
    for share in torch.linspace(0, 1, steps).tolist():
        z = torch.lerp(z_first, z_last, share)
        condition = between(conditions_of(source), condition_first, condition_to, share)
        walk.append(sample(source, y, z, condition))
    return torch.stack(walk, dim=1)


def between(
    conditions: Conditions, first: Tensor | None, last: Tensor | None, share: float
) -> Tensor | None:
    """Conditions on the way from one to another: numbers, or mixtures of categories.

    Args:
        conditions: What they are.
        first: Conditions, as ``Conditions.rows`` takes them; None for none.
        last: The same number of them.
        share: Part of the way, in [0, 1].

    Example:
        >>> fonts = Conditions(("font",), ("bold", "light"))
        >>> between(fonts, torch.tensor([0]), torch.tensor([1]), 0.25)
        tensor([[0.7500, 0.2500]])
    """
    if first is None or last is None:
        return None
    if not conditions.are_numbers:
        first, last = conditions.rows(first), conditions.rows(last)
    return torch.lerp(first, last, share)
