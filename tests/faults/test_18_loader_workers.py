"""A loader's worker that crashes, hangs or raises: the item is named, a timeout fires, nobody is
left."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest
import torch
from torch.utils.data import Dataset, Subset

from augmentor.common.types import DataError
from augmentor.data.loader import WatchedLoader
from pipelines.experiment.engine import Workers
from pipelines.interrupt import Watch

BAD = 11


class Pictures(Dataset):
    """Twenty items with paths, one of which does something bad to its reader."""

    def __init__(self, deed=None, paths=True):
        self.deed = deed
        if paths:
            self.samples = [(f"/data/cat/{index}.png", 0) for index in range(20)]

    def __len__(self):
        return 20

    def __getitem__(self, index):
        if index == BAD and self.deed is not None:
            self.deed()
        return torch.tensor([index]), 0


def crash():
    os.kill(os.getpid(), signal.SIGKILL)


def hang():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # nor does it hear a polite request
    time.sleep(600)


def break_off():
    raise OSError("image file is truncated (3 bytes not processed)")


DEEDS = {"crash": crash, "hang": hang, "raise": break_off}


def ends_well(deed, workers, timeout=60.0):
    """Whether the error names the bad item, the good ones before it came, and no process is
    left."""
    options = {"multiprocessing_context": "fork"} if workers else {}
    loader = WatchedLoader(
        Pictures(deed), timeout=timeout, batch_size=2, num_workers=workers, **options
    )
    came = []
    try:
        came.extend(int(row) for x, _ in loader for row in x)
    except DataError as error:
        named = "/data/cat/11.png" in str(error) and "\n" not in str(error)
        good = named and came == list(range(len(came))) and len(came) <= BAD
        end = time.monotonic() + 10
        while multiprocessing.active_children() and time.monotonic() < end:
            time.sleep(0.05)
        return good and not multiprocessing.active_children()
    return False


# PyTorch's handler raises wherever the main thread is when a worker has died: now and then in a
# callback of the garbage collector, which nobody hears but pytest.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("deed", ["crash", "raise"])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_worker_that_crashes_or_raises(tally, deed, workers):
    if deed == "crash" and not workers:
        pytest.skip("without workers it would be this process")
    survived = ends_well(DEEDS[deed], workers)
    tally(
        1,
        int(survived),
        f"a loader's item makes its reader {deed} ({workers} workers): its path named, no orphan",
    )
    assert survived


@pytest.mark.faults
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_hangs(tally, workers):
    survived = ends_well(hang, workers, timeout=3.0)
    tally(
        1,
        int(survived),
        f"a loader's item hangs ({workers} workers): timeout, its path named, no orphan",
    )
    assert survived


@pytest.mark.parametrize("workers", [0, 2])
def test_good_items_are_those_of_a_plain_loader(workers):
    options = {"multiprocessing_context": "fork"} if workers else {}
    loader = WatchedLoader(
        Subset(Pictures(), range(4, 20, 2)), batch_size=3, num_workers=workers, **options
    )
    assert len(loader) == 3
    for _ in range(2):
        assert [int(row) for x, _ in loader for row in x] == list(range(4, 20, 2))


def test_the_position_in_a_subset_and_of_a_set_without_paths():
    with pytest.raises(DataError, match=r"^/data/cat/11.png: image file is truncated"):
        list(WatchedLoader(Subset(Pictures(break_off), [0, BAD]), batch_size=1))
    with pytest.raises(DataError, match=r"^item 11: image file is truncated"):
        list(WatchedLoader(Pictures(break_off, paths=False), batch_size=1))


def test_a_loader_without_timeout_is_refused():
    with pytest.raises(ValueError, match="timeout"):
        WatchedLoader(Pictures(), timeout=0)
    with pytest.raises(ValueError, match="persistent"):
        WatchedLoader(Pictures(), num_workers=1, persistent_workers=True)


def work(job, on_part, watch):
    {"crash": crash, "raise": break_off}.get(job, int)()


@pytest.mark.faults
@pytest.mark.parametrize(
    ("job", "kind", "words"), [("crash", RuntimeError, "died"), ("raise", OSError, "truncated")]
)
def test_a_job_of_gain_or_semi_that_crashes_or_raises(tally, job, kind, words):
    before = set(multiprocessing.active_children())
    with pytest.raises(kind, match=words), Workers(work, 2, 1, Watch()) as workers:
        workers.run(["good", job], lambda index, part: None)
    left = set(multiprocessing.active_children()) - before
    tally(1, int(not left), f"a worker of gain made to {job}: told in one line, no orphan")
    assert not left
