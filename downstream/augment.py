"""Classical augmentation of a batch of images: affine maps, flips, colour; and the mixing of pairs
of images.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample

Augment = Callable[[Tensor, Generator], Tensor]
"""Images (N, C, H, W) in [-1, 1] and a generator to images of the same shape and range."""

Mix = Callable[[Tensor, Tensor, Generator], tuple[Tensor, Tensor]]
"""Images (N, C, H, W), class probabilities (N, K) and a generator to mixed images and
probabilities."""

DOMAINS = ("digits", "signs", "natural")


def classical(domain: str, strength: float = 1.0) -> Augment:
    """The usual augmentation of a domain, drawn anew for every image.

    ``digits`` (figures on an empty background): rotation up to 12 degrees, scale 0.85 to 1.15,
    shear up to 8 degrees, shift up to 10 % of the side; what comes in from outside is empty (-1).
    ``natural`` (photographs): the same with a mirrored border, horizontal flips of every second
    image, and brightness, contrast and saturation changed by up to 20 %. ``signs`` (photographs of
    what mirroring would turn into something else: house numbers, traffic signs): as ``natural``,
    never flipped. Rotations stay small because strong ones turn one digit into another.

    Args:
        domain: ``digits``, ``signs`` or ``natural``.
        strength: Factor on all ranges, 0 or more; 0 leaves images bit for bit as they are.

    Returns:
        An augmentation; equal inputs and equal generator states give equal images.

    Raises:
        ValueError: If the domain is unknown or the strength is negative.
    """
    if domain not in DOMAINS:
        raise ValueError(f"unknown domain {domain!r}; known domains: {', '.join(DOMAINS)}")
    if not 0 <= strength < math.inf:
        raise ValueError(f"strength must be 0 or more, got {strength}")
    if strength == 0:
        return lambda x, rng: x
    if domain == "digits":
        return lambda x, rng: random_affine(x, rng, strength, empty_border=True)
    flips = 0.5 * min(strength, 1.0) if domain == "natural" else 0.0
    return lambda x, rng: _augment_photos(x, rng, strength, flips)


def _augment_photos(x: Tensor, rng: Generator, strength: float, flips: float) -> Tensor:
    x = random_affine(x, rng, strength, empty_border=False)
    x = random_flip(x, rng, flips)
    return color_jitter(x, rng, 0.2 * strength)


def random_affine(x: Tensor, rng: Generator, strength: float, *, empty_border: bool) -> Tensor:
    """Rotate, scale, shear and shift every image by its own random amounts, in one bilinear
    resampling.

    Args:
        x: Images, shape (N, C, H, W), in [-1, 1].
        rng: Source of randomness; its state alone decides the draws, on any device.
        strength: Factor on the ranges named in ``classical``.
        empty_border: Fill what comes in from outside with -1 instead of mirroring the image.

    Returns:
        Images, shape (N, C, H, W), in [-1, 1].
    """
    angle, shear, shift_x, shift_y, log_scale = _uniform(len(x), 5, rng, x)
    angle = angle * math.radians(12) * strength
    shear = shear * math.tan(math.radians(8)) * strength
    scale = torch.exp(log_scale * math.log(1.15) * strength)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    linear = torch.stack(
        [torch.stack([cos, shear * cos - sin], 1), torch.stack([sin, shear * sin + cos], 1)], dim=1
    )
    # affine_grid maps output to input positions in [-1, 1], where 10 % of the side is 0.2; going
    # through the linear part makes the shift one of the output, whatever the scale.
    shift = linear @ (torch.stack([shift_x, shift_y], dim=1).unsqueeze(2) * 0.2 * strength)
    grid = affine_grid(torch.cat([linear, shift], dim=2), list(x.shape), align_corners=False)
    if empty_border:
        return grid_sample(x + 1, grid, padding_mode="zeros", align_corners=False) - 1
    return grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def random_flip(x: Tensor, rng: Generator, probability: float) -> Tensor:
    """Mirror each image left to right with the given probability; shapes and range as in
    ``random_affine``.
    """
    flipped = torch.rand(len(x), generator=rng, device=rng.device).to(x.device) < probability
    return torch.where(flipped.view(-1, 1, 1, 1), x.flip(3), x)


def color_jitter(x: Tensor, rng: Generator, amount: float) -> Tensor:
    """Change brightness, contrast and saturation of every image by up to ``amount`` (0.2 is 20 %).

    Grey images keep their one channel and have no saturation to change. Shapes and range as in
    ``random_affine``.
    """
    draws = 1 + amount * _uniform(len(x), 3, rng, x)
    brightness, contrast, saturation = draws.clamp(min=0).view(3, -1, 1, 1, 1).unbind()
    x = (x + 1) * brightness - 1
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = mean + (x - mean) * contrast
    grey = x.mean(dim=1, keepdim=True)
    result: Tensor = (grey + (x - grey) * saturation).clamp(-1, 1)
    return result


def _uniform(count: int, parameters: int, rng: Generator, like: Tensor) -> Tensor:
    """Numbers uniform in [-1, 1), shape (parameters, count), drawn where the generator lives."""
    draws = torch.rand(parameters, count, generator=rng, device=rng.device)
    return (2 * draws - 1).to(like)


def mixup(x: Tensor, y: Tensor, rng: Generator, alpha: float = 0.4) -> tuple[Tensor, Tensor]:
    r"""Blend every image and its probabilities with those of a random other one.

    .. math:: \tilde x = \lambda x + (1 - \lambda) x', \quad \lambda \sim \mathrm{B}(\alpha, \alpha)

    Args:
        x: Images, shape (N, C, H, W).
        y: Class probabilities, float, shape (N, K), rows summing to one.
        rng: Source of randomness.
        alpha: Shape of the beta distribution, above 0; small values mix little.

    Returns:
        Mixed images (N, C, H, W) and probabilities (N, K), whose rows still sum to one.

    Source:
        Zhang et al. 2018, arXiv:1710.09412.
    """
    share = beta_draws(len(x), alpha, rng).to(x)
    partner = torch.randperm(len(x), generator=rng, device=rng.device).to(x.device)
    x = torch.lerp(x[partner], x, share.view(-1, 1, 1, 1))
    return x, torch.lerp(y[partner], y, share.view(-1, 1))


def cutmix(x: Tensor, y: Tensor, rng: Generator, alpha: float = 1.0) -> tuple[Tensor, Tensor]:
    """Paste a random box of another image into every image; probabilities follow the area that was
    replaced.

    Args:
        x: Images, shape (N, C, H, W).
        y: Class probabilities, float, shape (N, K), rows summing to one.
        rng: Source of randomness.
        alpha: Shape of the beta distribution of the share kept, above 0.

    Returns:
        Mixed images (N, C, H, W) and probabilities (N, K), whose rows still sum to one.

    Source:
        Yun et al. 2019, arXiv:1905.04899.
    """
    height, width = x.shape[2:]
    share = beta_draws(len(x), alpha, rng).to(x)
    partner = torch.randperm(len(x), generator=rng, device=rng.device).to(x.device)
    half = torch.sqrt(1 - share) / 2
    center_y, center_x = (_uniform(len(x), 2, rng, x) + 1) / 2
    rows = _inside(center_y, half, height)
    columns = _inside(center_x, half, width)
    box = rows.unsqueeze(2) & columns.unsqueeze(1)
    kept = 1 - box.float().mean(dim=(1, 2)).view(-1, 1)
    return torch.where(box.unsqueeze(1), x[partner], x), torch.lerp(y[partner], y, kept.to(y))


def _inside(center: Tensor, half: Tensor, size: int) -> Tensor:
    """Which of ``size`` pixels lie within ``half`` of the centre, both in units of the side; bool
    (N, size).
    """
    position = (torch.arange(size, device=center.device) + 0.5) / size
    return (position - center.unsqueeze(1)).abs() < half.unsqueeze(1)


def beta_draws(count: int, alpha: float, rng: Generator) -> Tensor:
    """Draws from Beta(alpha, alpha), made from the generator alone.

    Args:
        count: How many.
        alpha: Shape of the distribution, above 0; small values give draws near 0 and 1.
        rng: Source of randomness; the draws lie on its device.

    Returns:
        float32 (count,), in [0, 1].

    Raises:
        ValueError: If ``alpha`` is not above 0.

    Example:
        >>> beta_draws(3, 2.0, torch.Generator().manual_seed(0)).shape
        torch.Size([3])
    """
    if not 0 < alpha < math.inf:
        raise ValueError(f"alpha must be above 0, got {alpha}")
    gammas = torch._standard_gamma(torch.full((2, count), alpha, device=rng.device), generator=rng)
    gammas = gammas.clamp(min=torch.finfo(gammas.dtype).tiny)
    share: Tensor = gammas[0] / gammas.sum(dim=0)
    return share
