"""Tuned rivals of rendered combinations: their settings, and the page of what was found."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import conditions_rivals
from pipelines.config import load_config
from pipelines.gain.arms import own_policies

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "docs" / "results" / "conditions_faces" / "config.yaml"


def test_every_rival_of_the_published_run_is_tuned_and_as_it_was_there() -> None:
    config = load_config(CONFIG)
    found = own_policies(conditions_rivals.tuned(config).gain.policies)
    names = [policy.name for policy in found.values()]
    assert len(names) == len(set(names))
    for rival in config.gain.candidates or ():
        assert rival in names
        assert sum(policy.base == rival for policy in found.values()) >= 2
    assert not any(policy.uses_synthetic for policy in found.values())


def row(name: str, base: str, scores: list[float], share: float = 0.0) -> dict[str, Any]:
    mean = sum(scores) / len(scores)
    return {"name": name, "base": base, "share": share, "scores": scores, "mean": mean} | {
        "rounds": len(scores)
    }


FOUND = {
    "candidates": [
        row("fourier", "fourier", [0.25, 0.35, 0.9]),
        row("fourier with classical", "fourier", [0.3, 0.34]),
        row("lisa", "lisa", [0.1, 0.1]),
        row("classical + 75% synthetic", "classical", [0.5, 0.7, 0.6], 0.75),
    ],
    "chosen": "classical + 75% synthetic",
    "best_without": 0.5,
    "best_rendered": 0.6,
    "ceiling": 0.9,
}


def test_settings_are_compared_in_the_folds_that_all_of_them_ran() -> None:
    best = conditions_rivals.best_of_each(FOUND["candidates"])  # type: ignore[arg-type]
    assert {base: one["name"] for base, one in best.items()} == {
        "fourier": "fourier with classical",
        "lisa": "lisa",
    }


def test_a_data_set_that_was_measured_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def measured(config: Any, change: Any, out: Path) -> dict[str, Any]:
        asked.append(out.name)
        return FOUND

    monkeypatch.setattr(conditions_rivals, "measured", measured)
    file = tmp_path / "rivals.json"
    monkeypatch.setattr(
        sys, "argv", ["x", str(CONFIG), "--out", str(tmp_path / "runs"), "--json", str(file)]
    )
    conditions_rivals.main()
    conditions_rivals.main()
    assert asked == ["yaleb19_64"]
    assert list(json.loads(file.read_text())["datasets"]) == ["yaleb19_64"]
    text = file.with_suffix(".md").read_text()
    assert "| `fourier` | 30.0 | fourier with classical | 32.0 |" in text
    assert "| rendered |  | classical + 75% synthetic | 60.0 |" in text
    assert "the best setting without a generator reached 50.0 %, rendered images 60.0 %" in text
