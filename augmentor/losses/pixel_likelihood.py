"""The likelihood of pixels of 256 levels under a mixture of logistics."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

LEVELS = 256


def discretised_logistic_nll(x: Tensor, parameters: Tensor) -> Tensor:
    r"""Negative log-likelihood of pixels of 256 levels, **summed** over pixels and channels.

    .. math:: -\sum_j \log \sum_m \pi_m \bigl( \sigma(\tfrac{x_j + 1/255 - \mu_m}{s_m})
        - \sigma(\tfrac{x_j - 1/255 - \mu_m}{s_m}) \bigr)

    The lowest level reaches down to minus infinity, the highest up to infinity.

    Args:
        x: Images, shape (N, C, H, W) in [-1, 1]; taken as the nearest of the 256 levels.
        parameters: Shape (N, C, H, W, 3, M): logits of the mixture, means, and logs of the scales
            s.

    Returns:
        Loss per image in nats, shape (N,). Never negative; over all levels the probabilities sum to
        one.

    Raises:
        ValueError: If the shapes do not fit.

    Source:
        Salimans et al. 2017, arXiv:1701.05517, equation 2, with the difference of sigmoids as a
        product, which is exact where they are nearly equal.
    """
    if parameters.ndim != 6 or parameters.shape[:4] != x.shape or parameters.shape[4] != 3:
        raise ValueError(
            f"need x (N, C, H, W) and parameters (*x, 3, M), got {tuple(x.shape)}, "
            f"{tuple(parameters.shape)}"
        )
    logits, means, log_scales = parameters.unbind(dim=4)
    levels = level_of(x).unsqueeze(-1)
    upper, lower = (
        (value_of(levels) + side / (LEVELS - 1) - means) * torch.exp(-log_scales)
        for side in (1.0, -1.0)
    )
    between = logsigmoid(upper) + logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))
    inner = torch.where(
        levels == 0, logsigmoid(upper), torch.where(levels == LEVELS - 1, -softplus(lower), between)
    )
    return -(logits.log_softmax(dim=-1) + inner).logsumexp(dim=-1).flatten(1).sum(dim=1)


def discretised_logistic_cdf(parameters: Tensor) -> Tensor:
    r"""Probabilities that a pixel is at most of level 0, 1, ..., 254; that of 255 is one.

    Args:
        parameters: Shape (..., 3, M), as in ``discretised_logistic_nll``.

    Returns:
        Shape (..., 255), in [0, 1], rising.

    Source:
        As ``discretised_logistic_nll``.
    """
    logits, means, log_scales = parameters.unsqueeze(-1).unbind(dim=-3)
    edges = value_of(torch.arange(LEVELS - 1, device=parameters.device)) + 1 / (LEVELS - 1)
    below = torch.sigmoid((edges - means) * torch.exp(-log_scales))
    return (logits.softmax(dim=-2) * below).sum(dim=-2)


def bits_per_dimension(nll: Tensor, dimensions: int) -> Tensor:
    r"""Nats per image as bits per dimension: :math:`\mathrm{nll} / (D \log 2)`.

    Args:
        nll: Negative log-likelihood per image in nats, any shape.
        dimensions: Pixels times channels of an image, D.

    Returns:
        The shape of ``nll``; 8 for an image of 256 levels drawn evenly.
    """
    return nll / (dimensions * math.log(2))


def level_of(x: Tensor) -> Tensor:
    """The nearest of 256 levels, int64 in [0, 255], of pixels in [-1, 1]."""
    return ((x + 1) / 2 * (LEVELS - 1)).round().long()


def value_of(levels: Tensor) -> Tensor:
    """Pixels in [-1, 1] of levels in [0, 255]; ``level_of`` gives the levels back."""
    return levels * (2 / (LEVELS - 1)) - 1
