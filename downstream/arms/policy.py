"""A policy: an arm to begin with, and synthetic images mixed into its draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from downstream.arms.recipe import CONSISTENCY, INTENSITIES, Recipe
from downstream.arms.table import ARMS, BASES, FILL_SPREAD, Arm
from downstream.augmentations import AUGMENTATIONS

SPREADS = {"prior": 1.0, "encoded": 0.3, "transfer": 0.3, "pool": 0.3}
"""Standard deviations where a policy names none."""
OF_SINGLE_IMAGES = ("classical", "trivialaugment", "randaugment")
"""What ``augment`` takes the place of; mixes with another image stay."""


@dataclass(frozen=True)
class MixPolicy:
    """A base arm and what is mixed into its draws; ``auto`` chooses one.

    Args:
        base: Key of ``BASES``; with a share above 0 only one with plain training and an unweighted
            loss. Real images are drawn as without synthetic ones.
        share: Part of the draws that are synthetic; 0 is the base alone.
        confidence: Threshold of the filter; 0 is none.
        strength: Of classical augmentation and of mixed amplitudes, a factor on the trainer's.
        intensity: As in ``Recipe``.
        augment: Of all images drawn, in the place of the base's own; ``none`` leaves it out,
            None leaves the base's. Mixes with another image (mixup, cutmix, fourier) stay. With
            FixMatch the strong one.
        schedule: ``mixed`` into every batch, or ``pretrain``: the first ``share`` of the steps,
            then real images alone.
        latents: As in ``Recipe``.
        spread: As in ``Recipe``; None is the number of ``SPREADS``.
        realism: As in ``Recipe``.
        short_only: As in ``Recipe``; ``share`` is then the most that a class gets.
        fill: As in ``Recipe``.
        outside: Name and digest of a set of another generator's images, ``name:digest``, in the
            place of the run's own generator; what belongs to latents then means nothing.

    Raises:
        ValueError: If the base is unknown, or cannot be combined with what is asked for.

    Example:
        >>> MixPolicy("classical", share=0.25).name
        'classical + 25% synthetic'
    """

    base: str
    share: float = 0.0
    confidence: float = 0.0
    strength: float = 1.0
    intensity: float = 1.0
    augment: str | None = None
    schedule: str = "mixed"
    latents: str = "prior"
    spread: float | None = None
    realism: float = 0.0
    short_only: bool = False
    fill: bool = False
    outside: str = ""

    def __post_init__(self) -> None:
        if self.base not in BASES:
            raise ValueError(f"unknown base {self.base!r}; known: {', '.join(BASES)}")
        base = BASES[self.base]
        if self.share and not _takes_synthetic(base):
            able = [name for name, recipe in BASES.items() if _takes_synthetic(recipe)]
            raise ValueError(
                f"base {self.base!r} cannot be combined with synthetic images (share > 0); "
                f"choose one of: {', '.join(able)}"
            )
        if self.intensity != 1:
            self._require_intensity(base)
        if self.fill and self.latents != "prior":
            raise ValueError("fill renders combinations from the prior; leave latents out")
        if self.fill and (self.confidence or self.realism or self.short_only):
            raise ValueError(
                "fill renders combinations that no judge has seen, of every class equally often; "
                "leave confidence, realism and short_only out"
            )
        if self.augment == "none" and base.training in CONSISTENCY:
            raise ValueError(f"{self.base} needs a strong augmentation; augment: none gives none")
        if self.share and self.short_only and not base.balanced:
            raise ValueError(
                f"short_only draws all classes equally often, base {self.base!r} as often as they "
                "are; choose another base, such as classical"
            )
        if self.schedule == "pretrain" and self.short_only:
            raise ValueError(
                "pretrain and short_only exclude each other: a first stage on synthetic images "
                "alone tops up no class"
            )

    def _require_intensity(self, base: Recipe) -> None:
        if base.intensity_of is None:
            raise ValueError(
                f"base {self.base!r} has no intensity; choose one of: {', '.join(INTENSITIES)}"
            )
        words, least, most = INTENSITIES[base.intensity_of]
        if not least <= self.intensity <= most:
            raise ValueError(
                f"intensity, a factor on {words}, must be from {least:g} to {most:g}, "
                f"got {self.intensity:g}"
            )

    @property
    def recipe(self) -> Recipe:
        """The training it asks for."""
        base = BASES[self.base]
        if self.augment is not None:
            kept = tuple(name for name in base.augment if name not in OF_SINGLE_IMAGES)
            own = () if self.augment == "none" else (self.augment,)
            base = replace(base, augment=(*own, *kept))
        if any(AUGMENTATIONS[name].has_strength for name in base.augment):
            base = replace(base, strength=self.strength)
        base = replace(base, intensity=self.intensity)
        if not self.share:
            return base
        return replace(
            base,
            training="pretrain" if self.schedule == "pretrain" else "plain",
            share=self.share,
            confidence=self.confidence,
            latents=self.latents,
            spread=self._usual_spread if self.spread is None else self.spread,
            realism=self.realism,
            short_only=self.short_only,
            fill=self.fill,
            outside=self.outside.rpartition(":")[2],
        )

    @property
    def _usual_spread(self) -> float:
        return FILL_SPREAD if self.fill else SPREADS[self.latents]

    @property
    def uses_generator(self) -> bool:
        """Whether the run's own generator has a part in it, as a source of images or of labels."""
        return self.recipe.uses_generator

    @property
    def uses_synthetic(self) -> bool:
        """Whether any generator has a part in it."""
        return self.recipe.uses_synthetic

    @property
    def name(self) -> str:
        """The policy in a few words; no other one has them."""
        recipe = self.recipe
        base = self.base + (f" with {self.augment}" if self.augment else "")
        base += f" at strength {recipe.strength:g}" if recipe.strength != 1 else ""
        base += f" at intensity {recipe.intensity:g}" if recipe.intensity != 1 else ""
        if not self.share:
            return base
        details = [
            f"confidence {self.confidence:g}" if self.confidence else "",
            f"{self.latents} latents" if self.latents != "prior" else "",
            f"spread {recipe.spread:g}" if recipe.spread != self._usual_spread else "",
            f"the least real {100 * self.realism:g}% dropped" if self.realism else "",
            "for short classes" if self.short_only else "",
            "of all combinations" if self.fill else "",
            "first" if self.schedule == "pretrain" else "",
        ]
        of = f" of {self.outside.rpartition(':')[0]}" if self.outside else ""
        mixed = f"{base} + {100 * self.share:g}% synthetic{of}"
        return ", ".join([mixed, *filter(None, details)])

    def to_json(self) -> dict[str, Any]:
        """What ``policy.json`` holds of it: base, share, confidence, whether real images are drawn
        balanced, and every other key that differs from its default; the spread too where the
        prior's is not the usual one.
        """
        found: dict[str, Any] = {"base": self.base, "share": self.share}
        found["confidence"] = self.confidence or None
        # The images that SMOTE topped up are balanced as they are; a user's own are not.
        found["balanced"] = self.recipe.balanced or self.recipe.images == "smote"
        usual = asdict(MixPolicy(self.base, self.share, self.confidence))
        for key, value in asdict(self).items():
            if value != usual[key]:
                found[key] = value
        if self.share and self.recipe.spread != 1:
            found["spread"] = self.recipe.spread
        return found


