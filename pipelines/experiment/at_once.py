"""How many tasks of a job run at the same time where nobody said it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pipelines.config import Config
from pipelines.data.full import memory_bytes
from pipelines.datasets import DataBundle
from pipelines.experiment.setting import Setting

OWN_BYTES = 1.5e9
"""Of a worker beside its images: libraries, networks, batches."""
COPIES = 4
"""How often a worker holds the images: as loaded, chosen, rendered, and in passing."""
QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class AtOnce:
    """Workers of a job.

    Args:
        processes: Tasks that are made at the same time.
        threads: CPU threads of each; None is torch's own choice.
    """

    processes: int
    threads: int | None


def at_once(
    asked: int | None, config: Config, setting: Setting, bundle: DataBundle, tasks: int
) -> AtOnce:
    """What was asked for; else one thread for each core, as far as tasks and memory go.

    Many small trainings keep all cores at work only so: a step of a small network is too short to
    be shared out, and threads that wait for each other crawl beside other work. A GPU is given one
    task, a Ray cluster all.

    Args:
        asked: The job's ``processes``; None leaves it to this function.
        config: Of the job: its engine and threads.
        setting: Where it computes.
        bundle: The images that every worker holds.
        tasks: Most that can be made at the same time.
    """
    if asked is not None:
        return AtOnce(asked, config.threads)
    if config.engine.name == "ray":
        return AtOnce(max(1, tasks), config.threads)
    if setting.device_type != "cpu":
        return AtOnce(1, config.threads)
    parts = [bundle.train.x, bundle.test.x, bundle.pool]  # a file of decoded images is not held
    held = COPIES * sum(part.nbytes for part in parts if isinstance(part, Tensor))
    fit = int(memory_bytes() / 2 / (OWN_BYTES + held))
    found = max(1, min(tasks, fit, usable_cores()))
    return AtOnce(found, config.threads if found == 1 else config.threads or 1)


def usable_cores() -> int:
    """Cores that this process may use: those of the machine, or fewer by its container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota, _, period = QUOTA.read_text().partition(" ") if QUOTA.is_file() else ("max", "", "")
    allowed = math.ceil(int(quota) / int(period)) if quota.isdigit() else cores
    return max(1, min(cores or 1, allowed or 1))
