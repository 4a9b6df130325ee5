"""In what precision networks compute."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


def autocast(device: torch.device, bfloat16: bool) -> torch.autocast:
    """A block whose networks compute in bfloat16, if that is wanted and the device computes it
    natively.
    """
    return torch.autocast(
        device.type, torch.bfloat16, enabled=bfloat16 and computes_bfloat16(device.type)
    )


def faster_in_bfloat16(x: Tensor) -> bool:
    """Whether a classifier trains faster on such images in bfloat16 than in float32.

    Measured with ``auto`` on one thread of an AVX512-BF16 CPU: 28 to 20 ms per step at 16 px, 78 to
    43 at 28 px.

    Args:
        x: Images, shape (N, C, H, W), on the device where they are trained on.
    """
    return computes_bfloat16(x.device.type) and (x.device.type == "cuda" or x.shape[-1] > 12)


@cache
def computes_bfloat16(device_type: str) -> bool:
    """Whether this machine's device of a type, such as ``cpu``, has instructions for bfloat16.

    Where it is emulated a training step takes 6 to 14 times as long as in float32, as measured on a
    CPU with AVX2 only.
    """
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch has no public question of this kind. Of ARM and MPS it does not tell, so they stay in
    # float32.
    return device_type == "cpu" and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
