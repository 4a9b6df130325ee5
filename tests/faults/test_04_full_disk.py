"""A full disk, a small one made for it, while a checkpoint, a synthetic set, the log or a report is
written."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from augmentor.training.checkpoint import load_checkpoint
from pipelines.cli import main
from pipelines.config import dump_config
from pipelines.gain.run import gain_run
from pipelines.generators import train
from pipelines.generators.train import train_run
from tests.faults.children import fork
from tests.faults.jobs import small, tree

PAGE = 4096


@pytest.fixture
def disk(tmp_path):
    """A file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(disk: Path, free: int) -> None:
    """Take all room but ``free`` bytes."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(PAGE))
        except OSError:
            file.truncate(file.tell() - free)


def run(arguments, out: Path):
    child = fork(lambda: main([str(argument) for argument in arguments]), out)
    return child.wait(), child.text()


def told(code, text, name):
    """One line, exit code 1, with the file and the bytes needed."""
    last = text.splitlines()[-1]
    return (
        code == 1
        and "disk full" in last
        and "bytes are needed" in last
        and name in last
        and "Traceback" not in text
    )


def config_at(path: Path, config):
    path.write_text(dump_config(config), encoding="utf-8")
    return path


def test_while_a_checkpoint_is_saved(tmp_path, disk, tally):
    train_run(small(2), disk / "run")
    fill(disk, 10 * PAGE)
    config = config_at(tmp_path / "c.yaml", small(4))
    code, text = run(["train", config, "--out", disk / "run", "--resume"], tmp_path / "said")
    good = (
        told(code, text, "tensors.safetensors")
        and load_checkpoint(disk / "run" / "checkpoints").step == 2
    )
    tally(1, int(good), "full disk while a checkpoint is saved")
    assert good, text


@pytest.mark.faults
def test_while_the_log_is_written(tmp_path, disk, tally, monkeypatch):
    train_run(small(2), disk / "run")
    fill(disk, 5 * PAGE)
    monkeypatch.setattr(train, "LOG_EVERY", 1)
    config = config_at(tmp_path / "c.yaml", small(1000, every=1000))
    code, text = run(["train", config, "--out", disk / "run", "--resume"], tmp_path / "said")
    good = told(code, text, "log.jsonl") and load_checkpoint(disk / "run" / "checkpoints").step == 2
    tally(1, int(good), "full disk while the log is written")
    assert good, text


@pytest.mark.faults
@pytest.mark.parametrize("form", ["folder", "shards"])
def test_during_synthesis(tmp_path, disk, tally, form):
    train_run(small(2), tmp_path / "run")
    arguments = ["synth", tmp_path / "run", "--per-class", "40", "--format", form, "--out"]
    assert run([*arguments, tmp_path / "whole"], tmp_path / "said")[0] == 0
    fill(disk, 25 * PAGE)
    code, text = run([*arguments, disk / "set"], tmp_path / "said")
    good = told(code, text, "shard-" if form == "shards" else "/set/")
    (disk / "ballast").unlink()
    assert run([*arguments, disk / "set"], tmp_path / "said")[0] == 0
    good = good and tree(disk / "set", "lock") == tree(tmp_path / "whole", "lock")
    tally(1, int(good), f"full disk in synth ({form}); with room again it is finished")
    assert good, text


@pytest.mark.faults
def test_while_the_report_is_written(tmp_path, disk, tally):
    gain = {"arms": ["real", "classical"], "replicates": 2, "processes": 1}
    config = small(2, data={"per_class": 12, "size": 8}, gain=gain)
    gain_run(config, disk / "out", command="the first")
    before = tree(disk / "out")
    fill(disk, 2 * PAGE)
    code, text = run(
        ["gain", config_at(tmp_path / "c.yaml", config), "--out", disk / "out"], tmp_path / "said"
    )
    good = told(code, text, "report.html")
    after = tree(disk / "out")
    changed = {name for name in before if after.get(name) != before[name]}
    good = good and after.keys() == before.keys() and changed <= {"gain.json", "config.yaml"}
    tally(1, int(good), "full disk while the report of gain is written; the old one stays")
    assert good, text
