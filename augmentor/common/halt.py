"""A training that stops by itself on its device, so that nobody waits for a GPU to find out."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer


class Halt:
    """Whether a training has met a number that is not finite, kept on its device.

    From then on the optimisers that were given to ``holds`` move nothing: they read the flag
    themselves, by the way that gradient scaling has for it, without the CPU.

    Args:
        device: Where the training runs.

    Example:
        >>> halt = Halt(torch.device("cpu"))
        >>> halt.see([torch.ones(2), torch.tensor([float("nan")])])
        >>> bool(halt.flag)
        True
    """

    def __init__(self, device: torch.device) -> None:
        self.flag = torch.zeros((), device=device)
        """1 from the first number on that is not finite, else 0; float32, a scalar."""

    @torch.no_grad()
    def see(self, numbers: Iterable[Tensor]) -> None:
        """Set the flag if one of the numbers is not finite; nothing is read back."""
        norm = torch.nn.utils.get_total_norm(numbers)
        self.flag.copy_(torch.maximum(self.flag, (~norm.isfinite()).to(self.flag.dtype)))

    def holds(self, optimiser: Optimizer) -> None:
        """Let an optimiser read the flag in every step from now on.

        Raises:
            ValueError: If it cannot.
        """
        if not can_be_held(optimiser):
            raise ValueError(f"{type(optimiser).__name__} cannot be held on its device")
        optimiser.found_inf = self.flag  # type: ignore[attr-defined]


def can_be_held(optimiser: Optimizer) -> bool:
    """Whether an optimiser can leave out a step by a flag on its device; the fused ones can."""
    return bool(getattr(optimiser, "_step_supports_amp_scaling", False))
