"""A malicious pickle wherever a file is read: refused, and what it wanted to run has not run."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
import tarfile

import numpy as np
import pytest
import torch

import augmentor
from augmentor.common import atomic_files
from augmentor.common.types import DataError
from augmentor.data.synthetic_mix import SyntheticMix
from augmentor.data.synthetic_store import read_manifest, read_set
from pipelines.cli import main
from pipelines.config import config_from
from pipelines.datasets import load_data
from pipelines.generators.synthesize import synthesize_run
from pipelines.generators.train import train_run
from tests.faults.jobs import small
from tests.faults.test_06_bit_flips import checkpoint, synthetic_set


class Evil:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, sentinel):
        self.sentinel = sentinel

    def __reduce__(self):
        return self.sentinel.write_text, ("it ran",)


@pytest.fixture
def sentinel(tmp_path):
    return tmp_path / "sentinel"


@pytest.fixture
def payloads(sentinel):
    """The pickle by itself, as ``torch.save`` wraps it, and as an array of objects."""
    saved, array = io.BytesIO(), io.BytesIO()
    torch.save(Evil(sentinel), saved)
    np.save(array, np.array([Evil(sentinel)], dtype=object), allow_pickle=True)
    sentinel.unlink(missing_ok=True)
    return [pickle.dumps(Evil(sentinel)), saved.getvalue(), array.getvalue()]


def refused(action):
    try:
        action()
    except DataError:
        return True
    return False


def test_the_payloads_are_dangerous(payloads, sentinel):
    pickle.loads(payloads[0])
    assert sentinel.read_text() == "it ran"
    sentinel.unlink()
    np.load(io.BytesIO(payloads[2]), allow_pickle=True)
    assert sentinel.exists()


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
def test_as_a_file_of_a_checkpoint_with_its_right_hash(tmp_path, payloads, sentinel, tally, name):
    survived = 0
    for payload in payloads:
        folder = checkpoint(tmp_path)
        shutil.rmtree(tmp_path / "step-00000001")
        (folder / name).write_bytes(payload)
        if name != "manifest.json":
            hashes = {
                file: atomic_files.sha256_of(folder / file)
                for file in ("tensors.safetensors", "state.json")
            }
            atomic_files.write_json(folder / "manifest.json", {"format": 1, "sha256": hashes})
        survived += refused(lambda: augmentor.load(tmp_path)) and not sentinel.exists()
    tally(
        len(payloads),
        survived,
        f"a pickle as {name} of a checkpoint, its hash right: refused, not run",
    )
    assert survived == len(payloads)


def shard_with(path, payload, member):
    """Add a member to a tar shard and make its hash in the manifest right."""
    with tarfile.open(path, "a") as tar:
        info = tarfile.TarInfo(member)
        info.size = len(payload)
        tar.addfile(info, io.BytesIO(payload))
    folder = path.parent
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    for line in lines:
        del line["check"]
        if path.name in line["sha256"]:
            line["sha256"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    "member", ["00000-00000000.pkl", "00000-00000000.pyd", "00009-00000000.npy", "x.pkl", "x.png"]
)
def test_inside_a_shard_with_its_right_hash(tmp_path, payloads, sentinel, tally, member):
    survived = 0
    for number, payload in enumerate(payloads):
        folder = synthetic_set(tmp_path / str(number), "shards")
        shard_with(folder / next(iter(read_manifest(folder)[0].sha256)), payload, member)
        # A member beside a sample is never looked at; a sample of its own lacks png, cls and json.
        kept = refused(lambda at=folder: read_set(at)) or member.startswith("00000-00000000.")
        survived += kept and not sentinel.exists()
    tally(
        len(payloads),
        survived,
        f"a pickle inside a shard as {member}: refused or passed by, not run",
    )
    assert survived == len(payloads)


@pytest.mark.parametrize("name", ["trained_on.safetensors", "recipe.json", "manifest.jsonl"])
def test_as_a_file_of_a_synthetic_set(tmp_path, payloads, sentinel, tally, name):
    survived = 0
    for number, payload in enumerate(payloads):
        folder = synthetic_set(tmp_path / str(number), "folder")
        (folder / name).write_bytes(payload)
        real = torch.utils.data.TensorDataset(torch.zeros(2, 1, 6, 6), torch.arange(2))
        good = refused(lambda at=folder: read_set(at))
        mixed = refused(lambda at=folder, of=real: SyntheticMix(of, at, classes=("cat", "dog")))
        survived += good and mixed and not sentinel.exists()
    tally(len(payloads), survived, f"a pickle as {name} of a synthetic set: refused, not run")
    assert survived == len(payloads)


@pytest.mark.parametrize("name", ["a.npy", "a.png"])
def test_as_an_image_of_a_folder(tmp_path, payloads, sentinel, tally, make_folder, name):
    survived = 0
    for number, payload in enumerate(payloads):
        folder = make_folder(tmp_path / str(number), {"cat": 4, "dog": 4})
        (folder / "cat" / name).write_bytes(payload)
        config = config_from({"data": {"data": str(folder)}}).data
        good = (
            refused(lambda of=config: load_data(of, 0)) or name == "a.npy"
        )  # which is no image by its name
        survived += good and not sentinel.exists()
    tally(
        len(payloads),
        survived,
        f"a pickle as {name} among the images: refused or passed by, not run",
    )
    assert survived == len(payloads)


def test_as_the_old_cache_of_mnist(tmp_path, payloads, sentinel, tally):
    survived = 0
    processed = tmp_path / "MNIST" / "processed"
    processed.mkdir(parents=True)
    config = config_from({"data": {"data": "mnist", "data_root": str(tmp_path)}}).data
    for payload in payloads:
        for name in ("training.pt", "test.pt"):
            (processed / name).write_bytes(payload)
        survived += refused(lambda: load_data(config, 0)) and not sentinel.exists()
    tally(len(payloads), survived, "a pickle as torchvision's old cache of MNIST: refused, not run")
    assert survived == len(payloads)


def test_as_the_judge_of_a_filter(tmp_path, payloads, sentinel, tally):
    run, survived = tmp_path / "run", 0
    train_run(small(2), run)
    synthesize_run(run, tmp_path / "first", per_class=1, filter="confidence=0")
    (judge,) = run.glob("judge-*.safetensors")
    for number, payload in enumerate(payloads):
        judge.write_bytes(payload)
        out = str(tmp_path / str(number))
        survived += (
            main(["synth", str(run), "--per-class", "1", "--filter", "confidence=0", "--out", out])
            == 3
        )
    survived -= len(payloads) * sentinel.exists()
    tally(
        len(payloads), survived, "a pickle as the weights of the filter's judge: refused, not run"
    )
    assert survived == len(payloads)
