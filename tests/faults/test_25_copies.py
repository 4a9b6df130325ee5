"""Rendered images that are training images, among real ones that no training has seen: found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from augmentor.data.fingerprint import to_uint8
from augmentor.quality.training_copies import copies_of_training
from pipelines.config import DataConfig
from pipelines.datasets import load_data

Tally = Callable[[int, int, str], None]
COPIED = 0.05


def noisy(x: Tensor) -> Tensor:
    noise = 5 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return (x + noise).round().clamp(0, 255).to(torch.uint8)


ALTERED: dict[str, Callable[[Tensor], Tensor]] = {
    "as they are": lambda x: x,
    "shifted by a pixel": lambda x: functional.pad(x, (1, 0))[..., :-1],
    "mirrored": lambda x: x.flip(-1),
    "25 % brighter": lambda x: (1.25 * x).clamp(0, 255).to(torch.uint8),
    "noisy": noisy,
}


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    """Training images and held-out ones, uint8."""
    bundle = load_data(DataConfig(data="digits"), 0)
    return to_uint8(bundle.train.x), to_uint8(bundle.test.x)


@pytest.mark.parametrize("name", ALTERED)
def test_copies_at_five_percent_are_found(
    digits: tuple[Tensor, Tensor], name: str, tally: Tally
) -> None:
    seen, unseen = digits
    count = round(COPIED * len(unseen))
    copied = torch.linspace(0, len(seen) - 1, count).long()
    found = copies_of_training(seen, torch.cat([unseen[count:], ALTERED[name](seen[copied])]))
    pairs = dict(zip(found.image.tolist(), found.known.tolist(), strict=True))
    first = len(unseen) - count
    right = sum(pairs.get(first + place) == int(row) for place, row in enumerate(copied))
    tally(count, right, f"training digits {name} among 5 %: found and named, with a warning")
    assert found.certain
    assert right >= 0.8 * count  # brighter digits lose what is white already


def test_held_out_images_are_no_copies(digits: tuple[Tensor, Tensor], tally: Tally) -> None:
    seen, unseen = digits
    found = copies_of_training(seen, unseen)
    tally(len(unseen), len(unseen) - len(found), "held-out real digits: not taken for copies")
    assert len(found) <= 0.01 * len(unseen)
    assert not found.certain
