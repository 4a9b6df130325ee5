"""The network of a PixelCNN: what the pixels before it, and the class, say about a pixel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad


class GatedLayer(nn.Module):
    """One layer of the two stacks, figure 2 of van den Oord et al. 2016, arXiv:1606.05328.

    The vertical stack sees the rows down to the pixel's own, and is handed on one row further down;
    the horizontal one the pixels to the left, in the first layer without the pixel itself. So no
    pixel before is out of sight.

    Args:
        channels: Channels of both inputs.
        width: Channels of both outputs.
        num_classes: Classes K.
        reach: How many pixels up and to either side a convolution sees.
        first: This is the first layer, whose input is the image itself.
    """

    def __init__(
        self, channels: int, width: int, num_classes: int, reach: int, first: bool
    ) -> None:
        super().__init__()
        self.reach, self.first = reach, first
        self.vertical = nn.Conv2d(channels, 2 * width, (reach + 1, 2 * reach + 1))
        self.horizontal = nn.Conv2d(channels, 2 * width, (1, reach + 1))
        self.down = nn.Conv2d(2 * width, 2 * width, 1)
        self.out = nn.Conv2d(width, width, 1)
        self.shifts = nn.Linear(num_classes, 4 * width, bias=False)

    def forward(self, v: Tensor, h: Tensor, class_probs: Tensor) -> tuple[Tensor, Tensor]:
        """Both stacks, (N, channels, H, W) each, of class probabilities (N, K), to (N, width, H,
        W) each.
        """
        rows, new_v = self.look_up(v, class_probs)
        return new_v, self.look_left(h, pad(rows, (0, 0, 1, 0))[:, :, :-1], class_probs)

    def look_up(self, v: Tensor, class_probs: Tensor) -> tuple[Tensor, Tensor]:
        """The vertical stack alone: what it hands down, (N, 2 * width, H, W), and its output, (N,
        width, H, W).
        """
        r = self.reach
        rows: Tensor = self.vertical(pad(v, (r, r, r, 0)))
        return rows, _gated(rows + self._shifts(class_probs)[0])

    def look_left(self, h: Tensor, above: Tensor, class_probs: Tensor) -> Tensor:
        """The horizontal stack alone, by what the vertical one hands down from the row above
        each.
        """
        r = self.reach
        left = pad(h, (r + 1, 0))[..., :-1] if self.first else pad(h, (r, 0))
        new: Tensor = self.out(
            _gated(self.horizontal(left) + self.down(above) + self._shifts(class_probs)[1])
        )
        return new if self.first else h + new

    def _shifts(self, class_probs: Tensor) -> tuple[Tensor, ...]:
        shifts: Tensor = self.shifts(class_probs)
        return shifts[:, :, None, None].chunk(2, dim=1)


class PixelCnnNetwork(nn.Module):
    """Gated layers, and for every channel a head that also sees the pixel's channels before it.

    Args:
        image_channels: Channels of the image.
        num_classes: Classes K.
        width: Channels of both stacks.
        layers: Gated layers, the first one 7 pixels wide, the others 3.
        mixtures: Logistics M in the mixture of a pixel.
    """

    def __init__(
        self, image_channels: int, num_classes: int, width: int, layers: int, mixtures: int
    ) -> None:
        super().__init__()
        self.width, self.mixtures = width, mixtures
        self.reach = 3 + layers
        self.layers = nn.ModuleList(
            GatedLayer(width if i else image_channels, width, num_classes, 1 if i else 3, i == 0)
            for i in range(layers)
        )
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(),
                nn.Conv2d(width + c, width, 1),
                nn.ReLU(),
                nn.Conv2d(width, 3 * mixtures, 1),
            )
            for c in range(image_channels)
        )
        for head in self.heads:
            _spread(head[-1].bias, mixtures)  # type: ignore[index]

    def context(self, x: Tensor, class_probs: Tensor) -> Tensor:
        """(N, width, H, W) of images (N, C, H, W): at every pixel, of the pixels before it and no
        other.

        A pixel sees at most ``reach`` rows up and ``reach`` columns to either side.
        """
        v = h = x
        for layer in self.layers:
            v, h = layer(v, h, class_probs)
        return h

    def rows_above(self, x: Tensor, class_probs: Tensor) -> list[Tensor]:
        """What every layer's vertical stack hands down from the last of the rows x (N, C, H, W) to
        the next one.

        Needs the last ``reach`` rows only; of no rows it is zero.

        Returns:
            One tensor (N, 2 * width, 1, W) a layer.
        """
        if x.shape[2] == 0:
            return [x.new_zeros(x.shape[0], 2 * self.width, 1, x.shape[3])] * len(self.layers)
        handed, v = [], x
        for layer in self._gated_layers():
            rows, v = layer.look_up(v, class_probs)
            handed.append(rows[:, :, -1:])
        return handed

    def context_in_row(self, row: Tensor, above: list[Tensor], class_probs: Tensor) -> Tensor:
        """``context`` of the last pixel of a row.

        Args:
            row: The row up to that pixel, itself included though not seen, (N, C, 1, n); its last
                ``reach`` + 1 pixels are enough.
            above: ``rows_above`` at the same n columns.
            class_probs: Class probabilities, (N, K).

        Returns:
            Shape (N, width, 1, 1).
        """
        h = row
        for layer, handed in zip(self._gated_layers(), above, strict=True):
            h = layer.look_left(h, handed, class_probs)
        return h[..., -1:]

    def head(self, channel: int, context: Tensor, before: Tensor) -> Tensor:
        """Parameters (N, H, W, 3, M) of a channel, by the context and the channels before, (N,
        channel, H, W).
        """
        out: Tensor = (
            self.heads[channel](torch.cat([context, before.to(context.dtype)], dim=1))
            .float()
            .movedim(1, 3)
        )
        logits, means, log_scales = out.reshape(*out.shape[:3], 3, self.mixtures).unbind(dim=3)
        # Narrower than a level's thousandth or wider than all levels no scale need be; their
        # gradients would explode.
        return torch.stack([logits, means, log_scales.clamp(-7.0, 3.0)], dim=3)

    def _gated_layers(self) -> Iterator[GatedLayer]:
        return cast(Iterator[GatedLayer], iter(self.layers))

    def forward(self, x: Tensor, class_probs: Tensor) -> Tensor:
        """Parameters of all pixels of images (N, C, H, W), float32 (N, C, H, W, 3, M)."""
        context = self.context(x, class_probs)
        return torch.stack([self.head(c, context, x[:, :c]) for c in range(len(self.heads))], dim=1)


def _gated(h: Tensor) -> Tensor:
    """Half the channels, each gated by one of the other half."""
    a, b = h.chunk(2, dim=1)
    return torch.tanh(a) * torch.sigmoid(b)


def _spread(bias: Tensor, mixtures: int) -> None:
    """Start with logistics spread over all grey values: equal ones would learn the same."""
    with torch.no_grad():
        bias.zero_()
        bias[mixtures : 2 * mixtures] = torch.linspace(-1, 1, mixtures) if mixtures > 1 else 0.0
        bias[2 * mixtures :] = -1.5