def policy_of(document: Mapping[str, Any]) -> MixPolicy:
    """The policy in the contents of ``policy.json``.

    Raises:
        ValueError: If the base is unknown.
    """
    known: dict[str, Any] = {}
    for field in fields(MixPolicy):
        if field.name in document:
            known[field.name] = document[field.name]
    known["confidence"] = document.get("confidence") or 0.0
    return MixPolicy(**known)


def recipe_of(
    arm: str,
    *,
    share: float = 0.5,
    chosen: MixPolicy | None = None,
    own: Mapping[str, MixPolicy] | None = None,
    strengths: Mapping[str, float] | None = None,
    table: Mapping[str, Arm] = ARMS,
) -> Recipe:
    """How an arm is trained in one run.

    Args:
        arm: Key of ``table``, or of ``own``.
        share: Part of the draws that are mixed in, in the arms that mix something in.
        chosen: What ``auto`` does; only ``auto`` needs it.
        own: The run's own policies by name.
        strengths: Screened strengths of classical augmentation by arm; one that is missing has that
            of ``classical``, or 1. The run's own policies name theirs.
        table: All arms; those of another generator's images are added by the run.

    Raises:
        ValueError: If the arm is unknown, or ``auto`` has no policy.

    Example:
        >>> recipe_of("classical", strengths={"classical": 2.0}).strength
        2.0
    """
    if arm == "auto":
        if chosen is None:
            raise ValueError("auto has no recipe before screening has chosen its policy")
        return chosen.recipe
    if own and arm in own:
        return own[arm].recipe
    if arm not in table:
        known = ", ".join([*table, *(own or {})])
        raise ValueError(f"unknown arm {arm!r}; known: {known}")
    recipe = table[arm].recipe
    assert recipe is not None
    if recipe.share and not (recipe.fill or table[arm].kind == "control"):
        recipe = replace(recipe, share=share)
    if "classical" in recipe.augment:
        known_strengths = strengths or {}
        usual = known_strengths.get("classical", 1.0)
        base = table[arm].mixes_into or arm
        recipe = replace(recipe, strength=known_strengths.get(base, usual))
    return recipe


def _takes_synthetic(base: Recipe) -> bool:
    # Draws that are even over combinations are weighed by the real images alone.
    return base.training == "plain" and base.loss != "class_balanced" and not base.even_conditions
