"""Where a job computes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from pipelines.config import ConfigError

QUOTAS = (
    ("/sys/fs/cgroup/cpu.max", None),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)
"""Where Linux says how many cores a container may use: one file, or one each of its two numbers."""


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


@contextmanager
def threads_of_a_worker(threads: int | None, processes: int) -> Iterator[None]:
    """Compute with as many CPU threads as a worker of a job has; put the number back afterwards.

    Args:
        threads: As the configuration says; None shares the cores out among the processes.
        processes: Of the job; one works in this process, with the threads that it has.
    """
    before = torch.get_num_threads()
    shared = max(1, usable_cores() // processes) if processes > 1 else before
    torch.set_num_threads(threads or shared)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def usable_cores() -> int:
    """Cores that this process may use: those of the machine, or fewer by its affinity or by the
    quota of its container.
    """
    here = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if here else os.cpu_count() or 1
    for first, second in QUOTAS:
        if Path(first).is_file():
            numbers = Path(first).read_text().split()
            numbers += [] if second is None else Path(second).read_text().split()
            if numbers[0].isdigit():  # "max" and -1 mean unlimited
                cores = min(cores, math.ceil(int(numbers[0]) / int(numbers[1])))
    return max(1, cores)


def use_threads(threads: int | None) -> None:
    """Let torch use as many CPU threads as the configuration says, if it does."""
    if threads is not None:
        torch.set_num_threads(threads)
