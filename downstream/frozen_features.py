"""Training of the last layer alone: the features before it are computed once per image and
augmented view, and kept.

A network whose other weights stay gives an image the same features in every step, arm and
replicate. So they are computed once and read again: a training is then one of a linear layer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import timm
import torch
from torch import Generator, Tensor, nn

from augmentor.common.atomic_files import write_bytes
from augmentor.common.randomness import rng_for
from augmentor.common.tensor_files import mapped_tensors
from downstream.augment import Augment, Mix, mixup
from downstream.input_form import WithInputForm

TOGETHER = 8
"""Images of a pass: few, since on a processor larger passes wait for memory; and always as many, so
that rounding does not depend on what else is asked for."""
IN_A_FILE = 256
"""Features that one file holds at most: what is lost if a run is killed."""
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Views:
    """Which versions of an image a last layer learns from.

    Args:
        augment: The augmentation of single images; None shows every image as it is.
        words: What it is, with domain and strength; equal words are the same augmentation.
        count: Versions of every image, 1 or more; the first is the image as it is.

    Example:
        >>> Views().count
        1
    """

    augment: Augment | None = None
    words: str = ""
    count: int = 1

    def address(self, number: int) -> str:
        """What a view is called, beside the image it is of."""
        return f"{self.words}/{number}" if number and self.augment else "plain"

    def of(self, image: Tensor, number: int, key: str) -> Tensor:
        """One view of an image (C, H, W), a function of the image, the words and the number."""
        if not number or self.augment is None:
            return image
        return self.augment(image[None], rng_for("view", key))[0]


PLAIN = Views()


@dataclass
class FeatureStore:
    """Features by key: in memory, and in files that other processes and later runs read.

    Every file is whole or not there. One that is damaged is passed over, and what it held is
    computed again.

    Args:
        folder: Of the files; None keeps them in memory alone.
    """

    folder: Path | None = None
    _rows: dict[str, Tensor] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set)

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those of the keys that have no features yet, each once."""
        wanted = dict.fromkeys(keys)
        if any(key not in self._rows for key in wanted):
            self._read_new_files()
        return [key for key in wanted if key not in self._rows]

    def add(self, keys: Sequence[str], rows: Tensor) -> None:
        """Keep features (N, F) under their keys."""
        self._rows |= dict(zip(keys, rows, strict=True))
        if self.folder is None:
            return
        tensors = {"features": rows.contiguous(), "keys": _as_bytes(keys)}
        data = safetensors.torch.save(tensors, {"sha256": _checksum(tensors)})
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{_digest(*keys)}{SUFFIX}"
        write_bytes(path, data)
        self._read.add(path.name)

    def rows(self, keys: Sequence[str]) -> Tensor:
        """The features of these keys, float32 (N, F)."""
        return torch.stack([self._rows[key] for key in keys])

    def _read_new_files(self) -> None:
        for path in sorted(self.folder.glob(f"*{SUFFIX}")) if self.folder else ():
            if path.name not in self._read:
                self._read.add(path.name)
                self._rows |= _rows_in(path)


def _rows_in(path: Path) -> dict[str, Tensor]:
    """Features by key in a file; none if it is damaged."""
    try:
        found, metadata = mapped_tensors(path)
        tensors = {name: found[name] for name in ("features", "keys")}
        checksum = metadata.get("sha256")
    except (OSError, KeyError, ValueError):
        return {}
    if checksum != _checksum(tensors):
        return {}
    keys = [bytes(row).hex() for row in tensors["keys"].tolist()]
    return dict(zip(keys, tensors["features"], strict=True))


@lru_cache(maxsize=2)
def store_in(folder: Path | None, network: str) -> FeatureStore:
    """The store of a network's features in a folder; one per process, so that it is read once.

    Args:
        folder: Of the run; None keeps features in memory alone.
        network: Digest of the network.
    """
    return FeatureStore(None if folder is None else folder / network)


