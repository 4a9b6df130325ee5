"""The way from one image of a class to another."""

from __future__ import annotations

import torch
from torch import Tensor

from augmentor.common.types import EncodingSource
from augmentor.editing.reconstruct import require_images


def morph(source: EncodingSource, x_first: Tensor, x_last: Tensor, y: Tensor, steps: int) -> Tensor:
    r"""Walk along a straight line between two latents with the label held:
    :math:`G((1 - t)\,\mu(x_1, y) + t\,\mu(x_2, y),\ y)`.

    Args:
        source: A source with an encoder.
        x_first: Images to begin with, float32 (N, C, H, W) in [-1, 1], on the source's device.
        x_last: Images to end with, of the same shape and classes.
        y: The class of either, int64 (N,), or mixtures, float (N, K).
        steps: Images on the way, both ends included; 2 or more.

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
    z_first, z_last = source.encode(x_first, y), source.encode(x_last, y)
    shares = torch.linspace(0, 1, steps).tolist()
    return torch.stack(
        [source.sample(y, torch.lerp(z_first, z_last, share)) for share in shares], dim=1
    )
