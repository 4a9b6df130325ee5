"""The jobs with parts on a Ray cluster, from the configuration to the result file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.compare.run import compare_run
from pipelines.config import Config, config_from
from pipelines.semi.run import semi_run
from pipelines.verify.run import verify_run
from tests.pipelines.compare import made_up
from tests.pipelines.faces import SIDE, write_pairs, write_people

pytest.importorskip("ray", reason="needs the extra ray")

TIMES = ("seconds", "_per_second", "_per_1000", "command")
"""What tells two equal runs apart, by the end of its name."""
SEMI: dict[str, Any] = {
    "data": {"data": "digits", "size": 8},
    "classifier": {"steps": 3, "batch_size": 16},
    "semi": {"labels": [20], "subsets": 2, "methods": ["supervised", "classical"]},
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    from benchmarks.scale_tools import ray_cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        with ray_cluster():
            yield


def semi(root: Path) -> dict[str, Any]:
    return SEMI


def compare(root: Path) -> dict[str, Any]:
    whole = dict(made_up.TINY)
    return whole | {"compare": whole["compare"] | {"families": whole["compare"]["families"][:1]}}


def verify(root: Path) -> dict[str, Any]:
    write_people(root / "people")
    write_pairs(root / "pairs")
    return {
        "data": {"data": str(root / "people"), "size": SIDE},
        "classifier": {"steps": 10, "batch_size": 16, "strength": 0.0},
        "verify": {"pairs": str(root / "pairs"), "replicates": 1},
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("job", "settings"), [(semi_run, semi), (compare_run, compare), (verify_run, verify)]
)
def test_a_job_on_a_cluster_finds_what_it_finds_here(
    cluster: None,
    tmp_path: Path,
    job: Callable[[Config, Path], dict[str, Any]],
    settings: Callable[[Path], dict[str, Any]],
) -> None:
    whole, found = settings(tmp_path) | {"device": "cpu", "threads": 1}, []
    for engine in ("local", "ray"):
        out = tmp_path / engine
        job(config_from(whole | {"engine": {"name": engine}}), out)
        found.append(lasting(json.loads(next(out.glob("*.json")).read_text())))
        assert list((out / "parts").iterdir())
    assert found[0] == found[1]


def lasting(value: Any) -> Any:
    """A result without times."""
    if isinstance(value, dict):
        return {name: lasting(one) for name, one in value.items() if not name.endswith(TIMES)}
    if isinstance(value, list):
        return [lasting(one) for one in value]
    return value
