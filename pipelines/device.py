"""Where a job computes."""

from __future__ import annotations

import torch

from pipelines.config import ConfigError


def device_named(name: str) -> torch.device:
    """The device of a name; ``auto`` is CUDA, then Apple's, then the CPU.

    Args:
        name: As ``Config.device``.

    Raises:
        ConfigError: If this machine does not have it.
    """
    if name == "auto":
        here = next(one for one in ("cuda", "mps", "cpu") if _is_here(torch.device(one)))
        return torch.device(here)
    device = torch.device(name)
    if not _is_here(device):
        raise ConfigError(f"device {name}: not on this machine; give --device cpu")
    return device


def _is_here(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    return device.type != "mps" or torch.backends.mps.is_available()


def use_threads(threads: int | None) -> None:
    """Let torch use as many CPU threads as the configuration says, if it does."""
    if threads is not None:
        torch.set_num_threads(threads)
