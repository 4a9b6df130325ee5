"""The regime ``data.rare``: combinations of class and condition are hidden from training."""

from __future__ import annotations

import torch
from torch import Tensor

from augmentor.common.types import DataError, LabelledImages
from augmentor.data.splits import rare_classes, rare_front
from pipelines.config.data import RareConfig


def hide(rare: RareConfig, images: LabelledImages, seed: int) -> tuple[Tensor, Tensor]:
    """Which training images stay, and which are hidden.

    The rare classes are drawn by the seed; each keeps images of the conditions allowed, all other
    classes keep everything.

    Args:
        rare: How many classes keep how much.
        images: Training images with conditions.
        seed: Draws classes, conditions and images.

    Returns:
        Numbers of the images that stay and of those hidden, int64, ascending; together all.

    Raises:
        DataError: If the regime does not fit the conditions, a class would keep nothing, or nothing
            would be hidden.

    Example:
        >>> rare = RareConfig(classes=9, images=4)
        >>> kept, hidden = hide(rare, train, seed=0)  # doctest: +SKIP
    """
    allowed, place = _allowed(rare, images)
    stays = torch.ones(len(images), dtype=torch.bool)
    for label in rare_classes(len(images.classes), _number(rare, images), seed).tolist():
        name = images.classes[label]
        own = images.y == label
        members = (own & allowed).nonzero()[:, 0]
        if not len(members):
            raise DataError(
                f"class {name!r} is rare and has no training image with {_ranges(rare)}; widen "
                "rare.within"
            )
        stays[own] = False
        stays[rare_front(members, place[members], rare.conditions, rare.images, seed, name)] = True
    if bool(stays.all()):
        raise DataError("rare hides no image: every rare class keeps all it has; ask for less")
    return stays.nonzero()[:, 0], (~stays).nonzero()[:, 0]


def rare_words(rare: RareConfig, images: LabelledImages) -> str:
    """The regime in words, such as "9 of 19 classes keep 4 images, azimuth -25 to 25"."""
    kept = []
    if rare.images is not None:
        kept.append(f"{rare.images} images")
    if rare.conditions is not None:
        kept.append(f"{rare.conditions} of {images.conditions.size} conditions")
    if rare.within:
        kept.append(_ranges(rare))
    return f"{_number(rare, images)} of {len(images.classes)} classes keep {', '.join(kept)}"


def _allowed(rare: RareConfig, images: LabelledImages) -> tuple[Tensor, Tensor]:
    """Whether a rare class may keep an image, bool (N,), and the condition that it is dealt from,
    int64 (N,).
    """
    condition, conditions = images.condition, images.conditions
    if condition is None:
        raise DataError("rare hides combinations of class and condition; name data.condition too")
    everything = torch.ones(len(images), dtype=torch.bool)
    names = ", ".join(conditions.names)
    if not conditions.are_numbers:
        if rare.within:
            raise DataError(f"rare.within needs numbers, and {names} holds words: use conditions")
        return everything, condition
    if rare.conditions is not None:
        raise DataError(f"rare.conditions needs words, and {names} holds numbers: use within")
    for name, (low, high) in (rare.within or {}).items():
        values = condition[:, conditions.names.index(name)]
        everything &= (values >= low) & (values <= high)
    return everything, torch.zeros_like(images.y)


def _number(rare: RareConfig, images: LabelledImages) -> int:
    """How many classes are rare; halves are rounded up, and one at least is rare."""
    if isinstance(rare.classes, int):
        return rare.classes
    return max(1, int(rare.classes * len(images.classes) + 0.5))


def _ranges(rare: RareConfig) -> str:
    ranges = (rare.within or {}).items()
    return ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in ranges)
