"""A job writes to no folder that holds something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.config import Config, ConfigError, config_from, dump_config
from pipelines.experiment.place import require_outside_data, require_place
from pipelines.run_dir import RunDir


def config(data: object = "digits", **more: Any) -> Config:
    return config_from({"data": {"data": str(data)}, **more})


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run on digits with a finished part."""
    made = RunDir(tmp_path / "run")
    made.parts.mkdir(parents=True)
    made.write_config(dump_config(config()))
    return made


def test_other_settings_for_the_same_data_are_welcome(run: RunDir) -> None:
    require_place(config(gain={"metric": "auroc"}, seed=3), run.path)


def test_a_run_of_other_data_is_refused_and_both_are_named(run: RunDir) -> None:
    with pytest.raises(ConfigError, match="holds a run on 'digits', whose result this one on 'm"):
        require_place(config("mnist"), run.path)


def test_two_names_of_one_folder_are_the_same_data(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pets", "cars"):
        (tmp_path / name / "a").mkdir(parents=True)
    run.config.write_text(dump_config(config(tmp_path / "pets")))
    monkeypatch.chdir(tmp_path)
    require_place(config("pets"), run.path)
    with pytest.raises(ConfigError, match="on 'cars' would replace"):
        require_place(config("cars"), run.path)


def test_a_config_of_an_earlier_version_keeps_the_run_usable(run: RunDir) -> None:
    run.config.write_text("data:\n  data: digits\nformer_key: 1\n")
    require_place(config(), run.path)
    with pytest.raises(ConfigError, match="holds a run on 'digits'"):
        require_place(config("mnist"), run.path)


def test_a_config_that_no_job_wrote_stays(tmp_path: Path) -> None:
    own = tmp_path / "config.yaml"
    own.write_text("# mine\nseed: 7\n")
    for write in (
        lambda: require_place(config(), tmp_path),
        lambda: RunDir(tmp_path).write_config(dump_config(config())),
    ):
        with pytest.raises(ConfigError, match=r"was not written by a run.*rename the file"):
            write()
    assert own.read_text() == "# mine\nseed: 7\n"


def test_the_config_of_a_call_that_made_nothing_gives_way(tmp_path: Path) -> None:
    RunDir(tmp_path).write_config(dump_config(config("mnist")))
    require_place(config(), tmp_path)
    RunDir(tmp_path).write_config(dump_config(config()))
    assert RunDir(tmp_path).read_config() == dump_config(config())


def test_the_folder_of_a_generator_is_refused(tmp_path: Path) -> None:
    RunDir(tmp_path).checkpoints.mkdir()
    with pytest.raises(ConfigError, match="holds a trained generator"):
        require_place(config(), tmp_path)


def test_a_folder_among_the_images_is_refused_before_it_is_made(tmp_path: Path) -> None:
    (tmp_path / "flat" / "cat").mkdir(parents=True)
    (tmp_path / "split" / "train" / "cat").mkdir(parents=True)
    for data, out in (("flat", "flat/run"), ("split", "split/train/run"), ("flat", "flat")):
        with pytest.raises(ConfigError, match="lies in the folder of the images"):
            require_place(config(tmp_path / data), tmp_path / out)
        assert not (tmp_path / out / "run").exists()
    require_outside_data(config(tmp_path / "split").data, tmp_path / "split" / "runs")
    require_outside_data(config(tmp_path / "gone").data, tmp_path / "gone" / "run")
