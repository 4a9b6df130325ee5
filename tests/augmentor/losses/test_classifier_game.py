import math

import pytest
import torch
from torch.autograd import gradcheck

from augmentor.losses.classifier_game import classifier_game


def test_a_value_worked_by_hand():
    # Logits (log 3, 0): p = 3/4 of the likeliest class; log(1 - sigma(0)) = -log 2, log(1 -
    # sigma(log 3)) = -log 4.
    class_logits = torch.tensor([[math.log(3), 0.0], [0.0, math.log(3)]])
    found = classifier_game(class_logits, torch.tensor([0.0, math.log(3)]))
    assert found.tolist() == pytest.approx([-0.519860, -1.039721], abs=1e-6)


def test_a_pair_taken_for_true_draws_the_classifier_more():
    class_logits = torch.tensor([[1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    classifier_game(class_logits, torch.tensor([-1.0, 1.0])).sum().backward()
    assert class_logits.grad[1, 0] < class_logits.grad[0, 0] < 0


def test_classes_have_no_order_and_the_discriminator_no_gradient():
    class_logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    fake_logits = torch.randn(5, generator=torch.Generator().manual_seed(1), requires_grad=True)
    loss = classifier_game(class_logits, fake_logits)
    torch.testing.assert_close(classifier_game(class_logits.flip(1), fake_logits), loss)
    assert (loss <= 0).all()
    assert not loss.requires_grad


def test_gradient():
    class_logits = torch.randn(
        3, 4, dtype=torch.double, generator=torch.Generator().manual_seed(0), requires_grad=True
    )
    fake_logits = torch.tensor([-2.0, 0.0, 3.0], dtype=torch.double)
    assert gradcheck(lambda logits: classifier_game(logits, fake_logits), (class_logits,))


@pytest.mark.parametrize("shape", [(4,), (3, 1), ()])
def test_shapes_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match="class logits"):
        classifier_game(torch.zeros(3, 2), torch.zeros(shape))
