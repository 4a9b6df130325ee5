"""Files that earlier versions left (``tests/golden``): every later version reads them and finds the
same in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

import augmentor
from augmentor.data.fingerprint import fingerprints, to_uint8
from augmentor.data.synthetic_mix import SyntheticMix
from augmentor.data.synthetic_store import read_set, trained_on_digest
from augmentor.training.checkpoint import load_checkpoint
from pipelines.datasets import load_data
from pipelines.generators.load import load_source
from pipelines.summary.read import read

GOLDEN = Path(__file__).parents[1] / "golden"
VERSIONS = sorted(path.parent for path in GOLDEN.glob("*/expected.json"))


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def version(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def expected(version: Path) -> dict[str, Any]:
    return json.loads((version / "expected.json").read_text("utf-8"))


def test_there_are_golden_files_and_they_are_small() -> None:
    assert VERSIONS
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()) < 400_000 * len(
        VERSIONS
    )


def test_a_checkpoint(version: Path, expected: dict[str, Any]) -> None:
    checkpoint = load_checkpoint(version / "run" / "checkpoints")
    assert (checkpoint.step, checkpoint.passed_over) == (2, ())
    source = augmentor.load(version / "run")
    assert list(source.classes) == expected["classes"]
    assert list(source.image_shape) == expected["image_shape"]
    found = source.sample(label="3", n=1, seed=5).flatten()[:8].tolist()
    assert found == pytest.approx(expected["sample"], abs=1e-3)


def test_a_run_and_what_it_was_trained_on(version: Path) -> None:
    loaded = load_source(version / "run")
    assert (loaded.step, loaded.config.source.family, loaded.config.data.per_class) == (
        2,
        "cgan",
        2,
    )
    train = load_data(loaded.config.data, loaded.config.seed).train
    assert set(loaded.trained_on) == set(fingerprints(train.x))


@pytest.mark.parametrize("form", ["folder", "shards"])
def test_a_synthetic_set(version: Path, expected: dict[str, Any], form: str) -> None:
    stored = read_set(version / f"set-{form}")
    assert stored.images.counts == {
        int(name): int(name in ("3", "7")) for name in expected["classes"]
    }
    assert (stored.images.x[:, 0, 0, :4] * 127.5 + 127.5).round().tolist() == expected["sets"][form]
    assert (
        stored.recipe.hash == expected["recipes"][form]
    )  # or a later synth would not take the set for its own
    assert len(stored.trained_on) == expected["trained_on"][form]
    assert trained_on_digest(stored.trained_on) == stored.recipe.trained_on
    data = load_data(load_source(version / "run").config.data, 0)
    mix = SyntheticMix(
        TensorDataset(data.train.x, data.train.y),
        stored,
        classes=data.train.classes,
        value_range=(-1, 1),
    )
    assert len(mix) == len(data.train) + 2
    assert torch.equal(to_uint8(mix[len(data.train)][0]), to_uint8(stored.images.x[0]))


def test_a_gain_result(version: Path, expected: dict[str, Any]) -> None:
    result = read(version / "gain.json")
    assert (result["schema"], result["replicates"], result["metric"]) == (1, 2, "balanced_accuracy")
    assert {name: arm["mean"] for name, arm in result["arms"].items()} == expected["gain"]
    assert result["verdict"]["advice"]
    assert {row["outcome"] for row in result["comparisons"]} == {"undecided"}  # two replicates


def test_a_semi_result(version: Path, expected: dict[str, Any]) -> None:
    result = read(version / "semi.json")
    assert (result["schema"], result["scored_on"]) == (1, "test")
    means = {name: table["10"]["mean"] for name, table in result["methods"].items()}
    assert means == expected["semi"]
    assert result["verdict"]["advice"]
