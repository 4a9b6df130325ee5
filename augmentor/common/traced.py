"""What can be asked of a tensor while its computation is traced."""

from __future__ import annotations

import torch
from torch import Tensor


def has_values(tensor: Tensor) -> bool:
    """Whether there are numbers to check: an empty tensor has none, and neither has an input of
    ``torch.export``, which stands for all numbers.
    """
    return not torch.compiler.is_exporting() and len(tensor) > 0
