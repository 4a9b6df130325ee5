"""How near an image is to the others of its minibatch: what a generator with one picture cannot
hide.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MinibatchDiscrimination(nn.Module):
    r"""The layer of Salimans et al. 2016, arXiv:1606.03498, section 3.2.

    .. math:: o_b(x_i) = \sum_{j \ne i} \exp(-\lVert M_{ib} - M_{jb} \rVert_1),
        \qquad M_i = T f(x_i)

    Args:
        num_features: Length of f(x).
        kernels: Rows b of M, as many numbers out.
        kernel_dim: Length of a row.
    """

    def __init__(self, num_features: int, kernels: int = 50, kernel_dim: int = 5) -> None:
        super().__init__()
        self.kernels = kernels
        self.project = nn.Linear(num_features, kernels * kernel_dim, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Closeness of the rows of features (N, num_features) to one another, float32 (N, kernels)
        in [0, N - 1].
        """
        rows = self.project(features).float().view(len(features), self.kernels, -1)
        distances = (rows[:, None] - rows[None]).abs().sum(dim=3)
        # Every row is at distance 0 from itself.
        return torch.exp(-distances).sum(dim=1) - 1
