"""The averaged model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

from augmentor.common.evaluation import evaluating


class Average(AveragedModel):
    """An exponential moving average of a model's weights and buffers, with a warm-up; made by
    ``averaged``.

    Args:
        model: The model trained; the average starts as its copy.
        decay: Share of the average kept in an update, in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        average: Any = self._average  # torch's own types know no average over lists
        super().__init__(model, multi_avg_fn=average, use_buffers=True)
        self.decay = decay
        self.module.eval()  # it is used and never trained: its statistics are the average's

    @torch.no_grad()
    def _average(self, kept: list[Tensor], new: list[Tensor], updates: Tensor | int) -> None:
        share_new = 1 - min(self.decay, (1 + int(updates)) / (10 + int(updates)))
        for old, current in zip(kept, new, strict=True):
            if old.is_floating_point():
                old.lerp_(current.to(old.dtype), share_new)
            else:
                old.copy_(current)

    @torch.no_grad()
    def update_unless(self, halted: Tensor, model: nn.Module) -> None:
        """``update_parameters`` without the CPU: nothing is read back from the device.

        Equal to it but for rounding.

        Args:
            halted: A scalar on the model's device; 1 leaves the average as it is, whatever the
                model's numbers are, 0 moves it.
            model: The model trained.
        """
        updates = self.n_averaged
        kept = torch.clamp((1 + updates) / (10 + updates), max=self.decay)
        share_new = torch.where(updates == 0, 1.0, 1 - kept) * (1 - halted)
        old: list[Tensor] = [*self.module.parameters()]
        new: list[Tensor] = [*model.parameters()]
        # Halted optimisers kept the weights finite; buffers, which they do not own, may not be.
        change = torch._foreach_sub(new, old)
        torch._foreach_mul_(change, share_new.float())
        torch._foreach_add_(old, change)
        for mean, current in zip(self.module.buffers(), model.buffers(), strict=True):
            moved = current
            if mean.is_floating_point():
                moved = torch.lerp(mean, current, share_new.to(mean.dtype))
            mean.copy_(torch.where(halted > 0, mean, moved))
        updates += (1 - halted).to(updates.dtype)


def averaged(model: nn.Module, decay: float) -> Average:
    """An exponential moving average of a model's weights and buffers, with a warm-up.

    In update n the share kept is min(decay, (1 + n) / (10 + n)), so that a short run is not an
    average of its start.

    Args:
        model: The model trained; the average starts as its copy.
        decay: Share of the average kept in an update, in [0, 1).

    Returns:
        The average; ``.update_parameters(model)`` after a step, ``.module`` is the model to use.
    """
    return Average(model, decay)


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
    momenta, device = [norm.momentum for norm in norms], next(model.parameters()).device
    with evaluating(model):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean of all batches
            norm.train()
        for batch in batches:
            model(batch.to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
