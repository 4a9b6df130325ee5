from __future__ import annotations

from pathlib import Path

import pytest

from augmentor.common.conditions import MISSING
from augmentor.data.combinations import combinations_of
from pipelines.config import Config
from pipelines.datasets import load_data
from pipelines.gain import demo
from pipelines.gain.demo import demo_config, demo_run
from pipelines.workbench.training_parts import bins_of_bundle


def test_the_demo_of_conditions_lacks_combinations_and_rehearses() -> None:
    config = demo_config(conditions=True)
    bundle = load_data(config.data, config.seed)
    table = combinations_of(bundle.train, bins_of_bundle(bundle))
    missing = table.coverage == MISSING
    assert missing.sum(dim=1).sort().values.tolist() == [0] * 5 + [6] * 5
    assert bundle.hidden is not None
    assert config.gain.rehearse


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
    demo_run(tmp_path, conditions=True)
    assert calls == [(demo_config(), tmp_path), (demo_config(conditions=True), tmp_path)]
