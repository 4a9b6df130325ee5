from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.summary import conditions
from pipelines.summary.conditions import conditions_summary


def arm(mean: float) -> dict[str, Any]:
    return {"mean": mean}


def row(arm: str, baseline: str, delta: float) -> dict[str, Any]:
    return {"arm": arm, "baseline": baseline, "delta": delta, "ci95": [delta - 0.1, delta + 0.1]}


DOCUMENT: dict[str, Any] = {
    "kind": "gain",
    "metric": "missing_combinations",
    "scored_on": "test",
    "dataset": "faces",
    "regime": "9 of 19 classes keep 4 images",
    "replicates": 10,
    "command": "augmentor gain config.yaml",
    "baselines": {"classical": "trivialaugment"},
    "mixtures": {"factored": "…", "label_only": "…"},
    "policy": {"name": "trivialaugment + 75% synthetic", "share": 0.75, "base": "trivialaugment"},
    "arms": {
        "trivialaugment": arm(0.2),
        "factored": arm(0.8),
        "label_only": arm(0.25),
        "oracle": arm(0.95),
        "auto": arm(0.79),
    },
    "comparisons": [
        row("factored", "trivialaugment", 0.6),
        row("label_only", "trivialaugment", 0.05),
        row("auto", "trivialaugment", 0.59),
        row("factored", "oracle", -0.15),
    ],
}


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def of(document: dict[str, Any]) -> list[dict[str, Any]]:
        path = tmp_path / "faces" / "result.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document), encoding="utf-8")
        monkeypatch.setattr(conditions, "read", lambda path: json.loads(path.read_text("utf-8")))
        found: list[dict[str, Any]] = conditions_summary(tmp_path)["results"]
        return found

    return of


def test_the_best_arm_with_a_generator_stands_beside_the_best_without(summary: Any) -> None:
    (found,) = summary(DOCUMENT)
    assert (found["arm"], found["best_without_generator"]) == ("factored", "trivialaugment")
    assert found["delta"] == 0.6
    assert found["ci95"] == pytest.approx([0.5, 0.7])
    assert found["ceiling"] == 0.95
    assert found["auto"]["behind_best"] == pytest.approx(0.01)
    assert found["scores"]["label_only"] == 0.25


def test_controls_are_never_the_best_arm(summary: Any) -> None:
    arms = {**DOCUMENT["arms"], "label_only": arm(0.9)}
    (found,) = summary({**DOCUMENT, "arms": arms})
    assert found["arm"] == "factored"
    assert found["auto"]["behind_best"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    "change",
    [
        {"metric": "balanced_accuracy"},
        {"scored_on": "held-out training images"},
        {"comparisons": []},
    ],
)
def test_other_runs_are_left_out(summary: Any, change: dict[str, Any]) -> None:
    assert summary({**DOCUMENT, **change}) == []