class FrozenNetwork(nn.Module):
    """A network of which only the last layer learns, and whose features are looked up.

    Args:
        network: A network with timm's interface, its weights loaded, on its device.
        folder: Where features are kept; None keeps them in memory alone.

    Raises:
        ValueError: If the network does not end in one linear layer on pooled features.
    """

    def __init__(self, network: nn.Module, folder: Path | None = None) -> None:
        super().__init__()
        network = network.requires_grad_(False).to(memory_format=torch.channels_last)
        self.network = network.eval()
        self.head = _linear_head(network).requires_grad_(True)
        self.num_features = self.head.in_features
        self.store = store_in(folder, digest_of(network))

    @torch.no_grad()
    def require_plain_head(self, x: Tensor) -> None:
        """Refuse a network whose answers are not its last layer's of its pooled features.

        Args:
            x: An image or more, (N, C, H, W), on the device of the network.

        Raises:
            ValueError: If it is one.
        """
        timm_network = cast(Any, self.network)
        features = timm_network.forward_head(timm_network.forward_features(x), pre_logits=True)
        fits = features.ndim == 2 and features.shape[1] == self.num_features
        if not fits or not torch.allclose(self.head(features), self.network(x), atol=1e-4):
            raise ValueError(
                "the network does more between pooled features and answers than one linear layer; "
                "use --train all, or another network"
            )

    def get_classifier(self) -> nn.Module:
        """The last layer, which learns."""
        return self.head

    def train(self, mode: bool = True) -> FrozenNetwork:
        """Stay in evaluation mode but for the last layer: the statistics belong to the features."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to logits (N, K), from features that are kept."""
        logits: Tensor = self.head(self.forward_features(x))
        return logits

    def forward_features(self, x: Tensor) -> Tensor:
        """Features of images as they are, float32 (N, F), on the device of ``x``."""
        return self.features(x, PLAIN)[:, 0].to(x.device)

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Features (N, F) to logits (N, K), or as they are."""
        return features if pre_logits else cast(Tensor, self.head(features))

    def features(
        self, x: Tensor, views: Views, on_batch: Callable[[], None] | None = None
    ) -> Tensor:
        """Features of every view of images; those that the store lacks are computed.

        Args:
            x: Images, float32 (N, C, H, W) in [-1, 1].
            views: Which versions of each.
            on_batch: Called after every few computed ones; may raise to stop. What is computed
                stays.

        Returns:
            float32 (N, V, F), on the CPU; an image has the same features whatever it is asked for
            with.
        """
        x = x.detach().cpu()
        keys, asked = [], {}
        for number, image in enumerate(x):
            pixels = image.contiguous().numpy().tobytes()
            for view in range(views.count):
                key = _digest(pixels, views.address(view))
                keys.append(key)
                asked[key] = (number, view)
        missing = self.store.missing(keys)
        for start in range(0, len(missing), IN_A_FILE):
            some = missing[start : start + IN_A_FILE]
            images = [views.of(x[asked[key][0]], asked[key][1], key) for key in some]
            self.store.add(some, self._computed(torch.stack(images), on_batch))
        return self.store.rows(keys).view(len(x), views.count, -1)

    @torch.no_grad()
    def _computed(self, x: Tensor, on_batch: Callable[[], None] | None) -> Tensor:
        """Features (N, F) of images, in passes of one size."""
        found, timm_network = [], cast(Any, self.network)
        for part in torch.split(x, TOGETHER):
            full = torch.cat([part, part[:1].expand(TOGETHER - len(part), -1, -1, -1)])
            full = full.to(self.head.weight.device, memory_format=torch.channels_last)
            maps = timm_network.forward_features(full)
            rows = timm_network.forward_head(maps, pre_logits=True)
            found.append(rows[: len(part)].float().cpu())
            if on_batch is not None:
                on_batch()
        return torch.cat(found)


class HeadOnFeatures(nn.Module):
    """A last layer as a classifier of feature rows, for the training loop.

    Args:
        head: Trained in place.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def get_classifier(self) -> nn.Module:
        """The last layer itself."""
        return self.head

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, V, F, 1), of which the first view counts, to logits (N, K)."""
        logits: Tensor = self.head(x[:, 0, :, 0])
        return logits


def random_view(x: Tensor, rng: Generator) -> Tensor:
    """One view of every image, all equally often: features (N, V, F, 1) to (N, 1, F, 1).

    Example:
        >>> random_view(torch.zeros(5, 4, 3, 1), torch.Generator()).shape
        torch.Size([5, 1, 3, 1])
    """
    chosen = torch.randint(x.shape[1], (len(x),), generator=rng, device=rng.device)
    return x[torch.arange(len(x), device=x.device), chosen.to(x.device)][:, None]


FEATURE_MIXES: dict[str, Mix] = {"mixup": mixup, "cutmix": partial(mixup, alpha=1.0)}
"""What mixes of images become for features: mixes of features in the same shares. Features are
means over the places of an image, so those of an image with another's patch are about this mix."""


def feature_mix(names: Iterable[str]) -> Mix | None:
    """The mix of features that the mix of images among ``names`` becomes; None without one.

    Example:
        >>> feature_mix(["classical", "mixup"]) is mixup
        True
    """
    return next((FEATURE_MIXES[name] for name in names if name in FEATURE_MIXES), None)


FROZEN = ("plain", "decoupled", "pretrain", "group_dro", "lisa")
"""The trainings that a last layer alone can have; the others change the features."""


def trains_head(training: str, augment: Iterable[str]) -> bool:
    """Whether a last layer alone can be trained in a way.

    Args:
        training: Key of ``arms.training.TRAININGS``.
        augment: Names of augmentations; an image's views must not depend on others'.

    Example:
        >>> trains_head("plain", ["classical"]), trains_head("mixstyle", [])
        (True, False)
    """
    return training in FROZEN and "fourier" not in augment


def digest_of(network: nn.Module) -> str:
    """Changes with all that decides the features of an image: weights but for the last layer, form
    of the input, kind of device, versions.
    """
    digest = hashlib.sha256(f"{torch.__version__} {timm.__version__}".encode())
    form = network.form if isinstance(network, WithInputForm) else None
    inner = network.network if isinstance(network, WithInputForm) else network
    digest.update(f"{type(inner).__name__} {form}".encode())
    head = {id(one) for one in _linear_head(network).parameters()}
    for name, one in network.state_dict(keep_vars=True).items():
        if id(one) not in head:
            digest.update(f"{name} {one.device.type}".encode())
            digest.update(one.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _linear_head(network: nn.Module) -> nn.Linear:
    last = cast(Any, network).get_classifier()
    if not isinstance(last, nn.Linear):
        raise ValueError(
            f"the network ends in {type(last).__name__}, not in one linear layer on pooled "
            "features; use --train all, or another network"
        )
    return last


def _digest(*parts: bytes | str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()[:32]


def _as_bytes(keys: Sequence[str]) -> Tensor:
    return torch.tensor([list(bytes.fromhex(key)) for key in keys], dtype=torch.uint8)


def _checksum(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
