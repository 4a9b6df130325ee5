"""A number per image that is equal for equal pixels: who trained on what, and is it in the test
set?
"""

from __future__ import annotations

import hashlib
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TOGETHER = 16
"""Images whose pixels are rounded at once: few, so that they stay near the processor."""


def fingerprints(x: Tensor) -> NDArray[np.int64]:
    """First eight bytes of the SHA-256 of every image's 8-bit pixels (with their shape).

    Args:
        x: Images, shape (N, C, H, W), float32 in [-1, 1] (or uint8 as :func:`to_uint8` gives).

    Returns:
        Shape (N,). Equal pixels give equal numbers; others collide with probability 2^-64 a pair.

    Raises:
        ValueError: If ``x`` isn't a batch of images.
    """
    if x.ndim != 4:
        raise ValueError(f"x must be (N, C, H, W), got {tuple(x.shape)}")
    head = repr(tuple(x.shape[1:])).encode()
    digests = []
    for part in torch.split(x, TOGETHER):
        pixels = part if part.dtype == torch.uint8 else to_uint8(part)
        for image in pixels.cpu().contiguous().numpy():
            digests.append(hashlib.sha256(head + image.tobytes()).digest()[:8])
    return np.frombuffer(b"".join(digests), dtype="<i8").astype(np.int64)


def overlap(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of the fingerprints of ``a`` that are in ``b`` too, ascending."""
    return np.flatnonzero(np.isin(a, b)).astype(np.int64)


def to_uint8(x: Tensor) -> Tensor:
    """Images in [-1, 1] as 8-bit pixels of the same shape: ``round((x + 1) * 127.5)``, clipped to
    [0, 255].

    Raises:
        ValueError: If a value isn't finite, as the pixel it stands for is unknown.
    """
    kept = getattr(x, "kept_pixels", None)
    if kept is not None:  # of LazyImages, which are made of pixels
        return cast(Tensor, kept())
    if not bool(torch.isfinite(x).all()):
        raise ValueError("images hold NaN or infinite values")
    return ((x.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def from_uint8(pixels: Tensor) -> Tensor:
    """8-bit pixels as float32 in [-1, 1]; :func:`to_uint8` gives them back exactly."""
    return (
        pixels.to(torch.float32, copy=True).div_(127.5).sub_(1)
    )  # in place: a set of images is large
