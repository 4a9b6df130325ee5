"""Class names: which class here is which class there."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

from augmentor.common.types import DataError


def match_classes(own: Sequence[str], synthetic: Sequence[str]) -> list[int]:
    """Find every synthetic class among one's own, by name.

    Synthetic images may be of some classes only, such as the rare ones. Names are compared in
    Unicode's composed form. Where one is not found so, the part before `` - `` is compared, which
    is how torchvision's MNIST writes its digits (``7 - seven``).

    Args:
        own: Class names of the data at hand.
        synthetic: Class names of the synthetic images or of their source.

    Returns:
        For every synthetic class its index in ``own``.

    Raises:
        DataError: If a synthetic class is not among one's own (the message names it), or a name
            occurs twice.

    Example:
        >>> match_classes(["cat", "dog", "eel"], ["eel", "cat"])
        [2, 0]
    """
    for key in (_composed, _before_dash):
        ours, theirs = [key(name) for name in own], [key(name) for name in synthetic]
        alone = len(ours) == len(set(ours)) and len(theirs) == len(set(theirs))
        if alone and set(theirs) <= set(ours):
            index = {name: position for position, name in enumerate(ours)}
            return [index[name] for name in theirs]
    for names in (own, synthetic):
        if twins := _twins(names):
            raise DataError(
                f"class names occur twice, perhaps in two spellings: {twins}. Rename one of them"
            )
    ours, theirs = [_composed(name) for name in own], [_composed(name) for name in synthetic]
    raise DataError(
        f"class names differ: only in the synthetic images: {listed(set(theirs) - set(ours))}; "
        f"only in the data: {listed(set(ours) - set(theirs))}. Use a source trained on these "
        "classes, or give the names the data lack"
    )


def class_index(name: str, classes: Sequence[str]) -> int | None:
    """Position of the class a user named, however its accents are spelled in bytes; ``None`` if
    there is none.
    """
    if name in classes:
        return classes.index(name)
    composed = [_composed(known) for known in classes]
    return composed.index(_composed(name)) if _composed(name) in composed else None


def listed(names: Sequence[str] | set[str], most: int = 20) -> str:
    """Names for a message: quoted, sets sorted, at most ``most`` of them."""
    ordered = sorted(names) if isinstance(names, set) else list(names)
    shown = ", ".join(repr(name) for name in ordered[:most]) or "none"
    return shown if len(ordered) <= most else f"{shown} and {len(ordered) - most} more"


def _twins(names: Sequence[str]) -> str:
    """The names that are one in composed form, in ASCII so that the difference shows; empty if
    there are none.
    """
    counts = Counter(map(_composed, names))
    twins = sorted((name for name in names if counts[_composed(name)] > 1), key=_composed)
    return " and ".join(f"{name!a}" for name in twins[:4])


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _before_dash(name: str) -> str:
    return _composed(name).partition(" - ")[0]
