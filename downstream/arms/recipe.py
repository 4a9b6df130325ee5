"""How the classifier of one arm is trained, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

FROM_POOL = ("pseudo_label", "retrieval", "pair_label", "joint_label")
WARM_STARTED = ("graph_fixmatch", "pair_fixmatch", "joint_fixmatch")
CONSISTENCY = ("fixmatch", *WARM_STARTED)
OF_COMBINATIONS = ("group_dro", "domain_adversarial", "lisa")
"""The trainings that are told the combination of class and condition of every image."""
GENERATOR_LABELS = ("joint_label", "joint_fixmatch")

INTENSITIES: Mapping[str, tuple[str, float, float]] = {
    "logit_adjusted": ("τ of the loss", 0.0, math.inf),
    "mixstyle": ("α of the mixes", 0.01, math.inf),
    "group_dro": ("the step size of the weights", 0.0, math.inf),
    "domain_adversarial": ("the weight of the adversary", 0.0, math.inf),
    "lisa": ("the share of mixes within a class", 0.0, 2.0),
}
"""What ``Recipe.intensity`` is a factor on, by loss or training, and its least and most value."""


@dataclass(frozen=True)
class Recipe:
    """What is special to the training of one arm; the rest is the same for all of them.

    Args:
        images: ``labelled``; ``smote`` (topped up to the largest class); or with images of the
            pool: ``pseudo_label`` (the confidently labelled ones), ``retrieval`` (the nearest to
            labelled ones), ``joint_label`` (labelled by a classifier and a generator together),
            ``pair_label`` (by two classifiers).
        balanced: Draw every class equally often; else every image equally often.
        augment: Names of ``AUGMENTATIONS``, applied to every image drawn, in this order.
        strength: Factor on the trainer's strength, for augmentations that have one.
        loss: One of ``trainer.LOSSES``.
        training: Key of ``training.TRAININGS``: ``plain``, ``decoupled``, ``pretrain``,
            ``fixmatch``, ``graph_fixmatch``, ``pair_fixmatch``, ``joint_fixmatch``, ``mixstyle``,
            ``group_dro``, ``domain_adversarial`` or ``lisa``.
        intensity: Factor on the number that the paper of the loss or the training sets; see
            ``INTENSITIES``. Others heed none.
        mixed: What fills ``share`` of the draws: ``synthetic`` images, or ``replay``, real images
            again, the control.
        share: Part of the draws that ``mixed`` fills, in [0, 1].
        confidence: Least probability of its class that a judge must give a synthetic image; 0 keeps
            all.
        latents: Where those of synthetic images come from: ``prior``, ``encoded`` (images of the
            class), ``transfer`` (images of well-covered classes, for every class) or ``pool``.
        spread: Standard deviation of prior latents, or of the noise on the others.
        realism: Part of every class's synthetic images to drop, the least real ones by the
            generator's discriminator, in [0, 1).
        short_only: A class gets synthetic images only as far as it has fewer real ones than the
            largest class.
        fill: Synthetic images are of all combinations of class and condition, equally many of
            each; the generator knows the conditions.
        missing_only: With ``fill``: of missing and thin combinations alone; a class that has none
            gets no synthetic images.
        even_conditions: Draw every combination that has images equally often, within its class.
        hidden: Train on the real images too that the regime hid: the control that says what real
            photos would give.
        outside: Digest of the set of another generator's images that fill ``share`` in the place
            of the run's own generator's; empty for the latter.
    """

    images: str = "labelled"
    balanced: bool = True
    augment: tuple[str, ...] = ()
    strength: float = 1.0
    loss: str = "cross_entropy"
    training: str = "plain"
    intensity: float = 1.0
    mixed: str = "synthetic"
    share: float = 0.0
    confidence: float = 0.0
    latents: str = "prior"
    spread: float = 1.0
    realism: float = 0.0
    short_only: bool = False
    fill: bool = False
    missing_only: bool = False
    even_conditions: bool = False
    hidden: bool = False
    outside: str = ""

    @property
    def intensity_of(self) -> str | None:
        """What of it ``INTENSITIES`` has, its loss or its training; None if neither."""
        return next((one for one in (self.loss, self.training) if one in INTENSITIES), None)

    @property
    def needs_conditions(self) -> bool:
        """Whether it is for data with known conditions only."""
        told = self.training in OF_COMBINATIONS
        return self.fill or self.even_conditions or self.hidden or told

    @property
    def augmented(self) -> bool:
        """Whether the images drawn are augmented."""
        return bool(self.augment)

    @property
    def needs_pool(self) -> bool:
        """Whether it is for data with unlabelled images only."""
        in_pool = self.images in FROM_POOL or self.training in CONSISTENCY
        return in_pool or self.latents == "pool"

    @property
    def renders(self) -> bool:
        """Whether it draws images of the run's own generator."""
        return self.mixes_synthetic and not self.outside

    @property
    def needs_judge(self) -> bool:
        """Whether a judge filters images for it, or finds them."""
        return self.confidence > 0 or self.images == "retrieval"

    @property
    def mixes_synthetic(self) -> bool:
        """Whether it draws synthetic images of any origin."""
        return self.share > 0 and self.mixed == "synthetic"

    @property
    def uses_generator(self) -> bool:
        """Whether the run's own generator has a part in it, as a source of images or of labels."""
        labels = self.images in GENERATOR_LABELS or self.training in GENERATOR_LABELS
        return self.renders or labels

    @property
    def uses_synthetic(self) -> bool:
        """Whether any generator has a part in it, the run's own or another one."""
        return self.uses_generator or self.mixes_synthetic
