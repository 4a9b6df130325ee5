r"""Is a job on many machines that of one, also when workers and servers die, and how fast is it?

    python -m benchmarks.scale million driver readers scaling ray

Stages, each of which adds to the figures and to the page beside them:

million
    1,000,000 images into shards by two processes: time, memory, bytes.
driver
    What the process that runs the command does per shard, which limits many workers.
readers
    Reading them by webdataset, by ``SyntheticMix`` and by the plain reader, in turns.
scaling
    The same set by one worker and by two, in turns.
ray
    A Ray cluster of two nodes: the demo, then sets on an S3 server, while workers are killed at
    random moments, and the server once; both compared with processes of this machine.

The generator is small and trained for a moment: what its images look like does not matter.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset
from torch.utils.data import TensorDataset

from augmentor import SyntheticMix
from augmentor.common.atomic_files import write_json, write_text
from augmentor.data.manifest import parse_shard
from augmentor.data.recipe import shard_count
from augmentor.data.remote_folder import RemoteFolder
from augmentor.data.remote_set import RemoteBegunSet
from augmentor.data.stored_set import manifest_at
from augmentor.data.synthetic_store import BegunSet, ShardReader, read_manifest, read_recipe
from benchmarks.scale_tools import (
    Times,
    checksums,
    killed,
    lost_and_double,
    rate_alone,
    rate_of,
    ray_cluster,
    remote_checksums,
    simulated,
    watched_memory,
)
from pipelines.config import Config, EngineConfig, config_from, load_config
from pipelines.experiment.provenance import device_name
from pipelines.gain.run import gain_run
from pipelines.generators.synthesize import synthesize_run
from pipelines.generators.train import train_run
from pipelines.progress import Lines
from tests.s3_server import BUCKET, S3Server, s3_server

MILLION, SIDE = 1_000_000, 8
WORKERS = (1, 2, 10, 100, 1000)
DEATHS_PER_HOUR = (0.0, 0.1, 1.0)
LINES = 2_000
"""Lines of a manifest that the time of the driver is measured on."""
SHARDS_READ, ROUNDS = 8, 7
"""Shards that every reader reads per round."""
BILLION = 1_000_000_000
DEMO = Path(__file__).parents[1] / "configs" / "start" / "demo.yaml"
DEMO_PAUSE = 4
"""Times the pause of sets. A part of the demo takes longer than a shard, and one whose worker dies
four times is given up."""
MOST_SETS = 12
"""Sets among kills at most; they are begun until there were enough kills."""
MARK = 0.9
"""Of the plain reader's rate, that the others should reach; of a linear speed-up too."""


