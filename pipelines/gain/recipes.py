"""What each arm of the comparison is: the images it draws and how often, and what else is special
to its training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipelines.config import Config


@dataclass(frozen=True)
class Recipe:
    """How the classifier of an arm is trained.

    Args:
        images: ``labelled``, ``smote`` (topped up to the largest class), ``pseudo_label`` (with the
            labelled pool) or ``retrieval`` (with the images of the pool that are nearest to
            labelled ones), ``joint_label`` (with the pool, labelled by a classifier and a generator
            together) or ``pair_label`` (by two classifiers).
        balanced: Draw every class equally often; else every image equally often.
        augment: Of every image drawn: ``none``, ``classical``, ``trivialaugment`` or
            ``randaugment``.
        strength: Of ``classical``, a factor on the config's ``classifier.strength``.
        mix: Of the augmented images of a batch: ``none``, ``mixup`` or ``cutmix``.
        loss: ``cross_entropy``, ``class_balanced`` or ``logit_adjusted``.
        training: ``plain``; ``decoupled`` (the last layer anew on balanced classes); ``fixmatch``
            (the pool labelled at every step; ``augment`` is the strong one), which can begin with
            the labels of a graph (``graph_fixmatch``), or of that and a generator
            (``joint_fixmatch``) or of two such (``pair_fixmatch``); ``pretrain`` (the first
            ``share`` of the steps on synthetic images, the others on real ones).
        share: Part of the draws that are synthetic images, in [0, 1], every class equally often.
        confidence: Least probability of its class that a judge must give a synthetic image; 0 keeps
            all.
        latents: Where those of synthetic images come from: the ``prior``; ``encoded`` (images of
            the class); ``transfer`` (images of the well-covered classes, for every class); ``pool``
            (of the labelled pool).
        spread: Standard deviation of prior latents, or of the noise on the others.
        realism: Part of every class's synthetic images to drop, those that the source's
            discriminator finds the least real, in [0, 1).
        short_only: A class gets synthetic images only as far as it has fewer real ones than the
            largest class.
    """

    images: str
    balanced: bool
    augment: str = "none"
    strength: float = 1.0
    mix: str = "none"
    loss: str = "cross_entropy"
    training: str = "plain"
    share: float = 0.0
    confidence: float = 0.0
    latents: str = "prior"
    spread: float = 1.0
    realism: float = 0.0
    short_only: bool = False

    @property
    def augmented(self) -> bool:
        """Whether the images drawn are augmented."""
        return self.augment != "none"

    @property
    def needs_pool(self) -> bool:
        """Whether it is for data with unlabelled images only."""
        return self.images in FROM_POOL or self.training in CONSISTENCY or self.latents == "pool"


STARTED = ("graph_fixmatch", "pair_fixmatch", "joint_fixmatch")
CONSISTENCY = ("fixmatch", *STARTED)
FROM_POOL = ("pseudo_label", "retrieval", "pair_label", "joint_label")

GENERATOR_FREE = {
    "real": Recipe("labelled", balanced=False),
    "oversample": Recipe("labelled", balanced=True),
    "classical": Recipe("labelled", balanced=True, augment="classical"),
    "smote": Recipe("smote", balanced=False),  # the set itself is balanced
    "smote+classical": Recipe("smote", balanced=False, augment="classical"),
    "trivialaugment": Recipe("labelled", balanced=True, augment="trivialaugment"),
    "randaugment": Recipe("labelled", balanced=True, augment="randaugment"),
    "mixup": Recipe("labelled", balanced=True, augment="classical", mix="mixup"),
    "cutmix": Recipe("labelled", balanced=True, augment="classical", mix="cutmix"),
    # These three take the long tail as it is; balanced draws would correct for it twice.
    "reweight": Recipe("labelled", balanced=False, augment="classical", loss="class_balanced"),
    "logit_adjusted": Recipe(
        "labelled", balanced=False, augment="classical", loss="logit_adjusted"
    ),
    "decoupled": Recipe("labelled", balanced=False, augment="classical", training="decoupled"),
    "pseudo_label": Recipe("pseudo_label", balanced=True, augment="classical"),
    "fixmatch": Recipe("labelled", balanced=True, augment="classical", training="fixmatch"),
    "graph_fixmatch": Recipe(
        "labelled", balanced=True, augment="classical", training="graph_fixmatch"
    ),
    "pair_fixmatch": Recipe(
        "labelled", balanced=True, augment="classical", training="pair_fixmatch"
    ),
    "retrieval": Recipe("retrieval", balanced=True, augment="classical"),
    "pair_label": Recipe("pair_label", balanced=True, augment="classical"),
}
WITH_GENERATOR = {
    "joint_label": Recipe("joint_label", balanced=True, augment="classical"),
    "joint_fixmatch": Recipe(
        "labelled", balanced=True, augment="classical", training="joint_fixmatch"
    ),
}
"""The arms in which a generator does something else than render images."""

BASES = GENERATOR_FREE | WITH_GENERATOR
SYNTHETIC = {"synthetic": "oversample", "synthetic+classical": "classical"}
"""The arms that mix prior samples into another arm's draws, and that arm."""

