"""How many workers a job has, and how many CPU threads each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeGuard

from torch import Tensor

from augmentor.data.lazy_images import LazyImages
from pipelines.config import Config
from pipelines.data.full import memory_bytes
from pipelines.datasets import DataBundle
from pipelines.device import usable_cores
from pipelines.experiment.setting import Setting

OWN_BYTES = {"small": 1.5e9, "with input form": 6e9}
"""Of a worker beside its images: libraries, network, batches; the larger of networks that see
images at 224 pixels or so."""
COPIES = 4
"""How often a worker holds the images: as loaded, chosen, rendered, and in passing."""


@dataclass(frozen=True)
class Parallelism:
    """Workers of a job.

    Args:
        processes: Tasks that are made at the same time.
        threads: CPU threads of each; None shares the cores out, and is torch's own choice for a
            single one.
    """

    processes: int
    threads: int | None


def parallelism_of(
    asked: int | Literal["auto"],
    config: Config,
    setting: Setting,
    bundle: DataBundle,
    tasks: int,
    *,
    beside: int = 0,
) -> Parallelism:
    """What was asked for. ``auto`` is one worker for each core of a CPU, or for every ``threads``
    cores where these are given, as far as there are tasks and memory; one on a GPU; one for each
    task on a Ray cluster.

    Only this keeps all cores busy with many small trainings: a step of a small network is too short
    to be shared out between threads, and threads that wait for each other are slow beside other
    work.

    Args:
        asked: The job's ``processes``.
        config: Of the job: its engine and threads.
        setting: Where it computes, and with which network.
        bundle: The images that every worker holds.
        tasks: Most that can be made at the same time.
        beside: Bytes of what every worker holds beside the images of ``bundle``.
    """
    if asked != "auto":
        return Parallelism(asked, config.threads)
    if config.engine.name.startswith("ray"):
        return Parallelism(max(1, tasks), config.threads)
    if setting.device_type != "cpu":
        return Parallelism(1, config.threads)
    own = OWN_BYTES["with input form" if setting.trainer.has_form else "small"]
    fit = int(memory_bytes() / 2 / (own + COPIES * (_held(bundle) + beside)))
    cores = usable_cores() // (config.threads or 1)
    return Parallelism(max(1, min(tasks, fit, cores)), config.threads)


def _held(bundle: DataBundle) -> int:
    """Bytes of the images; those that are read from disk as they are used take none. The whole
    training part is read before some of it is chosen.
    """
    x = bundle.train.x
    hidden = None if bundle.hidden is None else bundle.hidden.x
    rest = (bundle.test.x, bundle.pool, hidden)
    held = sum(part.nbytes for part in rest if _in_memory(part))
    return held + (max(len(x), sum(bundle.available)) * x[:1].nbytes if _in_memory(x) else 0)


def _in_memory(x: Tensor | None) -> TypeGuard[Tensor]:
    return x is not None and not isinstance(x, LazyImages)
