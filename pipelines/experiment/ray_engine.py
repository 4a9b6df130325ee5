"""The engine on a Ray cluster. No other module knows Ray.

A task is one streaming remote function: its reports come back as it works. The driver writes what
it hears to the folder of the job, so the machines need no common disk. A worker that dies costs the
part it was at; what is missing then goes to another node.
"""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Generic, TypeVar

from pipelines.config import ConfigError, DataConfig, EngineConfig
from pipelines.datasets import AllImages, all_images
from pipelines.experiment.engine import MOST_RETRIES, PART_MADE, POLL, OnJob, Travelling, Work
from pipelines.experiment.travel import Luggage, Report, data_of, lay, packed, performed
from pipelines.interrupt import SIGNALS, Watch

T = TypeVar("T", bound=Travelling)


@dataclass
class _Running:
    """A task at work."""

    job: int
    luggage: Luggage
    node: str | None = None


@dataclass
class _Run(Generic[T]):
    """The state of one call of ``run``."""

    jobs: Sequence[T]
    on_part: OnJob
    waiting: deque[int]
    running: dict[Any, _Running] = field(default_factory=dict)
    deaths: dict[int, int] = field(default_factory=dict)
    shunned: dict[int, str | None] = field(default_factory=dict)
    failure: BaseException | None = None


