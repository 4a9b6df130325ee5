"""kill -9 while a synthetic set is written, then the same command again."""

from __future__ import annotations

import random
import shutil
import signal
import time

import pytest

from augmentor.data.synthetic_store import read_set
from pipelines.generators.synthesize import synthesize_run
from pipelines.generators.train import train_run
from tests.faults.children import fork
from tests.faults.jobs import small, tree

KILLS = 25  # of each format
PER_CLASS = 6


@pytest.mark.faults
@pytest.mark.parametrize("form", ["folder", "shards"])
def test_a_killed_synthesis_ends_with_the_bytes_of_an_undisturbed_one(tmp_path, tally, form):
    run, out, chance = tmp_path / "run", tmp_path / "cut", random.Random(3)
    train_run(small(2), run)

    def synthesize(folder):
        began = time.monotonic()
        synthesize_run(run, folder, per_class=PER_CLASS, format=form)
        return time.monotonic() - began

    synthesize(tmp_path / "whole")
    wanted, longest = tree(tmp_path / "whole"), synthesize(tmp_path / "timed")
    kills, half_done, survived = 0, 0, 0
    while kills < KILLS:
        shutil.rmtree(out, ignore_errors=True)
        child = fork(lambda: synthesize(out) and None, tmp_path / "said")
        time.sleep(chance.uniform(0, longest))
        if child.kill() != -signal.SIGKILL:  # it was faster this time
            assert child.code == 0, child.text()
            continue
        kills += 1
        half_done += (out / "recipe.json").exists()
        synthesize(out)
        counts = read_set(out).images.counts
        survived += tree(out) == wanted and set(counts.values()) == {PER_CLASS}
    tally(
        kills,
        survived,
        f"kill -9 in synth ({form}); run again: byte-identical to an undisturbed set",
    )
    assert survived == kills
    assert half_done > kills // 3  # the moments were inside the work
