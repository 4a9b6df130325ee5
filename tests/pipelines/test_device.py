from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipelines import device
from pipelines.config import ConfigError
from pipelines.device import device_named, threads_of_a_worker, usable_cores


def machine(monkeypatch: pytest.MonkeyPatch, *, gpus: int, apple: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)


@pytest.mark.parametrize(
    ("gpus", "apple", "found"),
    [(1, False, "cuda"), (1, True, "cuda"), (0, True, "mps"), (0, False, "cpu")],
)
def test_auto_takes_what_there_is(
    monkeypatch: pytest.MonkeyPatch, gpus: int, apple: bool, found: str
) -> None:
    machine(monkeypatch, gpus=gpus, apple=apple)
    assert device_named("auto") == torch.device(found)
    assert device_named(found) == torch.device(found)


@pytest.mark.parametrize(("gpus", "asked"), [(0, "cuda"), (0, "cuda:0"), (1, "cuda:1"), (1, "mps")])
def test_a_device_that_is_not_here_is_refused(
    monkeypatch: pytest.MonkeyPatch, gpus: int, asked: str
) -> None:
    machine(monkeypatch, gpus=gpus)
    with pytest.raises(
        ConfigError, match=f"^device {asked}: not on this machine; give --device cpu$"
    ):
        device_named(asked)


def test_a_worker_has_the_threads_it_is_given_or_its_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(device, "usable_cores", lambda: 8)
    for threads, processes, expected in ((3, 1, 3), (3, 2, 3), (None, 4, 2), (None, 16, 1)):
        with threads_of_a_worker(threads, processes):
            assert torch.get_num_threads() == expected
        assert torch.get_num_threads() == before
    with threads_of_a_worker(None, 1):
        assert torch.get_num_threads() == before
    with pytest.raises(RuntimeError, match="stopped"), threads_of_a_worker(before + 1, 1):
        raise RuntimeError("stopped")
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("quota", "cores"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 9)]
)
def test_a_containers_quota_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quota: str, cores: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(9), raising=False)
    (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setattr(device, "QUOTAS", ((str(tmp_path / "cpu.max"), None),))
    assert usable_cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [("300000", 3), ("-1", 9)])
def test_the_older_form_of_a_quota_counts_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quota: str, cores: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(9), raising=False)
    files = (tmp_path / "quota", tmp_path / "period")
    for file, text in zip(files, (quota, "100000"), strict=True):
        file.write_text(text + "\n")
    monkeypatch.setattr(device, "QUOTAS", ((str(files[0]), str(files[1])),))
    assert usable_cores() == cores
