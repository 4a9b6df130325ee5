"""Laws of what networks are told of a class and a condition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from augmentor.networks.blocks import ConditionalBatchNorm2d
from augmentor.networks.discriminator import Discriminator
from augmentor.networks.generator import Generator
from augmentor.networks.given import WIDTH, ConditionInput, Given

FORMS = [ConditionInput(3), ConditionInput(2, numbers=True)]
K = 4


def rows(n: int, form: ConditionInput, seed: int = 0) -> Tensor:
    """Class probabilities and conditions of n images."""
    rng = torch.Generator().manual_seed(seed)
    classes = torch.eye(K)[torch.arange(n) % K]
    if form.numbers:
        return torch.cat([classes, 2 * torch.rand(n, form.size, generator=rng) - 1], dim=1)
    return torch.cat([classes, torch.eye(form.size)[torch.arange(n) // K % form.size]], dim=1)


@torch.no_grad()
def stirred(network: torch.nn.Module) -> torch.nn.Module:
    """Other weights than those it starts with, of which some are zero."""
    rng = torch.Generator().manual_seed(1)
    for weight in network.parameters():
        weight.add_(0.2 * torch.randn(weight.shape, generator=rng))
    return network.eval()


@pytest.mark.parametrize("form", FORMS)
def test_class_probs_pass_unchanged_and_the_condition_is_embedded(form: ConditionInput) -> None:
    given = rows(8, form)
    out = Given(K, form)(given)
    assert out.shape == (8, K + WIDTH)
    assert torch.equal(out[:, :K], given[:, :K])


def test_without_a_condition_there_is_nothing_to_learn() -> None:
    network, given = Given(K, ConditionInput(0)), torch.eye(K)
    assert network(given) is given
    assert not list(network.parameters())


def test_a_mixture_of_categories_is_the_mixture_of_their_embeddings() -> None:
    network = Given(K, ConditionInput(3))
    pure = network(torch.cat([torch.eye(K)[:3], torch.eye(3)], dim=1))[:, K:]
    shares = torch.tensor([[0.2, 0.3, 0.5]])
    mixed = network(torch.cat([torch.eye(K)[:1], shares], dim=1))[:, K:]
    torch.testing.assert_close(mixed, shares @ pure)


@torch.no_grad()
def test_equal_embeddings_give_equal_images() -> None:
    """Two categories that the embedding cannot tell apart are one to the generator."""
    network = Generator((1, 8, 8), K, 6, 4, True, "transposed", ConditionInput(3))
    stirred(network)
    table = network.given.embedding.weight
    table[:, 1] = table[:, 0]
    z, classes = torch.randn(3, 6), torch.eye(K)[torch.tensor([2, 2, 2])]
    images = network(z[:1].expand(3, -1), torch.cat([classes, torch.eye(3)], dim=1))
    assert torch.allclose(images[0], images[1], rtol=0, atol=1e-6)  # rows may round differently
    assert float((images[0] - images[2]).abs().max()) > 1e-4


@torch.no_grad()
@pytest.mark.parametrize("norm", ["spectral", "batch"])
@pytest.mark.parametrize("form", FORMS)
def test_scores_are_additive_in_class_and_condition(norm: str, form: ConditionInput) -> None:
    """s(c1, l1) - s(c1, l2) = s(c2, l1) - s(c2, l2): what D knows of a condition holds for every
    class, so that a combination never seen is not held against an image."""
    torch.manual_seed(0)
    network = Discriminator((1, 8, 8), K, 4, "projection", norm, condition=form)  # type: ignore[arg-type]
    stirred(network)
    x = torch.rand(1, 1, 8, 8) * 2 - 1
    conditions = rows(K * 2, form)[[0, K], K:]
    scores = torch.stack(
        [
            network(x, torch.cat([torch.eye(K)[c][None], one[None]], dim=1))[0]
            for c in range(K)
            for one in conditions
        ]
    ).view(K, 2)
    differences = scores[:, 0] - scores[:, 1]
    torch.testing.assert_close(differences, differences[:1].expand(K), atol=1e-4, rtol=1e-4)
    assert float(differences[0].abs()) > 1e-3  # the condition counts
    assert float((scores[0, 0] - scores[1, 0]).abs()) > 1e-3  # and so does the class


@torch.no_grad()
def test_more_columns_of_a_norm_start_deaf_and_add() -> None:
    norm = ConditionalBatchNorm2d(3, K, more=2).eval()
    h, classes = torch.randn(4, 3, 5, 5), torch.eye(K)
    plain = norm(h, torch.cat([classes, torch.zeros(4, 2)], dim=1))
    assert torch.equal(norm(h, torch.cat([classes, torch.ones(4, 2)], dim=1)), plain)
    stirred(norm)
    base, one, other, both = (
        norm(h, torch.cat([classes, torch.tensor([pair]).expand(4, 2)], dim=1))
        for pair in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
    )
    torch.testing.assert_close(both - base, (one - base) + (other - base))


def test_the_norm_by_finite_differences() -> None:
    norm = ConditionalBatchNorm2d(2, K, more=2).double()
    stirred(norm)
    norm.train()
    h = torch.randn(3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    given = torch.randn(3, K + 2, dtype=torch.float64, requires_grad=True)

    def run(h: Tensor, given: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        state = {"scale": scale, "shift": shift}
        return torch.func.functional_call(norm, state, (h, given))

    scale, shift = (p.detach().clone().requires_grad_() for p in (norm.scale, norm.shift))
    assert torch.autograd.gradcheck(run, (h, given, scale, shift))


@pytest.mark.parametrize("form", FORMS)
def test_the_embedding_by_finite_differences(form: ConditionInput) -> None:
    network = Given(K, form).double()
    given = rows(5, form).double().requires_grad_()
    parameters = {name: p.detach().requires_grad_() for name, p in network.named_parameters()}

    def run(given: Tensor, *values: Tensor) -> Tensor:
        state = dict(zip(parameters, values, strict=True))
        return torch.func.functional_call(network, state, (given,))

    assert torch.autograd.gradcheck(run, (given, *parameters.values()))
