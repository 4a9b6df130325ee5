"""The averaged model."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of a model's weights and buffers, with a warm-up.

    In update n the share kept is min(decay, (1 + n) / (10 + n)), so that a short run is not an
    average of its start.

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


@torch.no_grad()
def recompute_batch_norm(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Measure the statistics of batch norm anew: those of averaged weights are not the average of
    those on the way.

    Nothing but batch norm is in training mode meanwhile. Without batch norm nothing is done.

    Args:
        model: Averaged model; left in the mode it was in.
        batches: What the model is used on, batches of images (N, C, H, W); each batch counts alike.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    before = [(norm.momentum, norm.training) for norm in norms]
    modes, device = model.training, next(model.parameters()).device
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
        norm.train()
    for batch in batches:
        model(batch.to(device))
    model.train(modes)
    for norm, (momentum, training) in zip(norms, before, strict=True):
        norm.momentum = momentum
        norm.train(training)
