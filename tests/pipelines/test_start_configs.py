"""The configs to begin with: found where they lie, read, listed and written."""

from __future__ import annotations

import doctest
import json
from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.config import ConfigError, load_config, start
from pipelines.config.start import start_config, start_texts, write_start_configs

FOLDER = Path(__file__).parents[2] / "configs" / "start"
NAMES = ["compare", "conditions", "demo", "digits", "mnist_few_labels", "photos"]


def test_they_are_the_files_of_the_checkout() -> None:
    assert list(start_texts()) == NAMES
    for name in NAMES:
        assert start_config(name) == load_config(FOLDER / f"{name}.yaml")


def test_an_installed_package_reads_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text("seed: 7\n")
    monkeypatch.setattr(start, "PLACES", (tmp_path, FOLDER))
    assert start_config("mine").seed == 7
    with pytest.raises(ConfigError, match="no config is called 'digits'; known: mine"):
        start_config("digits")


def test_files_that_exist_stay(tmp_path: Path) -> None:
    mine = tmp_path / "new" / "digits.yaml"
    mine.parent.mkdir()
    mine.write_text("seed: 7\n")
    written = write_start_configs(mine.parent)
    assert written == {mine.with_stem(name): name != "digits" for name in NAMES}
    assert mine.read_text() == "seed: 7\n"
    assert mine.with_stem("demo").read_bytes() == (FOLDER / "demo.yaml").read_bytes()


def test_the_command_lists_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["configs", "--json"]) == 0
    commands = json.loads(capsys.readouterr().out)
    assert list(commands) == NAMES
    assert commands["digits"] == "augmentor train configs/start/digits.yaml"
    assert main(["configs", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count(": written") == len(NAMES)
    assert main(["configs", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count(": exists already, left as it is") == len(NAMES)


def test_the_examples_run() -> None:
    found = doctest.testmod(start)
    assert (found.failed, found.attempted) == (0, 2)
