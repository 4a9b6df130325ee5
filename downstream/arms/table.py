"""The one table of arms: help, reports, docs and jobs read it.

A new arm is one line here, and where it needs one a function beside: an augmentation in
``downstream/augmentations.py``, a training in ``downstream/arms/training.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from downstream.arms.recipe import Recipe

Kind = Literal["plain", "classical", "pool", "synthetic", "outside", "auto", "control"]
KINDS: dict[Kind, str] = {
    "plain": "labelled images only",
    "classical": "augmentation or another loss",
    "pool": "unlabelled pool, no generator",
    "synthetic": "a generator",
    "outside": "images that another generator made",
    "auto": "chosen by screening",
    "control": "a control, not a choice",
}


@dataclass(frozen=True)
class Arm:
    """A way to train a classifier, by name.

    Args:
        name: As configs and results write it.
        kind: Group in reports; key of ``KINDS``.
        words: What it does, for help, reports and docs.
        recipe: How it is trained; None for ``auto``, which takes the recipe that screening chose.
        runs_by_default: Whether it runs, and ``auto`` may choose it, where the config names
            none.
        mixes_into: The arm into whose draws synthetic images are mixed; empty for others.
    """

    name: str
    kind: Kind
    words: str
    recipe: Recipe | None
    runs_by_default: bool = False
    mixes_into: str = ""


LABELLED = Recipe(balanced=False)
AUGMENTED = Recipe(augment=("classical",))
SHARE = 0.5
FILL_SHARE, FILL_SPREAD = 0.75, 0.8

_ARMS = (
    Arm("real", "plain", "the labelled images as they are", LABELLED, True),
    Arm("oversample", "plain", "every class drawn equally often", Recipe(), True),
    Arm(
        "logit_adjusted",
        "classical",
        "images as often as they are, a loss that allows for class frequencies, augmentation",
        # Balanced draws would correct for the long tail twice.
        Recipe(balanced=False, augment=("classical",), loss="logit_adjusted"),
        True,
    ),
    Arm(
        "classical",
        "classical",
        "every class drawn equally often, random affine augmentation",
        AUGMENTED,
        True,
    ),
    Arm(
        "smote",
        "plain",
        "SMOTE: mixes of neighbouring images balance the classes",
        Recipe(images="smote", balanced=False),  # the set itself is balanced
        True,
    ),
    Arm(
        "smote+classical",
        "classical",
        "SMOTE, then augmentation",
        Recipe(images="smote", balanced=False, augment=("classical",)),
        True,
    ),
    Arm(
        "trivialaugment",
        "classical",
        "every class drawn equally often, one random operation per image",
        Recipe(augment=("trivialaugment",)),
    ),
    Arm(
        "logit_adjusted+trivialaugment",
        "classical",
        "logit_adjusted, with one random operation per image as its augmentation",
        Recipe(balanced=False, augment=("trivialaugment",), loss="logit_adjusted"),
    ),
    Arm(
        "randaugment",
        "classical",
        "every class drawn equally often, two random operations per image",
        Recipe(augment=("randaugment",)),
    ),
    Arm(
        "mixup",
        "classical",
        "classical, then mixes of two images and their labels",
        Recipe(augment=("classical", "mixup")),
    ),
    Arm(
        "cutmix",
        "classical",
        "classical, then patches of one image in another",
        Recipe(augment=("classical", "cutmix")),
    ),
    Arm(
        "reweight",
        "classical",
        "images as often as they are, a loss that weighs rare classes more, augmentation",
        Recipe(balanced=False, augment=("classical",), loss="class_balanced"),
    ),
    Arm(
        "decoupled",
        "classical",
        "images as often as they are, then the last layer on balanced classes, augmentation",
        Recipe(balanced=False, augment=("classical",), training="decoupled"),
    ),
    Arm(
        "retrieval",
        "pool",
        "the unlabelled images nearest to labelled ones, augmentation",
        Recipe(images="retrieval", augment=("classical",)),
        True,
    ),
    Arm(
        "pseudo_label",
        "pool",
        "unlabelled images with predicted labels, augmentation",
        Recipe(images="pseudo_label", augment=("classical",)),
        True,
    ),
    Arm(
        "fixmatch",
        "pool",
        "FixMatch: unlabelled images labelled anew at every step",
        Recipe(augment=("classical",), training="fixmatch"),
    ),
    Arm(
        "graph_fixmatch",
        "pool",
        "FixMatch that begins with the labels of a graph of similar images",
        Recipe(augment=("classical",), training="graph_fixmatch"),
        True,
    ),
    Arm(
        "pair_fixmatch",
        "pool",
        "FixMatch that begins with the labels of two graph_fixmatch together",
        Recipe(augment=("classical",), training="pair_fixmatch"),
    ),
    Arm(
        "pair_label",
        "pool",
        "unlabelled images labelled by two classifiers together, augmentation",
        Recipe(images="pair_label", augment=("classical",)),
    ),
    Arm(
        "joint_label",
        "synthetic",
        "unlabelled images labelled by a classifier and a CVAE together, augmentation",
        Recipe(images="joint_label", augment=("classical",)),
    ),
    Arm(
        "joint_fixmatch",
        "synthetic",
        "FixMatch that begins with the labels of graph_fixmatch and a CVAE together",
        Recipe(augment=("classical",), training="joint_fixmatch"),
    ),
    Arm(
        "replay",
        "classical",
        "real images again in the place of synthetic ones: what plain repetition gives",
        Recipe(augment=("classical",), mixed="replay", share=SHARE),
    ),
    Arm(
        "synthetic",
        "synthetic",
        "synthetic images balance the classes, no augmentation",
        Recipe(share=SHARE),
        True,
        "oversample",
    ),
    Arm(
        "synthetic+classical",
        "synthetic",
        "synthetic images balance the classes, augmentation on all",
        Recipe(augment=("classical",), share=SHARE),
        True,
        "classical",
    ),
    Arm(
        "even_conditions",
        "classical",
        "every combination of class and condition drawn equally often, one random operation",
        Recipe(augment=("trivialaugment",), even_conditions=True),
    ),
    Arm(
        "mixstyle",
        "classical",
        "trivialaugment, and MixStyle: features in the style of another image",
        Recipe(augment=("trivialaugment",), training="mixstyle"),
    ),
    Arm(
        "fourier",
        "classical",
        "trivialaugment, then Fourier amplitudes mixed with another image's, phases kept",
        Recipe(augment=("trivialaugment", "fourier")),
    ),
    Arm(
        "group_dro",
        "classical",
        "even_conditions, and a loss that weighs the worst combinations up: group DRO",
        Recipe(augment=("trivialaugment",), training="group_dro", even_conditions=True),
    ),
    Arm(
        "domain_adversarial",
        "classical",
        "trivialaugment, and features made so that they do not tell the condition",
        Recipe(augment=("trivialaugment",), training="domain_adversarial"),
    ),
    Arm(
        "lisa",
        "classical",
        "trivialaugment, then mixes of the same class across conditions, or the reverse: LISA",
        Recipe(augment=("trivialaugment",), training="lisa"),
    ),
    Arm(
        "factored",
        "synthetic",
        "trivialaugment, and images of every combination of class and condition, rendered by a "
        "generator that knows both",
        Recipe(augment=("trivialaugment",), share=FILL_SHARE, spread=FILL_SPREAD, fill=True),
        mixes_into="trivialaugment",
    ),
    Arm(
        "factored_missing",
        "synthetic",
        "as factored, with images of missing and thin combinations alone",
        Recipe(
            augment=("trivialaugment",),
            share=FILL_SHARE,
            spread=FILL_SPREAD,
            fill=True,
            missing_only=True,
        ),
        mixes_into="trivialaugment",
    ),
    Arm(
        "label_only",
        "control",
        "trivialaugment, and images of a generator that knows the class alone, with latents of "
        "well covered classes",
        Recipe(augment=("trivialaugment",), share=FILL_SHARE, latents="transfer", spread=0.3),
        mixes_into="trivialaugment",
    ),
    Arm(
        "oracle",
        "control",
        "trivialaugment on the hidden real images too: what photos of the missing would give",
        Recipe(augment=("trivialaugment",), hidden=True),
    ),
    Arm(
        "auto",
        "auto",
        "what screening chose on held-out training images, before the scored images were read",
        None,
        True,
    ),
)
ARMS: Mapping[str, Arm] = {arm.name: arm for arm in _ARMS}

BASES: Mapping[str, Recipe] = {
    arm.name: arm.recipe
    for arm in _ARMS
    if arm.recipe is not None
    and not arm.mixes_into
    and arm.kind != "control"
    and arm.recipe.mixed != "replay"
}
"""The recipes that a policy may begin with: those that mix nothing in."""

OUTSIDE = "synthetic:"
"""How the names of arms with another generator's images begin."""
ALONE = "oversample"  # the arm whose draws such images fill where nothing is augmented


