"""Two processes of torchrun train what one trains; runs are resumed with another number of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from augmentor.training.checkpoint import load_checkpoint
from pipelines.config import Config, config_from, dump_config
from pipelines.generators.train import train_run
from pipelines.run_dir import RunDir

ROOT = Path(__file__).parents[3]


def config(steps: int, **source: object) -> Config:
    options = {"width": 8, "bfloat16": False, "weight_mean": 1.0, "weight_class_mean": 1.0}
    return config_from(
        {
            "data": {"data": "digits", "size": 8, "per_class": 12},
            "source": {"steps": steps, "batch_size": 12, "options": options, **source},
            "device": "cpu",
            "threads": 1,
        }
    )


def by_two(settings: Config, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    file = out.with_suffix(".yaml")
    file.write_text(dump_config(settings))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "-m"]
    command += ["pipelines.cli", "train", str(file), "--out", str(out), *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500
    )


def tensors_of(run: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}

    def walk(value: object, name: str) -> None:
        if isinstance(value, dict):
            for key, one in value.items():
                walk(one, f"{name}/{key}")
        elif isinstance(value, list | tuple):
            for number, one in enumerate(value):
                walk(one, f"{name}/{number}")
        elif isinstance(value, torch.Tensor):
            found[name] = value.float()

    checkpoint = load_checkpoint(RunDir(run).checkpoints)
    assert checkpoint.step == 4
    walk(checkpoint.state, "")
    return found


def assert_equal(run: Path, other: Path) -> None:
    one, two = tensors_of(run), tensors_of(other)
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=1e-3, atol=5e-5, msg=name)


@pytest.mark.slow
def test_two_processes_equal_one_and_a_run_goes_from_two_to_one_and_back(tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    train_run(config(4), alone)
    first = by_two(config(2), tmp_path / "two-one")
    assert first.returncode == 0, first.stderr[-2000:]
    assert first.stdout.count("2 steps") == 1
    train_run(config(4), tmp_path / "two-one", resume=True)
    assert_equal(tmp_path / "two-one", alone)

    train_run(config(2), tmp_path / "one-two")
    second = by_two(config(4), tmp_path / "one-two", "--resume")
    assert second.returncode == 0, second.stderr[-2000:]
    assert_equal(tmp_path / "one-two", alone)
    lines = (tmp_path / "one-two" / "log.jsonl").read_text().splitlines()
    assert len(lines) == len((alone / "log.jsonl").read_text().splitlines()) + 1


@pytest.mark.faults
@pytest.mark.parametrize(
    ("source", "words"),
    [({"family": "gan", "options": {}}, "gan trains in one"), ({"batch_size": 9}, "equal shares")],
)
def test_what_cannot_be_shared_is_refused(
    tmp_path: Path, source: dict[str, object], words: str
) -> None:
    done = by_two(config(2, **source), tmp_path / "run")
    assert done.returncode != 0
    assert words in done.stderr
