"""RandAugment and TrivialAugment: random operations of torchvision's published spaces, drawn from a
generator.

Torchvision's own classes draw from the global random state and give a whole batch one operation.
Here every image has its own draws, and the images that drew the same are transformed together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from downstream.augment import DOMAINS, Augment, random_flip

BINS = 31  # magnitudes, 0 to 30


@dataclass(frozen=True)
class Space:
    """The largest magnitudes of the operations.

    Args:
        shear: Shift of a row or column by its distance from the centre.
        shift: Part of the image's side.
        degrees: Rotation.
        blend: Distance of the factors of brightness, colour, contrast and sharpness from 1.
        bits_lost: By ``posterize``, of 8.
    """

    shear: float
    shift: float
    degrees: float
    blend: float
    bits_lost: int


STANDARD = Space(shear=0.3, shift=150 / 331, degrees=30, blend=0.9, bits_lost=4)
"""Torchvision's space of RandAugment."""

WIDE = Space(shear=0.99, shift=32 / 224, degrees=135, blend=0.99, bits_lost=6)
"""Torchvision's of TrivialAugment; its shift of 32 pixels is taken as one of 224, for small
images."""

SIGNED = (
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
)
OPERATIONS = ("identity", *SIGNED, "posterize", "solarize", "autocontrast", "equalize")
NOT_FOR_DIGITS = ("color", "solarize")
"""Grey figures on an empty background have no colour to change, and solarizing would turn ink into
background."""


def rand_augment(domain: str, operations: int = 2, magnitude: int = 9) -> Augment:
    """RandAugment: every image goes through some random operations of one magnitude and random
    sign.

    Resampling is bilinear and about the centre; what comes in from outside is empty (-1).
    ``digits``: without ``NOT_FOR_DIGITS``, never flipped. ``signs``: every operation, never
    flipped. ``natural``: every second image is flipped first, as is usual with it.

    Args:
        domain: ``digits``, ``signs`` or ``natural``.
        operations: How many each image goes through, one after the other; it may draw one twice.
        magnitude: Of ``BINS``, 0 to 30.

    Returns:
        An augmentation; equal inputs and equal generator states give equal images.

    Raises:
        ValueError: If the domain is unknown or a number is out of range.

    Source:
        Cubuk et al. 2020, arXiv:1909.13719; the space and its numbers are torchvision's.
    """
    if operations < 1 or not 0 <= magnitude < BINS:
        raise ValueError(
            f"need operations >= 1 and magnitude in 0 to {BINS - 1}, got {operations} and "
            f"{magnitude}"
        )
    names = _operations_of(domain)

    def augment(x: Tensor, rng: Generator) -> Tensor:
        for _ in range(operations):
            bins = torch.full((len(x),), magnitude)
            x = _random_operation(x, names, STANDARD, bins, rng)
        return x

    return _with_flips(domain, augment)


def trivial_augment(domain: str) -> Augment:
    """TrivialAugment: every image goes through one random operation of random magnitude; nothing is
    to be tuned.

    As ``rand_augment``, in the wide space for ``natural``; in the standard one for ``digits`` and
    ``signs``, for a rotation by up to 135 degrees turns one digit into another and a brightness of
    nearly 0 erases it.

    Args:
        domain: ``digits``, ``signs`` or ``natural``.

    Returns:
        An augmentation; equal inputs and equal generator states give equal images.

    Raises:
        ValueError: If the domain is unknown.

    Source:
        Müller & Hutter 2021, arXiv:2103.10158; the space and its numbers are torchvision's
        ``TrivialAugmentWide``.
    """
    names, space = _operations_of(domain), WIDE if domain == "natural" else STANDARD

    def augment(x: Tensor, rng: Generator) -> Tensor:
        bins = torch.randint(BINS, (len(x),), generator=rng, device=rng.device)
        return _random_operation(x, names, space, bins, rng)

    return _with_flips(domain, augment)