def outside_arms(name: str, digest: str, beside: Iterable[str]) -> list[Arm]:
    """The arms of a set of another generator's images: alone, and beside each augmentation.

    Args:
        name: Of the set.
        digest: Of its images.
        beside: Names of arms that run; those that are an augmentation of balanced draws are used.

    Example:
        >>> [arm.name for arm in outside_arms("sd", "0f", ["real", "classical", "mixup"])]
        ['synthetic:sd', 'synthetic:sd+classical', 'synthetic:sd+mixup']
    """
    found = []
    for base in dict.fromkeys([ALONE, *filter(_only_augments, beside)]):
        alone = base == ALONE
        words = f"images of {name}" + (", no augmentation" if alone else f", with {base} on all")
        recipe = replace(BASES[base], share=SHARE, outside=digest)
        found.append(
            Arm(
                name=OUTSIDE + name + ("" if alone else f"+{base}"),
                kind="outside",
                words=words,
                recipe=recipe,
                mixes_into=base,
            )
        )
    return found


def _only_augments(name: str) -> bool:
    """Whether an arm is balanced draws with augmentation, and nothing else."""
    recipe = BASES.get(name, LABELLED)
    return recipe.augmented and recipe == Recipe(augment=recipe.augment)


WITH_CONDITIONS = (
    "classical",
    "trivialaugment",
    "logit_adjusted",
    "logit_adjusted+trivialaugment",
    "even_conditions",
    "factored",
    "auto",
)
"""The arms that run by default where the data have conditions."""


