"""Trains, stops, resumes, renders and measures in random order, with kills, for as long as asked.

    python tests/faults/soak.py --seconds 3600

A lap works in a new folder, by commands in forked children of which most are killed or told to
stop, until a source is trained, a set rendered and a gain measured. Then the folder is compared
with one that nobody disturbed: the same weights, the same set, the same scores. The memory of this
process, which loads the source after each child, must not grow. It exits with 1 where something was
lost, and prints what.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

if __name__ == "__main__":  # run as a script, it sees the checkout too
    sys.path.insert(0, str(Path(__file__).parents[2]))

import augmentor
from augmentor.data.synthetic_store import read_set
from pipelines import cli
from pipelines.config import dump_config
from tests.faults.children import fork
from tests.faults.jobs import equal, leftovers, small, tree, weights

STEPS, INTERVAL, PER_CLASS = 200, 10, 6
DISTURBED = 0.8  # of the children
LONGEST = 3.0  # seconds until one is
ENDED = (0, -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM)
"""Exit codes of a child that was disturbed; SIGTERM itself ends one that has hardly begun."""
MOST_GROWTH = 200 * 2**20
"""Bytes that this process may grow after its first rounds."""
WARM = 5  # rounds
GAIN = {"arms": ["real", "classical"], "replicates": 2}


class LostError(Exception):
    """Something that was finished is gone, or is other than it should be."""


def commands(home: Path) -> dict[str, list[str]]:
    """What a round may do, all in one folder; each finishes what is missing."""
    run = str(home / "run")
    resume = ["--resume"] if (home / "run").exists() else []
    return {
        "train": ["train", str(home / "train.yaml"), "--out", run, *resume],
        "synth": ["synth", run, "--per-class", str(PER_CLASS), "--out", str(home / "set")],
        "gain": ["gain", str(home / "gain.yaml"), "--out", str(home / "gain")],
    }


def new_home(home: Path) -> Path:
    """A folder with the two configs."""
    home.mkdir()
    configs = {"train": small(STEPS, INTERVAL), "gain": small(1, gain=GAIN)}
    for name, config in configs.items():
        (home / f"{name}.yaml").write_text(dump_config(config), encoding="utf-8")
    return home


def scores(folder: Path) -> object:
    """What a gain measured."""
    arms = json.loads((folder / "gain.json").read_text("utf-8"))["arms"]
    return {name: arm["scores"] for name, arm in arms.items()}


def memory() -> int:
    """Resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    return pages * resource.getpagesize()


def soak(folder: Path, seconds: float, seed: int) -> Counter[str]:
    """Work until the time is over, and to the end of the lap; returns how often each job was begun
    and what became of the children.

    Raises:
        LostError: Naming what.
    """
    chance, end, told = random.Random(seed), time.monotonic() + seconds, Counter[str]()
    whole, before = new_home(folder / "whole"), 0
    for name in commands(whole):
        _finish(commands(whole)[name], folder / "said")
    while time.monotonic() < end:
        home = new_home(folder / "home")
        lap(home, chance, told)
        compare(home, whole)
        shutil.rmtree(home)
        told["laps"] += 1
        if not before and told["rounds"] >= WARM:
            before = memory()
    grown = memory() - before if before else 0
    if grown > MOST_GROWTH:
        raise LostError(f"memory grew by {grown >> 20} MiB in {told['laps']} laps")
    told["MiB grown"] = grown >> 20
    return told


def lap(home: Path, chance: random.Random, told: Counter[str]) -> None:
    """Disturb the jobs of a folder until each has ended by itself."""
    left, steps = {"train", "synth", "gain"}, 0
    while left:
        # Another step would make another set.
        begun = chance.choice(sorted(left - {"synth"} if "train" in left else left))
        child = fork(functools.partial(cli.main, commands(home)[begun]), home / "said")
        told[begun] += 1
        told["rounds"] += 1
        if chance.random() < DISTURBED:
            time.sleep(chance.uniform(0, LONGEST))
            sign = chance.choice([signal.SIGKILL, signal.SIGTERM])
            child.send(sign)
            code = child.wait(600)
            told["disturbed"] += code != 0
        else:
            code = child.wait(600)
        if code not in ENDED:
            raise LostError(f"{begun} ended with {code}: {child.text()[-2000:]}")
        if code == 0:
            left.discard(begun)
        steps = _step_of(home, steps)


def _finish(command: list[str], said: Path) -> None:
    child = fork(lambda: cli.main(command), said)
    if child.wait(600) != 0:
        raise LostError(f"{command[0]} ended with {child.code}: {child.text()[-2000:]}")


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
    """Compare what was cut off and finished with work that nobody disturbed.

    Raises:
        LostError: Naming what differs.
    """
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
        try:
            told = soak(Path(folder), asked.seconds, asked.seed)
        except LostError as error:
            print(f"lost: {error}")
            return 1
    print(", ".join(f"{name} {count}" for name, count in sorted(told.items())) + "; nothing lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
