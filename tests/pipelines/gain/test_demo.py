from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.config import Config, load_config
from pipelines.datasets import load_data
from pipelines.gain import demo
from pipelines.gain.demo import demo_config, demo_run

REPOSITORY = Path(__file__).parents[3]


def test_the_config_file_says_the_same_as_the_code() -> None:
    assert load_config(REPOSITORY / "configs" / "start" / "demo.yaml") == demo_config()


def test_the_demo_keeps_what_is_promised() -> None:
    config = demo_config()
    bundle = load_data(config.data, config.seed)
    assert [bundle.train.counts[digit] for digit in (0, 9)] == [80, 4]
    assert bundle.pool is not None
    assert len(bundle.train) + len(bundle.pool) == 901  # the whole training half
    assert bundle.train.image_shape[1] <= 16
    assert config.gain.replicates >= 5
    assert config.gain.processes == 2
    assert config.source.source_augment == "none"


def test_demo_run_is_the_job_gain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Config, Path]] = []
    monkeypatch.setattr(
        demo,
        "gain_run",
        lambda config, out, progress: calls.append((config, out)) or {"verdict": "v"},
    )
    assert demo_run(tmp_path) == {"verdict": "v"}
    assert calls == [(demo_config(), tmp_path)]
