"""Which augmentation of real images a config asks for."""

from __future__ import annotations

from typing import Literal

from downstream.augment import Augment, classical
from downstream.rand_augment import rand_augment, trivial_augment
from pipelines.config import Config


def domain_of(config: Config) -> Literal["digits", "natural"]:
    """The domain of the augmentation; ``auto`` goes by the name of the data."""
    if config.classifier.domain != "auto":
        return config.classifier.domain
    return "digits" if config.data.data in ("digits", "mnist") else "natural"


def classical_of(config: Config, factor: float = 1.0) -> Augment:
    """The classical augmentation for the domain of the data, at ``factor`` times
    ``classifier.strength``.
    """
    return classical(domain_of(config), config.classifier.strength * factor)


def augmentation_of(config: Config, kind: str, factor: float = 1.0) -> Augment | None:
    """An augmentation for the domain of the data.

    Args:
        config: ``classifier.domain`` and ``strength`` are used.
        kind: ``classical``, ``trivialaugment``, ``randaugment`` or ``none``.
        factor: On ``classifier.strength``, which only ``classical`` has.

    Returns:
        The augmentation; None for ``none``.

    Raises:
        ValueError: If the kind is unknown.
    """
    if kind == "classical":
        return classical_of(config, factor)
    if kind == "trivialaugment":
        return trivial_augment(domain_of(config))
    if kind == "randaugment":
        return rand_augment(domain_of(config))
    if kind != "none":
        raise ValueError(
            f"unknown augmentation {kind!r}; known: classical, trivialaugment, randaugment, none"
        )
    return None
