"""Classifying by a generator: the class under which an image is the likeliest is its class."""

from __future__ import annotations

import torch
from torch import Tensor

from augmentor.common.randomness import rng_for
from augmentor.common.types import DensitySource, device_of

_CHUNK = 256
_BISECTIONS = 60
_COLDEST, _HOTTEST = 1e-2, 1e6


@torch.no_grad()
def class_bounds(source: DensitySource, x: Tensor, seed: int, draws: int = 4) -> Tensor:
    r"""A lower bound of log p(x | c) for every image and class.

    .. math:: \log p(x|c) \ge \mathbb E_{q(z|x,c)} \log p(x|z,c) - KL\big(q(z|x,c) \,\|\, p(z)\big)

    Args:
        source: What gives the bound by one draw of z.
        x: Images, float32 (N, C, H, W) in [-1, 1].
        seed: Decides the draws; all classes of an image see the same noise.
        draws: Draws of z whose bounds are averaged.

    Returns:
        Bounds in nats, float64 (N, K), on the CPU. Uniform over classes, a softmax over a row is
        p(c | x).

    Source:
        Kingma et al. 2014, arXiv:1406.5298 (the model M2); Schott et al. 2018, arXiv:1805.09190 (as
        a classifier).
    """
    device, rng = device_of(source), rng_for("class bounds", seed)
    num_classes = len(source.classes)
    parts = []
    for chunk in torch.split(x, _CHUNK):
        noise = torch.randn(draws, len(chunk), source.latent_dim, generator=rng).to(device)
        images = chunk.to(device)
        of_classes = [
            sum(
                source.log_density(images, torch.full((len(chunk),), index, device=device), one)
                for one in noise
            )
            for index in range(num_classes)
        ]
        bounds = torch.stack(of_classes, dim=1)  # type: ignore[arg-type]
        parts.append(bounds.cpu().double() / draws)  # in this order: MPS has no float64
    return torch.cat(parts) if parts else torch.zeros(0, num_classes, dtype=torch.float64)


def tempered(bounds: Tensor, confidence: float) -> Tensor:
    r"""Log-probabilities of the classes from their bounds, at the temperature that makes them as
    sure as asked for.

    Pixels are not independent given z as the likelihood has it, so the bounds differ by far too
    much. The temperature T is the one at which the mean of the largest probabilities is
    ``confidence``.

    .. math:: \log p(c|x) = \log \mathrm{softmax}(b / T)_c

    Args:
        bounds: Bounds b in nats, (N, K), N >= 1.
        confidence: What the largest probability of an image is to be on average, in (1 / K, 1).

    Returns:
        Log-probabilities, float64 (N, K).
    """
    low, high = _COLDEST, _HOTTEST
    for _ in range(_BISECTIONS):
        middle = (low * high) ** 0.5
        sure = float((bounds.double() / middle).softmax(dim=1).amax(dim=1).mean())
        low, high = (middle, high) if sure > confidence else (low, middle)
    return (bounds.double() / high).log_softmax(dim=1)