USUAL_BASES = (
    "real",
    "oversample",
    "logit_adjusted",
    "classical",
    "smote",
    "smote+classical",
    "retrieval",
    "pseudo_label",
    "graph_fixmatch",
)
"""The generator-free arms that run, and that ``auto`` may choose, where the config names none."""

ARMS = (*BASES, *SYNTHETIC, "auto")
SPREADS = {"prior": 1.0, "encoded": 0.3, "transfer": 0.3, "pool": 0.3}
"""Standard deviations where a policy names none."""


@dataclass(frozen=True)
class Policy:
    """An arm as the base, and synthetic images mixed into its draws; ``auto`` chooses one.

    Args:
        base: One of ``BASES``; with a share above 0 none of ``reweight``, ``decoupled`` and those
            with FixMatch. Real images are drawn as without synthetic ones: in their own proportions
            for ``real`` and ``logit_adjusted``.
        share: Part of the draws that are synthetic; 0 is the base alone.
        confidence: Threshold of the filter; 0 is none.
        strength: Of classical augmentation, if it has that; a factor on the config's
            ``classifier.strength``.
        augment: Of all images drawn, in the place of the base's own; None leaves that. Of FixMatch,
            the strong one.
        schedule: ``mixed`` into every batch, or ``pretrain``: the first ``share`` of the steps,
            then real images alone.
        latents: As in ``Recipe``.
        spread: As in ``Recipe``; None is the number of ``SPREADS``.
        realism: As in ``Recipe``.
        short_only: As in ``Recipe``; ``share`` is then the most that a class gets.

    Raises:
        ValueError: If there is no such base, or it takes no synthetic images.
    """

    base: str
    share: float = 0.0
    confidence: float = 0.0
    strength: float = 1.0
    augment: str | None = None
    schedule: str = "mixed"
    latents: str = "prior"
    spread: float | None = None
    realism: float = 0.0
    short_only: bool = False

    def __post_init__(self) -> None:
        if self.base not in BASES:
            raise ValueError(f"unknown base {self.base!r}; known: {', '.join(BASES)}")
        base = BASES[self.base]
        if self.share and (base.training != "plain" or base.loss == "class_balanced"):
            raise ValueError(
                f"the base {self.base!r} takes no synthetic images: its training or its loss is "
                "not plain"
            )
        if self.augment == "none" and base.training in CONSISTENCY:
            raise ValueError(
                f"{self.base} learns from a strong augmentation; it cannot do without one"
            )
        if self.share and self.short_only and base.loss == "logit_adjusted":
            raise ValueError(
                "short_only draws all classes equally often; that leaves logit_adjusted nothing "
                "to adjust"
            )
        if self.schedule == "pretrain" and self.short_only:
            raise ValueError(
                "pretrain and short_only exclude each other: classes are not topped up in a first "
                "stage"
            )

    @property
    def recipe(self) -> Recipe:
        """The training it asks for."""
        base = BASES[self.base]
        base = replace(base, augment=self.augment or base.augment)
        if base.augment == "classical":
            base = replace(base, strength=self.strength)
        if not self.share:
            return base
        return replace(
            base,
            training="pretrain" if self.schedule == "pretrain" else "plain",
            share=self.share,
            confidence=self.confidence,
            latents=self.latents,
            spread=SPREADS[self.latents] if self.spread is None else self.spread,
            realism=self.realism,
            short_only=self.short_only,
        )

    @property
    def uses_generator(self) -> bool:
        """Whether a generator has a part in it, as a source of images or of labels."""
        return self.share > 0 or self.base in WITH_GENERATOR

    @property
    def name(self) -> str:
        """The policy in a few words; no other one has them."""
        recipe = self.recipe
        base = self.base + (f" with {self.augment}" if self.augment else "")
        base += f" at strength {recipe.strength:g}" if recipe.strength != 1 else ""
        if not self.share:
            return base
        details = [
            f"confidence {self.confidence:g}" if self.confidence else "",
            f"{self.latents} latents" if self.latents != "prior" else "",
            f"spread {recipe.spread:g}" if recipe.spread != SPREADS[self.latents] else "",
            f"the least real {100 * self.realism:g}% dropped" if self.realism else "",
            "for short classes" if self.short_only else "",
            "first" if self.schedule == "pretrain" else "",
        ]
        return ", ".join([f"{base} + {100 * self.share:g}% synthetic", *filter(None, details)])

    def to_json(self) -> dict[str, Any]:
        """Base, share and confidence, and what else is not as usual; ``Policy(**…)`` reads it."""
        usual = asdict(Policy(self.base, self.share, self.confidence))
        always = ("base", "share", "confidence")
        return {
            key: value
            for key, value in asdict(self).items()
            if key in always or value != usual[key]
        }


