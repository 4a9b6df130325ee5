"""PixelCNN: conditional image generation with PixelCNN decoders (van den Oord et al. 2016,
arXiv:1606.05328).

Small, and the reference with an explicit likelihood: it says how many bits each image takes. Its
pixels are mixtures of logistics (Salimans et al. 2017, arXiv:1701.05517) in the place of 256
classes, which little data cannot tell apart. It has no latent of its own: sampling turns the latent
into uniform numbers, one a pixel and channel, and those into pixels one after the other, so it
takes a pass of the network a pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from augmentor.common.precision import autocast
from augmentor.families.players import Resumable, adam_players
from augmentor.families.renderer import require_square
from augmentor.losses.pixel_likelihood import (
    bits_per_dimension,
    discretised_logistic_cdf,
    discretised_logistic_nll,
    value_of,
)
from augmentor.networks.blocks import as_class_probs, as_class_weights
from augmentor.networks.pixel_cnn import PixelCnnNetwork


@dataclass(frozen=True)
class PixelCnnOptions:
    """Everything that can be set. The length of the latent is that of an image.

    Args:
        width: Channels of both stacks.
        layers: Gated layers; a pixel sees ``layers`` + 3 pixels far.
        mixtures: Logistics in the mixture of a pixel.
        learning_rate: Adam's.
        beta1: Adam's first decay.
        ema_decay: Share kept of the averaged weights in a step.
        bfloat16: Run the network in bfloat16 autocast where the device computes it natively; the
            likelihood stays in float32.
    """

    width: int = 32
    layers: int = 6
    mixtures: int = 5
    learning_rate: float = 1e-3
    beta1: float = 0.9
    ema_decay: float = 0.999
    bfloat16: bool = True


PRESETS = {"default": PixelCnnOptions()}


class PixelCnn(nn.Module):
    """The network; a ``SampleSource``.

    Args:
        classes: Class names; position is index.
        image_shape: (C, H, W), square, any C.
        options: Everything that can be set.

    Raises:
        ValueError: If the images are not square.
    """

    def __init__(
        self, classes: tuple[str, ...], image_shape: tuple[int, int, int], options: PixelCnnOptions
    ) -> None:
        super().__init__()
        require_square(image_shape)
        self.classes, self.image_shape, self.latent_dim = (
            classes,
            image_shape,
            math.prod(image_shape),
        )
        self.options = o = options
        self.network = PixelCnnNetwork(image_shape[0], len(classes), o.width, o.layers, o.mixtures)

    def nll(self, x: Tensor, class_probs: Tensor) -> Tensor:
        """-log p(x | c) in nats, (N,), of images taken as 8-bit ones."""
        return discretised_logistic_nll(x, self.network(x, class_probs))

    @torch.no_grad()
    def bits_per_dimension(self, x: Tensor, y: Tensor) -> Tensor:
        """What an image costs, in bits per pixel and channel.

        Args:
            x: Images, float32 (N, C, H, W) in [-1, 1], taken as 8-bit ones.
            y: Classes, as in ``types.SampleSource.sample``.

        Returns:
            Shape (N,). Never negative; 8 for images of which nothing is known.
        """
        self.eval()
        nll = self.nll(x, as_class_probs(y, len(self.classes)).to(x.device))
        return bits_per_dimension(nll, self.latent_dim)

    @torch.no_grad()
    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        """See ``types.SampleSource.sample``; pixel j is the Φ(z_j)-quantile given the pixels before
        it.

        A rounding error near the border of two levels changes all that follows, so other devices
        may give other images.
        """
        self.eval()
        network, class_probs = self.network, as_class_weights(y, len(self.classes)).to(z.device)
        channels, height, width = self.image_shape
        uniforms = torch.special.ndtr(z).view(-1, *self.image_shape)
        x = torch.zeros_like(uniforms)
        for i in range(height):
            # Only what a pixel sees; of the rows above, which are finished, the row needs to know
            # but once.
            rows = network.rows_above(x[:, :, max(0, i - network.reach) : i], class_probs)
            for j in range(width):
                seen = slice(max(0, j - network.reach), j + 1)
                above = [handed[..., seen] for handed in rows]
                context = network.context_in_row(x[:, :, i : i + 1, seen], above, class_probs)
                for c in range(channels):
                    cdf = discretised_logistic_cdf(
                        network.head(c, context, x[:, :c, i : i + 1, j : j + 1])
                    )
                    levels = (cdf[:, 0, 0] < uniforms[:, c, i, j, None]).sum(dim=1)
                    x[:, c, i, j] = value_of(levels)
        return x.clamp(-1, 1)


class PixelCnnTrainer(Resumable):
    """The optimiser and the step: maximum likelihood.

    Args:
        model: The network, trained in place.
    """

    def __init__(self, model: PixelCnn) -> None:
        self.model, self.options = model, model.options
        self.device = next(model.parameters()).device
        o = model.options
        self.players = adam_players(model, {"network": o.learning_rate}, o.beta1)

    def step(self, x: Tensor, y: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """One step on a real batch.

        Args:
            x: Real images, float32 (N, C, H, W) in [-1, 1].
            y: Their classes, int64 (N,).
            rng: Not drawn from: nothing here is random.

        Returns:
            Named losses, scalars without gradient: bits per dimension.
        """
        m, o = self.model.train(), self.options
        x, class_probs = x.to(self.device), as_class_probs(y, len(m.classes)).to(self.device)
        with autocast(self.device, o.bfloat16):
            loss = bits_per_dimension(m.nll(x, class_probs).mean(), m.latent_dim)
        self.players.descend({("network",): loss})
        return {"bits_per_dimension": loss.detach()}