def default_arms(
    *, pool: bool, conditions: bool = False, own_generator: bool = True
) -> tuple[str, ...]:
    """The arms that run where a config names none, as far as the data allow.

    Args:
        pool: Whether there are unlabelled images.
        conditions: Whether conditions of the images are known.
        own_generator: Whether the run trains a generator of its own.
    """
    names = WITH_CONDITIONS if conditions else _usual(pool=pool)
    if own_generator:
        return names
    return tuple(name for name in names if not _needs_generator(ARMS[name].recipe))


def _usual(*, pool: bool) -> tuple[str, ...]:
    return tuple(arm.name for arm in _ARMS if arm.runs_by_default and fits(arm.recipe, pool=pool))


def _needs_generator(recipe: Recipe | None) -> bool:
    return recipe is not None and recipe.uses_generator


def usual_bases(*, pool: bool, conditions: bool = False) -> tuple[str, ...]:
    """The arms without a generator among ``default_arms``: what ``auto`` chooses from."""
    usual = []
    for name in default_arms(pool=pool, conditions=conditions):
        if name in BASES and not BASES[name].uses_generator:
            usual.append(name)
    return tuple(usual)


def fits(recipe: Recipe | None, *, pool: bool, conditions: bool = True) -> bool:
    """Whether the data have what a recipe needs."""
    if recipe is None:
        return True
    return (pool or not recipe.needs_pool) and (conditions or not recipe.needs_conditions)


def arms_help() -> str:
    """What help says of the arms: which run by default and which by name only."""
    always = default_arms(pool=False)
    with_pool = [name for name in default_arms(pool=True) if name not in always]
    usual = {*always, *with_pool, *WITH_CONDITIONS}
    by_name = [name for name in ARMS if name not in usual]
    return (
        f"Arms to run, names of policies too; default: {', '.join(always)}, and with a pool "
        f"{', '.join(with_pool)}; with conditions: {', '.join(WITH_CONDITIONS)}. "
        f"By name only: {', '.join(by_name)}."
    )


def as_markdown(arms: Iterable[Arm] = _ARMS) -> str:
    """The table for the docs: name, kind, words, what of the data it needs, when it runs by
    default.
    """
    rows = ["| arm | kind | what it does | needs | runs by default |", "|---|---|---|---|---|"]
    for arm in arms:
        needs = "a pool" if not fits(arm.recipe, pool=False) else ""
        if not fits(arm.recipe, pool=True, conditions=False):
            needs = "conditions"
        cells = (f"`{arm.name}`", KINDS[arm.kind], arm.words, needs, _runs_by_default(arm))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _runs_by_default(arm: Arm) -> str:
    if arm.name in WITH_CONDITIONS:
        return "yes" if arm.runs_by_default else "with conditions"
    if not arm.runs_by_default:
        return "by name"
    return "without conditions" if fits(arm.recipe, pool=False) else "with a pool"
