"""A tensor as on a device without float64, such as Apple's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class NoFloat64(Tensor):
    """Refuses to become float64 until it was moved to the CPU."""

    def double(self) -> Tensor:
        raise TypeError("this device has no float64")

    def cpu(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.as_subclass(torch.Tensor)

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        return super().to(*args, **kwargs).as_subclass(torch.Tensor)
