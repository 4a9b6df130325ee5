"""Identical items for any number of workers; two runs in one folder; folders that cannot be
written; no network."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from augmentor.common.types import LabelledImages
from augmentor.data.seeded_draws import SeededDraws
from augmentor.data.synthetic_mix import SyntheticMix
from pipelines.cli import main
from pipelines.config import dump_config
from pipelines.gain import run as gain
from pipelines.generators import synthesize, train
from pipelines.run_dir import RunDir
from tests.faults.children import fork
from tests.faults.jobs import small, tree


class Photos:
    """A dozen PIL images in two classes, as ``ImageFolder`` shows them."""

    classes = ("a", "b")
    targets = tuple(index % 2 for index in range(12))

    def __init__(self, transform=None):
        self.transform = transform

    def __len__(self):
        return 12

    def __getitem__(self, index):
        pixels = np.random.default_rng(index).integers(0, 256, (9, 9), dtype=np.uint8)
        image = Image.fromarray(pixels)
        return (image if self.transform is None else self.transform(image)), self.targets[index]


def mixed(transform=None):
    rng = torch.Generator().manual_seed(0)
    synthetic = LabelledImages(
        torch.rand(8, 1, 9, 9, generator=rng) * 2 - 1, torch.arange(8) % 2, ("a", "b")
    )
    return SyntheticMix(Photos(transform), synthetic)


def with_torchvision():
    steps = [v2.RandomHorizontalFlip(), v2.RandomAffine(20), v2.ColorJitter(0.3), v2.PILToTensor()]
    return SeededDraws(mixed(v2.Compose(steps)), seed=1)


def with_albumentations():
    from augmentor.data.albumentations import SeededItems, albumentations

    steps = [
        albumentations.HorizontalFlip(),
        albumentations.Affine(rotate=(-20, 20)),
        albumentations.GaussNoise(p=1),
    ]
    return SeededItems(mixed(), albumentations.Compose(steps), seed=1)


def all_items(dataset, workers):
    """The items of two epochs, in order, as bytes."""
    found = []
    loader = DataLoader(
        dataset,
        batch_size=3,
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
    )
    for epoch in range(2):
        dataset.set_epoch(epoch)
        torch.manual_seed(workers + epoch)  # whatever the loader draws its workers' seeds from
        found += [row.numpy().tobytes() for x, _ in loader for row in torch.as_tensor(x)]
    return found


@pytest.mark.filterwarnings(
    "ignore:This DataLoader will create"
)  # four workers on a machine of two cores
@pytest.mark.parametrize("back_end", [with_torchvision, with_albumentations])
def test_items_are_identical_for_0_2_and_4_workers(tally, back_end):
    alone = all_items(back_end(), 0)
    assert len(alone) == 40
    assert len(set(alone)) > 35  # the augmentation is at work
    same = [all_items(back_end(), workers) == alone for workers in (2, 4)]
    tally(
        2,
        sum(same),
        f"another number of workers, {back_end.__name__.replace('_', ' ')}: identical items",
    )
    assert all(same)


def config_at(path, config):
    path.write_text(dump_config(config), encoding="utf-8")
    return str(path)


def said(arguments, out):
    child = fork(lambda: main([str(argument) for argument in arguments]), out)
    return child.wait(), child.text().splitlines()[-1]


@pytest.mark.parametrize("command", ["train", "gain", "synth"])
def test_a_second_run_in_a_folder_is_refused_with_the_holders_pid(tmp_path, tally, run, command):
    out, config = tmp_path / "out", config_at(tmp_path / "c.yaml", small(2))
    arguments = [command, config, "--out", out]
    if command == "synth":
        arguments = ["synth", run, "--per-class", "2", "--out", out]

    def hold():
        with RunDir(out).lock():
            time.sleep(60)

    holder = fork(hold, tmp_path / "held")
    while not (out / "lock").exists() or not (out / "lock").read_text():
        time.sleep(0.002)
    before = tree(out)
    code, line = said(arguments, tmp_path / "said")
    refused = code == 1 and f"in use by process {holder.pid};" in line and tree(out) == before
    assert holder.kill() == -signal.SIGKILL
    left = (out / "lock").read_text() == f"{holder.pid}\n"
    if command != "gain":  # a whole gain takes long; its lock is the same
        assert said(arguments, tmp_path / "said")[0] == 0
    tally(
        1,
        int(refused and left),
        f"two runs of {command} in one folder: the second refused, a dead one's lock taken",
    )
    assert refused, line
    assert left


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train.train_run(small(1), folder)
    return folder


@pytest.fixture
def read_only(tmp_path):
    """A folder that nobody can write to, not even root."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(
            f"root can write everywhere, and nothing can be mounted here: {made.stderr.strip()}"
        )
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("command", ["train", "gain", "synth", "evaluate"])
@pytest.mark.parametrize("where", ["read-only folder", "below a read-only folder", "below a file"])
def test_an_output_folder_is_tried_before_any_work(
    tmp_path, tally, monkeypatch, run, read_only, command, where
):
    (tmp_path / "file").write_text("")
    places = {"read-only folder": read_only, "below a file": tmp_path / "file" / "a"}
    out = places.get(where, read_only / "a" / "b")
    config = config_at(
        tmp_path / "c.yaml", small(10**6, gain={"arms": ["real", "classical"], "replicates": 2})
    )
    arguments = {
        "train": ["train", config, "--out", out],
        "gain": ["gain", config, "--out", out],
        "synth": ["synth", run, "--per-class", "2", "--out", out],
        "evaluate": ["evaluate", run, "--out", out],
    }[command]

    def too_late(*_, **named):
        raise AssertionError("work began")

    import pipelines.evaluate.run

    monkeypatch.setattr(train, "load_data", too_late)
    monkeypatch.setattr(gain, "gain_plan", too_late)
    monkeypatch.setattr(pipelines.evaluate.run, "evaluate_source", too_late)
    monkeypatch.setattr(synthesize, "render_missing", too_late)
    code, line = said(arguments, tmp_path / "said")
    good = code in (1, 2) and str(tmp_path) in line and "work began" not in line
    tally(
        1,
        int(good),
        f"{command} into a {where}: refused before any work".replace("into a below", "below"),
    )
    assert good, line


def test_missing_parents_are_made_before_any_work(tmp_path, tally, monkeypatch):
    out = tmp_path / "a" / "b" / "c"
    there = []
    load_data = train.load_data
    monkeypatch.setattr(
        train, "load_data", lambda *of: (there.append((out / "lock").exists()), load_data(*of))[1]
    )
    train.train_run(small(1), out)
    tally(
        1,
        int(there == [True]),
        "missing parents of the output folder: made and tried before any work",
    )
    assert there == [True]


def test_the_network_is_blocked_in_this_suite(tally):
    tried, refused = 0, 0
    for reach in (
        lambda: socket.create_connection(("192.0.2.1", 80), timeout=5),
        lambda: urllib.request.urlopen("http://192.0.2.1/", timeout=5),
        lambda: torch.hub.download_url_to_file("http://192.0.2.1/weights", os.devnull),
    ):
        tried += 1
        try:
            reach()
        except OSError as error:
            refused += "a test tried to reach" in str(error)
    tally(tried, refused, "the network, blocked in the whole quick suite: nothing gets out")
    assert tried == refused
