"""Ctrl-C and SIGTERM, once and twice in a row, wherever a job happens to be."""

from __future__ import annotations

import functools
import json
import random
import signal
import sys
import time
from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.config import dump_config
from pipelines.gain.run import gain_run
from pipelines.generators.train import train_run
from tests.faults.children import fork, session_of
from tests.faults.jobs import equal, small, tree, weights

SIGNALS = [signal.SIGINT, signal.SIGTERM]
CASES = [(number, times) for number in SIGNALS for times in (1, 2)]
LONG = 10**6  # steps that no test waits for
POOL = {"per_class": 12, "unlabelled": "rest", "max_pool": 60}
PATIENCE = 30.0  # seconds from the signal to the end, on a busy machine


def interrupted(arguments, sign, number, times, out: Path, delay=0.0):
    """Exit code and last line of a command stopped ``delay`` seconds after it has shown ``sign``,
    and who is left."""
    child = fork(lambda: command(arguments), out)
    end = time.monotonic() + 120
    while sign not in child.text() and child.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    time.sleep(delay)
    ran = child.poll() is None
    for _ in range(times):
        child.send(number)
        time.sleep(0.01)
    code = child.wait(PATIENCE)
    return ran, code, child.text().splitlines()[-1], session_of(child.pid)


def command(arguments):
    """``augmentor`` as the shell starts it: a process that only has to exit when the command is
    over."""
    sys.argv = ["augmentor", *map(str, arguments)]
    return main()


def stopped_well(found, number):
    ran, code, line, orphans = found
    return (
        ran
        and code == 128 + number
        and line.partition(";")[0] == f"augmentor: stopped by {number.name}"
        and orphans == []
    )


def write_config(path: Path, config):
    path.write_text(dump_config(config), encoding="utf-8")
    return path


def finish(arguments, out: Path):
    child = fork(lambda: main([str(argument) for argument in arguments]), out)
    assert child.wait() == 0, child.text()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """``undisturbed(steps)``: a run that nobody stopped, made once."""

    @functools.cache
    def made(steps):
        folder = tmp_path_factory.mktemp("whole") / "run"
        train_run(small(steps, every=10), folder)
        return folder

    return made


def check_training(tmp_path, undisturbed, number, times, delay, steps=300):
    config = write_config(tmp_path / "c.yaml", small(steps, every=10))
    arguments = ["train", config, "--out", tmp_path / "run"]
    found = interrupted(arguments, "train: ", number, times, tmp_path / "said", delay)
    finish([*arguments, "--resume"], tmp_path / "said")
    return stopped_well(found, number) and equal(
        weights(tmp_path / "run"), weights(undisturbed(steps))
    ), found


def test_training_stopped_by_sigterm_goes_on_as_if_nothing_had_been(tmp_path, tally, undisturbed):
    survived, found = check_training(tmp_path, undisturbed, signal.SIGTERM, 1, 0)
    tally(1, int(survived), "SIGTERM in training (the quick one)")
    assert survived, found


@pytest.mark.faults
@pytest.mark.parametrize(("number", "times"), CASES)
def test_training(tmp_path, tally, undisturbed, number, times):
    survived, found = check_training(
        tmp_path, undisturbed, number, times, random.Random(number).uniform(0, 0.3)
    )
    tally(
        1, int(survived), f"{number.name} x {times} in training: exit code, resumed run bit for bit"
    )
    assert survived, found


@pytest.mark.faults
@pytest.mark.parametrize(("number", "times"), CASES)
def test_warm_up(tmp_path, tally, number, times):
    config = small(4, data=POOL, classifier={"steps": LONG})
    arguments = ["train", write_config(tmp_path / "c.yaml", config), "--out", tmp_path / "run"]
    found = interrupted(arguments, "labelling", number, times, tmp_path / "said", delay=0.3)
    survived = stopped_well(found, number) and not (tmp_path / "run" / "checkpoints").exists()
    tally(
        1,
        int(survived),
        f"{number.name} x {times} while the pool is labelled: exit code, nothing half done",
    )
    assert survived, found


@pytest.mark.faults
@pytest.mark.parametrize(("number", "times"), CASES)
def test_synthesis(tmp_path, tally, undisturbed, number, times):
    run = undisturbed(10)
    synth = ["synth", run, "--per-class", "300", "--out"]
    found = interrupted([*synth, tmp_path / "set"], "synth: ", number, times, tmp_path / "said")
    finish([*synth, tmp_path / "set"], tmp_path / "said")
    if not (run / "synthetic").exists():
        finish([*synth, run / "synthetic"], tmp_path / "said")
    survived = stopped_well(found, number) and tree(tmp_path / "set", "lock") == tree(
        run / "synthetic", "lock"
    )
    tally(
        1,
        int(survived),
        f"{number.name} x {times} in synth: exit code, the finished set byte for byte",
    )
    assert survived, found


@pytest.mark.faults
@pytest.mark.parametrize(("number", "times"), CASES)
def test_evaluation(tmp_path, tally, undisturbed, number, times):
    run = undisturbed(10)
    before = tree(run, "lock")
    found = interrupted(
        ["evaluate", run], "evaluate: ", number, times, tmp_path / "said", delay=0.3
    )
    survived = stopped_well(found, number) and tree(run, "lock") == before
    tally(
        1, int(survived), f"{number.name} x {times} in evaluation: exit code, the run is as it was"
    )
    assert survived, found


def gain_config(classifier_steps, processes):
    gain = {"arms": ["real", "classical", "synthetic"], "replicates": 2, "processes": processes}
    return small(
        2, data={"per_class": 12, "size": 8}, classifier={"steps": classifier_steps}, gain=gain
    )


def result_in(folder: Path):
    result = json.loads((folder / "gain.json").read_text())
    return {name: value for name, value in result.items() if name not in ("seconds", "command")}


@pytest.fixture(scope="module")
def whole_gain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gain")
    gain_run(gain_config(40, 1), folder)
    return result_in(folder)


@pytest.mark.faults
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(("number", "times"), CASES)
def test_gain_stops_inside_one_classifier(tmp_path, tally, number, times, processes):
    config = write_config(tmp_path / "c.yaml", gain_config(LONG, processes))
    arguments = ["gain", config, "--out", tmp_path / "out"]
    found = interrupted(
        arguments,
        "replicates: ",
        number,
        times,
        tmp_path / "said",
        delay=1.0 if processes == 1 else 8.0,
    )
    survived = stopped_well(found, number) and not (tmp_path / "out" / "gain.json").exists()
    tally(
        1,
        int(survived),
        f"{number.name} x {times} in gain, {processes} processes: exit code, no orphan",
    )
    assert survived, found


@pytest.mark.faults
@pytest.mark.parametrize(("number", "times"), CASES)
def test_gain_ends_as_uninterrupted(tmp_path, tally, whole_gain, number, times):
    arguments = [
        "gain",
        write_config(tmp_path / "c.yaml", gain_config(40, 1)),
        "--out",
        tmp_path / "out",
    ]
    found = interrupted(arguments, "replicates: ", number, times, tmp_path / "said", delay=0.2)
    finish(arguments, tmp_path / "said")
    survived = stopped_well(found, number) and result_in(tmp_path / "out") == whole_gain
    tally(1, int(survived), f"{number.name} x {times} in gain, then again: the same result")
    assert survived, found
