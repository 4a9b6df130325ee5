"""How many tasks run at the same time where nobody said it."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from augmentor.common.types import LabelledImages
from pipelines.config import Config, config_from
from pipelines.datasets import DataBundle
from pipelines.experiment import at_once as module
from pipelines.experiment.at_once import AtOnce, at_once
from pipelines.experiment.setting import Setting, setting_of


def images(side: int = 8) -> LabelledImages:
    return LabelledImages(torch.zeros(4, 1, side, side), torch.arange(4) % 2, ("a", "b"))


def given(**changes: Any) -> tuple[Config, Setting, DataBundle]:
    config = config_from({"data": {"data": "digits"}, "device": "cpu", **changes})
    bundle: Any = SimpleNamespace(train=images(), test=images(), pool=None)
    return config, setting_of(config), bundle


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 8)
    monkeypatch.setattr(module, "memory_bytes", lambda: 1e12)


def test_a_core_and_a_thread_for_every_task() -> None:
    assert at_once(None, *given(), 5) == AtOnce(5, 1)
    assert at_once(None, *given(), 20) == AtOnce(8, 1)


def test_one_task_has_the_threads_of_torch() -> None:
    assert at_once(None, *given(), 1) == AtOnce(1, None)


def test_what_was_asked_for_stands() -> None:
    assert at_once(3, *given(), 20) == AtOnce(3, None)
    assert at_once(None, *given(threads=4), 20) == AtOnce(8, 4)


def test_no_more_than_fit_into_half_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "memory_bytes", lambda: 7 * module.OWN_BYTES)
    assert at_once(None, *given(), 20).processes == 3
    monkeypatch.setattr(module, "memory_bytes", lambda: 1.0)
    assert at_once(None, *given(), 20).processes == 1


def test_a_gpu_has_one_and_a_cluster_all(monkeypatch: pytest.MonkeyPatch) -> None:
    config, setting, bundle = given()
    monkeypatch.setattr(Setting, "device_type", property(lambda _: "cuda"))
    assert at_once(None, config, setting, bundle, 20) == AtOnce(1, None)
    on_ray = config_from({"data": {"data": "digits"}, "engine": {"name": "ray"}})
    assert at_once(None, on_ray, setting, bundle, 20) == AtOnce(20, None)


@pytest.mark.parametrize(
    ("quota", "cores"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 9)]
)
def test_a_containers_quota_counts(tmp_path: Any, quota: str, cores: int) -> None:
    fresh = importlib.util.module_from_spec(module.__spec__)  # type: ignore[arg-type]
    module.__spec__.loader.exec_module(fresh)  # type: ignore[union-attr]
    fresh.QUOTA = tmp_path / "cpu.max"
    fresh.QUOTA.write_text(quota + "\n")
    fresh.os = SimpleNamespace(sched_getaffinity=lambda _: range(9))
    assert fresh.usable_cores() == cores
