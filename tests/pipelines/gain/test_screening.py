from __future__ import annotations

from typing import Any, cast

import numpy as np

from downstream.arms.policy import MixPolicy
from downstream.racing import Result
from pipelines.gain.screening import Race


def result(score: float, *, images: int, wobble: float = 0.0) -> Result:
    """A score whose contributions go up and down by ``wobble`` from image to image."""
    parts = np.full(images, score / images) + wobble * np.resize([1.0, -1.0], images)
    return Result(score, parts)


def test_a_candidate_that_missed_a_round_does_not_come_back() -> None:
    policies = [MixPolicy(base) for base in ("real", "classical", "mixup")]
    race = Race(cast(Any, None))
    for images in (100, 102):
        for name, score, wobble in (
            ("real", 0.5, 0.0),
            ("classical", 0.9, 0.0),
            ("mixup", 0.6, 0.1),
        ):
            race.results.setdefault(name, []).append(result(score, images=images, wobble=wobble))
    assert [one.name for one in race.alive(policies)] == ["classical", "mixup"]

    # The leader falls behind mixup, from which "real", two rounds old, cannot be told apart.
    race.results["classical"].append(result(-0.9, images=104))
    race.results["mixup"].append(result(0.6, images=104))
    assert "real" not in [one.name for one in race.alive(policies)]


def test_all_candidates_start_alive() -> None:
    policies = [MixPolicy("real"), MixPolicy("classical")]
    assert Race(cast(Any, None)).alive(policies) == policies
