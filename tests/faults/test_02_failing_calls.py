"""The N-th write, fsync or rename fails for N = 1, 2, 3, … until all pass, once and for good."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from augmentor.common import atomic_files
from augmentor.common.types import DataError
from augmentor.data.synthetic_store import Recipe, read_set, trained_on_digest, write_set
from augmentor.training.checkpoint import load_checkpoint, save_checkpoint
from tests.faults.failing_calls import Calls, counted
from tests.faults.jobs import equal, flat, leftovers, tree

SEEN = np.arange(5, dtype=np.int64)


def recipe(form):
    counts = {"cat": 3, "dog": 2}
    words = {"family": "vae", "source_sha256": "ab", "seed": 1, "source_augment": "none"}
    return Recipe(
        classes=("cat", "dog"),
        image_shape=(1, 4, 4),
        counts=counts,
        trained_on=trained_on_digest(SEEN),
        format=form,
        shard_size=2,
        **words,
    )


def render(class_index, n, start):
    level = (
        torch.arange(start, start + n).view(n, 1, 1, 1).expand(n, 1, 4, 4) / 10 - class_index / 2
    )
    return level.float(), torch.arange(start, start + n)


def state(value):
    return {"model": {"weight": torch.full((300,), value)}, "updates": torch.tensor(int(value))}


def every_failure(work):
    """Call ``work(calls)`` for N = 1, 2, … and for both ways to fail, until nothing failed; the
    number of failures."""
    injected = 0
    for for_good in (False, True):
        number = 0
        while True:
            number += 1
            calls = Calls(number, for_good)
            work(calls)
            if not calls.failed:
                break
            injected += 1
    return injected


def test_a_checkpoint_is_the_old_one_or_the_new_one(tmp_path, tally):
    good = []

    def work(calls):
        folder = tmp_path / f"{calls.fail_at}-{calls.for_good}"
        save_checkpoint(folder, 1, {"n": 1}, state(1.0))
        raised = False
        try:
            with counted(calls):
                save_checkpoint(folder, 2, {"n": 2}, state(2.0))
        except OSError:
            raised = True
        found = load_checkpoint(folder)
        whole = found.meta == {"n": found.step} and equal(
            flat(found.state), flat(state(float(found.step)))
        )
        if calls.failed:
            good.append(raised and whole and found.passed_over == () and leftovers(folder) == [])
        else:
            assert found.step == 2

    injected = every_failure(work)
    tally(
        injected,
        sum(good),
        "write, fsync or rename of a checkpoint fails: the old state or the new",
    )
    assert injected > 20
    assert all(good)


def test_a_file_is_the_old_one_or_the_new_one(tmp_path, tally):
    path, good = tmp_path / "result.json", []

    def work(calls):
        atomic_files.write_json(path, {"n": "old"})
        try:
            with counted(calls):
                atomic_files.write_json(path, {"n": "new"})
        except OSError:
            assert calls.failed
        good.append(
            json.loads(path.read_text()) in ({"n": "old"}, {"n": "new"})
            and leftovers(tmp_path) == []
        )

    injected = every_failure(work)
    tally(
        injected,
        sum(good[:-1]) - 1,
        "write, fsync or rename of a result file fails: the old one or the new",
    )
    assert injected == 8
    assert all(good)


@pytest.mark.faults
@pytest.mark.parametrize("form", ["folder", "shards"])
def test_a_synthetic_set_is_refused_until_it_is_whole_and_can_be_finished(tmp_path, tally, form):
    write_set(tmp_path / "whole", recipe(form), SEEN, render)
    wanted, good = tree(tmp_path / "whole"), []

    def work(calls):
        folder = tmp_path / "cut"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            with counted(calls):
                write_set(folder, recipe(form), SEEN, render)
        except OSError:
            assert calls.failed
        refused = True
        try:
            read_set(folder)
            refused = tree(folder) == wanted  # all was there already; only the last tidying failed
        except DataError:
            pass
        write_set(folder, recipe(form), SEEN, render)
        good.append(refused and tree(folder) == wanted)

    injected = every_failure(work)
    tally(
        injected,
        sum(good) - 2,
        f"write, fsync or rename of a synthetic set ({form}) fails: refused, then finished",
    )
    assert injected > 20
    assert all(good)


def test_the_order_is_write_fsync_file_rename_fsync_folder(tmp_path):
    with counted(Calls()) as calls:
        atomic_files.write_bytes(tmp_path / "a", b"x")
    kinds = [kind for kind, _ in calls.made]
    assert kinds == ["write", "fsync", "rename", "fsync"]
    written, synced, renamed, folder = (path for _, path in calls.made)
    assert written == synced != renamed == tmp_path / "a"
    assert folder == tmp_path


def test_the_order_holds_for_every_file_of_a_checkpoint(tmp_path):
    with counted(Calls()) as calls:
        final = save_checkpoint(tmp_path, 1, {}, state(1.0))
    published = calls.made.index(("rename", final))
    temporary = tmp_path / f".{final.name}.tmp"
    for name in ("tensors.safetensors", "state.json", "manifest.json", ""):
        assert ("fsync", temporary / name if name else temporary) in calls.made[:published]
    assert calls.made[published + 1] == ("fsync", tmp_path)
    assert calls.made[published + 2 :] == []
    written = {path for kind, path in calls.made if kind == "write"}
    for path in written:
        last = max(i for i, call in enumerate(calls.made) if call == ("write", path))
        names = {path, temporary / "state.json", temporary / "manifest.json"}
        assert any(kind == "fsync" and synced in names for kind, synced in calls.made[last:])
