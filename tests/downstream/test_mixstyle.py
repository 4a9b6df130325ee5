from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from downstream import mixstyle as module
from downstream.classifier import build_classifier
from downstream.mixstyle import first_stages, mixed_statistics, mixing_styles


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_share_of_one_is_the_identity_and_a_share_of_zero_is_the_style_of_the_partner() -> None:
    features, partner = noise(4, 3, 5, 5), torch.tensor([1, 2, 3, 0])
    torch.testing.assert_close(mixed_statistics(features, partner, torch.ones(4)), features)
    mixed = mixed_statistics(features, partner, torch.zeros(4))
    assert mixed.shape == features.shape
    torch.testing.assert_close(mixed.mean(dim=(2, 3)), features[partner].mean(dim=(2, 3)))
    wanted = features[partner].std(dim=(2, 3))
    torch.testing.assert_close(mixed.std(dim=(2, 3)), wanted, rtol=1e-3, atol=1e-4)


def test_the_pattern_within_a_channel_stays_and_no_gradient_reaches_the_partner() -> None:
    features = noise(2, 1, 4, 4).requires_grad_()
    mixed = mixed_statistics(features, torch.tensor([1, 0]), torch.tensor([0.3, 0.3]))
    pair = torch.stack([mixed[0].flatten(), features[0].flatten()]).detach()
    assert float(torch.corrcoef(pair)[0, 1]) == pytest.approx(1.0, abs=1e-5)
    (slope,) = torch.autograd.grad(mixed[0].sum(), features)
    assert float(slope[1].abs().sum()) == 0.0


def test_the_gradient_is_the_ratio_of_the_spreads() -> None:
    features, partner = noise(3, 2, 4, 4).double().requires_grad_(), torch.tensor([2, 0, 1])
    share = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    mixed = mixed_statistics(features, partner, share)
    (slope,) = torch.autograd.grad(mixed.sum(), features)
    spread = (features.var(dim=(2, 3), correction=0) + module.EPSILON).sqrt()
    weight = share[:, None]
    ratio = (weight * spread + (1 - weight) * spread[partner]) / spread
    torch.testing.assert_close(slope, ratio[:, :, None, None].expand_as(slope))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="need features"):
        mixed_statistics(noise(2, 3), torch.tensor([1, 0]), torch.ones(2))
    with pytest.raises(ValueError, match="need features"):
        mixed_statistics(noise(2, 1, 2, 2), torch.tensor([1, 0]), torch.ones(3))


def names(model: nn.Module, shape: Sequence[int]) -> list[str]:
    found = first_stages(model, torch.zeros(1, *shape))
    return [name for stage in found for name, part in model.named_modules() if part is stage]


@pytest.mark.parametrize(
    ("network", "side", "stages"),
    [
        ("auto", 8, ["stages.0"]),
        ("auto", 32, ["stages.0", "stages.1"]),
        ("resnet18", 32, ["layer1", "layer2"]),
        ("resnet50", 64, ["layer1", "layer2"]),
        ("convnext_atto", 64, ["stages.0", "stages.1"]),
        ("regnetx_002", 32, ["s1", "s2"]),
        ("densenet121", 32, ["features.denseblock1", "features.denseblock2"]),
    ],
)
def test_the_stages_after_the_stem_are_found(network: str, side: int, stages: list[str]) -> None:
    assert names(build_classifier(network, 3, (3, side, side), seed=0), (3, side, side)) == stages


@pytest.mark.parametrize(
    ("network", "side"), [("vit_tiny_patch16_224", 32), ("swin_tiny_patch4_window7_224", 64)]
)
def test_a_network_without_feature_maps_is_refused(network: str, side: int) -> None:
    model = build_classifier(network, 2, (3, side, side), seed=0)
    with (
        pytest.raises(ValueError, match="no two stages"),
        mixing_styles(model, noise(1, 3, side, side), 0),
    ):
        pass


def test_styles_are_mixed_in_training_mode_alone_and_within_the_block_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PROBABILITY", 1.0)
    x, model = noise(6, 1, 16, 16), build_classifier("auto", 2, (1, 16, 16), seed=0).eval()
    before = model(x)
    state = torch.get_rng_state()
    with mixing_styles(model, x, seed=0):
        assert torch.equal(model(x), before)
        assert not torch.equal(*[_trained_output(model, x) for _ in range(2)])
    assert torch.equal(*[_trained_output(model, x) for _ in range(2)])
    assert torch.equal(state, torch.get_rng_state())


def test_looking_for_the_stages_leaves_a_frozen_part_frozen() -> None:
    model = build_classifier("auto", 2, (1, 16, 16), seed=0)
    model.get_submodule("stem").eval()
    first_stages(model, noise(1, 1, 16, 16))
    assert model.training
    assert not any(part.training for part in model.get_submodule("stem").modules())


def test_a_seed_decides_the_mixing() -> None:
    x, model = noise(6, 1, 16, 16), build_classifier("auto", 2, (1, 16, 16), seed=0)
    found = []
    for seed in (1, 1, 2):
        with mixing_styles(model, x, seed):
            found.append(torch.stack([_trained_output(model, x) for _ in range(4)]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def _trained_output(model: nn.Module, x: Tensor) -> Tensor:
    output: Tensor = model.train()(x).detach()
    model.eval()
    return output
