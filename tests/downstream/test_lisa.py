from __future__ import annotations

import pytest
import torch
from torch import Tensor

from downstream.classifier import build_classifier
from downstream.lisa import Partners, mixed_halves, train_lisa
from downstream.train import TrainSettings

# Two images of each combination of three classes and three conditions.
Y = torch.arange(3).repeat_interleave(6)
CONDITION = torch.arange(3).repeat(6)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_two_images_share_the_class_or_the_condition_and_never_both() -> None:
    numbers = torch.arange(18).repeat(20)
    partner = Partners(Y, CONDITION, rng()).of(numbers)
    same_class = Y[numbers] == Y[partner]
    same_condition = CONDITION[numbers] == CONDITION[partner]
    assert bool((same_class ^ same_condition).all())
    assert float(same_class.float().mean()) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_partners_share_the_class_as_often_as_asked(share: float) -> None:
    y, condition = torch.arange(8) // 4, torch.arange(8) % 4
    partners = Partners(y, condition, torch.Generator().manual_seed(0), within_class=share)
    numbers = torch.arange(8).repeat(500)
    same = y[partners.of(numbers)] == y[numbers]
    assert float(same.double().mean()) == pytest.approx(share, abs=0.03)


def test_a_share_that_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="within_class must be in"):
        Partners(torch.arange(2), torch.arange(2), torch.Generator(), within_class=1.2)


def test_where_one_kind_of_partner_is_missing_it_is_the_other_or_the_image_itself() -> None:
    # Image 0 shares its condition alone, 1 its class and its condition, 3 nothing.
    y, condition = torch.tensor([0, 1, 1, 2]), torch.tensor([0, 0, 5, 9])
    partners = Partners(y, condition, rng())
    found = partners.of(torch.tensor([0, 1, 2, 3]).repeat(30)).view(30, 4)
    assert set(found[:, 0].tolist()) == {1}
    assert set(found[:, 1].tolist()) == {0, 2}
    assert set(found[:, 2].tolist()) == {1}
    assert set(found[:, 3].tolist()) == {3}


def test_partners_are_drawn_as_often_as_images() -> None:
    weights = torch.ones(18)
    weights[(Y == 1) & (CONDITION == 0)] = 0
    numbers = torch.zeros(200, dtype=torch.int64)  # class 0, condition 0
    partner = Partners(Y, CONDITION, rng(), weights).of(numbers)
    across = partner[Y[partner] != 0]
    assert set(Y[across].tolist()) == {2}


def test_a_mix_lies_between_the_two_halves() -> None:
    x = torch.cat([torch.zeros(50, 1, 2, 2), torch.ones(50, 1, 2, 2)])
    y = torch.cat([torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])]).repeat_interleave(50, 0)
    mixed, probabilities = mixed_halves(x, y, rng())
    assert mixed.shape == (50, 1, 2, 2)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(50))
    torch.testing.assert_close(mixed[:, 0, 0, 0], probabilities[:, 1])
    assert float(mixed.mean()) == pytest.approx(0.5, abs=0.1)
    assert float(mixed[:, 0, 0, 0].var()) == pytest.approx(0.05, abs=0.02)  # of Beta(2, 2)


def test_every_image_is_augmented_before_it_is_mixed() -> None:
    seen: list[int] = []

    def augment(x: Tensor, rng: torch.Generator) -> Tensor:
        seen.append(len(x))
        return x

    model = build_classifier("auto", 3, (1, 8, 8), seed=0)
    settings, x = TrainSettings(steps=2, batch_size=4), torch.rand(18, 1, 8, 8, generator=rng())
    train_lisa(model, x, Y, settings, condition=CONDITION, seed=0, augment=augment)
    assert seen == [8, 8]
    with pytest.raises(ValueError, match="a condition for each of 18 images"):
        train_lisa(model, x, Y, settings, condition=CONDITION[:2], seed=0)
