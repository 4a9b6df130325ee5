from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from augmentor.common.precision import autocast, computes_bfloat16, faster_in_bfloat16

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _ask_again() -> Iterator[None]:
    computes_bfloat16.cache_clear()
    yield
    computes_bfloat16.cache_clear()


def has(monkeypatch: pytest.MonkeyPatch, *, avx512_bf16: bool = False, amx: bool = False) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)


def product() -> torch.dtype:
    return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


@pytest.mark.parametrize("wanted", [False, True])
def test_a_cpu_without_the_instructions_stays_in_float32(
    monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    has(monkeypatch)
    with autocast(CPU, wanted):
        assert product() == torch.float32


@pytest.mark.parametrize("instructions", ["avx512_bf16", "amx"])
def test_a_cpu_with_them_does_as_wanted(monkeypatch: pytest.MonkeyPatch, instructions: str) -> None:
    has(monkeypatch, **{instructions: True})
    with autocast(CPU, True):
        assert product() == torch.bfloat16
    with autocast(CPU, False):
        assert product() == torch.float32


def test_other_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, avx512_bf16=True)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    assert not computes_bfloat16("cuda")  # emulation does not count
    assert not computes_bfloat16("mps")


@pytest.mark.parametrize("native", [False, True])
def test_only_a_cpu_with_the_instructions_is_faster(
    monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    has(monkeypatch, avx512_bf16=native)
    assert faster_in_bfloat16(torch.zeros(1, 1, 16, 16)) == native
    assert not faster_in_bfloat16(torch.zeros(1, 1, 8, 8))
