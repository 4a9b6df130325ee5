"""Where a job computes, and what it may need there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pipelines.config import Config, ConfigError


def device_of(config: Config) -> torch.device:
    """The device the config names; ``auto`` is CUDA, then Apple's, then the CPU.

    Raises:
        ConfigError: If this machine does not have it.
    """
    if config.device == "auto":
        return torch.device(
            next(name for name in ("cuda", "mps", "cpu") if _is_here(torch.device(name)))
        )
    device = torch.device(config.device)
    if not _is_here(device):
        raise ConfigError(f"device {config.device}: not on this machine; give --device cpu")
    return device


def _is_here(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    return device.type != "mps" or torch.backends.mps.is_available()


def use_threads(config: Config) -> None:
    """Let torch use as many CPU threads as the config says, if it does."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)


@contextmanager
def memory_for(batch_size: int, option: str) -> Iterator[None]:
    """Name a batch size to try where the block runs out of memory.

    Args:
        batch_size: Images a step in the block.
        option: What sets it, as a user writes it, such as ``--batch-size``.

    Raises:
        MemoryError: If the device's memory does not suffice.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        # On the CPU torch has no class of its own for it.
        if not isinstance(
            error, torch.OutOfMemoryError | MemoryError
        ) and "t allocate memory" not in str(error):
            raise
        smaller = max(2, batch_size // 2)
        raise MemoryError(
            f"not enough memory for {batch_size} images a step; try {option} {smaller}"
        ) from error
