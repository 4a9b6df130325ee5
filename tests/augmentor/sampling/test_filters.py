from __future__ import annotations

import math
import pickle

import pytest
import torch
from torch import Tensor, nn

from augmentor.sampling.filters import both, confidence_filter, realism_filter
from augmentor.sampling.synthesize import render


def logits(x: Tensor) -> Tensor:
    """Class 0 has the probability the first pixel says, class 1 the rest."""
    p = x[:, 0, 0, 0].double()
    return torch.stack([p.log(), (1 - p).log()], 1)


def images(*probabilities: float) -> Tensor:
    return torch.tensor(probabilities)[:, None, None, None]


def test_keeps_what_reaches_the_threshold_for_the_asked_class() -> None:
    accept = confidence_filter(logits, 0.7)
    assert accept(images(0.71, 0.69, 0.29, 0.31), torch.tensor([0, 0, 1, 1])).tolist() == [
        True,
        False,
        True,
        False,
    ]


def test_exactly_the_threshold_passes() -> None:
    assert confidence_filter(logits, 0.5)(images(0.5), torch.tensor([1])).tolist() == [True]


def test_zero_keeps_everything_and_one_needs_certainty() -> None:
    x, y = images(1e-30, 0.999), torch.tensor([0, 0])
    assert confidence_filter(logits, 0)(x, y).tolist() == [True, True]
    assert confidence_filter(logits, 1)(x, y).tolist() == [False, False]


def test_nan_is_no_confidence() -> None:
    assert confidence_filter(lambda x: torch.full((1, 2), math.nan), 0.1)(
        images(0.5), torch.tensor([0])
    ).tolist() == [False]


def test_judge_gets_no_gradient() -> None:
    weight = torch.ones(1, requires_grad=True)
    assert not confidence_filter(lambda x: logits(x) * weight, 0.5)(
        images(0.5), torch.tensor([0])
    ).requires_grad


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
def test_no_probability(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        confidence_filter(logits, threshold)


class Levels:
    """Shows its latent; class 1 is ten times as bright."""

    classes, image_shape, latent_dim = ("dim", "bright"), (1, 1, 1), 1

    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        return (0.02 * z[:, 0] * torch.where(y == 1, 10, 1)).clamp(-1, 1).view(-1, 1, 1, 1)


def brightness(x: Tensor, y: Tensor) -> Tensor:
    return x[:, 0, 0, 0]


def test_the_least_real_part_of_every_class_is_dropped() -> None:
    accept = realism_filter(Levels(), brightness, 0.25, seed=0)
    for index, scale in enumerate((0.02, 0.2)):
        y = torch.full((2000,), index)
        x = render(Levels(), index, 2000, seed=0)[0]
        kept = accept(x, y)
        assert float(kept.float().mean()) == pytest.approx(0.75, abs=0.06)
        assert float(x[kept].min()) > float(x[~kept].max())
        assert float(x[kept].min()) == pytest.approx(
            -0.674 * scale, rel=0.2
        )  # the quartile of a normal


def test_dropping_none_keeps_everything_and_all_is_refused() -> None:
    accept = realism_filter(Levels(), brightness, 0.0, seed=0)
    assert accept(torch.full((1, 1, 1, 1), -1.0), torch.tensor([0])).tolist() == [True]
    for share in (1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="share"):
            realism_filter(Levels(), brightness, share, seed=0)


def test_both_filters_must_agree() -> None:
    high, even = (lambda x, y: y > 1), (lambda x, y: y % 2 == 0)
    assert both(high, even)(torch.zeros(4, 1, 1, 1), torch.arange(4)).tolist() == [
        False,
        False,
        True,
        False,
    ]


def test_a_judge_in_training_mode_judges_by_what_it_has_learned_and_stays_as_it_is() -> None:
    judge = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(1), nn.Linear(1, 2))
    with torch.no_grad():
        judge[2].weight.copy_(torch.tensor([[0.0], [9.0]]))
        judge[2].bias.zero_()
    before = {key: value.clone() for key, value in judge.state_dict().items()}
    accept = confidence_filter(judge, 0.9)
    assert accept(torch.full((4, 1, 1, 1), 0.9), torch.ones(4, dtype=torch.int64)).all()
    assert judge.training
    assert all(torch.equal(value, before[key]) for key, value in judge.state_dict().items())


def test_filters_go_to_worker_processes() -> None:
    real = realism_filter(Levels(), brightness, 0.5, seed=0)
    filters = pickle.loads(pickle.dumps(both(real, confidence_filter(logits, 0.5))))
    assert filters(images(0.9), torch.ones(1, dtype=torch.int64)).shape == (1,)
