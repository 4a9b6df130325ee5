from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from augmentor.common.types import DataError
from pipelines.results import read_newest, read_result, write_result

REPOSITORY = Path(__file__).parents[3]
SCORES = {"errors": [0.1, 0.2], "mean": 0.15, "median": 0.15, "sd": 0.07}
DIFFERENCE = {
    "method": "ours",
    "baseline": "plain",
    "labels": 20,
    "delta": -0.1,
    "ci95": [-0.2, 0.0],
    "ci95_replicates": [-0.19, -0.01],
    "p": 0.05,
    "outcome": "undecided",
    "needed": 12,
}


def result(**changes: Any) -> dict[str, Any]:
    whole = {
        "dataset": "digits",
        "metric": "error",
        "default_method": "ours",
        "methods": {"ours": {"20": SCORES}, "plain": {"20": SCORES}},
        "differences": [DIFFERENCE],
        "scored_on": "test",
        "setup": {"classifier": "auto"},
        "verdict": {"advice": "Use `ours`.", "lines": []},
        "command": "augmentor semi",
        "versions": {"torch": "2"},
        "device": "cpu",
        "seconds": {"total": 1.2},
    }
    return whole | changes


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_result(tmp_path / "semi.json", result(), "semi")
    assert read_result(tmp_path / "semi.json", "semi") == {"schema": 2, **result()}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"setup": {}}, "needs a setup"),
        ({"verdict": "one sentence"}, "a verdict with advice and lines"),
        ({"verdict": {"advice": "", "lines": []}}, "verdict"),
        ({"metric": "accuracy"}, "metric"),
        ({"differences": [DIFFERENCE | {"outcome": "open"}]}, "differences.0.outcome"),
        ({"differences": [DIFFERENCE | {"outcome": None}]}, "the outcome of every difference"),
        ({"differences": [DIFFERENCE | {"baseline": "c"}]}, "'c' with 20 labels, which was not"),
    ],
)
def test_a_result_that_breaks_its_promise_is_not_written(
    tmp_path: Path, changes: dict[str, Any], word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        write_result(tmp_path / "semi.json", result(**changes), "semi")
    assert not (tmp_path / "semi.json").exists()


def test_a_result_of_version_0_1_is_read(tmp_path: Path) -> None:
    old = {key: value for key, value in result().items() if key not in ("metric", "setup")}
    plain = {key: DIFFERENCE[key] for key in ("method", "baseline", "labels", "delta", "ci95", "p")}
    old |= {"schema": 1, "verdict": "ours: 15 % error.", "differences": [plain]}
    (tmp_path / "semi.json").write_text(json.dumps(old))
    assert read_result(tmp_path / "semi.json", "semi") == old
    with pytest.raises(DataError, match=r"semi\.json: an earlier version wrote it"):
        read_newest(tmp_path / "semi.json", "semi")


@pytest.mark.parametrize("name", ["semi_mnist", "semi_fashion"])
def test_the_published_results_are_read(name: str) -> None:
    path = REPOSITORY / "docs" / "results" / name / "result.json"
    assert read_result(path, "semi")["default_method"] == "graph_fixmatch"
