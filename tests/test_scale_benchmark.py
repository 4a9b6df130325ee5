"""The parts of the benchmark of many machines that need no cluster, and its published figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.scale import page
from benchmarks.scale_tools import RESTART, Times, simulated

ROOT = Path(__file__).parents[1]
FIGURES = json.loads((ROOT / "docs" / "results" / "scale.json").read_text())


@pytest.mark.parametrize("workers", [1, 10, 100])
def test_without_deaths_the_rate_is_that_of_the_workers_or_of_the_driver(workers: int) -> None:
    times = Times(render=1.0, driver=0.02, images=256)
    rate = simulated(times, workers, deaths_per_hour=0, shards=2000)
    assert rate == pytest.approx(256 * min(workers / times.render, 1 / times.driver), rel=0.06)


def test_a_death_costs_the_shard_and_the_restart() -> None:
    times, per_hour = Times(render=1.0, driver=0.0, images=1), 60.0
    rate = simulated(times, 4, per_hour, shards=20_000)
    lost = per_hour / 3600 * (RESTART + 0.5)  # seconds per shard; some die twice
    assert rate == pytest.approx(4 / (1 + lost), rel=0.05)


def test_the_page_is_that_of_the_figures() -> None:
    assert (ROOT / "docs" / "results" / "scale.md").read_text() == page(FIGURES)


def test_nothing_was_lost_or_made_twice() -> None:
    assert (FIGURES["schema"], FIGURES["lost"], FIGURES["double"]) == (1, 0, 0)
    assert FIGURES["ray_equal"]
    assert FIGURES["ray_images"] == 100_000
    assert FIGURES["kills"] > 0
    assert FIGURES["million_images"] == 1_000_000
    assert FIGURES["peak_mb"] < 1500
