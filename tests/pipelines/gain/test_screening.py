from __future__ import annotations

from typing import Any, cast

import numpy as np

from downstream.arms.policy import MixPolicy
from downstream.racing import Result
from pipelines.gain.screening import Race


def results(*scores: float, images: int = 100) -> list[Result]:
    return [
        Result(score, np.full(images + i, score / (images + i))) for i, score in enumerate(scores)
    ]


def test_a_candidate_that_missed_a_round_does_not_come_back() -> None:
    policies = [MixPolicy(base) for base in ("real", "classical", "mixup")]
    race = Race(cast(Any, None))
    race.results = {
        "real": results(0.5, 0.5),
        "classical": results(0.9, 0.9),
        "mixup": results(0.9, 0.9),
    }
    assert [one.name for one in race.alive(policies)] == ["classical", "mixup"]

    # The leader falls back in the third round, to where "real" would be alike if it were compared.
    race.results["classical"] += [Result(-0.4, np.full(102, -0.4 / 102))]
    race.results["mixup"] += [Result(-0.4, np.full(102, -0.4 / 102))]
    assert [one.name for one in race.alive(policies)] == ["classical", "mixup"]


def test_all_candidates_start_alive() -> None:
    policies = [MixPolicy("real"), MixPolicy("classical")]
    assert Race(cast(Any, None)).alive(policies) == policies
