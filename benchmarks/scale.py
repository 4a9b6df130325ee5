r"""Are the images of a Ray cluster those of one process, also when workers die, and how fast is it?

    python benchmarks/scale.py --images 100000 --kills 20 --out docs/results/scale.json

It trains a small generator on digits, then writes the same synthetic set three times: in one
process, in two, and on a Ray cluster of two nodes on this machine while workers are killed at
random moments. It compares the sets byte by byte and reads one back. The JSON holds what was
measured; what was not is null. The page beside it says the same in words, with an estimate for more
workers.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import importlib.util
import random
import resource
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from augmentor.common.atomic_files import write_json, write_text
from augmentor.data.synthetic_store import ShardReader, read_manifest, read_recipe
from pipelines.config import EngineConfig, config_from
from pipelines.experiment.provenance import device_name, this_command
from pipelines.generators.synthesize import synthesize_run
from pipelines.generators.train import train_run
from pipelines.progress import Lines

MILLION = 1_000_000
WORKERS = (1, 2, 10, 100, 1000)
"""Of the estimate."""
DEATHS_PER_HOUR = (0.0, 0.1, 1.0)
"""Of a worker, in the estimate."""
RESTART = 20.0
"""Seconds until a worker that died has a successor, in the estimate."""
PAGE = """# Beyond one machine: what was measured

Made by `benchmarks/scale.py`, {device}: {images} images of {side}x{side} pixels in {shards} shards.

| what | result |
|---|---|
| a set of one process, of two, and of Ray with {kills} killed workers | {equal} |
| shards that were lost, or written twice | {lost}, {double} |
| seconds of one process, of two, of Ray | {one}, {two}, {ray} |
| share of a linear speed-up that two processes reach | {scaling} |
| peak memory of the driver, and of its largest worker, MB | {driver_mb}, {peak} |
| reading with webdataset beside the plain reader, share of the rate | {read_ratio} |

## Estimate for more workers

A simulation, not a measurement. A worker renders a shard in {render:.2f} s, and the driver takes
{store:.4f} s to store one. Images per second, by workers and by deaths per worker and hour:

{table}

