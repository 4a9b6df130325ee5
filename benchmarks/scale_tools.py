"""What ``benchmarks/scale.py`` needs: a cluster, killers, a look at memory, a simulation."""

from __future__ import annotations

import hashlib
import heapq
import itertools
import multiprocessing
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import psutil
import torch

from augmentor.data.manifest import Shard
from augmentor.data.recipe import planned_shards
from augmentor.data.remote_folder import RemoteFolder
from augmentor.data.synthetic_store import write_shard
from augmentor.sampling.synthesize import shard_renderer
from pipelines.generators.load import load_source
from pipelines.generators.synthesize import recipe_of

SHARDS_ALONE = 8
"""Shards of a class that processes write again and again where no driver minds them."""
LONGEST = 4
"""Kills are at random moments, this times as far apart at most as at least."""
RESTART = 20.0
"""Seconds until a worker that died has a successor, in the simulation."""


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Two nodes with three CPUs in all, on this machine; one of them stays free."""
    import ray
    from ray.cluster_utils import Cluster

    node = {"object_store_memory": 200 * 2**20}
    head = {**node, "num_cpus": 1, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(**node, num_cpus=2)
    ray.init(cluster.address, logging_level="ERROR", log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


@dataclass
class Killer:
    """Ends workers of this process's own cluster at random moments.

    Args:
        left: How many are still to be ended.
        seed: Decides the moments.
        pause: Seconds between two kills, at least.
        done: How many were.
    """

    left: int
    seed: int
    pause: float
    done: int = 0
    stopped: bool = False

    def work(self) -> None:
        """Until all are done or it is stopped."""
        rng = random.Random(self.seed)
        while self.left and not self.stopped:
            self._wait(rng.uniform(self.pause, LONGEST * self.pause))
            busy = [child for child in children() if "ray::_stream" in _words(child)]
            if busy and not self.stopped:
                rng.choice(busy).send_signal(signal.SIGKILL)
                self.left, self.done = self.left - 1, self.done + 1

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.stopped:
            time.sleep(0.1)


class Beside(Protocol):
    """Work that goes on until it is stopped."""

    stopped: bool

    def work(self) -> None:
        """Until ``stopped``."""


Worker = TypeVar("Worker", bound=Beside)


@contextmanager
def beside(worker: Worker) -> Iterator[Worker]:
    """Let a worker work in a thread while the block runs."""
    thread = threading.Thread(target=worker.work, daemon=True)
    thread.start()
    try:
        yield worker
    finally:
        worker.stopped = True
        thread.join()


def killed(kills: int, seed: int, pause: float) -> AbstractContextManager[Killer]:
    """Kill so many workers while the block runs, or as many as it gives time for."""
    return beside(Killer(kills, seed, pause))


def children() -> list[psutil.Process]:
    """The processes that this one began, and those that they did."""
    return psutil.Process().children(recursive=True)


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@dataclass
class Memory:
    """The largest worker of this process over time, in MB.

    Args:
        every: Seconds between two looks.
        seen: What was found at every look.
    """

    every: float = 1.0
    seen: list[float] = field(default_factory=list)
    stopped: bool = False

    def work(self) -> None:
        """Look until it is stopped."""
        while not self.stopped:
            sizes = [0.0]
            for child in children():
                try:
                    sizes.append(child.memory_info().rss / 1e6)
                except psutil.Error:
                    continue
            self.seen.append(max(sizes))
            time.sleep(self.every)

    @property
    def thirds(self) -> tuple[float, float]:
        """The peaks of the second and of the last third of the time; the first one starts up."""
        third = max(1, len(self.seen) // 3)
        return max(self.seen[third : 2 * third]), max(self.seen[2 * third :])


def watched_memory() -> AbstractContextManager[Memory]:
    """Watch the workers while the block runs."""
    return beside(Memory())


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a set on the disk."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != "lock":
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def remote_checksums(url: str) -> dict[str, str]:
    """SHA-256 of every file of a set on a server, without the manifests of single shards."""
    folder = RemoteFolder(url)
    found = {}
    for name in sorted(folder.sizes()):
        if "/" not in name:
            found[name] = hashlib.sha256(folder.read(name, 2**31)).hexdigest()
    return found


def lost_and_double(
    planned: int, shards: list[Shard], tars: list[str] | None = None
) -> tuple[int, int]:
    """Shards that the manifest lacks, and those that it names twice or that it does not name.

    Args:
        planned: Shards of the finished set.
        shards: Lines of the manifest.
        tars: Files that are there; None where nobody looked.
    """
    named = {(shard.class_index, shard.number) for shard in shards}
    double = len(shards) - len(named)
    if tars is not None:
        known = {name for shard in shards for name in shard.sha256}
        double += len(set(tars) - known)
    return planned - len(named), double


@dataclass(frozen=True)
class Times:
    """What the simulation is made from, in seconds per shard.

    Args:
        render: In a worker, sending included.
        driver: In the driver.
        images: Images of a shard.
    """

    render: float
    driver: float
    images: int


def simulated(
    times: Times, workers: int, deaths_per_hour: float, shards: int | None = None
) -> float:
    """Images per second: each worker renders shards, one driver notes them one by one.

    A death costs the shard at work and the restart.

    Args:
        times: Measured.
        workers: How many.
        deaths_per_hour: Of one worker.
        shards: How many are simulated; enough for the last workers not to matter unless given.
    """
    shards = max(20_000, 400 * workers) if shards is None else shards
    rng = random.Random(workers)
    free = [0.0] * workers
    noted = 0.0
    for _ in range(shards):
        end = heapq.heappop(free) + times.render
        while rng.random() < deaths_per_hour * times.render / 3600:
            end += RESTART + times.render * rng.random()
        noted = max(noted, end) + times.driver
        heapq.heappush(free, end)
    return shards * times.images / noted


def rate_of(read: Callable[[], int]) -> float:
    """Images per second of a reader that returns how many it read."""
    start = time.perf_counter()
    count = read()
    return count / (time.perf_counter() - start)


def rate_alone(run: Path, folder: Path, processes: int, seconds: float = 5.0) -> float:
    """Images per second of processes that write shards of a run, each into a folder of its own.

    Args:
        run: A trained run.
        folder: For the shards; emptied first.
        processes: How many write at the same time.
        seconds: How long.
    """
    shutil.rmtree(folder, ignore_errors=True)
    context = multiprocessing.get_context("spawn")
    start, rates = context.Barrier(processes), context.Queue()
    children = []
    for number in range(processes):
        place = folder / str(number)
        place.mkdir(parents=True)
        given = (run, place, seconds, start, rates)
        children.append(context.Process(target=_write_alone, args=given))
        children[-1].start()
    found = [rates.get() for _ in children]
    for child in children:
        child.join()
    return float(sum(found))


def _write_alone(run: Path, folder: Path, seconds: float, start: Any, rates: Any) -> None:
    torch.set_num_threads(1)
    loaded = load_source(run, "cpu")
    counts = dict.fromkeys(loaded.source.classes, SHARDS_ALONE * 256)
    recipe = recipe_of(loaded, counts, None, 0, "shards")
    render, images = shard_renderer(loaded.source, recipe), 0
    planned = itertools.cycle(list(planned_shards(recipe)))
    write_shard(folder, recipe, next(planned), 0, render)  # the first one warms up
    start.wait()
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        one = next(planned)
        images += write_shard(folder, recipe, one, one.number * recipe.shard_size, render).count
    rates.put(images / (time.perf_counter() - begin))
