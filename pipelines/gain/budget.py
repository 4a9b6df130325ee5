"""A time budget for a gain run: as many replicates, then as many steps, as fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipelines.config import Config, ConfigError
from pipelines.experiment.plan import (
    FEWEST_REPLICATES,
    SHARES_OF_STEPS,
    Group,
    estimated_seconds,
    fit_budget,
    kinds_of_steps,
    parts_of,
)
from pipelines.gain.plan import GainPlan, gain_plan
from pipelines.report.page import duration
from pipelines.workbench.speed import seconds_per_step
from pipelines.workbench.training_parts import TrainingTask

SMALL_ARMS, SMALL_SIDE = ("classical", "synthetic+classical"), 16
CUT, WHOLE = "steps within the budget", "without the budget"
"""Keys of ``setup`` in gain.json, of a run whose steps were cut: to which part, and what asks for
all of them."""


def within_budget(config: Config, out: Path, budget: float) -> tuple[Config, str, dict[str, str]]:
    """The configuration with the replicates and steps that fit a time budget.

    Args:
        config: The run; its replicates and steps are the most that are taken.
        out: Its folder; finished parts cost nothing. Those of an earlier start decide the steps:
            with others they would have to be made anew.
        budget: Seconds.

    Returns:
        The configuration to run, a sentence that says what was chosen, and ``CUT`` and ``WHOLE``
        if steps were cut.

    Raises:
        ConfigError: If not even three replicates with a quarter of the steps fit; says what takes
            longest. On a Ray cluster, if the number of workers isn't given.
    """
    if config.engine.name.startswith("ray") and config.gain.processes == "auto":
        raise ConfigError(
            "--budget: nothing says how many workers the Ray cluster has; add --processes N"
        )
    plan = gain_plan(config, out)
    replicates = config.gain.replicates
    groups = {share: _with_steps(plan, share).expected_groups() for share in SHARES_OF_STEPS}
    trained_kinds = kinds_of_steps(groups[1.0])
    speeds = seconds_per_step(plan.setting, plan.bundle.train, trained_kinds, plan.parallelism)

    def seconds(count: int, share: float) -> float:
        screening, trained = groups[share][:-replicates], groups[share][-replicates:]
        chosen = [*screening, *trained[:count]]
        return estimated_seconds(chosen, plan.store, speeds, plan.parallelism.processes)

    begun = _begun(plan, groups)
    shares = SHARES_OF_STEPS if begun is None else (begun,)
    found = fit_budget(seconds, budget, replicates, shares)
    if found is None:
        fewest = min(FEWEST_REPLICATES, replicates)
        least = seconds(fewest, shares[-1])
        part = "a quarter of the steps"
        if begun is not None:
            part = f"the {100 * begun:g} % of the steps that this run was begun with"
        raise ConfigError(
            f"--budget: {duration(budget)} is too short; {fewest} replicates with {part} take "
            f"about {duration(least)}. Give more time, or make the run smaller: "
            f"{_smaller(config, budget / least)}"
        )
    count, share = found
    gain = config.gain.model_copy(update={"replicates": max(2, count)})
    source = config.source.model_copy(update={"steps": _part_of(config.source.steps, share)})
    steps = _part_of(config.classifier.steps, share)
    classifier = config.classifier.model_copy(update={"steps": steps})
    updates = {"gain": gain, "source": source, "classifier": classifier}
    words = (
        f"--budget: {count} of {replicates} replicates with {100 * share:g} % of the steps, about "
        f"{duration(seconds(count, share))} if nothing else runs beside it"
    )
    told = {}
    if share < 1:
        told[CUT] = f"{100 * share:g} %"
        told[WHOLE] = (
            f"--steps {config.source.steps} --classifier-steps {config.classifier.steps} "
            f"--replicates {replicates}"
        )
    return config.model_copy(update=updates), words, told


def _with_steps(plan: GainPlan, share: float) -> GainPlan:
    """The plan with a part of the steps."""
    setting = plan.setting
    trainer, source = setting.trainer, setting.source
    settings = replace(trainer.settings, steps=_part_of(trainer.settings.steps, share))
    source = source.model_copy(update={"steps": _part_of(source.steps, share)})
    trainer = replace(trainer, settings=settings)
    return replace(plan, setting=replace(setting, trainer=trainer, source=source))


def _part_of(steps: int, share: float) -> int:
    return max(1, round(steps * share))


def _begun(plan: GainPlan, groups: dict[float, list[Group[TrainingTask]]]) -> float | None:
    """The part of the steps of which the folder holds the most finished trainings; None of none."""
    finished = {}
    for share, own in groups.items():
        parts = parts_of(own)
        finished[share] = len(parts) - len(plan.store.missing(parts))
    most = max(finished, key=lambda share: finished[share])
    return most if finished[most] else None


def _smaller(config: Config, part: float) -> str:
    """Options that make a run smaller and were not given yet.

    Args:
        config: The run.
        part: Of the least time that it needs, which is all that it may take.
    """
    said = []
    if not config.gain.arms or len(config.gain.arms) > len(SMALL_ARMS):
        said.append(f"--arms {','.join(SMALL_ARMS)}")
    if config.data.size is None or config.data.size > SMALL_SIDE:
        said.append(f"--size {SMALL_SIDE}")
    if said:
        return " ".join(said)
    share = SHARES_OF_STEPS[-1] * part
    generator, classifier = config.source.steps * share, config.classifier.steps * share
    return (
        f"without --budget, --steps {max(1, int(generator))} --classifier-steps "
        f"{max(1, int(classifier))} --replicates {min(FEWEST_REPLICATES, config.gain.replicates)}, "
        "whose answer is a first look at most"
    )
