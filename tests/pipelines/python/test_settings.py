"""Which folder a call from Python works in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.python.given_data import GivenData
from pipelines.python.settings import prepared


def folder_of(keys: dict[str, Any], **settings: Any) -> Path:
    return prepared("gain", GivenData("digits"), keys, settings, None)[1]


def test_where_a_run_is_made_does_not_decide_its_folder() -> None:
    """So that a stopped run is resumed with more workers, or on a cluster."""
    usual = folder_of({"gain.replicates": 3})
    for key, value in (
        ("gain.processes", "auto"),
        ("device", "cpu"),
        ("threads", 1),
        ("engine.name", "ray"),
    ):
        assert folder_of({"gain.replicates": 3, key: value}) == usual, key
    assert folder_of({"gain.replicates": 3}, gain={"processes": 2}) == usual
    assert folder_of({"gain.replicates": 4}) != usual
    assert folder_of({"gain.processes": 2}) == folder_of({}) != usual
