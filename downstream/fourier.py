"""Mixing of Fourier amplitudes: an image keeps its phases, which hold the shapes, and takes light,
contrast and texture in part from another image.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from downstream.augment import Augment


def amplitude_mix(strength: float = 1.0) -> Augment:
    r"""Mix the amplitudes of every image with those of a random other one of the batch.

    .. math:: \tilde x = F^{-1}\big[((1 - \lambda) |F x| + \lambda |F x'|)\,e^{i \angle F x}\big],
        \quad \lambda \sim U(0, \eta)

    The label stays that of the image that gives the phases.

    Args:
        strength: η, cut off at 1, 0 or more; 0 leaves images bit for bit as they are.

    Returns:
        An augmentation; equal inputs and equal generator states give equal images.

    Raises:
        ValueError: If the strength is negative or not finite.

    Source:
        Xu et al. 2021, "A Fourier-based Framework for Domain Generalization", arXiv:2105.11120,
        equations 4 to 6, without the teacher.

    Example:
        >>> x = torch.rand(4, 1, 8, 8)
        >>> amplitude_mix()(x, torch.Generator().manual_seed(0)).shape
        torch.Size([4, 1, 8, 8])
    """
    if not 0 <= strength < math.inf:
        raise ValueError(f"strength must be 0 or more, got {strength}")
    if strength == 0:
        return lambda x, rng: x
    most = min(strength, 1.0)

    def mixed(x: Tensor, rng: Generator) -> Tensor:
        share = most * torch.rand(len(x), generator=rng, device=rng.device)
        partner = torch.randperm(len(x), generator=rng, device=rng.device)
        # In [0, 2]: the mean of an image is then positive, and mixing the amplitude of frequency
        # zero mixes the brightness. In [-1, 1] a dark image would become darker still by taking
        # from a bright one.
        levels = x + 1
        found = mixed_amplitudes(levels, levels[partner.to(x.device)], share.to(x))
        return (found - 1).clamp(-1, 1)

    return mixed


def mixed_amplitudes(x: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Images with their own phases and amplitudes between their own and those of others.

    Args:
        x: Images that give the phases, float (N, C, H, W), not negative.
        other: Images that give ``share`` of the amplitudes, (N, C, H, W).
        share: In [0, 1], (N,).

    Returns:
        Images, (N, C, H, W); they may leave the range of both.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> x, other = torch.ones(1, 1, 2, 2), 2 * torch.ones(1, 1, 2, 2)
        >>> mixed_amplitudes(x, other, torch.tensor([0.5])).unique()
        tensor([1.5000])
    """
    if x.ndim != 4 or other.shape != x.shape or share.shape != (len(x),):
        shapes = [tuple(one.shape) for one in (x, other, share)]
        raise ValueError(f"need two sets of images (N, C, H, W) and shares (N,), got {shapes}")
    spectrum, theirs = torch.fft.rfft2(x), torch.fft.rfft2(other).abs()
    amplitude = torch.lerp(spectrum.abs(), theirs, share.view(-1, 1, 1, 1))
    mixed: Tensor = torch.fft.irfft2(torch.polar(amplitude, spectrum.angle()), s=x.shape[-2:])
    return mixed
