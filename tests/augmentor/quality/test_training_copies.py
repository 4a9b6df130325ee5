from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from augmentor.quality import training_copies
from augmentor.quality.training_copies import copies_of_training


def pictures(count: int, seed: int, blots: int = 5, side: int = 16) -> Tensor:
    """Smooth pictures, as photos are, uint8 (count, 1, side, side); of few blots they are alike."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (count, 1, blots, blots), generator=rng, dtype=torch.uint8)
    return functional.interpolate(coarse, size=side, mode="bicubic", antialias=True)


def noisy(x: Tensor) -> Tensor:
    noise = 5 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return (x + noise).round().clamp(0, 255).to(torch.uint8)


ALTERED: dict[str, Callable[[Tensor], Tensor]] = {
    "exact": lambda x: x,
    "shifted": lambda x: functional.pad(x, (1, 0))[..., :-1],
    "mirrored": lambda x: x.flip(-1),
    "brighter": lambda x: (1.2 * x).clamp(0, 255).to(torch.uint8),
    "noisy": noisy,
}
SEEN, UNSEEN = pictures(700, 1), pictures(400, 2)


@pytest.fixture(params=["all", "chosen"])
def _compared(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all training images, and with those that a coarse look chooses."""
    if request.param == "chosen":
        monkeypatch.setattr(training_copies, "MOST_KNOWN", 300)


@pytest.mark.usefixtures("_compared")
@pytest.mark.parametrize("name", ALTERED)
def test_copies_at_five_percent_are_found_and_named(name: str) -> None:
    chosen = torch.arange(100, 112)
    samples = torch.cat([UNSEEN[:228], ALTERED[name](SEEN[chosen])])
    found = copies_of_training(SEEN, samples)
    assert found.certain
    pairs = dict(zip(found.image.tolist(), found.known.tolist(), strict=True))
    right = [pairs.get(228 + place) == int(number) for place, number in enumerate(chosen)]
    assert sum(right) >= 11
    assert len(found) - 12 <= 0.01 * 228


@pytest.mark.usefixtures("_compared")
def test_real_images_that_were_not_seen_are_no_alarm() -> None:
    found = copies_of_training(SEEN, UNSEEN)
    assert len(found) <= 0.01 * len(UNSEEN)
    assert not found.certain
    assert found.false_alarm_rate <= 0.01


def test_many_training_images_that_are_alike_are_no_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each held-out picture finds a close one among 8,000, though no copy of it."""
    monkeypatch.setattr(training_copies, "MOST_KNOWN", 300)
    monkeypatch.setattr(training_copies, "HELD_OUT", 500)
    seen, unseen = pictures(8000, 1, blots=2, side=8), pictures(1000, 2, blots=2, side=8)
    found = copies_of_training(seen, torch.cat([unseen, seen[100:150].flip(-1)]))
    assert (found.image < 1000).sum() <= 0.01 * len(unseen)
    assert found.certain
    assert found.known[found.image >= 1000].tolist() == [*range(100, 150)]


def test_floats_are_looked_at_like_pixels() -> None:
    samples = torch.cat([UNSEEN[:20], SEEN[5:7]])
    found = copies_of_training(SEEN / 127.5 - 1, samples / 127.5 - 1)
    assert found.known.tolist() == [5, 6]
