"""A policy of the section ``gain``: a way to mix synthetic images in."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.config.section import Augmentation, Fraction, Section


class PolicyConfig(Section):
    """A way to mix synthetic images in, with a name of its own: an arm, and if asked for a
    candidate of auto.
    """

    base: str = Field(
        default="classical",
        description="Arm to start from; with a share none that has draws or training steps of its "
        "own: reweight, decoupled, the fixmatch ones, even_conditions, mixstyle, group_dro, "
        "domain_adversarial, lisa.",
    )
    share: Fraction = Field(default=0.5, description="Synthetic part of the draws.")
    confidence: Fraction = Field(
        default=0.0, description="Least probability of its class; 0 filters nothing."
    )
    strength: float = Field(default=1.0, ge=0, description="Factor on classifier.strength.")
    intensity: float = Field(
        default=1.0,
        ge=0,
        description="Factor on the number that the base's method is set by: τ of logit_adjusted "
        "(1), α of mixstyle (0.1), the step size of group_dro (0.01), the adversary's weight in "
        "domain_adversarial (1), the share of mixes within a class in lisa (0.5).",
    )
    augment: Augmentation | None = Field(
        default=None,
        description="Of all images drawn, in the place of the base's; with fixmatch the strong "
        "one.",
    )
    schedule: Literal["mixed", "pretrain"] = Field(
        default="mixed",
        description="mixed: in every batch; pretrain: synthetic images alone in the first share "
        "of the steps, then "
        "real ones alone.",
    )
    latents: Literal["prior", "encoded", "transfer", "pool"] = Field(
        default="prior",
        description="Where latents come from: prior; encoded: those of the class's own images; "
        "transfer: those of "
        "images of well-covered classes (at least half the largest), for every class; pool: those "
        "of the labelled "
        "pool, for every class. All but prior need a family with an encoder.",
    )
    spread: float | None = Field(
        default=None,
        ge=0,
        description="Standard deviation of prior latents (default 1, with fill 0.8; more is "
        "wider), or of the noise on encoded ones (default 0.3).",
    )
    realism: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Part of every class's synthetic images to drop, those that the family's "
        "discriminator finds the "
        "least real; together with confidence both must pass.",
    )
    short_only: bool = Field(
        default=False,
        description="A class gets synthetic images only for what it lacks to the largest one, at "
        "most share; with "
        "base pseudo_label they balance the pseudo-labels.",
    )
    fill: bool = Field(
        default=False,
        description="Render every combination of class and condition equally often, as the arm "
        "factored does; needs conditions and a family that takes them, and goes with no "
        "confidence, realism, short_only or other latents.",
    )
