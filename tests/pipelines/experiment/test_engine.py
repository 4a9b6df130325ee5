from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipelines.experiment.engine import Workers
from pipelines.experiment.parts import PartStore
from pipelines.experiment.plan import make_missing, read_all
from pipelines.interrupt import Watch
from pipelines.progress import Silent
from tests.pipelines.experiment.travellers import make_numbers, numbers


def talk(job: int, on_part: Callable[[str], None], watch: Watch | None) -> None:
    """A job that says many words, the last ones as it ends."""
    for number in range(job):
        on_part(f"word {number}")


def test_a_word_that_comes_late_is_not_about_the_next_jobs() -> None:
    heard: list[tuple[int, str]] = []
    with Workers(talk, 2, 1, Watch()) as workers:
        workers.run([1, 1], lambda index, word: None)
        assert workers._queue is not None
        workers._queue.put(((1, 1), "late"))
        time.sleep(0.2)  # the queue's own thread hands it on
        workers.run([2], lambda index, word: heard.append((index, word)))
    assert {index for index, _ in heard} == {0}
    assert "late" not in [word for _, word in heard]
    assert heard[-1] == (0, "")


def tell(job: str, on_part: Callable[[str], None], watch: Watch | None) -> None:
    """A job that says what its environment holds, and where it is."""
    on_part(f"{os.environ.get(job)} {Path.cwd()} {os.getppid()}")


def test_a_worker_has_the_environment_and_the_folder_of_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What workers are copied from may have begun under others."""
    heard: list[str] = []
    for word in ("one", "two"):
        monkeypatch.setenv("AUGMENTOR_CACHE", word)
        (tmp_path / word).mkdir()
        monkeypatch.chdir(tmp_path / word)
        with Workers(tell, 2, 1, Watch()) as workers:
            workers.run(["AUGMENTOR_CACHE"], lambda _, said: heard.append(said) if said else None)
    first, second = (said.split() for said in heard)
    assert first[:2] == ["one", str(tmp_path / "one")]
    assert second[:2] == ["two", str(tmp_path / "two")]
    if sys.platform == "linux":
        assert first[2] == second[2] != str(os.getpid()), "both are copies of one process"
    with Workers(tell, 2, 1, Watch(), device="cuda:0") as workers:
        workers.run(["AUGMENTOR_CACHE"], lambda _, said: heard.append(said) if said else None)
    assert heard[2].split()[2] == str(os.getpid()), "started anew, as a GPU wants it"


class Weigh:
    """A work that holds a model of many tensors."""

    def __init__(self, count: int) -> None:
        self.tensors = [torch.full((3,), float(number)) for number in range(count)]

    def __call__(self, job: int, on_part: Callable[[str], None], watch: Watch | None) -> None:
        on_part(f"{sum(float(one.sum()) for one in self.tensors[:job])}")


def test_a_work_with_a_model_travels_to_the_workers() -> None:
    """Torch hands tensors to a process as open files, of which a new one takes 256 at most."""
    heard: list[str] = []
    with Workers(Weigh(600), 2, 1, Watch()) as workers:
        workers.run([2, 600], lambda _, said: heard.append(said) if said else None)
    assert sorted(heard) == [f"{3.0}", f"{3.0 * 599 * 300}"]


SCRIPT = """
from augmentor import __version__
from pipelines.experiment.engine import Workers
from pipelines.generators.render_shards import ShardMaker
from pipelines.interrupt import Watch

if __name__ == "__main__":
    with Workers(ShardMaker(None, None), 2, 1, Watch()) as workers:
        try:
            workers.run([None, None], lambda *_: None)
        except AttributeError:
            print("a worker has tried it")
"""


def test_folders_beside_the_user_do_not_hide_the_packages(tmp_path: Path) -> None:
    """Such as the clone itself, which bears the name of the package."""
    for name in ("bin", "home/augmentor", "home/pipelines", "home/downstream"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "bin" / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "bin" / "script.py")]
    done = subprocess.run(
        command, cwd=tmp_path / "home", capture_output=True, text=True, check=False
    )
    assert done.stdout == "a worker has tried it\n", done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "parts"


def deaths_in(tmp_path: Path, count: int) -> str:
    """A folder of as many files as workers are to die; each takes one with it."""
    (tmp_path / "deaths").mkdir()
    for number in range(count):
        (tmp_path / "deaths" / str(number)).touch()
    return str(tmp_path / "deaths")


def test_a_job_whose_process_died_begins_again(folder: Path, tmp_path: Path) -> None:
    groups = [numbers(folder, 1, 2, deaths=deaths_in(tmp_path, 2)), numbers(folder, 10, 11)]
    store = PartStore(folder)
    with Workers(make_numbers, 2, 1, Watch()) as workers:
        make_missing(groups, store, workers, Silent(), "numbers")
    assert not list((tmp_path / "deaths").iterdir())
    found = [part.content["number"] for parts in read_all(groups, store) for part in parts]
    assert found == [1001, 1002, 1010, 1011]


@pytest.mark.faults
def test_a_part_that_ends_every_process_is_named(folder: Path, tmp_path: Path) -> None:
    groups = [numbers(folder, 5, deaths=deaths_in(tmp_path, 9)), numbers(folder, 10)]
    store = PartStore(folder)
    with (
        pytest.raises(RuntimeError, match=r"^number 5: its worker died 4 times"),
        Workers(make_numbers, 2, 1, Watch()) as workers,
    ):
        make_missing(groups, store, workers, Silent(), "numbers")
    assert len(list((tmp_path / "deaths").iterdir())) == 5
