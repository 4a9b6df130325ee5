import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from augmentor.losses.gradient_penalty import gradient_penalty


def linear(*slope):
    return lambda x: x.flatten(1) @ torch.tensor(slope, dtype=x.dtype)


def test_the_penalty_of_a_linear_critic_is_that_of_its_slope():
    x_real, x_fake, mix = torch.randn(4, 2), torch.randn(4, 2), torch.rand(4)
    # Slope (3, 4) has norm 5: (5 - 1)^2. Slope (0.6, 0.8) has norm 1.
    assert gradient_penalty(linear(3.0, 4.0), x_real, x_fake, mix).tolist() == pytest.approx(
        [16.0] * 4
    )
    assert gradient_penalty(linear(0.6, 0.8), x_real, x_fake, mix).tolist() == pytest.approx(
        [0.0] * 4, abs=1e-6
    )


def test_the_slope_is_taken_between_the_pair():
    def square(x):
        return 0.5 * x.square().sum(dim=1)  # its slope at x is x itself

    x_real, x_fake = torch.tensor([[4.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    found = [
        gradient_penalty(square, x_real, x_fake, torch.tensor([share])).item()
        for share in (1.0, 0.5, 0.25)
    ]
    assert found == pytest.approx([9.0, 1.0, 0.0], abs=1e-5)  # slopes 4, 2, 1


def test_the_penalty_teaches_the_critics_weights():
    weight = torch.randn(
        3, 2, dtype=torch.double, generator=torch.Generator().manual_seed(0), requires_grad=True
    )
    x_real, x_fake = torch.randn(
        2, 5, 3, dtype=torch.double, generator=torch.Generator().manual_seed(1)
    )
    mix = torch.rand(5, dtype=torch.double, generator=torch.Generator().manual_seed(2))

    def penalty(w):
        return gradient_penalty(lambda x: torch.tanh(x @ w).sum(dim=1), x_real, x_fake, mix)

    assert gradcheck(penalty, (weight,))


def test_a_flat_critic_gives_a_finite_gradient():
    critic = nn.Linear(2, 1)
    nn.init.zeros_(critic.weight)
    gradient_penalty(
        lambda x: critic(x)[:, 0], torch.ones(2, 2), torch.zeros(2, 2), torch.rand(2)
    ).sum().backward()
    assert critic.weight.grad.isfinite().all()


@pytest.mark.parametrize(("fake", "mix"), [((3, 2), (4,)), ((4, 2), (4, 1))])
def test_shapes_that_do_not_pair_are_refused(fake, mix):
    with pytest.raises(ValueError, match="shapes differ"):
        gradient_penalty(linear(1.0, 0.0), torch.zeros(4, 2), torch.zeros(fake), torch.zeros(mix))
