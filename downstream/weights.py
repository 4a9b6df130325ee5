"""Trained weights from a file: read without running code, and laid into a network by name or, where
the names are another library's, by order.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from augmentor.common.given_files import MOST_TENSORS, open_given
from augmentor.common.tensor_files import mapped_tensors

WRAPPED_IN = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Keys under which training scripts keep the weights, the best ones first."""
COUNTER = "num_batches_tracked"
"""Batches that a batch norm has seen: no weight, and absent in older files."""


class WeightsError(ValueError):
    """A file of weights cannot be used; names the file, the first misfit and both shapes."""


@dataclass(frozen=True)
class Fitted:
    """Weights as a network takes them.

    Args:
        state: By the network's own names; a last layer for other classes is left out.
        by_order: Whether they were matched by order, since the names differ.
    """

    state: dict[str, Tensor]
    by_order: bool


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights in a file.

    Args:
        path: safetensors, or what ``torch.save`` made of a state dict, alone or under a key that
            training scripts use (``state_dict``, ``model``, …); of two the averaged one is taken.

    Returns:
        Tensors by name in the order of the file, on the CPU.

    Raises:
        OSError: If the file cannot be opened.
        WeightsError: If it is damaged, or holds other objects than tensors.
    """
    found = _read(path)
    for key in WRAPPED_IN:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
            break
    if not isinstance(found, Mapping):
        raise WeightsError(f"{path} holds {type(found).__name__}, not a state dict")
    # A network trained on several GPUs was wrapped in another one.
    named = {str(name).removeprefix("module."): one for name, one in found.items()}
    weights = {name: one for name, one in named.items() if isinstance(one, Tensor)}
    if not weights:
        raise WeightsError(f"{path} holds no weights; save the state dict of the network")
    return weights


def load_weights(network: nn.Module, path: Path) -> bool:
    """Give a network of timm's the weights in a file; a last layer for other classes stays.

    Args:
        network: Changed in place.
        path: As in ``read_weights``.

    Returns:
        Whether they were matched by order.

    Raises:
        OSError: If the file cannot be opened.
        WeightsError: If they do not fit.
    """
    try:
        fitted = fitted_weights(network, read_weights(path))
    except WeightsError as error:
        raise WeightsError(str(error).replace("the file", str(path), 1)) from error
    network.load_state_dict(fitted.state, strict=False)
    return fitted.by_order


def fitted_weights(network: nn.Module, found: Mapping[str, Tensor]) -> Fitted:
    """Match weights with those of a network: by name, or by order where all shapes then fit.

    The first layer is adapted to another number of channels as timm does it: grey images get the
    sum over the channels, more channels get copies that add up to the same.

    Args:
        network: A network of timm's.
        found: Weights by name.

    Returns:
        What the network can load.

    Raises:
        WeightsError: If neither fits; names the first misfit and both shapes.

    Example:
        >>> import timm
        >>> network = timm.create_model("test_resnet")
        >>> other = {f"their_{name}": one for name, one in network.state_dict().items()}
        >>> fitted_weights(network, other).by_order
        True
    """
    by_order, last, first = names_differ(network, found), _last_layer(network), _stems(network)
    own, found = _without_counters(network.state_dict()), _without_counters(found)
    pairs = [(name, name) for name in own if name in found]
    if by_order:
        pairs = list(zip(own, found, strict=False))
    state = {}
    for name, theirs in pairs:
        weight = found[theirs]
        if name in first:
            weight = _adapted(weight, own[name])
        if weight.shape == own[name].shape:
            state[name] = weight
        elif not name.startswith(last):
            raise WeightsError(_misfit(name, own[name], theirs, found[theirs]))
    if by_order and len(own) != len(found):
        raise WeightsError(_other_length(own, found, len(pairs)))
    return Fitted(state, by_order)


def names_differ(network: nn.Module, found: Mapping[str, Tensor]) -> bool:
    """Whether weights have other names than a network's, its last layer aside.

    Args:
        network: A network of timm's.
        found: Weights by name.
    """
    own, last = _without_counters(network.state_dict()), _last_layer(network)
    body = {name for name in own if not name.startswith(last)}
    return not body <= set(_without_counters(found)) <= set(own)


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return mapped_tensors(path)[0]
        with open_given(path, MOST_TENSORS) as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is damaged, or holds more than tensors, which is never loaded; save the "
            "state dict of the network alone"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0][:120]
        raise WeightsError(
            f"{path} is not a file of weights, or damaged ({reason}); give safetensors or a state "
            "dict saved by torch"
        ) from error


def _without_counters(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: one for name, one in weights.items() if not name.endswith(COUNTER)}


def _last_layer(network: nn.Module) -> tuple[str, ...]:
    """How the names of the weights of the last layers begin; some networks have two."""
    last = cast(Any, network).get_classifier()
    layers = last if isinstance(last, tuple | list) else (last,)
    return tuple(f"{name}." for name, one in network.named_modules() if one in layers)


def _stems(network: nn.Module) -> tuple[str, ...]:
    """Names of the weights that see the channels of an image."""
    named = (getattr(network, "pretrained_cfg", None) or {}).get("first_conv") or ()
    layers = (named,) if isinstance(named, str) else tuple(named)
    return tuple(f"{name}.weight" for name in layers)


def _adapted(weight: Tensor, own: Tensor) -> Tensor:
    """The weights of a first layer for the number of channels of ``own``, (O, C, H, W)."""
    if weight.ndim != 4 or own.ndim != 4 or weight.shape[1] == own.shape[1]:
        return weight
    wanted, given = own.shape[1], weight.shape[1]
    if wanted == 1:
        return weight.sum(dim=1, keepdim=True)
    copies = weight.repeat(1, math.ceil(wanted / given), 1, 1)[:, :wanted]
    return copies * (given / wanted)


def _misfit(name: str, own: Tensor, theirs: str, found: Tensor) -> str:
    return (
        f"the weights in the file do not fit: {name} has the shape {tuple(own.shape)} in the "
        f"network, and {theirs} has {tuple(found.shape)}; name the network that they are of"
    )


def _other_length(own: Mapping[str, Tensor], found: Mapping[str, Tensor], paired: int) -> str:
    more, where = (own, "network") if len(own) > len(found) else (found, "file")
    name = list(more)[paired]
    other = "file" if where == "network" else "network"
    return (
        f"the weights in the file do not fit: {name} of the {where}, {tuple(more[name].shape)}, "
        f"has no counterpart in the {other}; name the network that they are of"
    )
