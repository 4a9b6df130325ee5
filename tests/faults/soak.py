"""Trains, resumes, renders and measures in random order, with kills, for as long as asked.

    python tests/faults/soak.py --seconds 3600

Every round works on one run in one folder, in forked children that are often killed. In the end the
folder is compared with one that nobody disturbed: the same weights, the same set, the same scores.
The memory of this process, which loads the source after each child, must not grow. It exits with 1
where something was lost, and prints what.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":  # run as a script, it sees the checkout too
    sys.path.insert(0, str(Path(__file__).parents[2]))

import augmentor
from augmentor.data.synthetic_store import read_set
from pipelines.config import Config
from pipelines.gain.run import gain_run
from pipelines.generators.synthesize import synthesize_run
from pipelines.generators.train import train_run
from tests.faults.children import fork
from tests.faults.jobs import equal, leftovers, small, tree, weights

STEPS, INTERVAL, PER_CLASS = 200, 10, 6
MOST_GROWTH = 200 * 2**20
"""Bytes that this process may grow after its first rounds."""
WARM = 5  # rounds
GAIN = {"arms": ["real", "classical"], "replicates": 2}


class LostError(Exception):
    """Something that was finished is gone, or is other than it should be."""


def measured() -> Config:
    """A gain of a few steps."""
    return small(1, gain=GAIN)


def jobs(home: Path) -> dict[str, Callable[[], object]]:
    """What a round may do, all in one folder; ``gain`` and ``synth`` finish what is missing."""
    run = home / "run"
    return {
        "train": lambda: train_run(small(STEPS, INTERVAL), run, resume=True),
        "synth": lambda: synthesize_run(run, home / "set", per_class=PER_CLASS) and None,
        "gain": lambda: gain_run(measured(), home / "gain") and None,
    }


def scores(folder: Path) -> object:
    """What a gain measured."""
    arms = json.loads((folder / "gain.json").read_text("utf-8"))["arms"]
    return {name: arm["scores"] for name, arm in arms.items()}


def memory() -> int:
    """Resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    return pages * resource.getpagesize()


def soak(home: Path, seconds: float, seed: int) -> Counter[str]:
    """Work until the time is over; returns how often each job was begun, killed and finished.

    Raises:
        LostError: Naming what.
    """
    chance, end, told = random.Random(seed), time.monotonic() + seconds, Counter[str]()
    steps, before, rounds = 0, 0, 0
    while time.monotonic() < end:
        begun = "train" if steps == 0 else chance.choice(["train", "synth", "gain"])
        if begun == "train" and steps == STEPS:
            begun = chance.choice(["synth", "gain"])
        if begun == "synth" and steps < STEPS:
            begun = "train"  # another step would make another set
        child = fork(jobs(home)[begun], home / "said")
        told[begun] += 1
        if chance.random() < 0.7:
            time.sleep(chance.uniform(0, 4))
            killed = child.kill() == -signal.SIGKILL
            told["killed"] += killed
        elif child.wait(600) != 0:
            raise LostError(f"{begun} ended with {child.code}: {child.text()[-2000:]}")
        steps = _step_of(home, steps)
        rounds += 1
        if rounds == WARM:
            before = memory()
    if before and memory() - before > MOST_GROWTH:
        raise LostError(f"memory grew by {(memory() - before) >> 20} MiB in {rounds} rounds")
    return told


def _step_of(home: Path, least: int) -> int:
    """Steps of the newest checkpoint, which loads and has as many as before, or more."""
    from augmentor.training.checkpoint import load_checkpoint

    checkpoints = home / "run" / "checkpoints"
    if least == 0 and not list(checkpoints.glob("step-*")):
        return 0
    found = load_checkpoint(checkpoints)
    augmentor.load(home / "run").sample(label="3", n=2)
    if found.step < least or found.passed_over:
        raise LostError(f"step {found.step} after {least}; passed over: {found.passed_over}")
    return found.step


def compare(home: Path, whole: Path) -> None:
    """Finish what was cut off, and compare with work that nobody disturbed.

    Raises:
        LostError: Naming what differs.
    """
    for folder in (home, whole):
        for job in jobs(folder).values():
            job()
    if not equal(weights(home / "run"), weights(whole / "run")):
        raise LostError("the weights differ from those of an undisturbed training")
    if tree(home / "set") != tree(whole / "set") or not len(read_set(home / "set").images):
        raise LostError("the set differs from an undisturbed one")
    if scores(home / "gain") != scores(whole / "gain"):
        raise LostError("the scores differ from undisturbed ones")
    if left := leftovers(home):
        raise LostError(f"temporary files are left: {left[:5]}")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        home, whole = Path(folder) / "home", Path(folder) / "whole"
        home.mkdir()
        whole.mkdir()
        try:
            told = soak(home, asked.seconds, asked.seed)
            compare(home, whole)
        except LostError as error:
            print(f"lost: {error}")
            return 1
    print(", ".join(f"{name} {count}" for name, count in sorted(told.items())) + "; nothing lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
