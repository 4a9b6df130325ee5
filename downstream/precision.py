"""In what precision a classifier computes."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


def faster_in_bfloat16(x: Tensor) -> bool:
    """Measured with ``auto`` on one thread of an AVX512-BF16 CPU: 28 to 20 ms a step at 16 px, 78
    to 43 at 28 px.
    """
    return computes_bfloat16(x.device.type) and (x.device.type == "cuda" or x.shape[-1] > 12)


@cache
def computes_bfloat16(device_type: str) -> bool:
    """Whether this machine's device of a type, such as ``cpu``, has instructions for bfloat16.

    The same as in ``augmentor.networks.precision``, which this package does not see: where bfloat16
    is emulated, a training step takes 6 to 14 times as long as in float32.
    """
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device_type == "cpu" and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
