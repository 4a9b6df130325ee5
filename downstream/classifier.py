"""Classifiers by name: any network of timm, and ``auto``, a small residual network that fits small
images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import timm
import torch
from timm.models import load_checkpoint
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from torch import Tensor, nn


def build_classifier(
    name: str,
    num_classes: int,
    image_shape: Sequence[int],
    *,
    seed: int,
    pretrained: bool = False,
    checkpoint_path: Path | None = None,
) -> nn.Module:
    """Build a classifier with freshly drawn (or loaded) weights.

    ``auto`` is a residual network of timm's blocks for the image size: no down-sampling in the stem
    up to 32 pixels, a stem of stride two above. Every other name is a network of timm as timm
    builds it.

    Args:
        name: ``auto`` or a name timm knows.
        num_classes: Number of classes K, 1 or more.
        image_shape: (C, H, W) of the images.
        seed: Decides the initial weights; the global random state stays untouched.
        pretrained: Load timm's own weights (needs the network once); not for ``auto``.
        checkpoint_path: Weights from a local file instead; not for ``auto``. Its last layer is left
            out if it has another number of classes.

    Returns:
        A network with timm's interface: ``num_features``, ``forward_features``, ``forward_head``.

    Raises:
        ValueError: If timm does not know the name, the network cannot take such images, or the
            weights are another's.
    """
    channels, height, width = image_shape
    if name == "auto" and (pretrained or checkpoint_path):
        raise ValueError("the network 'auto' has no pretrained weights; name a network of timm")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(
            seed
        )  # timm draws from it; manual_seed would touch CUDA's too
        if name == "auto":
            return _small_network(num_classes, channels, max(height, width))
        return _timm_network(
            name, num_classes, (channels, height, width), pretrained, checkpoint_path
        )


def _small_network(num_classes: int, channels: int, side: int) -> nn.Module:
    """A residual network of 2 to 5 one-block stages whose last feature map is 2 to 4 pixels
    wide.
    """
    # (width, stride) of each stage. Fewer and narrower for small images, where training time goes
    # into overhead.
    stages = [(32, 2), (64, 2)] if side <= 12 else [(32, 2), (64, 2), (128, 2)]
    stages += [(256, 2)] if side > 48 else []
    blocks = tuple(ByoBlockCfg(type="basic", d=1, c=width, s=stride) for width, stride in stages)
    config = ByoModelCfg(
        blocks=blocks, stem_chs=32, stem_type="3x3", stem_pool="", downsample="avg"
    )
    network = ByobNet(config, num_classes=num_classes, in_chans=channels)
    if side <= 32:
        cast(Any, network).stem.conv.stride = (1, 1)
    return network


def _timm_network(
    name: str,
    num_classes: int,
    image_shape: tuple[int, int, int],
    pretrained: bool,
    checkpoint_path: Path | None,
) -> nn.Module:
    if not timm.is_model(name):
        near = (
            ", ".join(timm.list_models(f"*{name.split('.')[0]}*")[:5]) or "see timm.list_models()"
        )
        raise ValueError(f"timm has no network {name!r}; near names: {near}")
    channels, height, width = image_shape
    config = timm.get_pretrained_cfg(name)
    sized: dict[str, Any] = (
        {"img_size": (height, width)} if config is not None and config.fixed_input_size else {}
    )
    try:
        network = timm.create_model(
            name, pretrained, num_classes=num_classes, in_chans=channels, **sized
        )
        if checkpoint_path is not None:
            _load_weights(network, checkpoint_path)
        network.eval()(torch.zeros(1, *image_shape))
    except (AssertionError, RuntimeError, TypeError) as error:
        raise ValueError(
            f"the network {name!r} cannot take {channels}x{height}x{width} images: {error}"
        ) from error
    return network


def _load_weights(network: nn.Module, path: Path) -> None:
    """Weights from a file of timm's; a last layer for other classes stays as it was drawn."""
    own, last = network.state_dict(), cast(Any, network).get_classifier()
    prefix = next(name for name, module in network.named_modules() if module is last) + "."

    def fitting(stored: dict[str, Tensor], _: nn.Module) -> dict[str, Tensor]:
        last_layer = {
            key: value for key, value in own.items() if key.startswith(prefix) and key in stored
        }
        return stored | {
            key: value for key, value in last_layer.items() if stored[key].shape != value.shape
        }

    try:
        load_checkpoint(network, str(path), filter_fn=fitting)
    except RuntimeError as error:
        raise ValueError(
            f"the weights in {path} are not of this network: {str(error)[:200]}"
        ) from error


@torch.no_grad()  # not inference_mode: its tensors could never enter a later training step
def features(model: nn.Module, x: Tensor, batch_size: int = 256) -> Tensor:
    """Pooled features of images, as the last layer of the classifier sees them.

    Args:
        model: A network with timm's interface; left in the mode it was in.
        x: Images, shape (N, C, H, W), in [-1, 1].
        batch_size: Images per pass; changes the result by rounding only.

    Returns:
        Features, float32, shape (N, num_features), on the device of ``x``.
    """
    timm_model, training = cast(Any, model), model.training
    device = next(model.parameters()).device
    model.eval()
    parts = [
        timm_model.forward_head(timm_model.forward_features(part.to(device)), pre_logits=True)
        .float()
        .to(x.device)
        for part in torch.split(x, batch_size)
    ]
    model.train(training)
    return torch.cat(parts)