def main() -> None:
    """Measure, and write the figures and their page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("stages", nargs="*", help=f"of {', '.join(STAGES)}")
    parser.add_argument("--images", type=int, default=MILLION, help="of the stage million")
    parser.add_argument("--ray-images", type=int, default=100_000, help="of the stage ray")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--pause", type=float, default=3, help="seconds between kills at least")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/scale"), help="for the sets")
    parser.add_argument("--out", type=Path, default=Path("docs/results/scale.json"))
    parser.add_argument("--add", type=Path, nargs="*", default=[], help="figures of other --out")
    given = parser.parse_args()
    if unknown := set(given.stages) - set(STAGES):
        parser.error(f"unknown stages: {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    found: dict[str, Any] = {}
    for path in (given.out, *given.add):
        found |= json.loads(path.read_text()) if path.exists() else {}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    for stage in given.stages or [None]:
        found |= STAGES[stage](given) if stage else {}
        found |= {"schema": 1, "device": device_name("cpu"), "command": COMMAND}
        write_json(given.out, found)
        write_text(given.out.with_suffix(".md"), page(found))


COMMAND = "python -m benchmarks.scale million driver readers scaling ray"


def run_of(given: argparse.Namespace) -> Path:
    """A trained run, made once."""
    run: Path = given.work / "run"
    if not (run / "checkpoints").is_dir():
        settings: dict[str, Any] = {
            "data": {"data": "digits", "size": SIDE},
            "source": {"steps": 20, "batch_size": 32},
            "device": "cpu",
            "threads": 1,
        }
        train_run(config_from(settings), run, progress=Lines())
    return run


def made(given: argparse.Namespace, out: Path | str, images: int, **settings: Any) -> float:
    """Make a set; the seconds it took."""
    if isinstance(out, Path):
        shutil.rmtree(out, ignore_errors=True)
    run, start = run_of(given), time.perf_counter()
    settings = {"progress": Lines(every=20)} | settings
    synthesize_run(run, out, per_class=images // 10, format="shards", **settings)
    return time.perf_counter() - start


def million(given: argparse.Namespace) -> dict[str, Any]:
    """A large set by two processes."""
    out, load = given.work / "million", os.getloadavg()[0]
    run_of(given)
    with watched_memory() as memory:
        seconds = made(given, out, given.images, processes=2)
    middle, last = memory.thirds
    shards = read_manifest(out)
    return {
        "million_images": sum(shard.count for shard in shards),
        "million_seconds": round(seconds, 1),
        "million_shards": len(shards),
        "million_bytes": sum(path.stat().st_size for path in out.iterdir()),
        "million_manifest_bytes": (out / "manifest.jsonl").stat().st_size,
        "peak_mb": round(max(memory.seen)),
        "peak_mb_middle_third": round(middle),
        "peak_mb_last_third": round(last),
        "million_load_before": round(load, 1),
    }


def driver(given: argparse.Namespace) -> dict[str, Any]:
    """What the driver does per shard: it reads a line, and on a disk adds it to the manifest."""
    folder, place = given.work / "million", given.work / "driver"
    recipe, lines = read_recipe(folder), [shard.line for shard in read_manifest(folder)[:LINES]]
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    seen = np.arange(1)
    ways = {
        "disk": BegunSet(place, recipe, {}),
        "url": RemoteBegunSet(place, recipe, {}, RemoteFolder("memory://driver"), seen),
    }
    seconds = {}
    for name, begun in ways.items():
        start = time.perf_counter()
        for line in lines:
            begun.add(parse_shard(line))
        seconds[name] = round((time.perf_counter() - start) / len(lines), 6)
    return {"driver_seconds_per_shard": seconds}


def readers(given: argparse.Namespace) -> dict[str, Any]:
    """Rates of readers in turns, on other shards in every round."""
    folder = given.work / "million"
    recipe, every = read_recipe(folder), [path.name for path in sorted(folder.glob("*.tar"))]
    y = torch.arange(10)
    real = TensorDataset(torch.rand(10, *recipe.image_shape), y)
    mix = SyntheticMix(real, folder, classes=recipe.classes, streaming=True)

    def plain(paths: list[Path]) -> int:
        count = 0
        for path in paths:
            reader = ShardReader(path, recipe.image_shape)
            count += sum(len(reader[index].pixels) > 0 for index in range(len(reader)))
        return count

    def web(paths: list[Path], decoded: str = "torchl8") -> int:
        data = webdataset.WebDataset([str(path) for path in paths], shardshuffle=False)
        return sum(1 for _ in data.decode(decoded).to_tuple("png", "cls"))

    def web_rgb(paths: list[Path]) -> int:
        return web(paths, "torchrgb")

    def stream(paths: list[Path]) -> int:
        wanted = len(paths) * recipe.shard_size
        return sum(1 for _ in mix.stream(share=0.999, length=wanted, seed=hash(paths[0].name)))

    def items(paths: list[Path]) -> int:
        first = every.index(paths[0].name) * recipe.shard_size
        for index in range(first, first + len(paths) * recipe.shard_size):
            mix[index]
        return len(paths) * recipe.shard_size

    ways: dict[str, Callable[[list[Path]], int]] = {
        "plain": plain, "webdataset": web, "webdataset_rgb": web_rgb,
        "mix_stream": stream, "mix_items": items,
    }  # fmt: skip
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS):
        first = number * SHARDS_READ % (len(every) - SHARDS_READ)
        paths = [folder / name for name in every[first : first + SHARDS_READ]]
        for name, read in ways.items():
            rates[name].append(rate_of(lambda read=read, paths=paths: read(paths)))  # type: ignore[misc]
    ratios = {}
    for name in [*ways][1:]:
        pairs = zip(rates[name], rates["plain"], strict=True)
        ratios[name] = round(statistics.median(one / plain for one, plain in pairs), 3)
    typical = {name: round(statistics.median(found)) for name, found in rates.items()}
    lowest = min(ratios["webdataset"], ratios["mix_stream"])
    return {"read_ratio": lowest, "read_ratios": ratios, "read_images_per_second": typical}


def scaling(given: argparse.Namespace) -> dict[str, Any]:
    """One worker and two in turns, from the first fifth of the set on: without the start. After
    each, as many processes of their own, which no driver minds: what the machine could do.
    """
    images, seconds, loads = 100_000, {1: list[float](), 2: list[float]()}, list[float]()
    alone: dict[int, list[float]] = {1: [], 2: []}
    for number in range(3):
        for workers in (1, 2) if number % 2 == 0 else (2, 1):
            loads.append(os.getloadavg()[0])
            out, clock = given.work / f"scaling-{workers}", Clock(every=20)
            made(given, out, images, processes=workers, progress=clock)
            seconds[workers].append(clock.seconds_of(images))
            alone[workers].append(rate_alone(run_of(given), given.work / "alone", workers))
    shares = [one / two / 2 for one, two in zip(seconds[1], seconds[2], strict=True)]
    machine = [two / one / 2 for one, two in zip(alone[1], alone[2], strict=True)]
    same = checksums(given.work / "scaling-1") == checksums(given.work / "scaling-2")
    return {
        "scaling_2": round(statistics.median(shares), 3),
        "scaling_2_rounds": [round(share, 3) for share in shares],
        "scaling_2_of_the_machine": round(statistics.median(machine), 3),
        "scaling_2_of_the_machine_rounds": [round(share, 3) for share in machine],
        "scaling_images": images,
        "scaling_seconds": {str(n): [round(one, 1) for one in all_] for n, all_ in seconds.items()},
        "scaling_loads": [round(load, 1) for load in loads],
        "scaling_equal": same,
    }


def demo(engine: str) -> Config:
    """The demo as it is, on an engine."""
    config = load_config(DEMO)
    return config.model_copy(update={"engine": EngineConfig(name=engine)})


def answers_of(folder: Path) -> dict[str, Any]:
    """What a run of gain found, without times and the command."""
    result = json.loads((folder / "gain.json").read_text())
    return {name: result[name] for name in ("arms", "comparisons", "verdict", "training_counts")}


@dataclass(frozen=True)
class AmongKills:
    """What a job on the cluster came to whose workers were killed.

    Args:
        kills: How many were.
        equal: Whether its result is that of one process.
        seconds: How long it took.
        lost: Shards of a set that are missing.
        double: Those that are there twice.
    """

    kills: int
    equal: bool
    seconds: float = 0.0
    lost: int = 0
    double: int = 0


def ray(given: argparse.Namespace) -> dict[str, Any]:
    """The demo on a cluster, then sets until as many workers as asked for were killed; and the same
    without Ray.
    """
    one = given.work / "one"
    alone = made(given, one, given.ray_images)
    for folder in given.work.glob("gain-*"):
        shutil.rmtree(folder)
    gain_run(demo("local"), given.work / "gain-local", progress=Lines(every=20))
    sets = list[AmongKills]()
    with s3_server() as server:
        os.environ.update(server.environment)
        falls = Falls(server)
        with ray_cluster():
            gain = demo_among_kills(given, given.kills // 2)
            while len(sets) < MOST_SETS:
                left = given.kills - gain.kills - sum(found.kills for found in sets)
                if sets and left <= 0:
                    break
                progress = Lines(every=20) if sets else falls
                sets.append(set_among_kills(given, len(sets), max(0, left), progress))
                if len(sets) == 1:
                    falls.join()
    return {
        "ray_equal": gain.equal and all(found.equal for found in sets),
        "ray_set_equal": all(found.equal for found in sets),
        "ray_gain_equal": gain.equal,
        "ray_images": given.ray_images // 10 * 10,
        "ray_sets": len(sets),
        "kills": gain.kills + sum(found.kills for found in sets),
        "kills_in_gain": gain.kills,
        "server_kills": falls.fallen,
        "images_when_the_server_fell": falls.images,
        "lost": sum(found.lost for found in sets),
        "double": sum(found.double for found in sets),
        "ray_seconds": {
            "one process": round(alone, 1),
            "ray, with kills": round(statistics.median(found.seconds for found in sets), 1),
        },
    }


def demo_among_kills(given: argparse.Namespace, most: int) -> AmongKills:
    """The demo, compared with that of this machine's own processes."""
    out = given.work / "gain-ray"
    with killed(most, given.seed, DEMO_PAUSE * given.pause) as killer:
        gain_run(demo("ray"), out, progress=Lines(every=20))
    return AmongKills(killer.done, answers_of(out) == answers_of(given.work / "gain-local"))


