"""The form in which a network sees images: size, interpolation, crop, mean and deviation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import timm
import torch
from timm.data.config import resolve_data_config
from torch import Tensor, nn
from torch.nn.functional import interpolate

INTERPOLATIONS = ("bilinear", "bicubic")


@dataclass(frozen=True)
class InputChoice:
    """What a user decides of the form of a network's input; None leaves it to timm's data config.

    Args:
        size: Side in pixels.
        interpolation: One of ``INTERPOLATIONS``.
        crop: Part of the side that the network sees, in the middle, in (0, 1].
        mean: Subtracted, per channel or one number for all, of brightness in [0, 1].
        std: What is divided by, likewise.

    Raises:
        ValueError: If a value is out of range.
    """

    size: int | None = None
    interpolation: str | None = None
    crop: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.interpolation not in (None, *INTERPOLATIONS):
            known = ", ".join(INTERPOLATIONS)
            raise ValueError(f"unknown interpolation {self.interpolation!r}; known: {known}")
        if self.crop is not None and not 0 < self.crop <= 1:
            raise ValueError(f"the crop must lie in (0, 1], got {self.crop}")
        if self.size is not None and self.size < 1:
            raise ValueError(f"the size must be 1 or more, got {self.size}")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError(f"deviations must be above 0, got {self.std}")


@dataclass(frozen=True)
class InputForm:
    """What a network sees of an image.

    Args:
        size: (height, width) in pixels.
        interpolation: One of ``INTERPOLATIONS``.
        crop: Part of the side that is seen, in the middle: the image is resized to ``size / crop``.
        mean: Of brightness in [0, 1], subtracted; one number per channel.
        std: Divided by.

    Example:
        >>> form = InputForm((4, 4), "bilinear", 1.0, (0.5,), (0.5,))
        >>> form(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 1, 4, 4])
    """

    size: tuple[int, int]
    interpolation: str
    crop: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def resized(self) -> int:
        """Side of the square that an image is resized to before it is cropped."""
        return math.floor(max(self.size) / self.crop)

    def __call__(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1], square, to (N, C, *size) of mean 0 and deviation 1."""
        light, side = (x + 1) / 2, self.resized
        if light.shape[-2:] != (side, side):
            light = interpolate(light, (side, side), mode=self.interpolation, antialias=True)
            light = light.clamp(0, 1)  # bicubic curves overshoot
        light = self._middle(light)
        mean, std = torch.tensor([self.mean, self.std], device=x.device, dtype=light.dtype)
        seen: Tensor = (light - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
        return seen

    def _middle(self, x: Tensor) -> Tensor:
        height, width = self.size
        # Rounded as torchvision does, or half a pixel would be lost.
        top, left = round((x.shape[2] - height) / 2), round((x.shape[3] - width) / 2)
        return x[..., top : top + height, left : left + width]

    def words(self, side: int) -> str:
        """The form for a report.

        Args:
            side: Of the images in memory.
        """
        found = f"{self.size[0]}x{self.size[1]}"
        if self.resized != side:
            way = "up" if self.resized > side else "down"
            found += f", images of {side}x{side} scaled {way} ({self.interpolation})"
        if self.resized != max(self.size):
            found += f", the middle of {self.resized}x{self.resized}"
        mean, std = (" ".join(f"{one:.3g}" for one in row) for row in (self.mean, self.std))
        return f"{found}, mean {mean}, deviation {std}"


def input_form(name: str, choice: InputChoice, image_shape: Sequence[int]) -> InputForm:
    """The form that timm's data config gives for a network, but for what the user chose.

    Args:
        name: ``auto``, whose form leaves images as they are, or a name of timm's.
        choice: What the user chose.
        image_shape: (C, H, W) of the images.

    Returns:
        The form for so many channels; grey images get the mean over the channels of mean and
        deviation.

    Raises:
        ValueError: If mean or deviation have another number of channels.

    Example:
        >>> input_form("test_resnet", InputChoice(crop=1.0), (3, 32, 32)).size
        (160, 160)
    """
    channels, height, width = image_shape
    found = data_config(name)
    size = (height, width) if found["input_size"] is None else found["input_size"][1:]
    interpolation = choice.interpolation or found["interpolation"]
    return InputForm(
        size=size if choice.size is None else (choice.size, choice.size),
        interpolation=interpolation if interpolation in INTERPOLATIONS else "bicubic",
        crop=found["crop_pct"] if choice.crop is None else choice.crop,
        mean=_per_channel("mean", choice.mean or found["mean"], channels),
        std=_per_channel("std", choice.std or found["std"], channels),
    )


def data_config(name: str) -> dict[str, Any]:
    """The data config that timm has for a network; that of ``auto`` changes nothing."""
    if name == "auto":
        half = (0.5,)
        unchanged = {"input_size": None, "interpolation": "bilinear", "crop_pct": 1.0}
        return unchanged | {"mean": half, "std": half}
    config: Any = timm.get_pretrained_cfg(name)
    resolve: Any = resolve_data_config
    known = {} if config is None else config.to_dict()
    return cast(dict[str, Any], resolve({"in_chans": 3}, pretrained_cfg=known))


def _per_channel(what: str, values: Sequence[float], channels: int) -> tuple[float, ...]:
    given = tuple(map(float, values))
    if len(given) == channels:
        return given
    if len(given) == 1 or channels == 1:
        return (sum(given) / len(given),) * channels
    raise ValueError(
        f"classifier.{what} has {len(given)} numbers, and the images have {channels} channels"
    )


class WithInputForm(nn.Module):
    """A network behind its input form: it takes images in [-1, 1] of the size in memory.

    Args:
        network: A network with timm's interface.
        form: What it sees of an image.
    """

    def __init__(self, network: nn.Module, form: InputForm) -> None:
        super().__init__()
        self.network, self.form = network, form
        self.num_features = cast(Any, network).num_features

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """The stages as timm lists them, by their names in this module."""
        found = list(getattr(cast(Any, self.network), "feature_info", ()))
        return [{**info, "module": f"network.{info['module']}"} for info in found]

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return cast(nn.Module, cast(Any, self.network).get_classifier())

    def reset_classifier(self, num_classes: int) -> None:
        """Put a new last layer in the place of the old one; 0 classes give features."""
        cast(Any, self.network).reset_classifier(num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to logits (N, K)."""
        logits: Tensor = self.network(self.form(x))
        return logits

    def forward_features(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] to the maps before pooling."""
        return cast(Tensor, cast(Any, self.network).forward_features(self.form(x)))

    def forward_head(self, maps: Tensor, pre_logits: bool = False) -> Tensor:
        """Maps before pooling to logits (N, K), or to features (N, F) before the last layer."""
        return cast(Tensor, cast(Any, self.network).forward_head(maps, pre_logits=pre_logits))
