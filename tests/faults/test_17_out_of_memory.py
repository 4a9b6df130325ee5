"""The device has too little memory: simulated where there is no GPU, real where there is one."""

from __future__ import annotations

import pytest
import torch

from augmentor.families.gan import GanTrainer
from augmentor.training.checkpoint import load_checkpoint
from downstream import trainer
from pipelines.cli import main
from pipelines.config import dump_config
from tests.faults.children import fork
from tests.faults.jobs import small

ERRORS = {
    "CUDA": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "CPU": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: 12 (…)"
    ),
}


def run(arguments, out):
    child = fork(lambda: main([str(argument) for argument in arguments]), out)
    return child.wait(), child.text().splitlines()[-1]


def config_at(path, config):
    path.write_text(dump_config(config), encoding="utf-8")
    return path


@pytest.mark.parametrize("where", ERRORS)
def test_in_the_training_of_a_source(tmp_path, tally, monkeypatch, where):
    step, calls = GanTrainer.step, []

    def greedy(self, *batch, rng):
        calls.append(1)
        if len(calls) == 4:
            raise ERRORS[where]
        return step(self, *batch, rng=rng)

    monkeypatch.setattr(GanTrainer, "step", greedy)
    config = config_at(tmp_path / "c.yaml", small(6))
    code, line = run(["train", config, "--out", tmp_path / "run"], tmp_path / "said")
    good = (code, line) == (
        1,
        "augmentor: not enough memory for 8 images per step; try --batch-size 4",
    )
    good = good and load_checkpoint(tmp_path / "run" / "checkpoints").step == 2
    tally(
        1,
        int(good),
        f"out of memory ({where}, simulated) in training: batch size named, checkpoint intact",
    )
    assert good, line


@pytest.mark.parametrize("arm", ["classical", "pseudo_label"])
def test_in_the_training_of_a_classifier(tmp_path, tally, monkeypatch, arm):
    def greedy(*_, **named):
        raise ERRORS["CUDA"]

    monkeypatch.setattr(trainer, "train_classifier", greedy)
    data = {"per_class": 12, "size": 8, "unlabelled": "rest", "max_pool": 30}
    config = small(2, data=data, gain={"arms": [arm], "replicates": 2, "processes": 1})
    code, line = run(
        ["gain", config_at(tmp_path / "c.yaml", config), "--out", tmp_path / "out"],
        tmp_path / "said",
    )
    good = (code, line) == (
        1,
        "augmentor: not enough memory for 16 images per step; try classifier.batch_size: 8",
    )
    tally(
        1, int(good), f"out of memory (simulated) in a classifier of gain ({arm}): batch size named"
    )
    assert good, line


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU here; the simulated tests stand for it"
)
def test_on_a_real_gpu(tmp_path, tally):
    def starve():
        torch.cuda.set_per_process_memory_fraction(0.002)
        options = {"width": 256, "latent_dim": 5}
        config = small(4, source={"batch_size": 4096, "options": options})
        config = config_at(tmp_path / "c.yaml", config.model_copy(update={"device": "cuda"}))
        return main(["train", str(config), "--out", str(tmp_path / "run")])

    child = fork(starve, tmp_path / "said")
    good = child.wait() == 1 and "try --batch-size 2048" in child.text().splitlines()[-1]
    tally(1, int(good), "out of memory on a real GPU: batch size named")
    assert good, child.text()
