"""The pages of the copies that are found are those that their result files give."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def benchmark() -> Any:
    """The module of the benchmark, whose command is in its first lines."""
    path = ROOT / "benchmarks" / "near_copies.py"
    spec = importlib.util.spec_from_file_location("near_copies_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(name: str) -> tuple[dict[str, Any], str]:
    """A result file and its page."""
    result = json.loads((ROOT / "docs" / f"{name}.json").read_text("utf-8"))
    return result, (ROOT / "docs" / f"{name}.md").read_text("utf-8")


def test_the_page_is_made_from_the_file(benchmark: Any) -> None:
    """Where this fails: the command in benchmarks/near_copies.py."""
    result, page = read("near_copies")
    assert page == benchmark.as_page(result)
    clear = [one for name, one in result.items() if name not in ("fonts_32", "orl_64")]
    assert all(one["false_alarms"]["found"] <= 0.01 for one in clear)
    assert not any(one["false_alarms"]["certain"] for one in result.values())
    for one in clear:
        for words in ("exact", "mirrored", "shifted by 1 pixel", "JPEG, quality 75"):
            assert one["hits"][words]["found"] >= 0.99


def test_copies_of_training_images_are_found_and_held_out_ones_are_not(benchmark: Any) -> None:
    """Where this fails: the command with ``--training`` in benchmarks/near_copies.py."""
    result, page = read("training_copies")
    assert page == benchmark.as_training_page(result)
    assert {"digits", "mnist", "fashion-mnist", "lfw62_128", "flowers88_64"} <= set(result)
    for one in result.values():
        assert set(one["hits"]) == set(benchmark.COPIES)
        assert all(hit["certain"] and hit["named_rightly"] >= 0.9 for hit in one["hits"].values())
        assert one["false_alarms"]["found"] <= 0.01
        assert not one["false_alarms"]["certain"]


def test_the_command_measures_a_data_set(benchmark: Any) -> None:
    found = benchmark.measured_training("digits")
    published, _ = read("training_copies")
    wanted = published["digits"]
    assert found["hits"] == wanted["hits"]
    assert found["false_alarms"] == wanted["false_alarms"]
