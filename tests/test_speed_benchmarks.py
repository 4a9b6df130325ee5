"""The benchmarks of speed run: small trials, whose figures mean nothing."""

import json
import sys
from importlib import import_module

import pytest

TRIALS = {
    "training": ["--sizes", "8x4", "--rounds", "1"],
    "classifiers": ["--sides", "8", "--steps", "2", "--rounds", "1"],
    "mixing": ["--quick"],
    "writing": ["--quick"],
    "oversampling": [
        "--data",
        "digits",
        "--per-class",
        "80",
        "--imbalance",
        "10",
        "--steps",
        "2",
        "--draws",
        "1",
    ],
}


@pytest.mark.parametrize("name", TRIALS)
def test_a_benchmark_writes_its_figures(name, tmp_path, monkeypatch):
    out = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", [name, *TRIALS[name], "--json", str(out)])
    import_module(f"benchmarks.speed.{name}").main()
    found = json.loads(out.read_text(encoding="utf-8"))
    if name == "training":
        assert found["8x4"]["ms"] > 0
        assert "busy" not in found["8x4"]  # a CPU has only wall time
    elif name == "classifiers":
        assert found["classifiers"] == 8
        assert found["8"]["times_as_fast"] > 0
    elif name == "writing":
        assert found["28"]["times_as_fast"] > 0
    elif name == "oversampling":
        assert found["images"]["smote"] == found["images"]["generator"] > 10 * 60
    else:
        assert set(found["overhead"]) == {"folder", "shards", "live source"}
        assert found["images"] == 160
