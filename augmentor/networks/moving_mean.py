"""Moving averages of mean features, for minibatches too small to hold the means."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


class MovingMean(nn.Module):
    """One moving average per row, updated only for the rows that the batch knows.

    The first mean a row sees is taken whole, so that no row is biased towards zero.

    Args:
        rows: Number of averages (1 for the mean of all, K for the centres of the classes).
        features: Length of each.
        decay: Share of the old average kept in an update, in [0, 1); 0 is the minibatch mean
            itself.
    """

    def __init__(self, rows: int, features: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("mean", torch.zeros(rows, features))
        self.register_buffer("seen", torch.zeros(rows, dtype=torch.bool))

    def forward(self, batch_mean: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Take in a batch's means.

        The value returned is the moving average; its gradient is that of the batch's own mean,
        unscaled: the factor 1 - decay would only be a smaller weight of the loss under another
        name.

        Args:
            batch_mean: Means of this batch, shape (rows, features).
            present: Rows this batch knows, bool (rows,).

        Returns:
            Averages, shape (rows, features); and the rows that were ever seen, bool (rows,).
        """
        mean, seen = cast(Tensor, self.mean), cast(Tensor, self.seen)
        with torch.no_grad():
            kept = torch.where(seen[:, None], mean.lerp(batch_mean, 1 - self.decay), batch_mean)
            mean.copy_(torch.where(present[:, None], kept, mean))
            seen.logical_or_(present)
        through = batch_mean - batch_mean.detach()
        return mean.clone() + through * present[:, None], seen.clone()
