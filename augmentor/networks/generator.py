"""The generator G(z, c)."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from augmentor.networks.blocks import batch_norm, halvings
from augmentor.networks.given import NO_CONDITION, ConditionInput, Given
from augmentor.networks.whole_image import OnWholeImage

Upsampling = Literal["nearest", "transposed"]
ConditionOn = Literal["auto", "features", "whole_image"]


class UpBlock(nn.Module):
    """Double the side, normalise, rectify."""

    def __init__(
        self,
        channels: int,
        out: int,
        num_classes: int,
        conditional_norm: bool,
        upsampling: Upsampling,
        more: int = 0,
    ) -> None:
        super().__init__()
        self.upsample = doubling(channels, out, upsampling)
        self.norm = batch_norm(out, num_classes, conditional_norm, more)

    def forward(self, h: Tensor, given: Tensor) -> Tensor:
        """(N, C, H, W) and what is given (N, K + more) to (N, out, 2H, 2W)."""
        return torch.relu(self.norm(self.upsample(h), given))


class Generator(nn.Module):
    """Two fully connected layers, then convolutions that double the side until it is the image's.

    The class enters beside the latent and, with ``conditional_norm``, in every normalisation. The
    condition, if there is one, enters in the normalisations: each adds its own scales and shifts to
    those of the class. Beside the latent, where two layers mix what they get, a class that was seen
    under few conditions would lose its shape under the others. A condition that acts on the whole
    image is kept apart from the class altogether: the class enters beside the latent alone, the
    condition in the normalisations alone and in ``OnWholeImage``.

    Args:
        image_shape: (C, H, W), square; see ``blocks.halvings`` for the sizes.
        num_classes: Classes K.
        latent_dim: Length of the latent.
        width: Channels at full resolution; doubled at every halving, at most eight times.
        conditional_norm: Conditional batch norm instead of plain batch norm.
        upsampling: ``nearest`` neighbours and a 3x3 convolution, with one more convolution at full
            resolution, as in the paper; or ``transposed`` 4x4 convolutions of stride 2, the last
            one to the image, as in DCGAN (Radford et al. 2016), at a third of the time on a CPU.
        condition: Form of the condition beside the class.
        condition_at_start: The condition enters beside the latent too, as it has to without
            ``conditional_norm``.
        condition_on: What the condition acts on: the ``features`` together with the class, or the
            ``whole_image``. ``auto``: categories, such as cameras, on the whole image; numbers,
            such as the angle of a light, on the features.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_classes: int,
        latent_dim: int,
        width: int,
        conditional_norm: bool,
        upsampling: Upsampling,
        condition: ConditionInput = NO_CONDITION,
        condition_at_start: bool = False,
        condition_on: ConditionOn = "auto",
    ) -> None:
        super().__init__()
        channels, size, _ = image_shape
        self.given, self.num_classes = Given(num_classes, condition), num_classes
        at_start = condition_at_start or not conditional_norm
        self.start_features = self.given.num_features if at_start else num_classes
        more = self.given.num_features - num_classes
        on_image = condition.size > 0 and _acts_on_whole_image(condition_on, condition)
        kinds = 1 if on_image else num_classes
        steps = halvings(size)
        last = 0 if upsampling == "nearest" else 1
        widths = [width * min(2**level, 8) for level in range(steps, last - 1, -1)]
        self.base = size >> steps
        hidden = 8 * width
        self.first = nn.Sequential(nn.Linear(latent_dim + self.start_features, hidden), nn.ReLU())
        self.second = nn.Linear(hidden, widths[0] * self.base**2, bias=False)
        self.norm = batch_norm(widths[0], kinds, conditional_norm, more)
        self.blocks = nn.ModuleList(
            UpBlock(before, after, kinds, conditional_norm, upsampling, more)
            for before, after in pairwise(widths)
        )
        self.to_image = (
            nn.Conv2d(width, channels, 3, padding=1)
            if upsampling == "nearest"
            else doubling(widths[-1], channels, upsampling)
        )
        self.on_image = OnWholeImage(image_shape, more) if on_image else None
        for part in (self.first, self.second, self.blocks, self.to_image):
            part.apply(_start_small)
        if not condition.numbers:
            # Categories start as small as classes do; the small network of values would start deaf.
            self.given.apply(_start_small)

    def forward(self, z: Tensor, given: Tensor) -> Tensor:
        """Render latents (N, latent_dim) of rows of class probabilities and condition (N, K + D):
        float32 (N, C, H, W) in [-1, 1].
        """
        return torch.tanh(self.activations(z, given))

    def activations(self, z: Tensor, given: Tensor) -> Tensor:
        """What ``forward`` takes the tanh of, float32 (N, C, H, W): half the log-odds of a pixel
        being bright.
        """
        given = self.given(given)
        start = torch.cat([z, given[:, : self.start_features]], dim=1)
        embedding = given[:, self.num_classes :]
        if self.on_image is not None:
            # One kind for all classes: its scales and shifts are what the condition adds to.
            given = torch.cat([torch.ones_like(given[:, :1]), embedding], dim=1)
        h = self.second(self.first(start))
        h = h.unflatten(1, (-1, self.base, self.base)).contiguous(memory_format=torch.channels_last)
        h = torch.relu(self.norm(h, given))
        for block in self.blocks:
            h = block(h, given)
        activations: Tensor = self.to_image(h).float()
        if self.on_image is not None:
            activations = self.on_image(activations, embedding)
        return activations


def _acts_on_whole_image(condition_on: ConditionOn, condition: ConditionInput) -> bool:
    if condition_on == "auto":
        return not condition.numbers
    return condition_on == "whole_image"


def _start_small(layer: nn.Module) -> None:
    """DCGAN's first weights, N(0, 0.02^2). Larger ones can saturate the tanh at once, for good on
    dark images.
    """
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.02)


def doubling(channels: int, out: int, upsampling: Upsampling) -> nn.Module:
    """A convolution from (N, channels, H, W) to (N, out, 2H, 2W)."""
    if upsampling == "transposed":
        return nn.ConvTranspose2d(channels, out, 4, 2, 1)
    return nn.Sequential(
        nn.UpsamplingNearest2d(scale_factor=2), nn.Conv2d(channels, out, 3, padding=1)
    )
