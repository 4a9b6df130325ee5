"""Pipes, endless devices, loops of links, folders and unreadable files where a reader expects a
file: it says so at once, by the error that it documents."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

import augmentor
from augmentor.common.types import DataError
from augmentor.data.class_counts import read_strategy
from augmentor.data.fingerprint import fingerprints
from augmentor.data.synthetic_mix import SyntheticMix
from augmentor.data.synthetic_store import Format, Recipe, read_set, trained_on_digest, write_set
from augmentor.families import FAMILIES
from augmentor.training.checkpoint import save_checkpoint
from downstream.weights import WeightsError, read_weights
from pipelines import cli
from pipelines.conditions.metadata import read_metadata
from pipelines.config import ConfigError, load_config
from pipelines.generators.load import load_source
from pipelines.image_folder import ImageFileError, list_images, read_header
from pipelines.outside.files import find_images
from pipelines.results import read_result
from pipelines.summary.read import read
from pipelines.verify.pairs import PAIRS, read_pairs
from tests.faults.plain_data import PlainData

Tally = Callable[[int, int, str], None]


class Door(NamedTuple):
    """A file that comes from elsewhere, what reads it, and the error that it documents."""

    file: str
    read: Callable[[Path], object]
    error: type[Exception] | tuple[type[Exception], ...]
    make: Callable[[Path], object] = Path.mkdir
    """Puts the other files of the folder there."""


def a_set(folder: Path, form: Format) -> None:
    seen = fingerprints(torch.zeros(1, 1, 8, 8))
    recipe = Recipe(
        "f", "0" * 64, ("a",), (1, 8, 8), {"a": 1}, 0, "none", trained_on_digest(seen), format=form
    )
    write_set(folder, recipe, seen, lambda c, n, start: (torch.zeros(n, 1, 8, 8), torch.arange(n)))


def a_run(folder: Path) -> None:
    model = FAMILIES["cgan"].model(
        ("a", "b"), (1, 8, 8), FAMILIES["cgan"].options_for("default", {"width": 1})
    )
    options = {"width": 1, "latent_dim": model.latent_dim}
    meta = {"family": "cgan", "classes": ["a", "b"], "image_shape": [1, 8, 8], "options": options}
    facts = {"trained_on": torch.zeros(1, dtype=torch.int64)}
    checkpoints = folder / "checkpoints"
    folder.mkdir()
    save_checkpoint(checkpoints, 3, meta, {"average": model.state_dict(), "facts": facts})
    (folder / "config.yaml").write_text("data: {data: digits}\nsource: {family: cgan}\n")


def of_set(name: str, form: Format = "folder") -> Door:
    return Door(name, lambda path: read_set(path.parents[name.count("/")]), DataError,
                lambda folder: a_set(folder, form))  # fmt: skip


def of_run(name: str) -> Door:
    return Door(name, lambda path: load_source(path.parents[name.count("/")], "cpu"),
                (DataError, ConfigError), a_run)  # type: ignore[arg-type]  # fmt: skip


STEP = "checkpoints/step-00000003/"
SHARD = "shard-00000-00000.tar"
DOORS = {
    "recipe": of_set("recipe.json"),
    "manifest": of_set("manifest.jsonl"),
    "image of a set": of_set("a/00000000.png"),
    "fingerprints": of_set("trained_on.safetensors"),
    "shard": of_set(SHARD, "shards"),
    "config of a run": of_run("config.yaml"),
    "manifest of a checkpoint": of_run(STEP + "manifest.json"),
    "state": of_run(STEP + "state.json"),
    "tensors": of_run(STEP + "tensors.safetensors"),
    "config": Door("c.yaml", load_config, ConfigError),
    "counts": Door("n.json", lambda path: read_strategy(str(path)), DataError),
    "policy": Door(
        "p.json",
        lambda path: SyntheticMix(PlainData(["a"], (1, 8, 8)), path.parent / "s", policy=path),
        DataError,
        lambda folder: (folder.mkdir(), a_set(folder / "s", "folder")),
    ),
    "result": Door("gain.json", lambda path: read_result(path, "gain"), DataError),
    "published result": Door("result.json", read, DataError),
    "conditions": Door("metadata.csv", lambda path: read_metadata(path, ("a",)), DataError),
    "pairs": Door(PAIRS, lambda path: read_pairs(path.parent, (1, 8, 8)), DataError),
    "image": Door("i.png", read_header, ImageFileError),
    "tar of images": Door("s.tar", lambda path: find_images(path.parent), DataError),
    "weights": Door("w.safetensors", read_weights, (WeightsError, OSError)),
    "state dict": Door("w.pt", read_weights, (WeightsError, OSError)),
}


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**43)  # takes no room on the disk


SPECIAL = [pipe, endless, loop, huge, folder]


@pytest.fixture(autouse=True)
def _a_minute() -> Iterator[None]:
    """A reader that waits for ever fails its test."""

    def late(*_: object) -> None:
        pytest.fail("still reading after a minute")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", DOORS)
def test_every_reader_takes_regular_files_only(tmp_path: Path, tally: Tally, name: str) -> None:
    door, refused = DOORS[name], []
    door.make(tmp_path / "f")
    victim = tmp_path / "f" / door.file
    for make in SPECIAL:
        victim.unlink(missing_ok=True)
        make(victim)
        with pytest.raises(door.error) as caught:
            door.read(victim)
        named = victim.name in str(caught.value) or isinstance(caught.value, ImageFileError)
        refused += [make] * named
    words = "folder, pipe, device, loop of links, huge file"
    tally(len(SPECIAL), len(refused), f"{words} in the place of: {name}")
    assert refused == SPECIAL


@pytest.mark.parametrize("name", DOORS)
def test_unreadable_files_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The system says no to one file; by a stand-in, as nothing stops the super-user."""
    door, truly = DOORS[name], os.open
    door.make(tmp_path / "f")
    victim = tmp_path / "f" / door.file
    victim.touch()

    def refused(path: Any, *args: Any, **options: Any) -> int:
        if Path(path) == victim:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return truly(path, *args, **options)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(door.error, match=r"ermission|missing or not the bytes"):
        door.read(victim)


