import copy

import pytest
import torch

from augmentor.networks.dense import (
    DenseBackbone,
    DenseGenerator,
    GaussianNoise,
    WeightNormLinear,
    noise_from,
    standardise,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=4, shape=(1, 8, 8)):
    return torch.rand(n, *shape, generator=rng()) * 2 - 1


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 10, 6), (1, 28, 28)])
def test_any_image_shape_goes_in_and_comes_out(shape):
    assert DenseBackbone(shape).eval()(images(2, shape)).shape == (2, 250)
    x_fake = DenseGenerator(shape)(torch.randn(3, 100, generator=rng()))
    assert x_fake.shape == (3, *shape)
    assert x_fake.abs().max() <= 1


def test_the_published_widths():
    backbone = DenseBackbone((1, 28, 28))
    sizes = [
        tuple(layer.direction.shape)
        for layer in backbone.layers
        if isinstance(layer, WeightNormLinear)
    ]
    assert sizes == [(1000, 784), (500, 1000), (250, 500), (250, 250), (250, 250)]
    noises = [layer.deviation for layer in backbone.layers if isinstance(layer, GaussianNoise)]
    assert noises == [0.3, 0.5, 0.5, 0.5, 0.5]
    trained = sum(p.numel() for p in DenseGenerator((1, 28, 28)).parameters() if p.requires_grad)
    assert (
        trained == 100 * 500 + 500 + 500 * 500 + 500 + 500 * 784 + 784 + 784
    )  # the two norms shift only


def test_a_weight_normed_layer_by_hand():
    layer = WeightNormLinear(2, 1, train_scale=True)
    with torch.no_grad():
        layer.direction.copy_(torch.tensor([[3.0, 4.0]]))
        layer.scale.fill_(10.0)
        layer.bias.fill_(1.0)
    assert layer(torch.tensor([[1.0, 1.0]])).item() == pytest.approx(15.0)  # 10 * (3 + 4) / 5 + 1
    with torch.no_grad():
        layer.direction.mul_(7)
    assert layer(torch.tensor([[1.0, 1.0]])).item() == pytest.approx(
        15.0
    )  # the length of the direction is nothing


def test_noise_comes_from_the_lent_generator_and_in_training_only():
    noise, h = GaussianNoise(0.5), torch.zeros(20000, 1)
    torch.testing.assert_close(noise.eval()(h), h)
    noise.train()
    with pytest.raises(RuntimeError, match="noise_from"):
        noise(h)
    network = DenseBackbone((1, 8, 8), widths=(20, 10))
    state = torch.random.get_rng_state()
    draws = []
    for seed in (1, 1, 2):
        with noise_from(network, rng(seed)):
            draws.append(network(images()))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(state, torch.random.get_rng_state())
    copy.deepcopy(network)  # as the averaged model does; a generator left behind could not be saved


def test_noise_has_the_deviation_asked_for():
    noise = torch.nn.Sequential(GaussianNoise(0.5), torch.nn.Linear(1, 1, bias=False))
    torch.nn.init.ones_(noise[1].weight)
    with noise_from(noise, rng()):
        assert noise(torch.zeros(20000, 1)).std().item() == pytest.approx(0.5, rel=0.03)


def test_a_standardised_network_has_unit_variance_before_every_rectifier():
    torch.manual_seed(0)
    network, x = (
        DenseBackbone((1, 8, 8), widths=(20, 10), input_noise=0.0, hidden_noise=0.0),
        images(200),
    )
    standardise(network, x, rng())
    seen = []
    for layer in network.layers:
        if isinstance(layer, WeightNormLinear):
            layer.register_forward_hook(lambda *args: seen.append(args[2]))
    network(x)
    assert len(seen) == 2
    for out in seen:
        torch.testing.assert_close(out.mean(dim=0), torch.zeros(out.shape[1]), atol=1e-4, rtol=0)
        torch.testing.assert_close(
            out.std(dim=0, correction=0), torch.ones(out.shape[1]), atol=1e-3, rtol=0
        )


def test_a_unit_that_does_not_vary_stays_finite():
    layer = WeightNormLinear(3, 2, train_scale=False)
    layer.standardise(torch.zeros(5, 3))
    assert layer(torch.ones(1, 3)).isfinite().all()


def test_the_generators_latents_become_uniform():
    seen = []
    network = DenseGenerator((1, 2, 2), latent_dim=1, width=3)
    network.layers.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    network(torch.tensor([[0.0], [8.0], [-8.0]]))
    assert seen[0].flatten().tolist() == pytest.approx([0.5, 1.0, 0.0], abs=1e-6)
