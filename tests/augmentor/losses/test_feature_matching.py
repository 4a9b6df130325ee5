import pytest
import torch
from torch.autograd import gradcheck

from augmentor.losses.feature_matching import (
    class_feature_matching,
    class_means,
    half_squared_distance,
    mean_feature_matching,
)


def test_half_squared_distance_sums_over_everything_but_the_batch():
    a, b = torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)
    b[1] = 2.0
    assert half_squared_distance(a, b).tolist() == [2.0, 8.0]  # 4 * 1 / 2 and 4 * 4 / 2
    assert half_squared_distance(a, a).tolist() == [0.0, 0.0]


def test_half_squared_distance_refuses_to_broadcast():
    with pytest.raises(ValueError, match="shapes differ"):
        half_squared_distance(torch.zeros(2, 3), torch.zeros(1, 3))


def test_half_squared_distance_gradient_is_the_difference():
    a, b = torch.randn(2, 3, 4, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    assert gradcheck(half_squared_distance, (a.requires_grad_(), b.requires_grad_()))


def test_mean_feature_matching_by_hand():
    assert mean_feature_matching(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])).item() == 2.5


def test_class_feature_matching_counts_present_classes_only():
    real, fake = torch.zeros(3, 2), torch.tensor([[1.0, 1.0], [2.0, 0.0], [9.0, 9.0]])
    assert (
        class_feature_matching(real, fake, torch.tensor([True, True, False])).item() == 3.0
    )  # 1 + 2


def test_class_feature_matching_is_invariant_to_the_order_of_classes():
    real, fake = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1))
    present, order = torch.tensor([True, False, True, True]), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(
        class_feature_matching(real, fake, present),
        class_feature_matching(real[order], fake[order], present[order]),
    )


def test_an_absent_class_gets_no_gradient():
    fake = torch.ones(2, 3, requires_grad=True)
    class_feature_matching(torch.zeros(2, 3), fake, torch.tensor([True, False])).backward()
    assert fake.grad.tolist() == [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]


def test_class_means_equal_a_loop():
    y = torch.tensor([0, 2, 2, 0, 2])
    features = torch.randn(5, 4, generator=torch.Generator().manual_seed(2))
    means, present = class_means(features, torch.nn.functional.one_hot(y, 3).float())
    assert present.tolist() == [True, False, True]
    for c in (0, 2):
        torch.testing.assert_close(means[c], features[y == c].mean(dim=0))
    assert means[1].tolist() == [0.0] * 4
