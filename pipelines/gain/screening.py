"""What ``auto`` does: candidates race on repeated splits of the training images.

The test images play no part. A class with few images has none to hold out, so common classes stand
in for rare ones (``augmentor.data.splits.tuning_split``). Synthetic images carry the burden of
proof: see ``RULE``.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from augmentor.common.types import DivergedError
from augmentor.quality.conditioning import FOLLOWS
from downstream.arms.policy import MixPolicy
from downstream.arms.recipe import Recipe
from downstream.metrics import POINTS, Integers, Metric
from downstream.racing import (
    AHEAD,
    NO_MATTER,
    Result,
    Standing,
    choose,
    difference,
    is_decided,
    leader_of,
    probability_of_a_better_one,
    standings,
)
from pipelines.experiment.job import OpenJob
from pipelines.experiment.parts import FinishedPart
from pipelines.experiment.plan import Group
from pipelines.gain.plan import GainPlan
from pipelines.gain.record import kind_of_regime, record_for
from pipelines.gain.rehearsal import rehearsal
from pipelines.workbench.training_parts import TrainingTask, outputs_of, screen_parts

FIRST_LOOK = 2
"""Rounds before the race is looked at for the first time; from then on after every one."""

RULE = (
    "Candidates race on repeated splits of the training images. One that is more than two standard "
    "errors behind the leader drops out; the race ends when no other can be a point better, or "
    "with its last round. {taken} Synthetic images are taken only if they are ahead of the best "
    "candidate without a generator by more than one standard error in three rounds or more; "
    "rendered combinations only if the generator follows its condition."
)
BY_RECORD = (
    "Of those that did not drop out, which the splits cannot tell apart, the one with the best "
    "record in the published runs of its kind of regime is taken."
)
BY_MEAN = "The one with the highest mean is taken."


@dataclass
class Race:
    """The results of all candidates so far.

    Args:
        plan: Of the run.
        results: By candidate's name, one result per split.
        held_out: Images held out in every split.
        agreement: By candidate's name, how well its generators followed their condition; see
            ``augmentor.quality.conditioning``.
    """

    plan: GainPlan
    results: dict[str, list[Result]] = field(default_factory=dict)
    held_out: list[int] = field(default_factory=list)
    agreement: dict[str, list[float]] = field(default_factory=dict)

    def alive(self, candidates: Sequence[MixPolicy]) -> list[MixPolicy]:
        """The candidates that did not drop out, now or in an earlier round: one that missed a
        round has no result on its split and cannot come back when the leader changes.
        """
        if not self.results:
            return list(candidates)
        known = {name: own for name, own in self.results.items() if own}
        dropped = {one.name for one in standings(known) if one.dropped}
        rounds = {policy.name: len(known.get(policy.name, ())) for policy in candidates}
        last = max(rounds.values())
        return [
            policy
            for policy in candidates
            if policy.name not in dropped and rounds[policy.name] == last
        ]

    def follows(self, name: str) -> bool:
        """Whether the generators of a candidate use their condition, where that is known."""
        known = self.agreement.get(name)
        return not known or statistics.fmean(known) >= FOLLOWS

    def of(self, candidates: Sequence[MixPolicy]) -> dict[str, list[Result]]:
        """The results of these candidates."""
        return {policy.name: self.results[policy.name] for policy in candidates}


def screen(plan: GainPlan, job: OpenJob[Any]) -> dict[str, Any]:
    """Race the candidates of a plan and say what was chosen.

    Args:
        plan: Of the run.
        job: Makes the trainings; finished ones are kept.

    Returns:
        The contents of policy.json: ``base``, ``share``, ``confidence`` (null filters nothing),
        ``balanced``, ``best_classical`` (the best arm without generator and pool; null if
        unknown), ``best_with_pool`` (without generator; likewise), ``strengths`` (of classical
        augmentation, by arm), ``words``, and ``screening``: rule, budget and standings.
        ``share`` 0 means no synthetic images.
    """
    if not _can_screen(plan):
        return _unscreened(plan)
    race = Race(plan)
    plain = [policy for policy in plan.candidates if not policy.uses_synthetic]
    generating = [policy for policy in plan.candidates if policy.uses_synthetic]
    _run(race, job, plain, least=plan.fewest_for_synthetic if generating else 0)
    if generating:
        _run_generating(race, job, plain, generating)
    choice = _chosen(race, plain, generating)
    found = _document(race, plain, choice)
    if plan.settings.rehearse:
        found["rehearsal"] = rehearsal(plan, job, choice.policy, choice.best, len(race.held_out))
    return found


def _can_screen(plan: GainPlan) -> bool:
    """Whether a split holds out any image; a rehearsal was checked with the plan."""
    if plan.settings.rehearse:
        return True
    first = plan.screening_group(0, plan.candidates).task
    assert first.screen is not None
    _, held_out, _ = screen_parts(plan.bundle.train, first.seed, first.screen)
    return bool(len(held_out))


def _run(race: Race, job: OpenJob[Any], candidates: Sequence[MixPolicy], least: int) -> None:
    """Race the candidates without a generator, in ``least`` rounds or more: those with one have no
    more rounds than their leader.
    """
    rounds = Rounds(race, job, race.plan.rounds)
    while rounds.done < rounds.most:
        rounds.add(race.alive(candidates))
        if rounds.done >= least and is_decided(race.of(candidates)):
            return


def _run_generating(
    race: Race, job: OpenJob[Any], plain: Sequence[MixPolicy], generating: Sequence[MixPolicy]
) -> None:
    """Race the candidates with a generator against the leader of the others, on its splits."""
    rounds = Rounds(race, job, len(race.results[leader_of(race.of(plain))]))
    left = list(generating)
    while left and rounds.done < rounds.most:
        rounds.add(left)
        left = [policy for policy in race.alive(generating) if not _hopeless(race, plain, policy)]


def _hopeless(race: Race, plain: Sequence[MixPolicy], policy: MixPolicy) -> bool:
    """Whether a candidate with a generator is behind the best without one by a standard error: a
    generator takes long to train, so it drops out sooner.
    """
    leader = race.results[leader_of(race.of(plain))]
    behind, error = difference(leader, race.results[policy.name])
    return behind > AHEAD * error


@dataclass
class Rounds:
    """The rounds of a race, which workers may make ahead of the looks at it.

    Idle workers make rounds that may turn out not to be needed; those are not looked at, so that
    the choice does not depend on how many workers there are.

    Args:
        race: What the results are entered into.
        job: Makes the trainings.
        most: Rounds at most.
        done: Rounds entered.
        ahead: Those made and not yet entered.
        careful: Whether no more are made ahead, since one of those diverged.
    """

    race: Race
    job: OpenJob[Any]
    most: int
    done: int = 0
    ahead: list[dict[Recipe, FinishedPart]] = field(default_factory=list)
    careful: bool = False

    def add(self, candidates: Sequence[MixPolicy]) -> None:
        """Enter the results of these candidates in the next round, or in the first two."""
        for _ in range(min(self.most, FIRST_LOOK) if self.done == 0 else 1):
            if not self.ahead:
                self._make(candidates)
            self._enter(self.ahead.pop(0), candidates)
            self.done += 1

    def _make(self, candidates: Sequence[MixPolicy]) -> None:
        needed = min(self.most, FIRST_LOOK if self.done == 0 else 1)
        groups = self._groups(needed, candidates)
        if not self.careful and any(self.job.store.missing(one.everything) for one in groups):
            groups = self._groups(max(self.job.engine.places, needed), candidates)
        try:
            made = self.job.finished(groups, "screening")
        except DivergedError:
            if len(groups) <= needed:
                raise
            self.careful = True  # a round that is perhaps never looked at must not end the race
            groups = groups[:needed]
            made = self.job.finished(groups, "screening")
        for group, parts in zip(groups, made, strict=True):
            self.ahead.append(dict(zip(group.task.recipes, parts, strict=True)))

    def _groups(self, width: int, candidates: Sequence[MixPolicy]) -> list[Group[TrainingTask]]:
        numbers = range(self.done, min(self.most, self.done + width))
        return [self.race.plan.screening_group(number, candidates) for number in numbers]

    def _enter(self, made: Mapping[Recipe, FinishedPart], candidates: Sequence[MixPolicy]) -> None:
        images = self.race.plan.held_out(self.done).numpy()
        for policy in candidates:
            part = made[policy.recipe]
            result = _result(part, self.race.plan.screening_metric, images)
            self.race.results.setdefault(policy.name, []).append(result)
            agreement = part.content.get("condition_agreement")
            if agreement is not None:
                self.race.agreement.setdefault(policy.name, []).append(agreement)
        if len(self.race.held_out) <= self.done:
            part = made[candidates[0].recipe]
            self.race.held_out.append(len(part.tensors["y"]))


def _result(part: FinishedPart, metric: Metric, images: Integers) -> Result:
    """A score of which more is better, and what every image adds to it."""
    outputs = outputs_of(part)
    sign = 1.0 if metric.higher_is_better else -1.0
    if metric.contributions is None:
        return Result(sign * metric.of(outputs), np.zeros(0))
    return Result(sign * metric.of(outputs), sign * metric.contributions(outputs), images)


@dataclass(frozen=True)
class Choice:
    """What a race ended with.

    Args:
        policy: What ``auto`` does.
        best: The best candidate without a generator.
        kind: Of the regime.
        record: By candidate's name, points behind the best in published runs.
        by_record: Whether the record, and not the highest mean, made ``best`` the best.
    """

    policy: MixPolicy
    best: MixPolicy
    kind: str
    record: Mapping[str, float]
    by_record: bool


def _chosen(race: Race, plain: Sequence[MixPolicy], generating: Sequence[MixPolicy]) -> Choice:
    plan = race.plan
    kind = kind_of_regime(plan.bundle.train, pool=plan.has_pool)
    # The published runs without conditions say nothing about missing combinations.
    record = {} if plan.settings.rehearse else record_for(kind, plan.bundle.name)
    by_name = {policy.name: policy for policy in plan.candidates}
    known = {policy.name: record[policy.base] for policy in plain if policy.base in record}
    best = choose(race.of(plain), known)
    leader = leader_of(race.of(plain))
    name = best
    for policy in generating:
        enough = len(race.results[policy.name]) >= plan.fewest_for_synthetic
        # Ahead of the leader too, which the record may have passed over.
        beaten = all(_is_ahead(race, policy.name, other) for other in (name, leader))
        if enough and beaten and race.follows(policy.name):
            name = policy.name
    by_record = best != leader
    return Choice(by_name[name], by_name[best], kind, known, by_record)


def _is_ahead(race: Race, name: str, other: str) -> bool:
    ahead, error = difference(race.results[name], race.results[other])
    return ahead > AHEAD * error and ahead > 0


def _document(race: Race, plain: Sequence[MixPolicy], choice: Choice) -> dict[str, Any]:
    plan, chosen = race.plan, choice.policy
    by_name = {policy.name: policy for policy in plan.candidates}
    wrong = probability_of_a_better_one(race.results, chosen.name)
    found = _facts(plan, chosen, _ranked(race, plain, choice.best.name))
    found["words"] = _words(race, choice, wrong)
    found["screening"] = {
        "rule": RULE.format(taken=BY_RECORD if choice.record else BY_MEAN),
        "kind_of_regime": choice.kind,
        "record": dict(choice.record),
        "probability_of_a_better_one": _finite(wrong),
        "metric": plan.screening_metric.name,
        "budget": {
            "rounds": len(race.held_out),
            "images_held_out": race.held_out,
            "trainings": sum(len(own) for own in race.results.values()),
            "steps_per_training": plan.setting.trainer.settings.steps,
        },
        "condition_agreement": {
            name: statistics.fmean(values) for name, values in race.agreement.items()
        },
        "candidates": _rows(race, by_name, chosen.name),
    }
    return found


def _rows(race: Race, by_name: Mapping[str, MixPolicy], chosen: str) -> list[dict[str, Any]]:
    sign = 1.0 if race.plan.screening_metric.higher_is_better else -1.0
    rows = []
    for one in standings(race.results):
        scores = [sign * result.score for result in race.results[one.name]]
        rows.append(
            {
                "name": one.name,
                **by_name[one.name].to_json(),
                "rounds": one.rounds,
                "scores": scores,
                "mean": sign * one.mean,
                "behind_leader": one.behind,
                "standard_error": _finite(one.standard_error),
                "dropped": one.dropped,
                "chosen": one.name == chosen,
            }
        )
    return rows


def _finite(number: float) -> float | None:
    """The number; None, as JSON has neither, for infinity and NaN."""
    return number if math.isfinite(number) else None


def _ranked(race: Race, plain: Sequence[MixPolicy], best: str) -> list[MixPolicy]:
    """The candidates without a generator, the chosen one first, then by rounds and mean."""

    def place(one: Standing) -> tuple[bool, int, float]:
        return one.name != best, -one.rounds, -one.mean

    order = sorted(standings(race.of(plain)), key=place)
    by_name = {policy.name: policy for policy in plain}
    return [by_name[one.name] for one in order]


def _facts(plan: GainPlan, chosen: MixPolicy, ranked: Sequence[MixPolicy]) -> dict[str, Any]:
    """The contents of policy.json but for words and standings; ``ranked`` has the best first."""
    own = {policy: name for name, policy in plan.own.items()}
    best: dict[bool, str] = {}
    strengths: dict[str, float] = {}
    for policy in ranked:
        best.setdefault(policy.recipe.needs_pool, own.get(policy, policy.base))
        if policy not in own and "classical" in policy.recipe.augment:
            strengths.setdefault(policy.base, policy.strength)
    return {
        "schema": 2,
        **chosen.to_json(),
        "name": chosen.name,
        "best_classical": best.get(False),
        "best_with_pool": best.get(True),
        "strengths": strengths,
    }


def _words(race: Race, choice: Choice, wrong: float) -> str:
    chosen, unit = choice.policy, race.plan.screening_metric.unit
    point = "a point" if unit == POINTS else f"{NO_MATTER:g} {unit.name}"
    without = "" if chosen.uses_synthetic else ", no synthetic images"
    rounds = len(race.held_out)
    images = math.floor(sum(race.held_out) / rounds)
    record = ""
    if choice.by_record:
        record = (
            f" Of those that the splits cannot tell apart, {choice.best.name} has the best record "
            f"in runs of the kind '{choice.kind}'."
        )
    if ignoring := [name for name in race.agreement if not race.follows(name)]:
        worst = min(statistics.fmean(race.agreement[name]) for name in ignoring)
        record += (
            " The generator does not follow its condition: a training image comes back better "
            f"under its own than under another one in {100 * worst:.0f} % of cases (50 % is "
            "chance), so rendered combinations were not taken."
        )
    sure = "not known from so few rounds" if math.isnan(wrong) else f"{100 * wrong:.0f} %"
    return (
        f"Chosen: {chosen.name}{without}. {len(race.results)} candidates raced over {rounds} "
        f"rounds, {images} training images held out in each; probability that another candidate "
        f"is better by more than {point}: {sure}.{record}"
    )


def _unscreened(plan: GainPlan) -> dict[str, Any]:
    strengths = plan.settings.strengths
    chosen = MixPolicy("classical", strength=1.0 if 1.0 in strengths else strengths[0])
    ranked = [chosen]
    if plan.has_pool:
        ranked.append(MixPolicy("pseudo_label", strength=chosen.strength))
    found = _facts(plan, chosen, ranked)
    found["best_classical"] = found["best_with_pool"] = None
    found["words"] = (
        "No class has four images, so nothing could be screened: classical augmentation, no "
        "synthetic images."
    )
    found["screening"] = {"rule": RULE.format(taken=BY_RECORD), "candidates": []}
    return found
