"""Which folder a call from Python works in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.config import ConfigError
from pipelines.python.given_data import GivenData
from pipelines.python.settings import prepared


def folder_of(keys: dict[str, Any], **settings: Any) -> Path:
    return prepared("gain", GivenData("digits"), keys, settings, None)[1]


def test_a_test_fraction_beside_a_test_set_is_refused() -> None:
    images = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 0, 1])
    with pytest.raises(ConfigError, match=r"gain\(\): data\.test_fraction splits one set"):
        prepared("gain", GivenData(images, images), {}, {"data": {"test_fraction": 0.5}}, None)


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
