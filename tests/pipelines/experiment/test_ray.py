"""The Ray engine against a real cluster of two nodes on this machine: parts, sets, and whole jobs.

All in one file, so that they share one cluster.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augmentor.data.synthetic_store import Format, Recipe, begin_set, trained_on_digest
from augmentor.sampling.synthesize import synthesize_set
from benchmarks.scale_tools import ray_cluster
from pipelines.compare.run import compare_run
from pipelines.config import Config, ConfigError, EngineConfig, config_from
from pipelines.experiment import ray_engine
from pipelines.experiment.engine import Workers, engine_of
from pipelines.experiment.parts import PartStore
from pipelines.experiment.plan import Group, make_missing, read_all
from pipelines.generators.render_shards import ShardMaker, render_missing
from pipelines.interrupt import Interrupted, Watch
from pipelines.progress import Silent
from pipelines.semi.run import semi_run
from pipelines.verify.run import verify_run
from tests.pipelines.compare import made_up
from tests.pipelines.experiment.travellers import Levels, make_numbers, numbers
from tests.pipelines.faces import SIDE, write_pairs, write_people

pytest.importorskip("ray", reason="needs the extra ray")
pytestmark = pytest.mark.xdist_group("ray")  # with --dist loadgroup in one process

RAY = EngineConfig(name="ray")
TIMES = ("seconds", "_per_second", "_per_1000", "command")
"""What tells two equal runs apart, by the end of its name."""
SEMI: dict[str, Any] = {
    "data": {"data": "digits", "size": 8},
    "classifier": {"steps": 3, "batch_size": 16},
    "semi": {"labels": [20], "subsets": 2, "methods": ["supervised", "classical"]},
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two nodes with three CPUs in all; joined once for all tests."""
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        with ray_cluster():
            yield
    for number, handler in former.items():
        signal.signal(number, handler)


def make(groups: list[Group[Any]], processes: int = 3, settings: EngineConfig = RAY) -> list[Any]:
    store = PartStore(groups[0].task.folder)
    with engine_of(settings, make_numbers, processes, 1, Watch()) as engine:
        make_missing(groups, store, engine, Silent(), "numbers")
    return [part.content["number"] for parts in read_all(groups, store) for part in parts]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "parts"


def deaths_in(tmp_path: Path, count: int) -> Path:
    """A folder of as many files as workers are to die; each takes one with it."""
    folder = tmp_path / "deaths"
    folder.mkdir()
    for number in range(count):
        (folder / str(number)).touch()
    return folder


def test_parts_are_those_of_the_local_engine(cluster: None, folder: Path, tmp_path: Path) -> None:
    groups = [numbers(folder, n, n + 1) for n in (1, 10, 20, 30)]
    assert make(groups) == [1001, 1002, 1010, 1011, 1020, 1021, 1030, 1031]
    (tmp_path / "local").mkdir()
    local = [numbers(tmp_path / "local" / "parts", n, n + 1) for n in (1, 10, 20, 30)]
    with Workers(make_numbers, 1, 1, Watch()) as engine:
        make_missing(local, PartStore(local[0].task.folder), engine, Silent(), "numbers")
    for mine, other in zip(groups, local, strict=True):
        for part in mine.parts:
            one, two = (PartStore(group.task.folder).read(part) for group in (mine, other))
            assert one == two


@pytest.mark.faults
def test_workers_that_die_lose_only_the_part_they_were_at(
    cluster: None, folder: Path, tmp_path: Path
) -> None:
    deaths = deaths_in(tmp_path, 3)
    groups = [numbers(folder, n, n + 1, deaths=str(deaths)) for n in (1, 10)]
    assert make(groups, processes=2) == [1001, 1002, 1010, 1011]
    assert not list(deaths.iterdir())
    assert len(list(folder.iterdir())) == 4


@pytest.mark.faults
def test_a_part_that_kills_every_worker_is_named(
    cluster: None, folder: Path, tmp_path: Path
) -> None:
    deaths = deaths_in(tmp_path, 9)
    with pytest.raises(RuntimeError, match=r"^number 5: its worker died 4 times"):
        make([numbers(folder, 5, deaths=str(deaths))])
    assert len(list(deaths.iterdir())) == 5


