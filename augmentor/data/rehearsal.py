"""Rehearsal: hide combinations of class and condition that are there, in the way others are
missing.

Nobody has images of what was never photographed, so nobody can tell whether rendered ones are
right. What was photographed can be hidden, rendered, and compared with the real images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from augmentor.common.randomness import rng_for
from augmentor.common.types import DataError, LabelledImages
from augmentor.data.combinations import Bins, combinations_of

FOLDS = 3
"""Every fold hides combinations of one well covered class in three."""
INCOMPLETE = 0.5
"""A class is incomplete if it was seen in at most this part of the conditions of the class that was
seen in the second most: one that was photographed better than all others must not decide alone."""


@dataclass(frozen=True)
class RehearsalFold:
    """One fold of a rehearsal; int64 numbers of images, each ascending.

    Args:
        fit: What every arm trains on.
        scored: Hidden images of combinations that ``fit`` has no image of.
        given: Other hidden images of such combinations, for the control that gets real images.
    """

    fit: Tensor
    scored: Tensor
    given: Tensor


def incomplete_classes(images: LabelledImages, bins: Bins) -> Tensor:
    """Classes that were seen in far fewer conditions than others, bool (K,)."""
    seen = (combinations_of(images, bins).counts > 0).sum(dim=1)
    if len(seen) < 2:
        return torch.zeros_like(seen, dtype=torch.bool)
    return seen <= INCOMPLETE * seen.topk(2).values[-1]


def rehearsal_fold(images: LabelledImages, bins: Bins, seed: int, number: int) -> RehearsalFold:
    """Make one third of the well covered classes as incomplete as the incomplete ones are.

    Each takes an incomplete class as its pattern: it keeps as many images, from the same
    conditions (from as many other ones where it has no image in these). All its other images are
    hidden. Of every combination that nothing is left of, half of the images, rounded up, are
    scored, and the others are given to the control.

    Args:
        images: Training images with conditions.
        bins: Of the conditions.
        seed: Draws the classes, patterns and images.
        number: Of the fold; ``FOLDS`` successive ones hide combinations of every class once.

    Returns:
        The fold, a pure function of the arguments.

    Raises:
        DataError: If no class is incomplete, or fewer than two are well covered.
    """
    incomplete = incomplete_classes(images, bins)
    complete, patterns = (~incomplete).nonzero()[:, 0], incomplete.nonzero()[:, 0]
    if not len(patterns) or len(complete) < 2:
        raise DataError(
            f"{len(patterns)} classes are incomplete (seen in at most half as many conditions as "
            f"the class with the second most) and {len(complete)} are not: a rehearsal needs one "
            "of the first and two of the second; `augmentor check --condition` shows the table. "
            "To hide combinations yourself, leave the rehearsal out and set data.rare in a config"
        )
    turn, place = divmod(number, FOLDS)
    rng = rng_for("rehearsal", seed, turn)
    complete = complete[torch.randperm(len(complete), generator=rng)]
    patterns = patterns[torch.randperm(len(patterns), generator=rng)]
    bin_of = bins.of(_condition(images))
    fit = torch.ones(len(images), dtype=torch.bool)
    scored, given = [], []
    # Of two complete classes the third fold hides the first again, with other draws.
    for address in range(place, max(len(complete), place + 1), FOLDS):
        rng = rng_for("rehearsal class", seed, turn, address)
        pattern = patterns[address % len(patterns)]
        own = (images.y == complete[address % len(complete)]).nonzero()[:, 0]
        kept, lost = _like(own, bin_of, images.y == pattern, rng)
        fit[own] = False
        fit[kept] = True
        first = _first_halves(bin_of[lost])
        scored.append(lost[first])
        given.append(lost[~first])
    return RehearsalFold(
        fit.nonzero()[:, 0], torch.cat(scored).sort().values, torch.cat(given).sort().values
    )


def _like(
    own: Tensor, bin_of: Tensor, pattern: Tensor, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The images of a class that stay if it is to be like a pattern, and those of combinations
    that nothing stays of, both shuffled.
    """
    own = own[torch.randperm(len(own), generator=rng)]
    seen = torch.unique(bin_of[pattern])
    if not bool(torch.isin(bin_of[own], seen).any()):
        present = torch.unique(bin_of[own])
        order = torch.randperm(len(present), generator=rng)
        seen = present[order[: len(seen)]]
    inside = torch.isin(bin_of[own], seen)
    kept = own[inside][: int(pattern.sum())]
    lost = own[~torch.isin(bin_of[own], bin_of[kept])]
    return kept, lost


def _first_halves(bins: Tensor) -> Tensor:
    """Which images are of the first half of their bin, rounded up, bool (N,)."""
    counts = torch.bincount(bins)
    order = bins.argsort(stable=True)
    before = torch.empty_like(order)
    before[order] = torch.arange(len(bins)) - (counts.cumsum(0) - counts)[bins[order]]
    return 2 * before < counts[bins]


def _condition(images: LabelledImages) -> Tensor:
    if images.condition is None:
        raise DataError("a rehearsal needs conditions; name them with --condition")
    return images.condition
