"""Losses of the two-player game, one player and one side at a time."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn.functional import relu, softplus

Game = Literal["minimax", "hinge"]


def real_loss(logits: Tensor, game: Game) -> Tensor:
    r"""What the discriminator pays for logits of real images.

    minimax: :math:`-\log \sigma(l)`; hinge: :math:`\max(0, 1 - l)`.

    Args:
        logits: Shape (N,), large for real.
        game: The game played.

    Returns:
        Loss per sample (minimax: in nats), shape (N,). Never negative, falling in the logit.

    Source:
        Goodfellow et al. 2014, arXiv:1406.2661, equation 1; Lim & Ye 2017, arXiv:1705.02894.
    """
    return softplus(-logits) if game == "minimax" else relu(1 - logits)


def fake_loss(logits: Tensor, game: Game) -> Tensor:
    r"""What the discriminator pays for logits of generated images: ``real_loss`` of the negated logits.

    minimax: :math:`-\log (1 - \sigma(l))`; hinge: :math:`\max(0, 1 + l)`.

    Args:
        logits: Shape (N,), large for real.
        game: The game played.

    Returns:
        Loss per sample (minimax: in nats), shape (N,). Never negative, rising in the logit.

    Source:
        As ``real_loss``.
    """
    return real_loss(-logits, game)


def generator_loss(logits: Tensor, game: Game) -> Tensor:
    r"""What the generator pays for logits of its images.

    minimax: the non-saturating :math:`-\log \sigma(l)`; hinge: :math:`-l`.

    Args:
        logits: Shape (N,), large for real.
        game: The game played.

    Returns:
        Loss per sample, shape (N,), falling in the logit.

    Source:
        Goodfellow et al. 2014, arXiv:1406.2661, section 3; Lim & Ye 2017, arXiv:1705.02894.
    """
    return softplus(-logits) if game == "minimax" else -logits
