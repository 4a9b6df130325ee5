"""The number of the epoch, where the worker processes of a loader see it."""

from __future__ import annotations

import torch


class SharedEpoch:
    """A data set whose items or order depend on the epoch, in persistent workers too: the number
    lies in memory that all processes share.

    Example:
        >>> items = SharedEpoch()
        >>> items.set_epoch(3)
        >>> items.epoch
        3
    """

    def __init__(self) -> None:
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]

    @property
    def epoch(self) -> int:
        """The epoch whose items are given now."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Give the items of this epoch (from 0) from now on, in all workers."""
        self._epoch.fill_(epoch)
