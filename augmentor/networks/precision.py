"""In what precision networks compute."""

from __future__ import annotations

from functools import cache

import torch


def autocast(device: torch.device, bfloat16: bool) -> torch.autocast:
    """A block whose networks compute in bfloat16, if that is wanted and the device computes it
    natively.
    """
    return torch.autocast(
        device.type, torch.bfloat16, enabled=bfloat16 and computes_bfloat16(device.type)
    )


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
