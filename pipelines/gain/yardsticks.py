"""What an arm with synthetic images is measured by: the strongest arms that do without a
generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from downstream.gain import LEVEL, Floats, holm, paired_t
from pipelines.gain.recipes import GENERATOR_FREE

YARDSTICKS = {"classical": "best_classical", "same_pool": "best_with_pool"}
"""Both of them, and where the policy of a run names the arm that was the best on the tuning
splits."""


def yardstick_of(arm: str, bases: Mapping[str, str] | None = None) -> str | None:
    """``classical`` or ``same_pool``; None for an arm that is not known to do without a generator.

    Args:
        arm: An arm of a gain run.
        bases: The run's own arms that mix nothing in, and the generator-free arm that each is a
            variant of.
    """
    recipe = GENERATOR_FREE.get((bases or {}).get(arm, arm))
    return None if recipe is None else "same_pool" if recipe.needs_pool else "classical"


def best_baselines(document: Mapping[str, Any]) -> dict[str, str]:
    """The strongest arm of each yardstick that a gain run has.

    It is the one that was best on the tuning splits, or without tuning the one with the highest
    mean. Where others are better than that on the scored images (paired t, corrected for their
    number), it is the one with the highest mean there: a tuning that went wrong must not make a
    weak rival.
    """
    if "yardsticks" in document:
        return dict(document["yardsticks"])
    policy = document["policy"] if isinstance(document["policy"], Mapping) else {}
    best = {}
    for yardstick, key in YARDSTICKS.items():
        arms = {
            name: np.array(arm["scores"])
            for name, arm in document["arms"].items()
            if yardstick_of(name, document.get("bases")) == yardstick
        }
        if arms:
            strongest = max(arms, key=lambda name: float(arms[name].mean()))
            tuned = arms.get(policy.get(key), arms[strongest])
            best[yardstick] = (
                strongest if _beaten(tuned, arms) or policy.get(key) not in arms else policy[key]
            )
    return best


def picked_on_scores(best: Mapping[str, str], policy: Mapping[str, Any] | None) -> set[str]:
    """Which of ``best_baselines`` are the strongest by the scored images and not by the tuning
    splits.

    The largest of several means is larger than it deserves: being behind such an arm shows little.
    """
    return {
        arm for yardstick, arm in best.items() if (policy or {}).get(YARDSTICKS[yardstick]) != arm
    }


def _beaten(tuned: Floats, arms: Mapping[str, Floats]) -> bool:
    others = [scores - tuned for scores in arms.values() if scores is not tuned]
    corrected = holm([paired_t(one)[1] for one in others])
    return any(p < LEVEL and one.mean() > 0 for p, one in zip(corrected, others, strict=True))
