"""Which arms a gain run has, and what ``auto`` may choose: every name is refused here if wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from downstream.arms.policy import MixPolicy
from downstream.arms.table import ALONE, ARMS, BASES, Arm, default_arms, usual_bases
from pipelines.config import ConfigError, GainConfig, PolicyConfig
from pipelines.datasets import DataBundle
from pipelines.gain.outside import OutsideArms, arms_to_run
from pipelines.gain.requirements import learns, require_fitting

FILLED = ("classical", "trivialaugment")  # which of them suits rendered images is up to the data
MIXED = ("classical", "pseudo_label")  # SMOTE and repeated images do what synthetic ones do
OUTSIDE_MIXED = (ALONE, *MIXED)  # images from elsewhere may need no augmentation beside them


def own_policies(asked: Mapping[str, PolicyConfig]) -> dict[str, MixPolicy]:
    """The policies of the configuration, by name.

    Raises:
        ConfigError: If a name is that of an arm, or a value means nothing.
    """
    found = {}
    for name, one in asked.items():
        if name in ARMS:
            raise ConfigError(f"gain.policies: {name!r} is the name of an arm; give it another one")
        try:
            found[name] = MixPolicy(**one.model_dump())
        except ValueError as error:
            raise ConfigError(f"gain.policies.{name}: {error}") from error
    return found


def arms_of(
    settings: GainConfig,
    own: Mapping[str, MixPolicy],
    bundle: DataBundle,
    part: str,
    outside: Sequence[OutsideArms],
    table: Mapping[str, Arm],
) -> tuple[str, ...]:
    """The arms to run: those of the configuration, else the usual ones that the part of the network
    which learns can have.
    """
    pool, conditions = bundle.pool is not None, bool(bundle.train.conditions)
    usual = default_arms(pool=pool, conditions=conditions, own_generator=not outside)
    arms = settings.arms or tuple(arm for arm in usual if learns(part, ARMS[arm].recipe))
    arms = arms_to_run(outside, arms)
    known = ", ".join([*table, *own])
    for arm in arms:
        if arm not in table and arm not in own:
            raise ConfigError(f"gain.arms: unknown arm {arm!r}; known: {known}")
        if arms.count(arm) > 1:
            raise ConfigError(f"gain.arms: {arm!r} is named twice")
        recipe = own[arm].recipe if arm in own else table[arm].recipe
        require_fitting(f"gain.arms: the arm {arm!r}", recipe, bundle, part)
    return tuple(arms)


def candidates_of(
    settings: GainConfig,
    own: Mapping[str, MixPolicy],
    bundle: DataBundle,
    part: str,
    outside: Sequence[OutsideArms],
    *,
    runs_auto: bool,
    rendering: bool,
) -> tuple[MixPolicy, ...]:
    """What ``auto`` may choose: arms without a generator, ``MIXED`` with every share and filter,
    with images of the run's own generator (``rendering``) and of sets, and the configuration's own
    policies; where ``auto`` does not run, only the first, for their strengths.

    Raises:
        ConfigError: If a candidate is unknown or does not fit the data, or ``auto`` has none
            without a generator to compare with.
    """
    pool, conditions = bundle.pool is not None, bool(bundle.train.conditions)
    usual = usual_bases(pool=pool, conditions=conditions)
    wanted = settings.candidates or tuple(base for base in usual if learns(part, BASES[base]))
    alone: list[MixPolicy] = []
    mine: list[MixPolicy] = []
    for name in wanted:
        if name in own:
            mine.append(own[name])
        elif name in BASES:
            alone += _in_all_strengths(name, settings.strengths)
        else:
            known = ", ".join([*BASES, *own])
            raise ConfigError(f"gain.candidates: unknown candidate {name!r}; known: {known}")
    mixed: list[MixPolicy] = []
    for one in outside:
        for policy in _mixed(alone, settings, OUTSIDE_MIXED):
            mixed.append(replace(policy, outside=one.policy_name))
    if rendering:
        mixed += _filling(settings) if conditions else _mixed(alone, settings)
    found = dict.fromkeys([*alone, *mixed, *mine] if runs_auto else alone)
    if runs_auto and all(policy.uses_synthetic for policy in found):
        raise ConfigError("gain.candidates: add an arm without a generator, such as classical")
    for policy in found:
        require_fitting(f"gain.candidates: {policy.name!r}", policy.recipe, bundle, part)
    return tuple(found)


def _filling(settings: GainConfig) -> list[MixPolicy]:
    """Rendered combinations with each augmentation of ``FILLED``, in every share."""
    shares = sorted(set(settings.shares) - {0.0})
    return [MixPolicy(base, share=share, fill=True) for base in FILLED for share in shares]


def _mixed(
    alone: Sequence[MixPolicy], settings: GainConfig, bases: Sequence[str] = MIXED
) -> list[MixPolicy]:
    found = []
    for share in sorted(set(settings.shares) - {0.0}):
        for confidence in sorted(set(settings.confidences)):
            for policy in alone:
                if policy.base in bases:
                    found.append(replace(policy, share=share, confidence=confidence))
    return found


def _in_all_strengths(base: str, strengths: Sequence[float]) -> list[MixPolicy]:
    """An arm in every strength, if it has classical augmentation."""
    tunable = "classical" in BASES[base].augment
    return [MixPolicy(base, strength=one) for one in (strengths if tunable else (1.0,))]


def renders(arm: str, own: Mapping[str, MixPolicy], table: Mapping[str, Arm]) -> bool:
    """Whether an arm needs images of the run's own generator."""
    recipe = own[arm].recipe if arm in own else table[arm].recipe
    return recipe is not None and recipe.renders