def test_what_a_task_raises_comes_through_and_the_others_end(cluster: None, folder: Path) -> None:
    groups = [numbers(folder, 1, wrong="no such number"), numbers(folder, 2)]
    with pytest.raises(ValueError, match="no such number"):
        make(groups)


@pytest.mark.faults
def test_a_signal_stops_all_workers_and_leaves_what_is_finished(
    cluster: None, folder: Path
) -> None:
    groups, watch = [numbers(folder, n, n + 1, seconds=1.0) for n in (1, 10)], Watch()
    first = PartStore(folder)

    def stop() -> None:
        end = time.monotonic() + 60
        while not list(folder.glob("*.safetensors")) and time.monotonic() < end:
            time.sleep(0.05)
        watch.signum = signal.SIGINT

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(Interrupted), engine_of(RAY, make_numbers, 2, 1, watch) as engine:
        make_missing(groups, first, engine, Silent(), "numbers")
    thread.join()
    finished = len(list(folder.iterdir()))
    assert 1 <= finished < 4
    time.sleep(1.5)
    assert len(list(folder.iterdir())) == finished
    assert make(groups, processes=2) == [1001, 1002, 1010, 1011]


def test_more_than_any_node_has_is_refused(cluster: None, folder: Path) -> None:
    with pytest.raises(ConfigError, match="no node of the cluster has 64 CPUs, 1 GPUs"):
        make([numbers(folder, 1)], settings=EngineConfig(name="ray", cpus=64, gpus=1))


def test_one_cpu_stays_free(cluster: None) -> None:
    for cpus, most in ((1, 2), (2, 1)):
        settings = EngineConfig(name="ray", cpus=cpus)
        assert ray_engine.RayWorkers(make_numbers, 99, 1, Watch(), settings).places == most


def test_without_ray_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"install augmentor-synth\[ray\]"):
        engine_of(RAY, make_numbers, 1, 1, Watch())


@pytest.mark.parametrize("form", ["folder", "shards"])
def test_a_set_is_that_of_one_process(cluster: None, tmp_path: Path, form: Format) -> None:
    counts = dict.fromkeys(Levels.classes, 40)
    seen = np.zeros(1, np.int64)
    fixed = ("levels", "0" * 64, Levels.classes, Levels.image_shape, counts, 0, "none")
    recipe = Recipe(*fixed, trained_on_digest(seen), format=form, shard_size=16)
    synthesize_set(Levels(), recipe, tmp_path / "one", seen)
    begun, done = begin_set(tmp_path / "ray", recipe, seen), list[int]()
    with engine_of(RAY, ShardMaker(Levels(), recipe), 2, 1, Watch()) as engine:
        render_missing(begun, engine, lambda images, total: done.append(images))
    assert tree(tmp_path / "ray") == tree(tmp_path / "one")
    assert done[-1] == 120


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def semi(root: Path) -> dict[str, Any]:
    return SEMI


def compare(root: Path) -> dict[str, Any]:
    whole = dict(made_up.TINY)
    return whole | {"compare": whole["compare"] | {"families": whole["compare"]["families"][:1]}}


def verify(root: Path) -> dict[str, Any]:
    write_people(root / "people")
    write_pairs(root / "pairs")
    return {
        "data": {"data": str(root / "people"), "size": SIDE},
        "classifier": {"steps": 10, "batch_size": 16, "strength": 0.0},
        "verify": {"pairs": str(root / "pairs"), "replicates": 1},
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("job", "settings"), [(semi_run, semi), (compare_run, compare), (verify_run, verify)]
)
def test_a_job_on_a_cluster_finds_what_it_finds_here(
    cluster: None,
    tmp_path: Path,
    job: Callable[[Config, Path], dict[str, Any]],
    settings: Callable[[Path], dict[str, Any]],
) -> None:
    whole, found = settings(tmp_path) | {"device": "cpu", "threads": 1}, []
    for engine in ("local", "ray"):
        out = tmp_path / engine
        job(config_from(whole | {"engine": {"name": engine}}), out)
        found.append(lasting(json.loads(next(out.glob("*.json")).read_text())))
        assert list((out / "parts").iterdir())
    assert found[0] == found[1]


def lasting(value: Any) -> Any:
    """A result without times."""
    if isinstance(value, dict):
        return {name: lasting(one) for name, one in value.items() if not name.endswith(TIMES)}
    if isinstance(value, list):
        return [lasting(one) for one in value]
    return value
