from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from augmentor.networks import precision
from downstream.precision import computes_bfloat16, faster_in_bfloat16


@pytest.fixture(autouse=True)
def _ask_again() -> Iterator[None]:
    for question in (computes_bfloat16, precision.computes_bfloat16):
        question.cache_clear()
    yield
    for question in (computes_bfloat16, precision.computes_bfloat16):
        question.cache_clear()


@pytest.mark.parametrize("native", [False, True])
def test_only_a_cpu_with_the_instructions_is_faster(
    monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert faster_in_bfloat16(torch.zeros(1, 1, 16, 16)) == native
    assert not faster_in_bfloat16(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("device_type", ["cpu", "cuda", "mps"])
def test_both_packages_give_one_answer(device_type: str) -> None:
    assert computes_bfloat16(device_type) == precision.computes_bfloat16(device_type)