def apply_operation(x: Tensor, name: str, magnitude: float, space: Space) -> Tensor:
    """Put all images through one operation.

    Args:
        x: Images, shape (N, C, H, W), in [-1, 1], C 1 or 3.
        name: One of ``OPERATIONS``.
        magnitude: Part of the largest one in ``space``, in [-1, 1]; negative only for ``SIGNED``.
        space: The largest magnitudes.

    Returns:
        Images, shape (N, C, H, W), in [-1, 1]. A signed operation of magnitude 0 changes nothing.
    """
    if name == "identity":
        return x
    return (2 * _operation(name, magnitude, space, x.shape[-1])((x + 1) / 2) - 1).clamp(-1, 1)


def _operation(name: str, magnitude: float, space: Space, side: int) -> Callable[[Tensor], Tensor]:
    """The operation on images in [0, 1]."""
    from torchvision.transforms.v2 import functional as tv  # here, as its import takes seconds

    factor = 1 + magnitude * space.blend
    shear = math.degrees(math.atan(magnitude * space.shear))
    shift = magnitude * space.shift * side
    table: dict[str, Callable[[Tensor], Tensor]] = {
        "shear_x": lambda x: _affine(x, shear=(shear, 0.0)),
        "shear_y": lambda x: _affine(x, shear=(0.0, shear)),
        "translate_x": lambda x: _affine(x, translate=(shift, 0.0)),
        "translate_y": lambda x: _affine(x, translate=(0.0, shift)),
        "rotate": lambda x: _affine(x, angle=magnitude * space.degrees),
        "brightness": lambda x: tv.adjust_brightness(x, factor),
        "color": lambda x: tv.adjust_saturation(x, factor),
        "contrast": lambda x: tv.adjust_contrast(x, factor),
        "sharpness": lambda x: tv.adjust_sharpness(x, factor),
        "posterize": lambda x: tv.posterize(x, 8 - round(magnitude * space.bits_lost)),
        "solarize": lambda x: tv.solarize(x, 1 - magnitude),
        "autocontrast": tv.autocontrast,
        "equalize": tv.equalize,
    }
    return table[name]


def _affine(
    x: Tensor,
    angle: float = 0.0,
    translate: tuple[float, float] = (0.0, 0.0),
    shear: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as tv

    moved: Tensor = tv.affine(
        x, angle, list(translate), 1.0, list(shear), interpolation=InterpolationMode.BILINEAR
    )
    return moved


def _random_operation(
    x: Tensor, names: tuple[str, ...], space: Space, bins: Tensor, rng: Generator
) -> Tensor:
    """One random operation per image, of the magnitudes ``bins`` (N,); images that drew the same go
    together.
    """
    drawn = torch.randint(len(names), (len(x),), generator=rng, device=rng.device).cpu()
    signs = torch.randint(2, (len(x),), generator=rng, device=rng.device).cpu()
    keys = torch.stack([drawn, bins.cpu(), signs], dim=1)
    kinds, members = keys.unique(dim=0, return_inverse=True)  # type: ignore[no-untyped-call]
    changed = x.clone()
    for number, (operation, level, sign) in enumerate(kinds.tolist()):
        name = names[operation]
        magnitude = level / (BINS - 1) * (-1 if sign and name in SIGNED else 1)
        rows = (members == number).nonzero().flatten().to(x.device)
        changed[rows] = apply_operation(x[rows], name, magnitude, space)
    return changed


def _operations_of(domain: str) -> tuple[str, ...]:
    if domain not in DOMAINS:
        raise ValueError(f"unknown domain {domain!r}; known domains: {', '.join(DOMAINS)}")
    left_out = NOT_FOR_DIGITS if domain == "digits" else ()
    return tuple(name for name in OPERATIONS if name not in left_out)


def _with_flips(domain: str, augment: Augment) -> Augment:
    if domain != "natural":
        return augment
    return lambda x, rng: augment(random_flip(x, rng, 0.5), rng)
