from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.run_dir import RunDir, RunLockedError

HOLD = """
import sys, time
from pathlib import Path
from pipelines.run_dir import RunDir
with RunDir(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """Another process that has taken the lock."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_parts_lie_in_the_folder(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "a")
    parts = {run.config, run.checkpoints, run.samples, run.tensorboard, run.log}
    assert len(parts) == 5
    assert {part.parent for part in parts} == {tmp_path / "a"}


def test_the_lock_makes_the_folder_and_can_be_taken_again(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "runs" / "a")
    for _ in range(2):
        with run.lock():
            assert (run.path / "lock").read_text() == f"{os.getpid()}\n"
        assert (run.path / "lock").read_text() == ""


def test_a_second_holder_is_refused_by_pid_and_a_killed_one_is_no_obstacle(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    child = hold(tmp_path)
    try:
        with pytest.raises(RunLockedError, match=f"process {child.pid};"), run.lock():
            pytest.fail("both hold the lock")
    finally:
        child.kill()
        child.communicate()
    assert (tmp_path / "lock").read_text() == f"{child.pid}\n"  # left behind
    with run.lock():
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_the_lock_clears_away_what_a_killed_process_left(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    for folder in (run.path, run.checkpoints, run.parts):
        folder.mkdir(exist_ok=True)
        (folder / ".0123.tmp").write_text("half")
    (run.checkpoints / ".step-00000004.tmp").mkdir()
    (run.checkpoints / "step-00000002").mkdir()
    with run.lock():
        assert sorted(path.name for path in tmp_path.rglob("*")) == [
            "checkpoints",
            "lock",
            "parts",
            "step-00000002",
        ]


def test_the_lock_is_released_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), RunDir(tmp_path).lock():
        raise KeyError
    with RunDir(tmp_path).lock():
        pass


def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), RunDir(tmp_path / "file").lock():
        pytest.fail("locked a file")
