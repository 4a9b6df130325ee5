"""The averaged model."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of a model's weights and buffers, with a warm-up.

    In update n the share kept is min(decay, (1 + n) / (10 + n)), so that a short run is not an average of its start.

    Args:
        model: The model trained; the average starts as its copy.
        decay: Share of the average kept in an update, in [0, 1).

    Returns:
        The average; ``.update_parameters(model)`` after a step, ``.module`` is the model to use.
    """

    @torch.no_grad()
    def average(kept: list[Tensor], new: list[Tensor], updates: Tensor | int) -> None:
        share_new = 1 - min(decay, (1 + int(updates)) / (10 + int(updates)))
        for old, current in zip(kept, new, strict=True):
            if old.is_floating_point():
                old.lerp_(current.to(old.dtype), share_new)
            else:
                old.copy_(current)

    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)  # type: ignore[arg-type]
