"""The augmentations that an arm can name, each with the words that reports and docs show for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

from torch import Generator, Tensor

from downstream.augment import Augment, Mix, classical, cutmix, mixup
from downstream.fourier import amplitude_mix
from downstream.rand_augment import rand_augment, trivial_augment


@dataclass(frozen=True)
class Augmentation:
    """One augmentation by name: of single images, or of pairs with their labels.

    Args:
        words: What it does, for help, reports and docs.
        of_images: Makes the augmentation for a domain (``digits``, ``signs`` or ``natural``) and a
            strength; None for one of pairs.
        of_pairs: Mixes images and class probabilities of a batch; None for one of single images.
        has_strength: Whether ``of_images`` heeds the strength.
    """

    words: str
    of_images: Callable[[str, float], Augment] | None = None
    of_pairs: Mix | None = None
    has_strength: bool = False


AUGMENTATIONS: dict[str, Augmentation] = {
    "classical": Augmentation("random affine maps (photos: flips, light)", classical, None, True),
    "trivialaugment": Augmentation(
        "one random operation per image", lambda domain, _: trivial_augment(domain)
    ),
    "randaugment": Augmentation(
        "two random operations per image", lambda domain, _: rand_augment(domain)
    ),
    "fourier": Augmentation(
        "Fourier amplitudes mixed with those of another image, phases kept",
        lambda _, strength: amplitude_mix(strength),
        None,
        True,
    ),
    "mixup": Augmentation("mixes of two images and their labels", of_pairs=mixup),
    "cutmix": Augmentation("patches of one image in another", of_pairs=cutmix),
}


def image_augmentation(names: Iterable[str], domain: str, strength: float = 1.0) -> Augment | None:
    """The augmentations of single images among ``names``, one after the other.

    Args:
        names: Keys of ``AUGMENTATIONS``; those of pairs are passed over.
        domain: ``digits``, ``signs`` or ``natural``.
        strength: Of those that have one, 0 or more.

    Returns:
        One augmentation; None if none of the names is one of single images.

    Raises:
        ValueError: If a name is unknown.

    Example:
        >>> image_augmentation(["mixup"], "digits") is None
        True
    """
    made = []
    for name in known_augmentations(names):
        build = AUGMENTATIONS[name].of_images
        if build is not None:
            made.append(build(domain, strength))
    return reduce(_after, made) if made else None


def pair_mix(names: Iterable[str]) -> Mix | None:
    """The mix of pairs among ``names``, or None.

    Raises:
        ValueError: If a name is unknown or two of them mix pairs.

    Example:
        >>> pair_mix(["classical", "mixup"]) is mixup
        True
    """
    found = []
    for name in known_augmentations(names):
        if AUGMENTATIONS[name].of_pairs is not None:
            found.append(name)
    if len(found) > 1:
        raise ValueError(f"{' and '.join(found)} both mix pairs of images; name one of them")
    return AUGMENTATIONS[found[0]].of_pairs if found else None


def known_augmentations(names: Iterable[str]) -> Sequence[str]:
    """The names, all of which are keys of ``AUGMENTATIONS``.

    Raises:
        ValueError: If one is not.
    """
    given = list(names)
    for name in given:
        if name not in AUGMENTATIONS:
            raise ValueError(f"unknown augmentation {name!r}; known: {', '.join(AUGMENTATIONS)}")
    return given


def _after(first: Augment, second: Augment) -> Augment:
    def both(x: Tensor, rng: Generator) -> Tensor:
        return second(first(x, rng), rng)

    return both
