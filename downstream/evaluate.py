"""What a classifier says about images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from augmentor.common.evaluation import evaluating


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
    device = next(model.parameters()).device
    with evaluating(model):
        parts = [model(part.to(device)).float().to(x.device) for part in torch.split(x, batch_size)]
    return torch.cat(parts)