The driver stores {most:,.0f} images per second at most, whatever the number of workers. Beyond
that, make several sets, each with a seed and a driver of its own. One set holds at most ten million
images.
"""


@dataclass(frozen=True)
class Times:
    """What the estimate is made from, in seconds per shard.

    Args:
        render: In a worker.
        store: In the driver.
        images: Images of a shard.
    """

    render: float
    store: float
    images: int


def main() -> None:
    """Measure, and write the JSON and its page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--side", type=int, default=8, choices=[8, 16, 28])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/scale"), help="for the sets")
    parser.add_argument("--out", type=Path, default=Path("docs/results/scale.json"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    shutil.rmtree(given.work, ignore_errors=True)
    found = measured(given.work, given.images, given.side, given.kills, given.seed)
    write_json(given.out, found)
    write_text(given.out.with_suffix(".md"), page(found))


def measured(work: Path, images: int, side: int, kills: int, seed: int) -> dict[str, Any]:
    """All numbers, by the keys of the JSON."""
    run = work / "run"
    train_run(config_from(settings(side)), run, progress=Lines())
    per_class, seconds = images // 10, dict[str, float]()
    done = 0
    for name, engine, processes in ENGINES:
        with ray_cluster(name, work), killed(kills if name == "ray" else 0, seed) as killer:
            start = time.perf_counter()
            synthesize_run(
                run,
                work / name,
                per_class=per_class,
                format="shards",
                processes=processes,
                engine=engine,
                progress=Lines(),
            )
            seconds[name] = time.perf_counter() - start
        done += killer.done
    sums = {name: checksums(work / name) for name in seconds}
    lost, double = lost_and_double(work / "ray")
    made, two = per_class * 10, seconds["one"] / seconds["two"] / 2
    memory = [resource.getrusage(who).ru_maxrss / 1024 for who in MEMORY]
    return {
        "schema": 1,
        "ray_equal": sums["one"] == sums["two"] == sums["ray"],
        "kills": done,
        "lost": lost,
        "double": double,
        "million_seconds": round(seconds["one"], 1) if made >= MILLION else None,
        "peak_mb": round(memory[1]),
        "read_ratio": read_ratio(work / "one"),
        "scaling_2": round(two, 3),
        "images": made,
        "side": side,
        "shards": len(read_manifest(work / "one")),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "driver_mb": round(memory[0]),
        "store_seconds_per_shard": store_seconds(work),
        "device": device_name("cpu"),
        "command": this_command(),
    }


ENGINES = (
    ("one", EngineConfig(), 1),
    ("two", EngineConfig(), 2),
    ("ray", EngineConfig(name="ray"), 2),
)
MEMORY = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def settings(side: int) -> dict[str, Any]:
    """A small generator; what its images look like does not matter."""
    return {
        "data": {"data": "digits", "size": side},
        "source": {"steps": 20, "batch_size": 32},
        "device": "cpu",
        "threads": 1,
    }


@contextmanager
def ray_cluster(name: str, work: Path) -> Iterator[None]:
    """Two nodes with three CPUs in all, on this machine; one of them stays free."""
    if name != "ray":
        yield
        return
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
        done: How many were.
    """

    left: int
    done: int = 0
    stopped: bool = False

    def work(self, seed: int) -> None:
        """Until all are done or it is stopped."""
        import psutil

        rng = random.Random(seed)
        while self.left and not self.stopped:
            time.sleep(rng.uniform(0.5, 3.0))
            busy = []
            for child in psutil.Process().children(recursive=True):
                try:
                    if "ray::_stream" in " ".join(child.cmdline()):
                        busy.append(child)
                except psutil.Error:
                    continue
            if busy:
                rng.choice(busy).send_signal(signal.SIGKILL)
                self.left, self.done = self.left - 1, self.done + 1


@contextmanager
def killed(kills: int, seed: int) -> Iterator[Killer]:
    """Kill so many workers while the block runs, or as many as it gives time for."""
    killer = Killer(kills)
    thread = threading.Thread(target=killer.work, args=(seed,), daemon=True)
    thread.start()
    try:
        yield killer
    finally:
        killer.stopped = True
        thread.join()


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a set."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != "lock":
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def lost_and_double(folder: Path) -> tuple[int, int]:
    """Shards that the manifest lacks, and those that it names more than once."""
    recipe, shards = read_recipe(folder), read_manifest(folder)
    named = [(shard.class_index, shard.number) for shard in shards]
    planned = sum(-(-n // recipe.shard_size) for n in recipe.counts.values())
    return planned - len(set(named)), len(named) - len(set(named))


def read_ratio(folder: Path) -> float | None:
    """Images per second of webdataset in those of the plain reader; None without webdataset."""
    if importlib.util.find_spec("webdataset") is None:
        return None
    import webdataset

    paths, recipe = sorted(folder.glob("*.tar")), read_recipe(folder)
    start, count = time.perf_counter(), 0
    for path in paths:
        reader = ShardReader(path, recipe.image_shape)
        for index in range(len(reader)):
            count += reader[index].class_index >= 0
    plain = count / (time.perf_counter() - start)
    start, count = time.perf_counter(), 0
    shards = webdataset.WebDataset([str(path) for path in paths], shardshuffle=False)
    for _ in shards.decode("torchrgb").to_tuple("png", "cls"):
        count += 1
    return round(count / (time.perf_counter() - start) / plain, 3)


def store_seconds(work: Path) -> float:
    """Seconds that the driver takes to store one shard of another machine and its line."""
    from pipelines.experiment.travel import lay

    folder, source = work / "stored", work / "one"
    folder.mkdir(exist_ok=True)
    shards = read_manifest(source)[:50]
    start = time.perf_counter()
    with (folder / "manifest.jsonl").open("a") as manifest:
        for shard in shards:
            lay(folder, {name: (source / name).read_bytes() for name in shard.sha256})
            manifest.write(shard.line + "\n")
    return round((time.perf_counter() - start) / len(shards), 5)


def simulated(times: Times, workers: int, deaths_per_hour: float, shards: int = 20_000) -> float:
    """Images per second: each worker renders shards, one driver stores them one by one.

    A death costs the shard at work and the restart.
    """
    rng = random.Random(workers)
    free = [0.0] * workers
    stored = 0.0
    for _ in range(shards):
        start = heapq.heappop(free)
        end = start + times.render
        while rng.random() < deaths_per_hour * times.render / 3600:
            end += RESTART + times.render * rng.random()
        stored = max(stored, end) + times.store
        heapq.heappush(free, end)
    return shards * times.images / stored


def page(found: dict[str, Any]) -> str:
    """The page beside the JSON."""
    per_shard = found["images"] / found["shards"]
    store = found["store_seconds_per_shard"]
    render = max(found["seconds"]["one"] / found["shards"] - store, 1e-6)
    times = Times(render, store, round(per_shard))
    rows = ["| workers | " + " | ".join(f"{rate:g}" for rate in DEATHS_PER_HOUR) + " |"]
    rows.append("|---:|" + "---:|" * len(DEATHS_PER_HOUR))
    for workers in WORKERS:
        rates = (f"{simulated(times, workers, rate):,.0f}" for rate in DEATHS_PER_HOUR)
        rows.append(f"| {workers} | " + " | ".join(rates) + " |")
    words = {"one": "one", "two": "two", "ray": "ray"}
    seconds = {name: found["seconds"][name] for name in words}
    return PAGE.format(
        **seconds,
        device=found["device"],
        images=f"{found['images']:,}",
        side=found["side"],
        shards=found["shards"],
        kills=found["kills"],
        equal="equal, byte by byte" if found["ray_equal"] else "different",
        lost=found["lost"],
        double=found["double"],
        scaling=found["scaling_2"],
        driver_mb=found["driver_mb"],
        peak=found["peak_mb"],
        read_ratio=found["read_ratio"] or "not measured",
        render=render,
        store=store,
        table="\n".join(rows),
        most=per_shard / store,
    )


if __name__ == "__main__":
    main()
