from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.experiment.engine import PART_MADE, Workers
from pipelines.experiment.job import opened
from pipelines.experiment.parts import Part, PartStore
from pipelines.experiment.plan import (
    Group,
    estimated_seconds,
    fit_budget,
    make_missing,
    plan_rows,
    read_all,
)
from pipelines.interrupt import Interrupted, Watch
from pipelines.progress import Silent
from pipelines.run_dir import RunDir, RunLockedError


@dataclass(frozen=True)
class Task:
    """Writes numbers; a negative one fails."""

    numbers: tuple[int, ...]
    parts: tuple[Part, ...]
    folder: Path


def work(task: Task, on_part: Callable[[str], None], watch: Watch | None) -> None:
    store = PartStore(task.folder)
    for number, part in zip(task.numbers, task.parts, strict=True):
        if store.has(part):
            continue
        if number < 0:
            raise Interrupted(15)
        store.write(part, {"number": number}, seconds={"x": 1.0}, device="cpu")
        on_part(PART_MADE + part.label)


def group(folder: Path, *numbers: int) -> Group[Task]:
    parts = tuple(Part("number", f"number {n}", {"n": abs(n)}, {"classifier": 10}) for n in numbers)
    return Group(Task(numbers, parts, folder), parts, {"generator": 100})


class Steps(Silent):
    def __init__(self) -> None:
        self.done: list[tuple[int, int]] = []
        self.said: list[str] = []

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        self.done.append((done, total))

    def say(self, line: str) -> None:
        self.said.append(line)


@pytest.mark.parametrize("processes", [1, 2])
def test_missing_parts_are_made_and_finished_ones_kept(tmp_path: Path, processes: int) -> None:
    groups = [group(tmp_path, 1, 2), group(tmp_path, 3)]
    store, steps = PartStore(tmp_path), Steps()
    store.write(groups[0].parts[0], {"number": 99}, seconds={}, device="cpu")
    with Workers(work, processes, 1, Watch()) as workers:
        make_missing(groups, store, workers, steps, "numbers")
    found = [[part.content["number"] for part in parts] for parts in read_all(groups, store)]
    assert found == [[99, 2], [3]]
    assert steps.done[0] == (1, 3)
    assert steps.done[-1] == (3, 3)
    assert max(done for done, _ in steps.done) == 3


def test_a_stopped_group_keeps_what_was_finished_and_resumes(tmp_path: Path) -> None:
    store = PartStore(tmp_path)
    with Workers(work, 1, 1, Watch()) as workers, pytest.raises(Interrupted):
        make_missing([group(tmp_path, 1, -2)], store, workers, Silent(), "numbers")
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    resumed = [group(tmp_path, 1, 2)]
    with Workers(work, 1, 1, Watch()) as workers:
        make_missing(resumed, store, workers, Silent(), "numbers")
    assert len(read_all(resumed, store)[0]) == 2


def test_damaged_parts_are_named_before_they_are_made_again(tmp_path: Path) -> None:
    groups, store, steps = [group(tmp_path, 1)], PartStore(tmp_path), Steps()
    store.write(groups[0].parts[0], {"number": 1}, seconds={}, device="cpu")
    store.path(groups[0].parts[0]).write_bytes(b"no part")
    with Workers(work, 1, 1, Watch()) as workers:
        make_missing(groups, store, workers, steps, "numbers")
    assert "damaged" in steps.said[0]
    assert store.read(groups[0].parts[0]).content == {"number": 1}


def test_a_job_locks_its_folder(tmp_path: Path) -> None:
    with opened(tmp_path, work, Silent(), processes=1, threads=1) as job:
        assert job.finished([group(job.store.folder, 4)], "numbers")[0][0].content["number"] == 4
        with (
            pytest.raises(RunLockedError),
            opened(tmp_path, work, Silent(), processes=1, threads=1),
        ):
            pass
    assert RunDir(tmp_path).parts.is_dir()


def test_the_rows_of_a_plan_count_and_estimate(tmp_path: Path) -> None:
    groups, store = [group(tmp_path, 1, 2), group(tmp_path, 3)], PartStore(tmp_path)
    speeds = {"classifier": 0.1, "generator": 0.01}
    rows = {row.what: row for row in plan_rows(groups, store, speeds)}
    assert (rows["number"].count, rows["number"].finished) == (3, 0)
    assert rows["number"].seconds == pytest.approx(3.0)
    assert (rows["generator"].count, rows["generator"].seconds) == (2, pytest.approx(2.0))
    assert estimated_seconds(groups, store, speeds, 1) == pytest.approx(5.0)
    assert estimated_seconds(groups, store, speeds, 2) == pytest.approx(2.5)
    store.write(groups[1].parts[0], {}, seconds={}, device="cpu")
    rows = {row.what: row for row in plan_rows(groups, store, speeds)}
    assert (rows["number"].finished, rows["generator"].finished) == (1, 1)
    assert estimated_seconds(groups, store, speeds, 1) == pytest.approx(3.0)
    assert plan_rows(groups, store)[0].seconds is None


def test_a_budget_takes_replicates_before_steps() -> None:
    def cost(replicates: int, share: float) -> float:
        return 10 * replicates * share

    assert fit_budget(cost, 1000, 10) == (10, 1.0)
    assert fit_budget(cost, 45, 10) == (4, 1.0)
    assert fit_budget(cost, 20, 10) == (4, 0.5)
    assert fit_budget(cost, 8, 10) == (3, 0.25)
    assert fit_budget(cost, 7, 10) is None
