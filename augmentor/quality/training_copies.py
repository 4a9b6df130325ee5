"""Rendered images that are training images: the same ones, mirrored, shifted, brightened or noisy.

A distribution of distances hides 5 % of copies. ``near_copies`` finds them one by one, but
comparing with every training image would take minutes where there are many. So the training images
that look most like a rendered one are chosen by a coarse thumbnail first, and others at even
distances fill up, which say how far different pictures lie apart.

Among many training images there is one that looks like any picture. So where they are chosen, some
of them are looked for among all the others in the same way; how near these come, which are real
and not copies, says what counts as a copy.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from augmentor.data.fingerprint import to_uint8
from augmentor.quality.near_copies import Check, CopyFinder, NearCopies, ratios_to

MOST_KNOWN = 2000
"""Training images that rendered ones are compared with closely."""
HELD_OUT = 1000
"""Training images that are looked for among the others, where not all are compared with."""
COARSE = 8  # longest side of the thumbnail that chooses, in pixels
SHIFTS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
PIXELS_TOGETHER = 2**24
"""Values of images whose thumbnails are made at a time: they may lie on disk."""


def copies_of_training(seen: Tensor, samples: Tensor, check: Check | None = None) -> NearCopies:
    """The rendered images that are near copies of training images.

    Args:
        seen: All images that the source learned from, (N, C, H, W), N >= 2, float32 in [-1, 1] or
            uint8.
        samples: Rendered images of their shape, (M, C, H, W).
        check: Called between pieces of work; may raise to stop.

    Returns:
        As ``CopyFinder.find``; ``known`` are indices into ``seen``. The ``false_alarm_rate`` is
        that of real images that are not copies.

    Raises:
        ValueError: If the shapes differ, or there are fewer than two training images.

    Example:
        >>> seen = torch.rand(50, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
        >>> found = copies_of_training(seen, seen[7:9].flip(-1))
        >>> found.known.tolist(), found.share, found.certain
        ([7, 8], 1.0, True)
    """
    if len(seen) <= MOST_KNOWN:
        return CopyFinder(seen, check).find(samples)
    together = max(1, PIXELS_TOGETHER // seen[0].numel())
    coarse = torch.cat([_coarse(some) for some in torch.split(seen, together)])
    held = torch.linspace(0, len(seen) - 1, min(HELD_OUT, len(seen) // 4)).long()
    others = _chosen(coarse, seen[held], held)
    real = ratios_to(seen[others], seen[held], check)
    chosen = _chosen(coarse, samples)
    found = CopyFinder(seen[chosen], check, real).find(samples)
    return replace(found, known=chosen[found.known])


def _chosen(coarse: Tensor, samples: Tensor, left_out: Tensor | None = None) -> Tensor:
    """Indices of the training images to compare samples with, int64, ascending.

    Args:
        coarse: The training images as ``_coarse`` gives them, (N, D).
        samples: Images, (M, C, H, W).
        left_out: Indices of training images that are not chosen; None to choose among all.
    """
    free = torch.ones(len(coarse), dtype=torch.bool)
    if left_out is not None:
        free[left_out] = False
    index = free.nonzero()[:, 0]
    known = coarse[index]
    best = [torch.zeros(0, dtype=torch.int64)]
    for some in torch.split(samples, 64):
        for shift in SHIFTS:
            view = _coarse(some.roll(shift, dims=(2, 3)))
            mirrored = _coarse(some.flip(-1).roll(shift, dims=(2, 3)))
            best += [(view @ known.T).argmax(dim=1), (mirrored @ known.T).argmax(dim=1)]
    wanted = torch.unique(torch.cat(best))
    evenly = torch.linspace(0, len(index) - 1, max(0, MOST_KNOWN - len(wanted))).long()
    return index[torch.unique(torch.cat([wanted, evenly]))]


def _coarse(images: Tensor) -> Tensor:
    """Tiny grey pictures as rows of mean 0 and length 1, (N, D)."""
    pixels = (images if images.dtype == torch.uint8 else to_uint8(images)).float()
    size = (min(COARSE, images.shape[2]), min(COARSE, images.shape[3]))
    grey = pixels.mean(dim=1, keepdim=True)
    rows: Tensor = functional.adaptive_avg_pool2d(grey, size).flatten(1)
    rows = rows - rows.mean(dim=1, keepdim=True)
    alike: Tensor = rows / rows.norm(dim=1, keepdim=True).clamp_min(1)
    return alike
