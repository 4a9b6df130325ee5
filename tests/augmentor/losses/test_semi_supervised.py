import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.distributions import Categorical

from augmentor.losses.semi_supervised import (
    class_balance,
    conditional_entropy,
    fake_loss,
    feature_matching,
    labelled_loss,
    pull_away,
    real_logit,
    unlabelled_loss,
)

# Two classes with e^l = 1 and 2: Z = 3, so p(real) = 3 / 4.
LOGITS = torch.tensor([[0.0, math.log(2.0)]])


def logits_of(n=6, k=4, scale=3.0, dtype=torch.float32):
    return scale * torch.randn(n, k, dtype=dtype, generator=torch.Generator().manual_seed(0))


def published(class_logits):
    """Probabilities of the K+1 classes: a softmax with the last logit written out as zero."""
    return torch.cat([class_logits, torch.zeros_like(class_logits[:, :1])], dim=1).softmax(dim=1)


def test_hand_worked_losses():
    assert labelled_loss(LOGITS, torch.tensor([1])).item() == pytest.approx(
        math.log(3 / 2), abs=1e-6
    )
    assert unlabelled_loss(LOGITS).item() == pytest.approx(math.log(4 / 3), abs=1e-6)
    assert fake_loss(LOGITS).item() == pytest.approx(math.log(4), abs=1e-6)
    assert real_logit(LOGITS).item() == pytest.approx(math.log(3), abs=1e-6)


def test_the_losses_equal_the_published_formula_of_k_plus_one_classes():
    logits, y = logits_of(), torch.tensor([0, 1, 2, 3, 0, 1])
    p = published(logits)
    torch.testing.assert_close(unlabelled_loss(logits), -(1 - p[:, -1]).log())
    torch.testing.assert_close(fake_loss(logits), -p[:, -1].log())
    among_real = p[torch.arange(6), y] / (1 - p[:, -1])
    torch.testing.assert_close(labelled_loss(logits, y), -among_real.log())


def test_the_losses_equal_the_form_of_the_authors_code():
    logits = logits_of()
    lse = logits.exp().sum(dim=1).log()
    torch.testing.assert_close(unlabelled_loss(logits), -lse + (1 + lse.exp()).log())
    torch.testing.assert_close(fake_loss(logits), (1 + lse.exp()).log())


@given(st.floats(-200, 200), st.floats(-200, 200))
def test_real_and_fake_probabilities_sum_to_one_and_extreme_logits_stay_finite(a, b):
    logits = torch.tensor([[a, b]])
    real, fake = unlabelled_loss(logits), fake_loss(logits)
    assert real.item() >= 0
    assert fake.item() >= 0
    assert torch.isfinite(torch.cat([real, fake])).all()
    assert (real.neg().exp() + fake.neg().exp()).item() == pytest.approx(1.0, abs=1e-5)


def test_the_labelled_loss_is_deaf_to_a_shift_of_all_logits():
    y = torch.tensor([0, 1, 2, 3, 0, 1])
    torch.testing.assert_close(labelled_loss(logits_of(), y), labelled_loss(logits_of() + 5, y))


def test_feature_matching_by_hand():
    real, fake = torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert feature_matching(real, fake).item() == 2.5  # means (2, 0) and (0, 1): (4 + 1) / 2
    assert feature_matching(real, real.flip(0)).item() == 0.0


def test_pull_away_by_hand():
    features = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    # Squared cosines of the three pairs: 0, 1/2, 1/2; each pair counts twice, over 3 * 2.
    assert pull_away(features).item() == pytest.approx(2 / 6, abs=1e-6)


def test_pull_away_is_zero_for_orthogonal_and_one_for_parallel_features():
    assert pull_away(torch.eye(3)).item() == pytest.approx(0.0, abs=1e-6)
    assert pull_away(torch.tensor([[1.0, 2.0], [-2.0, -4.0], [0.5, 1.0]])).item() == pytest.approx(
        1.0, abs=1e-6
    )


def test_conditional_entropy_equals_torch_distributions():
    torch.testing.assert_close(
        conditional_entropy(logits_of()), Categorical(logits=logits_of()).entropy()
    )
    assert conditional_entropy(torch.full((1, 4), 7.0)).item() == pytest.approx(
        math.log(4), abs=1e-6
    )
    assert conditional_entropy(torch.tensor([[200.0, 0.0]])).item() == 0.0


def test_class_balance_is_the_cross_entropy_of_even_shares_and_mean_probabilities():
    mean = logits_of().softmax(dim=1).mean(dim=0)
    torch.testing.assert_close(class_balance(logits_of()), -mean.log().mean())
    even = 50 * torch.eye(4).repeat(3, 1)  # sure of every image, and as many of each class
    assert class_balance(even).item() == pytest.approx(math.log(4), abs=1e-6)
    assert class_balance(50 * torch.eye(4)[[0, 0, 0, 1]]) > 10


@pytest.mark.parametrize(
    "loss", [unlabelled_loss, fake_loss, conditional_entropy, class_balance, pull_away]
)
def test_gradients(loss):
    assert gradcheck(loss, (logits_of(dtype=torch.double).requires_grad_(),))


def test_gradients_of_two_arguments():
    logits = logits_of(dtype=torch.double).requires_grad_()
    assert gradcheck(
        lambda values: labelled_loss(values, torch.tensor([0, 1, 2, 3, 0, 1])), (logits,)
    )
    assert gradcheck(feature_matching, (logits, logits_of(3, dtype=torch.double).requires_grad_()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: labelled_loss(torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64)),
            "need logits",
        ),
        (lambda: labelled_loss(torch.zeros(2), torch.zeros(2, dtype=torch.int64)), "need logits"),
        (lambda: unlabelled_loss(torch.zeros(3)), r"\(N, K\)"),
        (lambda: fake_loss(torch.zeros(3, 1, 1)), r"\(N, K\)"),
        (lambda: conditional_entropy(torch.zeros(3)), r"\(N, K\)"),
        (lambda: class_balance(torch.zeros(0, 3)), "N >= 1"),
        (lambda: pull_away(torch.zeros(1, 3)), "N >= 2"),
        (lambda: feature_matching(torch.zeros(2, 3), torch.zeros(2, 4)), "shapes differ"),
    ],
)
def test_wrong_shapes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
