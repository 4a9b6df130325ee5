"""A time budget for a gain run: as many replicates, then as many steps, as fit."""

from __future__ import annotations

from pathlib import Path

from pipelines.config import Config, ConfigError
from pipelines.experiment.plan import (
    FEWEST_REPLICATES,
    SMALLEST_STEPS,
    estimated_seconds,
    fit_budget,
    kinds_of_steps,
)
from pipelines.gain.plan import gain_plan
from pipelines.report.page import duration
from pipelines.workbench.speed import seconds_per_step

SMALL_ARMS, SMALL_SIDE = ("classical", "synthetic+classical"), 16
CUT, WHOLE = "steps within the budget", "without the budget"
"""Keys of ``setup`` in gain.json, of a run whose steps were cut: to which part, and what asks for
all of them."""


def within_budget(config: Config, out: Path, budget: float) -> tuple[Config, str, dict[str, str]]:
    """The configuration with the replicates and steps that fit a time budget.

    Args:
        config: The run; its replicates and steps are the most that are taken.
        out: Its folder; finished parts cost nothing.
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
    groups = plan.expected_groups()
    replicates = config.gain.replicates
    trained_kinds = kinds_of_steps(groups)
    speeds = seconds_per_step(plan.setting, plan.bundle.train, trained_kinds, plan.parallelism)
    screening, trained = groups[:-replicates], groups[-replicates:]

    def seconds(count: int, share: float) -> float:
        chosen = [*screening, *trained[:count]]
        return share * estimated_seconds(chosen, plan.store, speeds, plan.parallelism.processes)

    found = fit_budget(seconds, budget, replicates)
    if found is None:
        fewest = min(FEWEST_REPLICATES, replicates)
        least = seconds(fewest, SMALLEST_STEPS)
        raise ConfigError(
            f"--budget: {duration(budget)} is too short; {fewest} replicates with a quarter of the "
            f"steps take about {duration(least)}. Give more time, or make the run smaller: "
            f"{_smaller(config, budget / least)}"
        )
    count, share = found
    gain = config.gain.model_copy(update={"replicates": max(2, count)})
    source = config.source.model_copy(update={"steps": max(1, round(config.source.steps * share))})
    steps = max(1, round(config.classifier.steps * share))
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
    share = SMALLEST_STEPS * part
    generator, classifier = config.source.steps * share, config.classifier.steps * share
    return (
        f"without --budget, --steps {max(1, int(generator))} --classifier-steps "
        f"{max(1, int(classifier))} --replicates {min(FEWEST_REPLICATES, config.gain.replicates)}, "
        "whose answer is a first look at most"
    )
