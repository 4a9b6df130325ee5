"""The methods that ``semi`` compares: arms of the one table of arms, and heads with a GAN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from downstream.arms.recipe import Recipe
from downstream.arms.table import ARMS, BASES
from pipelines.config import ConfigError
from pipelines.semi.gan_methods import GAN_HEADS, GanHead

METHODS: Mapping[str, Recipe | GanHead] = {
    "supervised": BASES["oversample"],
    "classical": BASES["classical"],
    "pseudo_label": BASES["pseudo_label"],
    "fixmatch": BASES["fixmatch"],
    "graph_fixmatch": BASES["graph_fixmatch"],
    "improved_gan": GAN_HEADS["improved_gan"],
    "head_cvae_gan": GAN_HEADS["head_cvae_gan"],
}
"""The methods that run by default; Triple-GAN, which takes long, and other arms that render nothing
run by name."""

SUPERVISED = "the labelled images alone, every class drawn equally often"


def known_methods() -> Sequence[str]:
    """Names of all methods: those of ``METHODS``, then the other GANs, then every other arm that
    has a recipe and draws no images of a generator.
    """
    names = list(dict.fromkeys([*METHODS, *GAN_HEADS]))
    for name, arm in ARMS.items():
        if name not in names and arm.recipe is not None and not arm.recipe.renders:
            names.append(name)
    return names


def method_of(name: str, where: str) -> Recipe | GanHead:
    """The recipe or the head that a method name means.

    Args:
        name: As a configuration writes it.
        where: The key that holds it, for the error.

    Raises:
        ConfigError: If the method is unknown.
    """
    if name in GAN_HEADS or name in METHODS:
        return GAN_HEADS.get(name) or METHODS[name]
    known = known_methods()
    recipe = ARMS[name].recipe if name in known else None
    if recipe is None:
        raise ConfigError(f"{where}: unknown method {name!r}; known: {', '.join(known)}")
    return recipe


def words_of(name: str) -> str:
    """What a method does, for the report; empty for a name that is not known."""
    if name in GAN_HEADS:
        return GAN_HEADS[name].words
    if name == "supervised":
        return SUPERVISED
    return ARMS[name].words if name in ARMS else ""
