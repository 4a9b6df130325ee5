"""Networks in evaluation mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: object) -> Iterator[None]:
    """A network in evaluation mode meanwhile; afterwards every part is in the mode it was in.

    ``model.train()`` alone would not do for that: it would thaw a batch norm that was frozen.

    Args:
        model: A network; anything else has no mode, and stays as it is.

    Example:
        >>> frozen = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2).eval())
        >>> with evaluating(frozen):
        ...     frozen[0].training
        False
        >>> frozen[0].training, frozen[1].training
        (True, False)
    """
    if not isinstance(model, nn.Module):
        yield
        return
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        # By ``train``, in which some networks of timm forget what they keep for evaluation; and
        # from the outside in, as it reaches all parts of a module.
        for module, training in modes.items():
            if module.training != training:
                module.train(training)
