"""The fully connected networks of Improved GAN (Salimans et al. 2016, arXiv:1606.03498), as in the
authors' code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class WeightNormLinear(nn.Module):
    """A fully connected layer whose weight is a direction and a scale per unit (Salimans & Kingma
    2016).

    Args:
        features: Inputs.
        units: Outputs.
        train_scale: Whether the scales are trained; the published hidden layers keep those they
            start with.
    """

    def __init__(self, features: int, units: int, *, train_scale: bool) -> None:
        super().__init__()
        self.direction = nn.Parameter(0.1 * torch.randn(units, features))
        self.scale = nn.Parameter(torch.ones(units), requires_grad=train_scale)
        self.bias = nn.Parameter(torch.zeros(units))

    def forward(self, h: Tensor) -> Tensor:
        """(N, features) to (N, units)."""
        # scale * direction / |direction| per unit, fused: at these sizes a tenth of the step
        # otherwise.
        weight = torch._weight_norm(self.direction, self.scale[:, None], 0)
        return linear(h, weight, self.bias)

    @torch.no_grad()
    def standardise(self, h: Tensor) -> None:
        """Choose scale and bias so that every unit has mean 0 and variance 1 on inputs (N,
        features).

        A unit that does not vary on them is left as it was.
        """
        out = self.forward(h).float()  # without the hooks: this may be called by one
        deviation = out.std(dim=0, correction=0)
        shrink = torch.where(
            deviation > 1e-6, 1 / deviation.clamp(min=1e-6), torch.ones_like(deviation)
        )
        self.scale.mul_(shrink)
        self.bias.copy_((self.bias - out.mean(dim=0)) * shrink)


class GaussianNoise(nn.Module):
    """Adds noise in training mode; its draws come from the generator that ``noise_from`` lends.

    Args:
        deviation: Standard deviation of the noise, 0 or more.
    """

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation
        self.rng: torch.Generator | None = None

    def forward(self, h: Tensor) -> Tensor:
        """Any shape to the same shape; in evaluation mode what came in.

        Raises:
            RuntimeError: In training mode, outside ``noise_from``.
        """
        if not self.training or self.deviation == 0:
            return h
        if self.rng is None:
            raise RuntimeError(
                "a noisy network in training mode draws from a generator; call it inside "
                "noise_from()"
            )
        noise = torch.randn(h.shape, generator=self.rng, device=h.device, dtype=h.dtype)
        return torch.add(h, noise, alpha=self.deviation)


@contextmanager
def noise_from(network: nn.Module, rng: torch.Generator) -> Iterator[None]:
    """Lend a generator to every ``GaussianNoise`` in a network.

    Args:
        network: Any network, also one without noise.
        rng: On the CPU. One draw is taken from it; the noise itself is drawn where the
            network lives.
    """
    device = next(network.parameters()).device
    seed = int(torch.randint(2**62, (), generator=rng))
    layers = [module for module in network.modules() if isinstance(module, GaussianNoise)]
    lent = torch.Generator(device).manual_seed(seed)
    for layer in layers:
        layer.rng = lent
    try:
        yield
    finally:
        for layer in layers:
            layer.rng = None


class DenseBackbone(nn.Module):
    """The published classifier up to its last hidden layer: noise, weight-normed layer, ReLU, again
    and again.

    Args:
        image_shape: (C, H, W), any.
        widths: Units of the hidden layers.
        input_noise: Standard deviation of the noise on pixels, on the published scale of [0, 1].
        hidden_noise: Standard deviation of the noise between hidden layers.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        widths: tuple[int, ...] = (1000, 500, 250, 250, 250),
        input_noise: float = 0.3,
        hidden_noise: float = 0.5,
    ) -> None:
        super().__init__()
        self.num_features = widths[-1]
        layers: list[nn.Module] = []
        for level, (features, units) in enumerate(pairwise((math.prod(image_shape), *widths))):
            noise = GaussianNoise(hidden_noise if level else input_noise)
            layers += [noise, WeightNormLinear(features, units, train_scale=False), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, num_features) of images (N, C, H, W) in [-1, 1]."""
        features: Tensor = self.layers((x.flatten(1) + 1) / 2)
        return features


class DenseGenerator(nn.Module):
    """The published generator: two layers with batch norm and softplus, then weight norm and a
    sigmoid.

    Args:
        image_shape: (C, H, W), any.
        latent_dim: Length of the latent.
        width: Units of both hidden layers.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], latent_dim: int = 100, width: int = 500
    ) -> None:
        super().__init__()
        self.image_shape, self.latent_dim = image_shape, latent_dim
        layers: list[nn.Module] = []
        for features in (latent_dim, width):
            norm = nn.BatchNorm1d(width)
            norm.weight.requires_grad_(False)  # the published layers shift, but do not scale
            layers += [nn.Linear(features, width, bias=False), norm, nn.Softplus()]
        self.layers = nn.Sequential(
            *layers, WeightNormLinear(width, math.prod(image_shape), train_scale=True)
        )

    def forward(self, z: Tensor) -> Tensor:
        """Render latents (N, latent_dim) from N(0, I): float32 (N, C, H, W) in [-1, 1].

        The published latents are uniform on [0, 1]; the normal distribution function makes them of
        normal ones.
        """
        pixels: Tensor = self.layers(torch.special.ndtr(z))
        return (2 * pixels.float().sigmoid() - 1).view(z.shape[0], *self.image_shape)


def standardise(network: nn.Module, x: Tensor, rng: torch.Generator) -> None:
    """Let every weight-normed unit of a network start with mean 0 and variance 1 on a batch, layer
    after layer.

    Args:
        network: Changed in place; noise is added if it is in training mode.
        x: Images (N, C, H, W), some hundreds.
        rng: Where the noise comes from; on the CPU.

    Source:
        Salimans & Kingma 2016, arXiv:1602.07868, section 3.
    """
    layers = [module for module in network.modules() if isinstance(module, WeightNormLinear)]
    hooks = [
        layer.register_forward_pre_hook(lambda layer, args: layer.standardise(*args))
        for layer in layers
    ]
    with torch.no_grad(), noise_from(network, rng):
        network(x)
    for hook in hooks:
        hook.remove()
