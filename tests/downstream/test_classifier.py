from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import Generator, Tensor, nn

from downstream.classifier import build_classifier, features
from downstream.evaluate import predict_logits
from downstream.input_form import InputChoice


def images(shape: tuple[int, int, int], count: int = 5) -> Tensor:
    return torch.rand(count, *shape, generator=Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("side", [8, 16, 28, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
def test_auto_fits_every_size(side: int, channels: int) -> None:
    model = build_classifier("auto", 7, (channels, side, side), seed=0)
    x = images((channels, side, side))
    assert predict_logits(model, x).shape == (5, 7)
    assert features(model, x).shape == (5, model.num_features)


def test_stem_keeps_the_resolution_of_small_images_only() -> None:
    def stem_size(side: int) -> int:
        stem = build_classifier("auto", 2, (1, side, side), seed=0).get_submodule("stem")
        return int(stem(torch.zeros(1, 1, side, side)).shape[-1])

    assert [stem_size(side) for side in (8, 16, 28, 32, 64)] == [8, 16, 28, 32, 32]


def test_seed_decides_the_weights_and_the_global_state_stays() -> None:
    before = torch.random.get_rng_state()
    same = [build_classifier("auto", 3, (1, 8, 8), seed=4).state_dict() for _ in range(2)]
    other = build_classifier("auto", 3, (1, 8, 8), seed=5).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(same[0][key], same[1][key]) for key in same[0])
    assert any(not torch.equal(same[0][key], other[key]) for key in other)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_timm_networks_by_name(name: str) -> None:
    model = build_classifier(name, 4, (1, 32, 32), seed=0)
    assert predict_logits(model, images((1, 32, 32))).shape == (5, 4)
    assert features(model, images((1, 32, 32))).shape == (5, model.num_features)


def test_unknown_name_is_refused_with_near_names() -> None:
    with pytest.raises(ValueError, match="resnet1"):
        build_classifier("resnet1", 4, (3, 32, 32), seed=0)
    with pytest.raises(ValueError, match="timm has no network 'no such net'"):
        build_classifier("no such net", 4, (3, 32, 32), seed=0)


def test_network_that_cannot_take_the_images_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot take 1x8x8 images"):
        build_classifier("test_vit", 4, (1, 8, 8), seed=0)


def test_auto_has_no_pretrained_weights(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="auto"):
        build_classifier("auto", 4, (1, 8, 8), seed=0, pretrained=True)
    with pytest.raises(ValueError, match="auto"):
        build_classifier("auto", 4, (1, 8, 8), seed=0, checkpoint_path=tmp_path / "weights.pth")


def test_local_weights_are_loaded(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    first = build_classifier("test_resnet", 4, (1, 32, 32), seed=0)
    save_file(first.state_dict(), tmp_path / "weights.safetensors")
    second = build_classifier(
        "test_resnet",
        4,
        (1, 32, 32),
        seed=1,
        checkpoint_path=tmp_path / "weights.safetensors",
        choice=InputChoice(size=32, crop=1.0, mean=(0.5,), std=(0.5,)),
    )
    x = images((1, 32, 32))
    torch.testing.assert_close(predict_logits(second, x), predict_logits(first, x))


def test_logits_are_the_head_applied_to_the_features() -> None:
    model = build_classifier("auto", 3, (1, 8, 8), seed=0)
    head = model.get_submodule("head.fc")
    assert isinstance(head, nn.Linear)
    x = images((1, 8, 8))
    torch.testing.assert_close(head(features(model, x)).detach(), predict_logits(model, x))


@pytest.mark.parametrize("training", [True, False])
def test_reading_leaves_the_mode_and_ignores_the_batch_size(training: bool) -> None:
    model = build_classifier("auto", 3, (1, 8, 8), seed=0).train(training)
    x = images((1, 8, 8))
    torch.testing.assert_close(features(model, x, batch_size=2), features(model, x))
    torch.testing.assert_close(predict_logits(model, x, batch_size=2), predict_logits(model, x))
    assert model.training is training


@pytest.mark.parametrize("read", [features, predict_logits])
def test_reading_leaves_a_frozen_part_frozen(read: Callable[[nn.Module, Tensor], Tensor]) -> None:
    model = build_classifier("auto", 3, (1, 8, 8), seed=0)
    model.get_submodule("stem").eval()
    before = [part.training for part in model.modules()]
    read(model, images((1, 8, 8)))
    assert [part.training for part in model.modules()] == before
    assert {*before} == {True, False}


@pytest.mark.parametrize("name", ["auto", "test_resnet"])
@pytest.mark.parametrize("choice", [InputChoice(), InputChoice(size=32, crop=1.0)])
def test_all_parts_of_a_new_network_are_in_training_mode(name: str, choice: InputChoice) -> None:
    model = build_classifier(name, 3, (1, 32, 32), seed=0, choice=choice)
    assert all(part.training for part in model.modules())


def test_a_tag_without_its_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"give --pretrained or --weights, or name 'test_resnet'"):
        build_classifier("test_resnet.r160_in1k", 4, (3, 32, 32), seed=0)
    with pytest.raises(ValueError, match=r"near names: test_resnet\.r160_in1k"):
        build_classifier("test_resnet.other", 4, (3, 32, 32), seed=0, pretrained=True)


def test_a_wrong_number_in_a_name_leads_to_names_that_are_near() -> None:
    with pytest.raises(ValueError, match=r"'resnet81'; near names: resnet18, "):
        build_classifier("resnet81", 4, (3, 32, 32), seed=0)
    with pytest.raises(ValueError, match=r"'qqqqqqqq'; timm.list_models\(\) lists all"):
        build_classifier("qqqqqqqq", 4, (3, 32, 32), seed=0)


def test_pretrained_without_a_connection_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def offline(name: str, pretrained: bool = False, **rest: object) -> object:
        if pretrained:
            raise OSError("Check your connection\nand a long story")
        return create(name, **rest)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ValueError, match=r"could not be fetched \(Check your connection\)") as told:
        build_classifier("test_resnet", 4, (3, 32, 32), seed=0, pretrained=True)
    assert "\n" not in str(told.value)
    assert "--weights" in str(told.value)


def test_pretrained_weights_come_from_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    create, asked = timm.create_model, []

    def online(name: str, pretrained: bool = False, **rest: object) -> object:
        asked.append((name, pretrained, rest))
        return create(name, **rest)

    monkeypatch.setattr(timm, "create_model", online)
    model = build_classifier("test_resnet.r160_in1k", 4, (1, 32, 32), seed=0, pretrained=True)
    assert asked[-1] == ("test_resnet.r160_in1k", True, {"num_classes": 4, "in_chans": 1})
    assert predict_logits(model, images((1, 32, 32))).shape == (5, 4)


@pytest.mark.parametrize("size", [100, 17])
def test_a_network_of_a_fixed_other_size_is_refused_with_its_own(size: int) -> None:
    choice = InputChoice(size=size)
    with pytest.raises(ValueError, match="its own size is 160"):
        build_classifier("test_vit", 4, (3, 32, 32), seed=0, choice=choice)


def test_a_network_without_pooled_features_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = nn.Conv2d(3, 4, 3)
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: maps)
    with pytest.raises(ValueError, match="pools no features"):
        build_classifier("test_resnet", 4, (3, 32, 32), seed=0)
