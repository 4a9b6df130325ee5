from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from downstream.arms.policy import MixPolicy
from downstream.racing import Result
from pipelines.gain import screening
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


def test_a_decided_race_goes_on_until_synthetic_images_can_be_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a generator far ahead could never be taken where its rivals are told apart early."""
    plain, rendered = MixPolicy("classical"), MixPolicy("classical", share=0.5)
    scores = {plain: 0.5, MixPolicy("real"): 0.1, rendered: 0.9}
    plan = SimpleNamespace(
        candidates=tuple(scores),
        settings=SimpleNamespace(rehearse=True),
        rounds=5,
        bundle=SimpleNamespace(train=None),
        has_pool=False,
        fewest_for_synthetic=3,
    )
    monkeypatch.setattr(screening, "kind_of_regime", lambda *_, **__: "full")
    race = Race(cast(Any, plan), held_out=[100])

    def add(race: Race, job: Any, policies: Sequence[MixPolicy], numbers: range) -> None:
        for _ in numbers:
            for policy in policies:
                race.results.setdefault(policy.name, []).append(result(scores[policy], images=100))

    monkeypatch.setattr(screening, "_add_rounds", add)
    alone = [policy for policy in scores if not policy.uses_synthetic]
    screening._run(race, cast(Any, None), alone, least=plan.fewest_for_synthetic)
    screening._run_generating(race, cast(Any, None), alone, [rendered])
    assert len(race.results[rendered.name]) == 4  # three at least, two at a time
    assert screening._chosen(race, alone, [rendered]).policy == rendered
    for agreement, taken in ((0.9, rendered), (0.52, plain)):
        race.agreement[rendered.name] = [agreement, agreement]
        assert screening._chosen(race, alone, [rendered]).policy == taken
    words = screening._words(race, screening._chosen(race, alone, [rendered]), 0.0)
    assert "does not follow its condition: " in words
    assert " in 52 % of cases" in words
