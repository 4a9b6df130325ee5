from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config
from torch import Generator, Tensor

from downstream.classifier import build_classifier, features
from downstream.evaluate import predict_logits
from downstream.input_form import InputChoice, InputForm, WithInputForm, input_form
from downstream.mixstyle import first_stages


def picture(side: int, channels: int = 3) -> Tensor:
    """A smooth random image in 256 levels, (1, C, H, W) in [-1, 1]."""
    rough = torch.rand(1, channels, 7, 7, generator=Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(rough, (side, side), mode="bicubic").clamp(0, 1)
    return (smooth * 255).round() / 127.5 - 1


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18.a1_in1k", "test_resnet"])
@pytest.mark.parametrize("side", [96, 256, 400])
def test_it_is_what_timms_own_transform_gives(name: str, side: int) -> None:
    x = picture(side)
    levels = ((x[0] + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
    config = resolve_data_config({}, pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    theirs = create_transform(**config)(Image.fromarray(np.ascontiguousarray(levels)))
    ours = input_form(name, InputChoice(), (3, side, side))(x)[0]
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() < 0.06  # a level or two: Pillow rounds after each axis


def test_a_choice_overrides_the_data_config() -> None:
    choice = InputChoice(64, "bilinear", 1.0, (0.1, 0.2, 0.3), (0.5,))
    form = input_form("resnet18", choice, (3, 32, 32))
    assert form == InputForm((64, 64), "bilinear", 1.0, (0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    part = input_form("resnet18", InputChoice(size=64), (3, 32, 32))
    assert part.size == (64, 64)
    assert part.mean == timm.get_pretrained_cfg("resnet18").mean


def test_grey_images_get_the_mean_over_the_channels() -> None:
    form = input_form("resnet18", InputChoice(), (1, 28, 28))
    assert form.mean == pytest.approx((np.mean([0.485, 0.456, 0.406]),))
    assert form(picture(28, channels=1)).shape == (1, 1, 224, 224)


def test_the_form_of_auto_changes_nothing() -> None:
    x = picture(16)
    torch.testing.assert_close(input_form("auto", InputChoice(), (3, 16, 16))(x), x)


def test_mean_and_deviation_come_out() -> None:
    form = InputForm((2, 2), "bilinear", 1.0, (0.25,), (0.5,))
    assert (
        form(torch.full((1, 1, 2, 2), 0.5)).flatten().tolist() == [1.0] * 4
    )  # (0.75 - 0.25) / 0.5


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"interpolation": "nearest"}, "unknown interpolation"),
        ({"crop": 1.5}, "crop must lie"),
        ({"size": 0}, "size must be"),
        ({"std": (0.0,)}, "above 0"),
    ],
)
def test_values_out_of_range_are_refused(choice: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        InputChoice(**choice)  # type: ignore[arg-type]


def test_two_means_for_three_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="2 numbers, and the images have 3"):
        input_form("resnet18", InputChoice(mean=(0.1, 0.2)), (3, 32, 32))


def test_what_is_scaled_is_told() -> None:
    form = input_form("test_resnet", InputChoice(crop=0.8), (3, 64, 64))
    words = form.words(64)
    assert "160x160" in words
    assert "images of 64x64 scaled up" in words
    assert "200x200" in words
    assert "scaled" not in form.words(200)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_trained_network_sees_its_own_form(tmp_path: Path, channels: int) -> None:
    stored = build_classifier("test_resnet", 4, (3, 160, 160), seed=0)
    save_file(stored.state_dict(), tmp_path / "w.safetensors")
    path = tmp_path / "w.safetensors"
    model = build_classifier("test_resnet", 4, (channels, 32, 32), seed=1, checkpoint_path=path)
    assert isinstance(model, WithInputForm)
    x = picture(32, channels)
    seen = model.form(x)
    assert seen.shape == (1, channels, 160, 160)
    torch.testing.assert_close(predict_logits(model, x), predict_logits(model.network, seen))
    assert features(model, x).shape == (1, model.num_features)
    if channels == 3:
        torch.testing.assert_close(predict_logits(model, x), predict_logits(stored, seen))
    assert len(first_stages(model, x)) == 2


def test_without_weights_and_wishes_images_are_seen_as_they_are() -> None:
    assert not isinstance(build_classifier("test_resnet", 4, (3, 32, 32), seed=0), WithInputForm)
    wished = build_classifier("test_resnet", 4, (3, 32, 32), seed=0, choice=InputChoice(size=64))
    assert isinstance(wished, WithInputForm)
    assert wished.form.size == (64, 64)
