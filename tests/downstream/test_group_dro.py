from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from downstream.classifier import build_classifier
from downstream.group_dro import GroupLoss, train_group_dro
from downstream.train import TrainSettings

GROUP = torch.tensor([4, 4, 9, 9, 30, 30])
Y = torch.tensor([0, 0, 1, 1, 0, 1])


def logits(wrong: int) -> torch.Tensor:
    """Sure and right for all images but those of one group."""
    found = 4.0 * torch.nn.functional.one_hot(Y, 2)
    of_group = GROUP.eq(wrong)
    found[of_group] = found[of_group].flip(1)
    return found.requires_grad_()


def test_the_worst_group_gains_weight_and_the_weights_sum_to_one() -> None:
    loss = GroupLoss(GROUP)
    torch.testing.assert_close(loss.weights, torch.full((3,), 1 / 3))
    worst = []
    for step in range(5):
        loss.drawn(torch.arange(6), step)
        loss(logits(wrong=9), Y)
        assert float(loss.weights.sum()) == pytest.approx(1.0)
        worst.append(float(loss.weights[1]))
    assert worst == sorted(worst)
    assert worst[0] > 1 / 3
    assert float(loss.weights[0]) == pytest.approx(float(loss.weights[2]))


def test_the_update_is_that_of_the_paper() -> None:
    loss = GroupLoss(GROUP, step_size=0.5)
    numbers = torch.tensor([0, 2, 3])  # none of the third group
    loss.drawn(numbers, 0)
    given = logits(wrong=9)[numbers]
    value = loss(given, Y[numbers])
    each = cross_entropy(given, Y[numbers], reduction="none").detach()
    mean = torch.stack([each[0], each[1:].mean(), torch.tensor(0.0)])
    raised = torch.exp(0.5 * mean) / 3
    torch.testing.assert_close(loss.weights, raised / raised.sum())
    torch.testing.assert_close(value.detach(), (raised / raised.sum()) @ mean)


def test_with_equal_groups_and_no_step_it_is_the_mean_loss() -> None:
    loss = GroupLoss(GROUP, step_size=0.0)
    loss.drawn(torch.arange(6), 0)
    given = logits(wrong=4)
    torch.testing.assert_close(loss(given, Y), cross_entropy(given, Y))
    smooth = loss(given, Y, label_smoothing=0.1)
    torch.testing.assert_close(smooth, cross_entropy(given, Y, label_smoothing=0.1))


def test_no_gradient_goes_through_the_weights() -> None:
    loss = GroupLoss(GROUP)
    loss.drawn(torch.arange(6), 0)
    loss(logits(wrong=9), Y).backward()
    assert not loss.weights.requires_grad


def test_groups_that_do_not_fit_are_refused() -> None:
    model = build_classifier("auto", 2, (1, 8, 8), seed=0)
    settings = TrainSettings(steps=1, batch_size=2)
    with pytest.raises(ValueError, match="a group for each of 6 images"):
        train_group_dro(model, torch.zeros(6, 1, 8, 8), Y, settings, group=GROUP[:3], seed=0)
