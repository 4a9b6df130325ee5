"""How many workers a job has."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from augmentor.common.types import LabelledImages
from augmentor.data.lazy_images import LazyImages, RowsInMemory
from pipelines.config import Config, config_from
from pipelines.datasets import DataBundle
from pipelines.experiment import parallelism
from pipelines.experiment.parallelism import OWN_BYTES, Parallelism, parallelism_of
from pipelines.experiment.setting import Setting, setting_of

Given = tuple[Config, Setting, DataBundle]


def given(x: torch.Tensor | None = None, **changes: Any) -> Given:
    config = config_from({"data": {"data": "digits"}, "device": "cpu", **changes})
    x = torch.zeros(4, 1, 8, 8) if x is None else x
    images = LabelledImages(x, torch.arange(len(x)) % 2, ("a", "b"))
    bundle: Any = SimpleNamespace(
        train=images, test=images, pool=None, hidden=None, available=(2, 2)
    )
    return config, setting_of(config), bundle


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallelism, "usable_cores", lambda: 8)
    monkeypatch.setattr(parallelism, "memory_bytes", lambda: 1e12)


def test_what_was_asked_for_stands() -> None:
    assert parallelism_of(3, *given(threads=4), 20) == Parallelism(3, 4)
    assert parallelism_of(20, *given(), 1) == Parallelism(20, None)


def test_auto_is_a_core_for_every_task() -> None:
    assert parallelism_of("auto", *given(), 5) == Parallelism(5, None)
    assert parallelism_of("auto", *given(), 20) == Parallelism(8, None)
    assert parallelism_of("auto", *given(), 0) == Parallelism(1, None)
    assert parallelism_of("auto", *given(threads=1), 20) == Parallelism(8, 1)
    assert parallelism_of("auto", *given(threads=3), 20) == Parallelism(2, 3)
    assert parallelism_of("auto", *given(threads=16), 20) == Parallelism(1, 16)


def test_auto_takes_half_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallelism, "memory_bytes", lambda: 7 * OWN_BYTES["small"])
    assert parallelism_of("auto", *given(), 20).processes == 3
    large = given(classifier={"name": "resnet18", "pretrained": True, "size": 224})
    assert parallelism_of("auto", *large, 20).processes == 1
    monkeypatch.setattr(parallelism, "memory_bytes", lambda: 1.0)
    assert parallelism_of("auto", *given(), 20).processes == 1


def test_images_that_are_read_from_disk_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = torch.zeros(2000, 1, 32, 32, dtype=torch.uint8)
    monkeypatch.setattr(parallelism, "memory_bytes", lambda: 2e6)
    monkeypatch.setattr(parallelism, "OWN_BYTES", {"small": 1e5})
    assert parallelism_of("auto", *given(LazyImages([RowsInMemory(pixels)])), 20).processes == 8
    assert parallelism_of("auto", *given(pixels.float()), 20).processes == 1


def test_images_that_were_not_chosen_were_in_memory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallelism, "memory_bytes", lambda: 2e6)
    monkeypatch.setattr(parallelism, "OWN_BYTES", {"small": 1e5})
    config, setting, bundle = given()
    assert parallelism_of("auto", config, setting, bundle, 20).processes == 8
    assert parallelism_of("auto", config, setting, bundle, 20, beside=10**6).processes == 1
    whole: Any = SimpleNamespace(**vars(bundle) | {"available": (2000, 2000)})
    assert parallelism_of("auto", config, setting, whole, 20).processes == 1


def test_auto_is_one_on_a_gpu_and_all_on_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Setting, "device_type", property(lambda _: "cuda"))
    assert parallelism_of("auto", *given(), 20) == Parallelism(1, None)
    for name in ("ray", "ray://head:6379"):
        assert parallelism_of("auto", *given(engine={"name": name}), 20) == Parallelism(20, None)