class RayWorkers(Generic[T]):
    """Runs tasks on a Ray cluster: that of an address, the one that runs here, or a new one.

    Args:
        work: What is done with a task; it travels once to every node.
        processes: Tasks at the same time, at most; one CPU of the cluster stays free.
        threads: CPU threads of a task; None takes as many as its CPUs.
        watch: Looked at while tasks run.
        settings: The cluster, and what a task takes of it.
        device: Where tasks compute, as torch names it; ``cuda`` takes a GPU.

    Raises:
        ImportError: If Ray is not installed.
    """

    def __init__(
        self,
        work: Work[T],
        processes: int,
        threads: int | None,
        watch: Watch,
        settings: EngineConfig,
        device: str = "cpu",
    ) -> None:
        if find_spec("ray") is None:
            raise ImportError("--engine ray needs Ray; install augmentor-synth[ray]")
        self._work, self._processes, self._watch = work, processes, watch
        self._threads = threads or settings.cpus
        self._settings = settings
        gpus = float(device.startswith("cuda")) if settings.gpus is None else settings.gpus
        self._taken = {"CPU": float(settings.cpus), "GPU": gpus}
        self._taken["memory"] = (settings.memory or 0) * 1e9
        self._work_there: Any = None
        self._images: dict[DataConfig, Any] = {}
        self._joined = self._own = False
        self._running: dict[Any, _Running] = {}

    def __enter__(self) -> RayWorkers[T]:
        """The engine itself; it joins the cluster with the first tasks."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Stop what still runs, and leave the cluster; a new one ends with the job."""
        if not self._joined:
            return
        import ray

        for stream in self._running:
            ray.cancel(stream, force=True)
        self._images.clear()
        self._work_there = None
        if self._own:
            with _own_signals():
                ray.shutdown()

    @property
    def places(self) -> int:
        """As ``Engine.places``; joins the cluster, which can hang without a CPU that is free."""
        import ray

        self._join()
        cpus = ray.cluster_resources().get("CPU", 0.0)
        places = self._on_nodes()
        if places * self._taken["CPU"] > cpus - 1:
            places -= 1
        return max(1, min(self._processes, places))

    def run(self, jobs: Sequence[T], on_part: OnJob) -> None:
        """As ``Engine.run``; a part whose worker dies is tried three more times, elsewhere."""
        import ray

        if not jobs:
            return
        self._join()
        if not self._on_nodes():
            raise ConfigError(f"engine: no node of the cluster has {self._taken_words()}")
        run = _Run(jobs, on_part, deque(range(len(jobs))))
        self._running = run.running
        while run.running or (run.waiting and run.failure is None):
            while run.waiting and run.failure is None and len(run.running) < self.places:
                self._begin(run, run.waiting.popleft())
            ready, _ = ray.wait([*run.running], num_returns=1, timeout=POLL, fetch_local=False)
            self._watch.check()
            for stream in ready:
                self._hear(run, stream)
        if run.failure is not None:
            raise run.failure

    def _join(self) -> None:
        import ray

        self._joined = True
        if ray.is_initialized():
            return
        _, _, address = self._settings.name.partition("://")
        quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
        with _own_signals():
            ray.init(address or None, include_dashboard=False, **quiet)
        self._own = True

    def _begin(self, run: _Run[T], job: int) -> None:
        """Send a task out, as things stand now."""
        import ray

        task = run.jobs[job]
        luggage, images = packed(task), {}
        self._work_there = self._work_there or ray.put(self._work)
        for data in data_of(task):
            if data not in self._images:
                self._images[data] = ray.put(all_images(data))
            images[data] = self._images[data]
        options = self._options(run.shunned.get(job))
        remote = ray.remote(_stream).options(**options)
        stream = remote.remote(self._work_there, luggage, images, self._threads)
        run.running[stream] = _Running(job, luggage)

    def _options(self, shunned: str | None) -> dict[str, Any]:
        """Of a remote function; the worker that died was on the node ``shunned``."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        options: dict[str, Any] = {"num_returns": "streaming", "max_retries": 0}
        options["num_cpus"] = self._taken["CPU"]
        if self._taken["GPU"]:
            options["num_gpus"] = self._taken["GPU"]
        if self._taken["memory"]:
            options["memory"] = self._taken["memory"]
        others = [one["NodeID"] for one in ray.nodes() if one["Alive"] and self._fits(one)]
        if shunned is not None and (free := [one for one in others if one != shunned]):
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(free[0], soft=True)
        return options

    def _hear(self, run: _Run[T], stream: Any) -> None:
        """Take one report of a task, or find that its worker is gone."""
        import ray

        running = run.running[stream]
        try:
            heard = ray.get(next(stream))
        except ray.exceptions.RayTaskError as error:
            del run.running[stream]
            run.failure = run.failure or error.cause
            return
        except (ray.exceptions.RayError, StopIteration) as error:
            del run.running[stream]
            self._lost(run, running, error)
            return
        if isinstance(heard, str):
            running.node = heard
            return
        lay(running.luggage.root, heard.files)
        if heard.note.startswith(PART_MADE):
            run.deaths.pop(running.job, None)
        if heard.last or heard.error is not None:
            del run.running[stream]
            run.failure = run.failure or heard.error
        if heard.error is None and (heard.note or heard.last):
            run.on_part(running.job, heard.note)

    def _lost(self, run: _Run[T], running: _Running, error: BaseException) -> None:
        """Begin a task again whose worker died, or give it up."""
        job = running.job
        run.deaths[job] = run.deaths.get(job, 0) + 1
        if run.deaths[job] <= MOST_RETRIES:
            run.shunned[job] = running.node
            run.waiting.appendleft(job)
            return
        label, reason = run.jobs[job].needs().label, type(error).__name__
        run.failure = run.failure or RuntimeError(
            f"{label}: its worker died {run.deaths[job]} times ({reason}), perhaps for want of "
            "memory; what is finished is kept"
        )

    def _on_nodes(self) -> int:
        """Tasks that the nodes hold at the same time."""
        import ray

        alive = [node for node in ray.nodes() if node["Alive"]]
        return sum(map(self._fits, alive))

    def _fits(self, node: dict[str, Any]) -> int:
        """Tasks that a node holds."""
        there = node["Resources"]
        counts = [there.get(name, 0.0) // need for name, need in self._taken.items() if need]
        return int(min(counts))

    def _taken_words(self) -> str:
        taken = self._taken
        words = f"{taken['CPU']:g} CPUs"
        words += f", {taken['GPU']:g} GPUs" if taken["GPU"] else ""
        return words + (f", {taken['memory'] / 1e9:g} GB of memory" if taken["memory"] else "")


def _stream(
    work: Work[Any], luggage: Luggage, images: dict[DataConfig, Any], threads: int
) -> Iterator[str | Report]:
    """The remote function: the node it runs on, then the reports of the task."""
    import ray

    yield ray.get_runtime_context().get_node_id()
    here: dict[DataConfig, AllImages] = {data: ray.get(one) for data, one in images.items()}
    yield from performed(work, luggage, here, threads)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers of signals, which Ray replaces when it starts and stops."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