def uses_generator(document: Mapping[str, Any]) -> bool:
    """As ``Policy.uses_generator``, of the contents of policy.json."""
    return bool(document["share"] > 0 or document.get("base") in WITH_GENERATOR)


def named_policies(config: Config) -> dict[str, Policy]:
    """The config's own policies by name; each can be run as an arm.

    Raises:
        ValueError: If one has the name of an arm, or asks for what its base cannot do.
    """
    if taken := set(config.gain.policies) & set(ARMS):
        raise ValueError(
            f"the policy {sorted(taken)[0]!r} has the name of an arm; give it another one"
        )
    return {name: Policy(**asked.model_dump()) for name, asked in config.gain.policies.items()}


def recipe_of(
    arm: str,
    synthetic_share: float,
    policy: Policy | None,
    *,
    named: Mapping[str, Policy] | None = None,
    strengths: Mapping[str, float] | None = None,
) -> Recipe:
    """How an arm is trained.

    Args:
        arm: One of ``ARMS``, or of ``named``.
        synthetic_share: Part of the draws that are synthetic in the two synthetic arms.
        policy: What ``auto`` does; only ``auto`` needs it.
        named: The config's own policies.
        strengths: Tuned strengths of classical augmentation by generator-free arm; one that is not
            there has that of ``classical``, or 1. The config's own policies name theirs.

    Raises:
        ValueError: If the arm is unknown, or ``auto`` has no policy.
    """
    if arm == "auto" and policy is not None:
        return policy.recipe
    return policy_of_arm(arm, synthetic_share, named, strengths).recipe


def policy_of_arm(
    arm: str,
    synthetic_share: float,
    named: Mapping[str, Policy] | None = None,
    strengths: Mapping[str, float] | None = None,
) -> Policy:
    """Any arm but ``auto`` as a base and what is mixed into it; see ``recipe_of``.

    Raises:
        ValueError: If the arm is unknown.
    """
    named, strengths = named or {}, strengths or {}
    if arm in named:
        return named[arm]
    base = SYNTHETIC.get(arm, arm)
    if base not in BASES:
        known = ", ".join((*ARMS, *named))
        raise ValueError(
            f"no arm {arm!r} here" if arm == "auto" else f"unknown arm {arm!r}; known: {known}"
        )
    share = synthetic_share if arm in SYNTHETIC else 0.0
    return Policy(base, share, strength=strengths.get(base, strengths.get("classical", 1.0)))


def usual_bases(*, pool: bool) -> tuple[str, ...]:
    """``USUAL_BASES``, as far as the data allow."""
    return tuple(base for base in USUAL_BASES if pool or not BASES[base].needs_pool)


def known_arms(config: Config, *, pool: bool) -> tuple[str, ...]:
    """The arms to run: those of the config, else the usual ones, as far as the data allow.

    Raises:
        ValueError: If an arm is unknown, named twice, or needs a pool that is not there.
    """
    named = named_policies(config)
    arms = config.gain.arms or (*usual_bases(pool=pool), *SYNTHETIC, "auto")
    if unknown := [arm for arm in arms if arm not in ARMS and arm not in named]:
        raise ValueError(f"unknown arm {unknown[0]!r}; known: {', '.join((*ARMS, *named))}")
    if len(set(arms)) != len(arms):
        raise ValueError(f"an arm is named twice: {', '.join(arms)}")
    for arm in arms:
        if arm != "auto" and not pool and recipe_of(arm, 1.0, None, named=named).needs_pool:
            raise ValueError(
                f"the arm {arm!r} needs unlabelled images; give --unlabelled, or leave the arm out"
            )
    return arms
