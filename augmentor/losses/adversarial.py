"""Losses of the two-player game, one player and one side at a time."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

Game = Literal[
    "minimax", "non_saturating", "maximum_likelihood", "least_squares", "hinge", "wasserstein"
]

STEEPEST = 10.0
"""Logit from which on the maximum-likelihood loss goes on as a straight line, so that it stays
finite."""


def real_loss(logits: Tensor, game: Game) -> Tensor:
    r"""What the discriminator pays for logits of real images.

    minimax, non_saturating, maximum_likelihood: :math:`-\log \sigma(l)`; least_squares:
    :math:`\tfrac12 (l - 1)^2`; hinge: :math:`\max(0, 1 - l)`; wasserstein: :math:`-l`.

    Args:
        logits: Shape (N,), large for real; for least_squares near 1 for real, for wasserstein the
            critic's values.
        game: The game played.

    Returns:
        Loss per sample (the first three games: in nats), shape (N,). Never negative but for
        wasserstein; falling in the logit, for least_squares up to 1.

    Source:
        Goodfellow et al. 2014, arXiv:1406.2661, equation 1; Mao et al. 2017, arXiv:1611.04076,
        equation 2 with a = 0 and b = c = 1; Lim & Ye 2017, arXiv:1705.02894; Arjovsky et al. 2017,
        arXiv:1701.07875, equation 2.
    """
    match game:
        case "least_squares":
            return 0.5 * (logits - 1).square()
        case "hinge":
            return relu(1 - logits)
        case "wasserstein":
            return -logits
    return softplus(-logits)


def fake_loss(logits: Tensor, game: Game) -> Tensor:
    r"""What the discriminator pays for logits of generated images.

    minimax, non_saturating, maximum_likelihood: :math:`-\log (1 - \sigma(l))`; least_squares:
    :math:`\tfrac12 l^2`; hinge: :math:`\max(0, 1 + l)`; wasserstein: :math:`l`. Where the two sides
    are alike, it is ``real_loss`` of the negated logits; least_squares alone has its targets at 1
    and 0.

    Args:
        logits: Shape (N,), large for real; for least_squares near 0 for generated.
        game: The game played.

    Returns:
        Loss per sample (the first three games: in nats), shape (N,). Never negative but for
        wasserstein; rising in the logit, for least_squares from 0 on.

    Source:
        As ``real_loss``.
    """
    return 0.5 * logits.square() if game == "least_squares" else real_loss(-logits, game)


def generator_loss(logits: Tensor, game: Game) -> Tensor:
    r"""What the generator pays for logits of its images.

    minimax: :math:`\log (1 - \sigma(l))`, which gives no gradient where the discriminator is sure;
    non_saturating: :math:`-\log \sigma(l)`; maximum_likelihood: :math:`-e^{l}`, whose gradient,
    against the best discriminator, is that of the likelihood; least_squares: :math:`\tfrac12 (l -
    1)^2`; hinge, wasserstein: :math:`-l`.

    Args:
        logits: Shape (N,), large for real; for least_squares near 1 for real.
        game: The game played.

    Returns:
        Loss per sample, shape (N,), falling in the logit, for least_squares up to 1. Beyond
        ``STEEPEST`` the maximum-likelihood loss is continued by its tangent.

    Source:
        Goodfellow et al. 2014, arXiv:1406.2661, equation 1 and section 3; Goodfellow 2014,
        arXiv:1412.6515, for maximum likelihood; the others as ``real_loss``.
    """
    match game:
        case "minimax":
            return -softplus(logits)
        case "maximum_likelihood":
            tangent = math.exp(STEEPEST) * (1 + logits - STEEPEST)
            return -torch.where(logits < STEEPEST, logits.clamp(max=STEEPEST).exp(), tangent)
        case "least_squares":
            return 0.5 * (logits - 1).square()
        case "hinge" | "wasserstein":
            return -logits
    return softplus(-logits)
