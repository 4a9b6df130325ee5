import json
import os
import signal
import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from augmentor.common.types import DataError, DivergedError
from augmentor.data.fingerprint import fingerprints
from augmentor.training.checkpoint import load_checkpoint
from pipelines import cli
from pipelines.config import ConfigError, DataConfig, config_from, dump_config
from pipelines.datasets import load_data
from pipelines.experiment.setting import setting_of
from pipelines.generators.in_memory import start_session, train_generator
from pipelines.generators.load import load_source
from pipelines.generators.synthesize import synthesize_run
from pipelines.generators.train import require_run_of, train_run
from pipelines.interrupt import Interrupted
from pipelines.pool import label_pool
from pipelines.run_dir import RunDir


def config(steps=6, **data):
    return config_from(
        {
            "data": {"data": "digits", **data},
            "source": {
                "steps": steps,
                "batch_size": 8,
                "checkpoint_every": 2,
                "sample_every": 3,
                "options": {"width": 4, "latent_dim": 5},
            },
            "classifier": {"steps": 10},
            "pool": {"threshold": 0.0},
        }
    )


def averages(run):
    return load_checkpoint(RunDir(run).checkpoints).state["average"]


def equal(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_generator_sees_augmented_images_where_that_is_asked_for(tmp_path):
    plain = config(2)
    source = plain.source.model_copy(update={"source_augment": "classical"})
    augmented = plain.model_copy(update={"source": source})
    for name, one in {"plain": plain, "augmented": augmented, "again": augmented}.items():
        train_run(one, tmp_path / name)
    assert equal(averages(tmp_path / "augmented"), averages(tmp_path / "again"))
    assert not equal(averages(tmp_path / "augmented"), averages(tmp_path / "plain"))


def test_a_run_leaves_config_checkpoints_samples_log_and_events(tmp_path):
    result = train_run(config(), tmp_path / "run")
    run = RunDir(tmp_path / "run")
    assert result.step == 6
    assert {p.name for p in run.checkpoints.iterdir()} == {
        "step-00000004",
        "step-00000006",
    }
    assert sorted(p.name for p in run.samples.iterdir()) == [
        "step-00000003.png",
        "step-00000006.png",
    ]
    assert [json.loads(line)["step"] for line in run.log.read_text().splitlines()] == [6]
    assert list(run.tensorboard.glob("events*"))


def test_without_tensorboard_a_run_leaves_all_but_its_events(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    train_run(config(steps=2), tmp_path / "run")
    run = RunDir(tmp_path / "run")
    assert len(run.log.read_text().splitlines()) == 1
    assert not run.tensorboard.exists()


def test_what_is_loaded_knows_what_it_was_trained_on(tmp_path):
    train_run(config(), tmp_path / "run")
    loaded = load_source(tmp_path / "run")
    bundle = load_data(config().data, 0)
    assert loaded.step == 6
    assert loaded.config == config()
    assert loaded.source.classes == bundle.train.classes
    assert set(loaded.trained_on) == set(fingerprints(bundle.train.x))


def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(tmp_path):
    train_run(config(steps=6), tmp_path / "whole")
    train_run(config(steps=4), tmp_path / "part")
    train_run(config(steps=6), tmp_path / "part", resume=True)
    assert equal(averages(tmp_path / "whole"), averages(tmp_path / "part"))


def test_a_signal_saves_the_state_and_the_resumed_run_is_the_same(tmp_path):
    class Impatient:
        def step(self, task, done, total, note=""):
            if done == 3:
                os.kill(os.getpid(), signal.SIGTERM)

        def say(self, line):
            pass

    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(Interrupted) as stopped:
        train_run(config(), tmp_path / "part", progress=Impatient())
    assert stopped.value.signum == signal.SIGTERM
    assert load_checkpoint(RunDir(tmp_path / "part").checkpoints).step == 3
    train_run(config(), tmp_path / "part", resume=True)
    train_run(config(), tmp_path / "whole")
    assert equal(averages(tmp_path / "whole"), averages(tmp_path / "part"))


def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    from augmentor.families.cvae_gan import CvaeGanTrainer

    step, calls = CvaeGanTrainer.step, []

    def poisoned(self, x, y, *, rng):
        calls.append(1)
        losses = step(self, x, y, rng=rng)
        return losses | {"kl": losses["kl"] * float("nan")} if len(calls) == 5 else losses

    monkeypatch.setattr(CvaeGanTrainer, "step", poisoned)
    with pytest.raises(DivergedError, match="step 5: loss kl"):
        train_run(config(), tmp_path / "run")
    kept = load_checkpoint(RunDir(tmp_path / "run").checkpoints)
    assert kept.step == 4
    assert all(value.isfinite().all() for value in kept.state["average"].values())


def test_a_run_is_not_overwritten_nor_resumed_with_another_config(tmp_path):
    train_run(config(steps=2), tmp_path / "run")
    with pytest.raises(ConfigError, match="--resume"):
        train_run(config(steps=2), tmp_path / "run")
    other = config_from({"data": {"data": "digits"}, "seed": 1})
    with pytest.raises(ConfigError, match="differs from the config given") as refused:
        train_run(other, tmp_path / "run", resume=True)
    assert "source.batch_size (8 there, 64 given), " in str(refused.value)
    assert "seed (0 there, 1 given)" in str(refused.value)
    assert str(refused.value).endswith(f"or by --resume --out {tmp_path / 'run'} alone")


def test_a_pool_is_labelled_once_and_seen_by_the_source(tmp_path):
    regime = {"per_class": 8, "imbalance": 4.0, "unlabelled": "rest", "max_pool": 40}
    train_run(config(steps=2, **regime), tmp_path / "run")
    state = load_checkpoint(RunDir(tmp_path / "run").checkpoints).state
    bundle = load_data(config(**regime).data, 0)
    assert len(state["facts"]["pool_indices"]) == len(state["facts"]["pool_labels"]) > 0
    assert set(load_source(tmp_path / "run").trained_on) == set(fingerprints(bundle.train.x)) | set(
        fingerprints(bundle.pool)
    )


def test_in_memory_training_uses_labelled_images_and_the_labelled_pool():
    regime = {"per_class": 8, "unlabelled": "rest", "max_pool": 60}
    bundle = load_data(config(**regime).data, 0)
    pool = label_pool(
        bundle.train, bundle.pool, config().pool, setting_of(config()).trainer, seed=0
    )
    assert 0 < len(pool) <= 60
    assert max(pool.counts.values()) <= 6  # an equal share of sixty images in ten classes
    source = train_generator(bundle.train.joined(pool), config(steps=2).source, seed=0)
    assert source.sample(torch.tensor([3]), torch.zeros(1, 5)).shape == (
        1,
        *bundle.train.image_shape,
    )


def test_unknown_families_presets_and_options_are_config_errors():
    bundle = load_data(config().data, 0)
    for change in (
        {"family": "gnn"},
        {"preset": "best"},
        {"options": {"depth": 3}},
        {"options": {"width": "wide"}},
    ):
        wrong = config_from({"source": change})
        with pytest.raises(ConfigError, match=r"unknown|must be"):
            train_generator(bundle.train, wrong.source, seed=0)


def test_a_wrong_family_is_refused_before_any_work(tmp_path):
    wrong = config_from({"data": {"data": "digits"}, "source": {"family": "gnn"}})
    with pytest.raises(ConfigError, match="unknown family 'gnn'; known: cvae_gan"):
        train_run(wrong, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_training_leaves_the_random_state_of_every_device(monkeypatch):
    reseeded, before = [], torch.get_rng_state()
    monkeypatch.setattr(torch.cuda, "manual_seed_all", reseeded.append)
    monkeypatch.setattr(torch.mps, "manual_seed", reseeded.append)
    start_session(load_data(config().data, 0).train, config().source, seed=5)
    assert not reseeded
    assert torch.equal(torch.get_rng_state(), before)


def test_a_device_that_is_not_here_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device cuda: not on this machine; give --device cpu"):
        train_run(config().model_copy(update={"device": "cuda"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_of_a_gpu_can_be_used_without_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    run = tmp_path / "run"
    train_run(config(), run)
    RunDir(run).config.write_text(
        dump_config(config().model_copy(update={"device": "cuda"}))
    )  # as if on a GPU
    assert cli.main(["synth", str(run), "--per-class", "1"]) == 2
    assert "device cuda: not on this machine; give --device cpu" in capsys.readouterr().err
    assert cli.main(["synth", str(run), "--per-class", "1", "--device", "cpu"]) == 0
    loaded = load_source(run, "cpu")
    assert (loaded.source.device, loaded.config.device) == (torch.device("cpu"), "cpu")
    with pytest.raises(ConfigError, match="options: device"):
        load_source(run, "gpu")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(DataError, match="no run here"):
        load_source(tmp_path)


def test_a_folder_is_refused_before_a_training_that_could_not_be_resumed(tmp_path):
    require_run_of(tmp_path / "run", config())  # nothing is there
    train_run(config(steps=2), tmp_path / "run")
    require_run_of(tmp_path / "run", config(steps=6))
    with pytest.raises(ConfigError, match="was trained for 2 already"):
        require_run_of(tmp_path / "run", config(steps=1))
    said = r"config given in data.per_class \(None there, 5 given\); give another"
    with pytest.raises(ConfigError, match=said):
        require_run_of(tmp_path / "run", config(per_class=5))


def test_a_run_is_not_resumed_with_other_images_or_fewer_steps(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 2)):
        for label in ("a", "b"):
            (tmp_path / "data" / part / label).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / part / label / f"{number}.png")
    known = config(steps=4).model_copy(update={"data": DataConfig(data=str(tmp_path / "data"))})
    train_run(known, tmp_path / "run")
    assert train_run(known, tmp_path / "run", resume=True).step == 4
    fewer = known.model_copy(update={"source": known.source.model_copy(update={"steps": 2})})
    with pytest.raises(ConfigError, match="was trained for 4 already"):
        train_run(fewer, tmp_path / "run", resume=True)
    (tmp_path / "data/train/a/0.png").rename(tmp_path / "data/test/a/9.png")
    with pytest.raises(DataError, match="was trained on other images than these; train anew"):
        train_run(known, tmp_path / "run", resume=True)


def test_a_relative_path_that_means_other_data_elsewhere_is_refused(tmp_path, monkeypatch):
    """Of the same classes and size, so that nothing else tells them from each other."""
    for seed, place in enumerate(("here", "there")):
        rng = np.random.default_rng(seed)
        for label in ("a", "b"):
            (tmp_path / place / "pets" / label).mkdir(parents=True)
            for number in range(6):
                pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / place / "pets" / label / f"{number}.png")
    monkeypatch.chdir(tmp_path / "here")
    train_run(
        config(steps=2).model_copy(update={"data": DataConfig(data="pets")}), tmp_path / "run"
    )
    assert synthesize_run(tmp_path / "run", tmp_path / "one", ratio=1.0).counts == {"a": 4, "b": 4}
    monkeypatch.chdir(tmp_path / "there")
    with pytest.raises(DataError, match=r"8 are new, 8 are missing.*folder where it was trained"):
        synthesize_run(tmp_path / "run", tmp_path / "two", ratio=1.0)


def test_the_trainer_of_a_loaded_run_is_that_of_its_config(tmp_path):
    train_run(config(steps=2), tmp_path / "run")
    trainer = load_source(tmp_path / "run", "cpu").trainer()
    assert trainer == setting_of(config().model_copy(update={"device": "cpu"})).trainer
    assert (trainer.settings.steps, trainer.domain, trainer.device) == (10, "digits", "cpu")


def test_a_run_whose_config_has_keys_of_another_version_for_other_jobs_is_used(tmp_path):
    train_run(config(steps=2), tmp_path / "run")
    file = RunDir(tmp_path / "run").config
    file.write_text(file.read_text().replace("gain:\n", "gain:\n  tuning_splits: 2\n"))
    assert load_source(tmp_path / "run").config == config(steps=2)
    assert train_run(config(steps=4), tmp_path / "run", resume=True).step == 4
    file.write_text(file.read_text().replace("source:\n", "source:\n  stepz: 2\n"))
    with pytest.raises(ConfigError, match=r"unknown key 'source\.stepz'"):
        load_source(tmp_path / "run")