@pytest.mark.parametrize("name", ["recipe", "manifest", "image of a set", "fingerprints", "shard"])
def test_links_out_of_a_set_are_refused(tmp_path: Path, name: str) -> None:
    """The bytes are right, but a set from elsewhere must not choose which file is read."""
    door = DOORS[name]
    door.make(tmp_path / "f")
    victim = tmp_path / "f" / door.file
    shutil.move(victim, tmp_path / "elsewhere")
    victim.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=victim.name.replace(".", r"\.")):
        door.read(victim)


JOBS: list[list[str]] = [["train", "--data"], ["gain", "--data"]]


@pytest.mark.parametrize("job", JOBS, ids=["train", "gain"])
def test_a_loop_of_links_is_listed_like_a_damaged_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], job: list[str]
) -> None:
    a, b = (_images(tmp_path / "data" / name) for name in "ab")
    (a / "loop.png").symlink_to("loop.png")
    (b / "one.png").symlink_to("two.png")
    (b / "two.png").symlink_to("one.png")
    _, bad, _ = list_images(tmp_path / "data")
    assert [str(one).partition("data/")[2] for one in sorted(bad, key=str)] == [
        "a/loop.png: a broken link",
        "b/one.png: a broken link",
        "b/two.png: a broken link",
    ]
    for command in (["check"], job):
        capsys.readouterr()
        assert cli.main([*command, str(tmp_path / "data"), *_out(command, tmp_path)]) == 3
        found = capsys.readouterr()
        assert "a/loop.png: a broken link" in found.out + found.err


LOOPS = {
    "a/loop.png": "loop.png",
    "b/one.png": "two.png",
    "b/two.png": "one.png",
    "b/up": "..",
    "c": "c",
    "d": "../data",
}


def test_synth_and_gain_list_loops_of_files_and_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tally: Tally
) -> None:
    """In the folder that a source was trained on, loops came later."""
    data, run = tmp_path / "data", tmp_path / "run"
    for name in "ab":
        _images(data / name)
    (tmp_path / "c.yaml").write_text(
        f"data: {{data: {data}, size: 8, grey: true}}\n"
        "source: {family: cgan, steps: 1, batch_size: 4, options: {width: 1}}\ndevice: cpu\n"
    )
    assert cli.main(["train", str(tmp_path / "c.yaml"), "--out", str(run)]) == 0
    for name, target in LOOPS.items():
        (data / name).symlink_to(target)
    jobs = [
        ["synth", str(run)],
        ["synth", str(run), "--per-class", "2", "--filter", "confidence=0.1"],
        ["gain", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "gain")],
    ]
    told = []
    for job in jobs:
        capsys.readouterr()
        code = cli.main(job)
        found = capsys.readouterr()
        words = found.out + found.err
        told.append((job[0], code, [name for name in LOOPS if f"data/{name}: " not in words]))
    tally(len(told), sum(code == 3 and not left for _, code, left in told), "loops of links in "
          "an image folder: synth and gain list them, exit 3")  # fmt: skip
    assert told == [(job[0], 3, []) for job in jobs]


def _images(folder: Path) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(4):
        pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def _out(command: list[str], folder: Path) -> list[str]:
    return [] if command == ["check"] else ["--out", str(folder / "run")]


def test_a_source_is_not_loaded_through_a_loop(tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to("run")
    with pytest.raises(DataError, match="run"):
        augmentor.load(tmp_path / "run")
