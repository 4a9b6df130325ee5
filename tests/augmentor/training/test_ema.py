import copy

import torch
from torch import nn

from augmentor.networks.dense import GaussianNoise
from augmentor.training.ema import recompute_batch_norm


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), GaussianNoise(0.5))


def test_statistics_become_those_of_the_batches():
    model = network().eval()
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) + 2
    model[1](torch.full((4, 2), 100.0))  # whatever was there before is forgotten
    recompute_batch_norm(model, x.split(20))
    h = model[0](x)
    torch.testing.assert_close(model[1].running_mean, h.mean(dim=0))
    variances = torch.stack([part.var(dim=0) for part in h.split(20)])
    torch.testing.assert_close(model[1].running_var, variances.mean(dim=0))


def test_modes_momentum_and_weights_stay():
    model = network().train()
    model[0].eval()
    model[1].eval()
    before = copy.deepcopy(model)
    recompute_batch_norm(model, [torch.randn(8, 3)])
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert model[1].momentum == before[1].momentum
    assert all(
        torch.equal(p, q) for p, q in zip(model.parameters(), before.parameters(), strict=True)
    )


def test_a_model_without_batch_norm_is_not_run():
    recompute_batch_norm(nn.Linear(3, 2), iter([torch.zeros(1, 99)]))
