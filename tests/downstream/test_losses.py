from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Generator, Tensor
from torch.autograd import gradcheck
from torch.nn.functional import cross_entropy, one_hot

from downstream.losses import (
    class_balanced_cross_entropy,
    effective_number_weights,
    logit_adjusted_cross_entropy,
)

Y = torch.tensor([0, 1, 2, 0, 0])
SHARES = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)


def logits() -> Tensor:
    return torch.randn(5, 3, generator=Generator().manual_seed(0), dtype=torch.float64)


def test_effective_numbers_by_hand() -> None:
    # beta 1/2: E of 1 and 2 images is 1 and 3/2, so the weights are as 3 to 2 and their sum is two.
    found = effective_number_weights(torch.tensor([1, 2]), beta=0.5)
    torch.testing.assert_close(found, torch.tensor([1.2, 0.8]))


def test_effective_numbers_lie_between_equal_weights_and_inverse_frequency() -> None:
    counts = torch.tensor([80, 20, 2])
    torch.testing.assert_close(effective_number_weights(counts, 0.0), torch.ones(3))
    inverse = 1 / counts.float()
    torch.testing.assert_close(
        effective_number_weights(counts, 1 - 1e-9), 3 * inverse / inverse.sum(), rtol=1e-3, atol=0
    )
    weights = effective_number_weights(counts)
    assert weights[0] < weights[1] < weights[2]
    assert float(weights.sum()) == pytest.approx(3)


def test_a_class_without_images_weighs_nothing() -> None:
    torch.testing.assert_close(
        effective_number_weights(torch.tensor([4, 0, 4])), torch.tensor([1.0, 0.0, 1.0])
    )


@pytest.mark.parametrize(
    ("counts", "beta"), [([1, 2], 1.0), ([1, 2], -0.1), ([0, 0], 0.9), ([-1, 2], 0.9)]
)
def test_effective_numbers_refuse_nonsense(counts: list[int], beta: float) -> None:
    with pytest.raises(ValueError, match="need beta"):
        effective_number_weights(torch.tensor(counts), beta)


def test_balanced_loss_by_hand() -> None:
    # Two even logits cost log 2 each; the mean over images of weights 3 and 1 is 2 log 2.
    found = class_balanced_cross_entropy(
        torch.zeros(2, 2), torch.tensor([0, 1]), weights=torch.tensor([3.0, 1.0])
    )
    assert float(found) == pytest.approx(2 * math.log(2))


def test_adjusted_loss_by_hand() -> None:
    # Even logits and frequencies 3 : 1 leave the rare class a probability of a quarter.
    found = logit_adjusted_cross_entropy(
        torch.zeros(1, 2), torch.tensor([1]), prior=torch.tensor([3.0, 1.0])
    )
    assert float(found) == pytest.approx(math.log(4))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_both_are_plain_cross_entropy_where_all_classes_are_equal(smoothing: float) -> None:
    plain = cross_entropy(logits(), Y, label_smoothing=smoothing)
    ones = torch.ones(3, dtype=torch.float64)
    weighted = class_balanced_cross_entropy(logits(), Y, weights=ones, label_smoothing=smoothing)
    torch.testing.assert_close(weighted, plain)
    for prior, tau in ((ones, 1.0), (SHARES, 0.0)):
        adjusted = logit_adjusted_cross_entropy(
            logits(), Y, prior=prior, tau=tau, label_smoothing=smoothing
        )
        torch.testing.assert_close(adjusted, plain)


def test_one_is_proportional_to_its_weights_and_the_other_free_of_scale() -> None:
    once = class_balanced_cross_entropy(logits(), Y, weights=SHARES)
    torch.testing.assert_close(
        class_balanced_cross_entropy(logits(), Y, weights=4 * SHARES), 4 * once
    )
    once = logit_adjusted_cross_entropy(logits(), Y, prior=SHARES)
    torch.testing.assert_close(logit_adjusted_cross_entropy(logits(), Y, prior=40 * SHARES), once)


def test_certain_probabilities_are_classes() -> None:
    soft = one_hot(Y, 3).double()
    for loss in (
        partial(class_balanced_cross_entropy, weights=SHARES),
        partial(logit_adjusted_cross_entropy, prior=SHARES),
    ):
        torch.testing.assert_close(loss(logits(), soft), loss(logits(), Y))


def test_the_best_adjusted_logits_of_a_long_tail_are_balanced() -> None:
    # Images that tell nothing: the best bare logits are equal, whatever the frequencies; plain ones
    # are not.
    y = torch.tensor([0] * 6 + [1] * 3 + [2])
    bare = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(
        logit_adjusted_cross_entropy(bare.expand(10, 3), y, prior=SHARES), bare
    )
    torch.testing.assert_close(slope, torch.zeros(3, dtype=torch.float64))
    (slope,) = torch.autograd.grad(cross_entropy(bare.expand(10, 3), y), bare)
    assert float(slope.abs().max()) > 0.1


def test_gradients() -> None:
    x = logits().requires_grad_()
    assert gradcheck(
        lambda x: class_balanced_cross_entropy(x, Y, weights=SHARES, label_smoothing=0.1), x
    )
    assert gradcheck(
        lambda x: logit_adjusted_cross_entropy(x, Y, prior=SHARES, label_smoothing=0.1), x
    )


def test_a_class_without_images_leaves_the_adjusted_loss_finite() -> None:
    prior = torch.tensor([3.0, 2.0, 0.0])
    found = logit_adjusted_cross_entropy(
        torch.zeros(2, 3), torch.tensor([0, 1]), prior=prior, label_smoothing=0.1
    )
    assert math.isfinite(float(found))


def test_shapes_that_do_not_fit_are_refused() -> None:
    for target, of_classes in (
        (Y[:3], SHARES),
        (Y, SHARES[:2]),
        (torch.ones(5, 2).double(), SHARES),
    ):
        with pytest.raises(ValueError, match="need logits"):
            class_balanced_cross_entropy(logits(), target, weights=of_classes)
        with pytest.raises(ValueError, match="need logits"):
            logit_adjusted_cross_entropy(logits(), target, prior=of_classes)