def set_among_kills(
    given: argparse.Namespace, number: int, most: int, progress: Lines
) -> AmongKills:
    """A set on the server, compared with that of one process."""
    one, url = given.work / "one", f"s3://{BUCKET}/ray-{number}"
    settings = {"processes": 2, "engine": EngineConfig(name="ray"), "progress": progress}
    with killed(most, given.seed + 1 + number, given.pause) as killer:
        seconds = made(given, url, given.ray_images, **settings)
    folder = RemoteFolder(url)
    tars = [name for name in folder.sizes() if name.endswith(".tar")]
    lost, double = lost_and_double(shard_count(read_recipe(one)), manifest_at(folder), tars)
    equal = remote_checksums(url) == checksums(one)
    return AmongKills(killer.done, equal, seconds, lost, double)


class Clock(Lines):
    """Progress that knows how long it took from the first fifth of a set to its end."""

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Show a step."""
        super().step(task, done, total, note)
        if done >= total / 5:
            self.last = time.perf_counter(), done
            self.first = getattr(self, "first", self.last)

    def seconds_of(self, images: int) -> float:
        """Seconds of so many images at the rate between the two."""
        return images * (self.last[0] - self.first[0]) / (self.last[1] - self.first[1])


class Falls(Lines):
    """Progress that kills the server once, when a fifth of the set is there, and starts it again.

    Args:
        server: The server; it keeps objects in memory, so all that had arrived is gone.
    """

    def __init__(self, server: S3Server) -> None:
        super().__init__(every=20)
        self._server, self.fallen, self.images = server, 0, 0
        self._thread: threading.Thread | None = None

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        """Show a step."""
        super().step(task, done, total, note)
        if self._thread is None and done > total / 5:
            self.images, self.fallen = done, 1
            self._thread = threading.Thread(target=self._fall)
            self._thread.start()

    def join(self) -> None:
        """Wait until the server stands again."""
        if self._thread is not None:
            self._thread.join()

    def _fall(self) -> None:
        self._server.kill()
        time.sleep(5)
        self._server.start()


STAGES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "million": million,
    "driver": driver,
    "readers": readers,
    "scaling": scaling,
    "ray": ray,
}


def page(found: dict[str, Any]) -> str:
    """The page of the figures: what was measured so far, and the simulation."""
    parts = [
        f"# Beyond one machine: what was measured\n\nMade by `{COMMAND}` on {found['device']}."
    ]
    for name, words in (("ray_equal", _ray_words), ("million_seconds", _million_words),
                        ("read_ratio", _reader_words), ("scaling_2", _scaling_words)):  # fmt: skip
        if name in found:
            parts.append(words(found))
    if "driver_seconds_per_shard" in found:
        parts.append(_simulation(found))
    return "\n\n".join(parts) + "\n"


def _table(rows: list[tuple[str, object]]) -> str:
    return "\n".join(["| what | result |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)])


def _ray_words(found: dict[str, Any]) -> str:
    """Ray, with kills."""
    yes = {True: "equal", False: "**different**"}
    rows: list[tuple[str, object]] = [
        ("workers killed at random moments", f"{found['kills']} ({found['kills_in_gain']} of them "
         "in the demo)"),
        ("S3 server killed and started again, all objects gone",
         f"once, at {found['images_when_the_server_fell']:,} images"),
        (f"{found['ray_sets']} sets of {found['ray_images']:,} images at {SIDE} pixels, byte by "
         "byte", yes[found["ray_set_equal"]]),
        ("the demo: scores, intervals and verdict", yes[found["ray_gain_equal"]]),
        ("shards lost, double", f"{found['lost']}, {found['double']}"),
        *((f"seconds of a set, {name}", value) for name, value in found["ray_seconds"].items()),
    ]  # fmt: skip
    return (
        "## A cluster whose workers and server die\n\n"
        "Two Ray nodes on this machine, two workers, against one process without Ray. The server "
        "is moto's: it keeps objects in memory, so a kill loses all that had arrived. The job "
        "notices that at its end and makes it again.\n\n" + _table(rows)
    )


def _million_words(found: dict[str, Any]) -> str:
    """The large set."""
    images, seconds = found["million_images"], found["million_seconds"]
    rows: list[tuple[str, object]] = [
        ("seconds, two processes", f"{seconds:,} ({images / seconds:,.0f} images per second)"),
        ("largest process, MB: at any time, in the second third, in the last third",
         f"{found['peak_mb']}, {found['peak_mb_middle_third']}, {found['peak_mb_last_third']}"),
        ("bytes of the set", f"{found['million_bytes']:,}"),
        ("shards, bytes of the manifest",
         f"{found['million_shards']:,}, {found['million_manifest_bytes']:,}"),
        ("processes that wanted a CPU before it began (two cores)", found["million_load_before"]),
    ]  # fmt: skip
    return f"## {images:,} images at {SIDE} pixels\n\n" + _table(rows)


def _reader_words(found: dict[str, Any]) -> str:
    """The readers."""
    names = {
        "plain": "`ShardReader`, image by image: the plain reader",
        "webdataset": "webdataset, decoded to grey bytes as the plain reader does",
        "webdataset_rgb": "webdataset, decoded to colour and floats",
        "mix_stream": "`SyntheticMix(streaming=True).stream()`",
        "mix_items": "items of `SyntheticMix(streaming=True)`, in order",
    }
    lines = ["| reader | images per second | share of the plain reader's |", "|---|---:|---:|"]
    for name, words in names.items():
        ratio = found["read_ratios"].get(name, 1.0)
        lines.append(f"| {words} | {found['read_images_per_second'][name]:,} | {ratio} |")
    return (
        "## Reading it back\n\n"
        f"In turns, {ROUNDS} rounds of {SHARDS_READ} shards each; medians. What is below {MARK} "
        "misses the mark that this project set itself; webdataset reads the headers of a shard "
        "with `tarfile`, three per image.\n\n" + "\n".join(lines)
    )


def _scaling_words(found: dict[str, Any]) -> str:
    """One worker and two."""
    rows: list[tuple[str, object]] = [
        ("share of a linear speed-up", found["scaling_2"]),
        ("by round", ", ".join(map(str, found["scaling_2_rounds"]))),
        ("of two processes that no driver minds", found["scaling_2_of_the_machine"]),
        ("by round", ", ".join(map(str, found["scaling_2_of_the_machine_rounds"]))),
        *((f"seconds, {name} worker(s)", ", ".join(map(str, all_)))
          for name, all_ in found["scaling_seconds"].items()),
        ("processes that wanted a CPU before each (two cores)",
         ", ".join(map(str, found["scaling_loads"]))),
        ("the two sets", "equal" if found["scaling_equal"] else "**different**"),
    ]  # fmt: skip
    return (
        f"## From one worker to two\n\n{found['scaling_images']:,} images, in turns, from the "
        f"first fifth to the end; the mark is {MARK}. Two cores of a shared machine are not twice "
        "one: the same shards, written by two processes that know nothing of each other, say what "
        "could be had.\n\n" + _table(rows)
    )


def _simulation(found: dict[str, Any]) -> str:
    images = found["million_images"] / found["million_shards"]
    render = 2 * found["million_seconds"] / found["million_shards"]
    seconds = found["driver_seconds_per_shard"]
    driver = seconds["url"]
    times = Times(render, driver, round(images))
    lines = ["| workers | " + " | ".join(f"{rate:g}" for rate in DEATHS_PER_HOUR) + " |"]
    lines.append("|---:|" + "---:|" * len(DEATHS_PER_HOUR))
    for workers in WORKERS:
        rates = (f"{simulated(times, workers, rate):,.0f}" for rate in DEATHS_PER_HOUR)
        lines.append(f"| {workers:,} | " + " | ".join(rates) + " |")
    most, per_shard = images / driver, found["million_manifest_bytes"] / found["million_shards"]
    whole = BILLION / images * per_shard / 1e9
    return f"""## To 1,000 workers: a simulation, not a measurement

A worker made a shard of {images:.0f} images in {render:.2f} s, two workers on two cores.
The driver takes {1000 * driver:.2f} ms per shard of a set at a URL, and
{1000 * seconds["disk"]:.1f} ms of a set on a disk, where every line has to reach it. Images per
second of a set at a URL, by workers and by deaths per worker and hour:

{chr(10).join(lines)}

What Ray itself takes per task, of up to sixteen shards, is not in it.

- **The driver.** It notes {most:,.0f} images per second at most, which
  {most / images * render:,.0f} such workers fill. A set at a URL takes it no more than that:
  workers send their shards and the manifest of each themselves. With a set on a disk the driver
  also writes the shards of other machines: {images / seconds["disk"]:,.0f} images per second before
  that. 10⁹ images take one driver at least
  {BILLION / most:,.0f} seconds.
- **The manifest.** It has {per_shard:.0f} bytes per shard: {whole:.1f} GB for 10⁹ images, which no
  reader wants in memory. So a set holds at most ten million images: 10⁹ are a hundred sets, each
  with a seed, a driver and a manifest of its own, and their candidates differ by their seeds.
- **Larger images** take a worker longer per shard and the driver as long as before, so the limit
  moves up with their size."""


if __name__ == "__main__":
    main()
