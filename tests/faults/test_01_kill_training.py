"""kill -9 at random moments of a training run that saves its state."""

from __future__ import annotations

import mmap
import random
import signal
import struct
import time

import pytest

from augmentor.training.checkpoint import load_checkpoint
from pipelines.generators.train import train_run
from pipelines.run_dir import RunDir
from tests.faults.children import fork
from tests.faults.jobs import equal, leftovers, small, weights

KILLS, INTERVAL = 100, 2


class Seen:
    """The last step a child has finished, in memory that survives it."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 8)

    @property
    def last(self) -> int:
        return struct.unpack("q", self.memory[:8])[0]

    def step(self, task, done, total, note=""):
        self.memory[:8] = struct.pack("q", done)

    def say(self, line):
        pass


def test_a_run_killed_in_its_first_save_begins_again(tmp_path, tally):
    (tmp_path / "run" / "checkpoints" / ".step-00000002.tmp").mkdir(parents=True)
    result = train_run(small(1), tmp_path / "run", resume=True)
    tally(
        1,
        int(result.step == 1),
        "a run killed in its first save, before there is a checkpoint: resumed",
    )
    assert load_checkpoint(RunDir(tmp_path / "run").checkpoints).step == 1
    assert leftovers(tmp_path) == []


@pytest.mark.faults
def test_a_killed_run_always_resumes_and_loses_at_most_one_interval(tmp_path, tally):
    run, chance, seen, killed, survived = tmp_path / "run", random.Random(1), Seen(), 0, 0
    checkpoints = RunDir(run).checkpoints
    while killed < KILLS:
        before = seen.last
        child = fork(
            lambda: train_run(small(10**6, INTERVAL), run, resume=True, progress=seen),
            tmp_path / "out",
        )
        if chance.random() < 0.8:  # the others may hit the start of the run
            while child.poll() is None and seen.last == before:
                time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.25))
        assert child.kill() == -signal.SIGKILL, child.text()
        killed += 1
        if seen.last < INTERVAL:
            survived += 1
            continue
        found = load_checkpoint(checkpoints)
        survived += found.passed_over == () and seen.last - INTERVAL < found.step <= seen.last + 1
    tally(killed, survived, "kill -9 in training; the state loads, less than one interval is lost")
    assert survived == killed
    assert seen.last > KILLS  # they were in training, not all before it
    last = seen.last + 2
    train_run(small(last, INTERVAL), run, resume=True)
    train_run(small(last, INTERVAL), tmp_path / "whole")
    same = equal(weights(run), weights(tmp_path / "whole"))
    tally(1, int(same), "a run killed so often against one never killed, bit for bit")
    assert same
    assert leftovers(run) == []
