"""Classifiers by name: any network of timm, and ``auto``, a small residual network that fits small
images.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

import timm
import torch
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from torch import Tensor, nn

from augmentor.common.evaluation import evaluating
from downstream.input_form import InputChoice, WithInputForm, input_form
from downstream.weights import load_weights, names_differ, read_weights

AS_TIMM_SAYS = InputChoice()


def build_classifier(
    name: str,
    num_classes: int,
    image_shape: Sequence[int],
    *,
    seed: int,
    pretrained: bool = False,
    checkpoint_path: Path | None = None,
    choice: InputChoice = AS_TIMM_SAYS,
) -> nn.Module:
    """Build a classifier with freshly drawn (or loaded) weights.

    ``auto`` is a residual network of timm's blocks for the image size: no down-sampling in the stem
    up to 32 pixels, a stem of stride two above. Every other name is a network of timm as timm
    builds it. With trained weights, or where ``choice`` says something, it sees images in the form
    of ``input_form``; a new network has learned no form, and sees them as they are.

    Args:
        name: ``auto`` or a name timm knows; with the tag of trained weights only where they are
            loaded.
        num_classes: Number of classes K, 1 or more.
        image_shape: (C, H, W) of the images.
        seed: Decides the initial weights; the global random state stays untouched.
        pretrained: Load timm's own weights (needs a network connection once); not for ``auto``.
        checkpoint_path: Weights from a local file instead; not for ``auto``. Its last layer is left
            out if it has another number of classes.
        choice: What of the input form timm's data config does not decide.

    Returns:
        A network with timm's interface, in training mode as torch makes them: ``num_features``,
        ``forward_features``, ``forward_head``. It takes images of ``image_shape`` in [-1, 1],
        whatever it sees of them.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If timm does not know the name, the network cannot take such images, or the
            weights are not to be had or another's.

    Example:
        >>> build_classifier("auto", 2, (1, 8, 8), seed=0)(torch.zeros(1, 1, 8, 8)).shape
        torch.Size([1, 2])
    """
    trained = pretrained or checkpoint_path is not None
    _refuse_name(name, pretrained=pretrained, trained=trained)
    form = None
    if trained or choice != AS_TIMM_SAYS:
        form = input_form(name, choice, image_shape)
    seen = (image_shape[0], *(image_shape[1:] if form is None else form.size))
    with torch.random.fork_rng(devices=[]):
        # timm draws from it; manual_seed would touch CUDA's too
        torch.default_generator.manual_seed(seed)
        if name == "auto":
            network = _small_network(num_classes, seen[0], max(seen[1:]))
        else:
            network = _timm_network(name, num_classes, seen, pretrained)
    if checkpoint_path is not None:
        load_weights(network, checkpoint_path)
    return network if form is None else WithInputForm(network, form)


def _refuse_name(name: str, *, pretrained: bool, trained: bool) -> None:
    """Refuse a name that timm does not know, or whose weights are not the ones asked for."""
    if name == "auto":
        if trained:
            raise ValueError("the network 'auto' has no pretrained weights; name a network of timm")
        return
    known, tag = timm.is_model(name), name.partition(".")[2]
    if not known or (tag and tag not in tags_of(name)):
        stem = name.split(".")[0]
        near = [f"{stem}.{one}" for one in tags_of(name)] or timm.list_models(f"*{stem}*")[:5]
        near = near or get_close_matches(stem, timm.list_models(), n=5)
        words = f"near names: {', '.join(near)}" if near else "timm.list_models() lists all"
        raise ValueError(f"timm has no network {name!r}; {words}")
    if tag and not trained:
        raise ValueError(
            f"{name!r} names trained weights, which are loaded only on request: give --pretrained "
            f"or --weights, or name {name.partition('.')[0]!r} to begin with random ones"
        )
    if pretrained and not tags_of(name):
        raise ValueError(f"timm has no trained weights for {name!r}; give a file by --weights")


def tags_of(name: str) -> tuple[str, ...]:
    """The tags of the trained weights that timm has for a network, the default one first."""
    stem = name.partition(".")[0]
    found = timm.list_pretrained(f"{stem}.*") + timm.list_pretrained(stem)
    return tuple(one.partition(".")[2] for one in dict.fromkeys(found))


def matched_by_order(name: str, path: Path) -> bool:
    """Whether the weights in a file have other names than a network of timm's, and so are matched
    by order.

    Raises:
        OSError: If the file cannot be opened.
        WeightsError: If it is not one of weights.
    """
    return names_differ(timm.create_model(name), read_weights(path))


def _small_network(num_classes: int, channels: int, side: int) -> nn.Module:
    """A residual network of 2 to 4 one-block stages, fewer for small images."""
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
    name: str, num_classes: int, seen: tuple[int, ...], pretrained: bool
) -> nn.Module:
    """A network of timm's for images of the shape ``seen``, (C, H, W)."""
    config = timm.get_pretrained_cfg(name)
    options: dict[str, Any] = {"num_classes": num_classes, "in_chans": seen[0]}
    if config is not None and config.fixed_input_size:
        options["img_size"] = seen[1:]
    try:
        network: nn.Module = timm.create_model(name, **options)
        with evaluating(network):
            logits = network(torch.zeros(1, *seen))
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        shape = "x".join(map(str, seen))
        own = "" if config is None else f"; its own size is {config.input_size[1]}"
        raise ValueError(
            f"the network {name!r} cannot take {shape} images: {error}{own}"
        ) from error
    _refuse_maps(name, network, logits, num_classes)
    return _pretrained(name, options) if pretrained else network


def _pretrained(name: str, options: dict[str, Any]) -> nn.Module:
    """The network with the weights that timm fetches, or finds where it keeps them."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)  # every one of its retries is a line
    try:
        return timm.create_model(name, pretrained=True, **options)
    except Exception as error:  # the client of the hub has a dozen of its own
        reason = str(error).strip().partition("\n")[0][:120] or type(error).__name__
        raise ValueError(
            f"the trained weights of {name!r} are not on this machine and could not be fetched "
            f"({reason}); connect to the network once, or give a file by --weights"
        ) from error
    finally:
        logger.setLevel(level)


def _refuse_maps(name: str, network: nn.Module, logits: Any, num_classes: int) -> None:
    """Refuse a network that does not end in pooled features and one answer per class."""
    pooled = hasattr(network, "forward_head") and hasattr(network, "num_features")
    if not isinstance(logits, Tensor) or logits.shape != (1, num_classes) or not pooled:
        raise ValueError(
            f"the network {name!r} pools no features and gives no answer per class; name another, "
            "such as resnet18"
        )


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
    timm_model, device = cast(Any, model), next(model.parameters()).device
    with evaluating(model):
        parts = [
            timm_model.forward_head(timm_model.forward_features(part.to(device)), pre_logits=True)
            .float()
            .to(x.device)
            for part in torch.split(x, batch_size)
        ]
    return torch.cat(parts)
