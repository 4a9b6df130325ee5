"""What can be asked of a tensor while its computation is traced or recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_UNREAD = ContextVar("unread", default=False)


def has_values(tensor: Tensor) -> bool:
    """Whether there are numbers to check: an empty tensor has none, and neither has an input of
    ``torch.export`` or of a recorded step, which stands for all numbers.
    """
    return not torch.compiler.is_exporting() and not _UNREAD.get() and len(tensor) > 0


@contextmanager
def unread() -> Iterator[None]:
    """A block in which no number of a tensor may be read, because its work is recorded for later
    inputs, as for a CUDA graph.

    Example:
        >>> with unread():
        ...     has_values(torch.ones(1))
        False
    """
    token = _UNREAD.set(True)
    try:
        yield
    finally:
        _UNREAD.reset(token)
