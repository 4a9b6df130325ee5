from __future__ import annotations

import pytest
import torch
from torch import nn

from downstream.classifier import build_classifier
from downstream.domain_adversarial import (
    reversal_at,
    reverse_gradient,
    train_domain_adversarial,
)
from downstream.train import TrainSettings, train_classifier

SETTINGS = TrainSettings(steps=3, batch_size=4)


def test_the_reversal_is_the_identity_forward_and_negates_the_gradient() -> None:
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    turned = reverse_gradient(x, 0.25)
    assert torch.equal(turned, x)
    upstream = torch.arange(6.0).view(3, 2)
    (slope,) = torch.autograd.grad(turned, x, upstream)
    torch.testing.assert_close(slope, -0.25 * upstream)


def test_the_reversal_grows_from_nothing_to_almost_one() -> None:
    values = [reversal_at(step / 10) for step in range(11)]
    assert values[0] == 0.0
    assert values == sorted(values)
    assert 0.999 < values[-1] < 1


def data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return x, torch.arange(8) % 2, torch.arange(8) // 4


def test_the_network_is_left_without_listeners_and_in_evaluation_mode() -> None:
    x, y, condition = data()
    model = build_classifier("auto", 2, (1, 8, 8), seed=0)
    names = list(model.state_dict())
    state = torch.get_rng_state()
    given = train_domain_adversarial(model, x, y, SETTINGS, condition=condition, bins=2, seed=0)
    assert given is model
    assert list(model.state_dict()) == names
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert not any(module.training for module in model.modules())
    assert torch.equal(state, torch.get_rng_state())


def test_the_condition_has_a_say() -> None:
    x, y, condition = data()
    found = []
    for told in (condition, condition.flip(0)):
        model = build_classifier("auto", 2, (1, 8, 8), seed=0)
        train_domain_adversarial(model, x, y, SETTINGS, condition=told, bins=2, seed=0)
        found.append(model(x).detach())
    assert not torch.equal(*found)


def test_an_adversary_without_weight_leaves_plain_training() -> None:
    x, y, condition = data()
    plain, heard = (build_classifier("auto", 2, (1, 8, 8), seed=0) for _ in range(2))
    train_classifier(plain, x, y, SETTINGS, seed=0)
    train_domain_adversarial(heard, x, y, SETTINGS, condition=condition, bins=2, seed=0, weight=0.0)
    torch.testing.assert_close(heard(x), plain(x))


def test_what_does_not_fit_is_refused() -> None:
    x, y, condition = data()
    model = build_classifier("auto", 2, (1, 8, 8), seed=0)
    with pytest.raises(ValueError, match="the bin of each of 8 images"):
        train_domain_adversarial(model, x, y, SETTINGS, condition=condition[:2], bins=2, seed=0)
    model.head.fc = nn.Identity()  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="not in one linear layer"):
        train_domain_adversarial(model, x, y, SETTINGS, condition=condition, bins=2, seed=0)
