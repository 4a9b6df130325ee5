from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from augmentor.common.types import DivergedError
from augmentor.data.fingerprint import fingerprints
from downstream.arms.policy import MixPolicy
from downstream.metrics import METRICS
from downstream.racing import Result
from pipelines.config import config_from
from pipelines.gain import screening
from pipelines.gain.plan import GainPlan, gain_plan
from pipelines.gain.screening import Race
from pipelines.workbench.training_parts import bench_of

MakeFolder = Callable[..., Path]


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


def test_a_round_made_ahead_that_diverges_does_not_end_the_race(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan: Any = SimpleNamespace(
        screening_group=group_of, screening_metric=None, held_out=lambda _: torch.arange(100)
    )
    monkeypatch.setattr(screening, "_result", lambda *_: result(0.5, images=100))
    job: Any = FakeJob(4, diverges=3)
    rounds = screening.Rounds(Race(plan, held_out=[100] * 9), job, most=5)
    rounds.add([MixPolicy("real")])
    rounds.add([MixPolicy("real")])
    assert rounds.done == 3
    assert job.asked == [4, 2, 1]
    with pytest.raises(DivergedError):  # as with one worker
        rounds.add([MixPolicy("real")])


def test_all_candidates_start_alive() -> None:
    policies = [MixPolicy("real"), MixPolicy("classical")]
    assert Race(cast(Any, None)).alive(policies) == policies


def group_of(number: int, policies: Sequence[MixPolicy]) -> Any:
    recipes = tuple(dict.fromkeys(policy.recipe for policy in policies))
    task = SimpleNamespace(recipes=recipes, number=number)
    return SimpleNamespace(task=task, everything=recipes)


class FakeJob:
    """Makes parts that say which recipe they are of, and remembers how many rounds it was asked
    for at once."""

    def __init__(self, places: int, diverges: int | None = None) -> None:
        self.asked: list[int] = []
        self.engine = SimpleNamespace(places=places)
        self.store = SimpleNamespace(missing=list)
        self.diverges = diverges

    def finished(self, groups: Sequence[Any], _: str) -> list[list[Any]]:
        self.asked.append(len(groups))
        if any(group.task.number == self.diverges for group in groups):
            raise DivergedError("fold")
        made = []
        for group in groups:
            tensors = {"y": np.zeros(100)}
            made.append(
                [SimpleNamespace(of=r, content={}, tensors=tensors) for r in group.task.recipes]
            )
        return made


@pytest.mark.parametrize(("workers", "plain", "generating"), [(1, [2, 1], [2, 1]), (4, [4], [3])])
def test_a_decided_race_goes_on_until_synthetic_images_can_be_judged(
    monkeypatch: pytest.MonkeyPatch, workers: int, plain: list[int], generating: list[int]
) -> None:
    """Else a generator far ahead could never be taken where its rivals are told apart early. More
    workers make rounds ahead that are not looked at."""
    usual, rendered = MixPolicy("classical"), MixPolicy("classical", share=0.5)
    scores = {usual: 0.5, MixPolicy("real"): 0.1, rendered: 0.9}
    plan = SimpleNamespace(
        candidates=tuple(scores),
        settings=SimpleNamespace(rehearse=True),
        screening_group=group_of,
        held_out=lambda _: torch.arange(100),
        screening_metric=METRICS["missing_combinations"],
        rounds=5,
        bundle=SimpleNamespace(train=None),
        has_pool=False,
        fewest_for_synthetic=3,
    )
    monkeypatch.setattr(screening, "kind_of_regime", lambda *_, **__: "full")
    race = Race(cast(Any, plan), held_out=[100])

    by_recipe = {policy.recipe: result(score, images=100) for policy, score in scores.items()}
    monkeypatch.setattr(screening, "_result", lambda part, *_: by_recipe[part.of])
    alone = [policy for policy in scores if not policy.uses_synthetic]
    job = FakeJob(workers)
    screening._run(race, cast(Any, job), alone, least=plan.fewest_for_synthetic)
    assert job.asked == plain
    job = FakeJob(workers)
    screening._run_generating(race, cast(Any, job), alone, [rendered])
    assert job.asked == generating
    assert len(race.results[rendered.name]) == 3
    assert screening._chosen(race, alone, [rendered]).policy == rendered
    for agreement, taken in ((0.9, rendered), (0.52, usual)):
        race.agreement[rendered.name] = [agreement, agreement]
        assert screening._chosen(race, alone, [rendered]).policy == taken
    words = screening._words(race, screening._chosen(race, alone, [rendered]), 0.0)
    assert "does not follow its condition: " in words
    assert " in 52 % of cases" in words


def test_synthetic_images_have_to_beat_the_leader_that_the_record_passes_over() -> None:
    plain = [MixPolicy("logit_adjusted"), MixPolicy("classical")]
    made = MixPolicy("classical", share=0.5)
    bundle = SimpleNamespace(train=SimpleNamespace(counts={"a": 80, "b": 4}), name="x")
    plan = SimpleNamespace(
        settings=SimpleNamespace(rehearse=False),
        bundle=bundle,
        has_pool=False,
        candidates=(*plain, made),
        fewest_for_synthetic=3,
    )

    def chosen(scores: list[float]) -> screening.Choice:
        race = Race(cast(Any, plan))
        of = {
            "logit_adjusted": [0.79, 0.79, 0.82, 0.80],
            "classical": [0.80, 0.82, 0.81, 0.83],
            made.name: scores,
        }
        for name, own in of.items():
            race.results[name] = [Result(score, np.zeros(0)) for score in own]
        return screening._chosen(race, plain, [made])

    behind = chosen([0.80, 0.815, 0.81, 0.825])
    assert (behind.best.name, behind.by_record) == ("logit_adjusted", True)
    assert behind.policy.name == "logit_adjusted"
    assert chosen([0.83, 0.85, 0.84, 0.86]).policy.name == made.name


def plan_of(root: Path, pool: Path | None = None) -> GainPlan:
    data = {"data": str(root / "data"), "unlabelled": None if pool is None else str(pool)}
    gain = {"arms": ["auto", "classical"], "candidates": ["classical"], "screening_rounds": 2}
    return gain_plan(config_from({"data": data, "gain": gain, "device": "cpu"}), root / "run")


def make_data(root: Path, make_folder: MakeFolder) -> None:
    make_folder(root / "data" / "train", {"a": 12, "b": 12}, seed=0)
    make_folder(root / "data" / "test", {"a": 2, "b": 2}, seed=1)


def test_images_held_out_for_the_race_are_not_in_its_pool(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    make_data(tmp_path, make_folder)
    plan = plan_of(tmp_path, pool=tmp_path / "data" / "train")
    bench, scored = bench_of(plan.screening_group(0, plan.candidates).task, lambda _: None, None)
    assert bench.pool is not None
    assert plan.bundle.pool is not None
    assert not np.isin(fingerprints(bench.pool), fingerprints(scored.x)).any()
    assert torch.equal(plan.bundle.train.x[plan.held_out(0)], scored.x)
    assert len(bench.pool) == len(plan.bundle.pool) - len(scored) > 0


def test_copies_of_a_training_image_are_all_fitted_or_all_held_out(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    make_data(tmp_path, make_folder)
    before = plan_of(tmp_path).screening_group(0, plan_of(tmp_path).candidates)
    for file in (tmp_path / "data" / "train").rglob("*.png"):
        file.with_name("copy_of_" + file.name).write_bytes(file.read_bytes())
    plan = plan_of(tmp_path)
    for number in range(2):
        task = plan.screening_group(number, plan.candidates).task
        bench, scored = bench_of(task, lambda _: None, None)
        assert len(scored) > 0
        assert not np.isin(fingerprints(bench.train.x), fingerprints(scored.x)).any()
    # Where nothing is twice, the stored trainings keep their names.
    assert "copies" not in before.parts[0].description["screen"]
    assert task.parts[0].description["screen"]["copies"] == 24
