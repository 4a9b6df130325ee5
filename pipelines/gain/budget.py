"""A time budget for a gain run: as many replicates, then as many steps, as fit."""

from __future__ import annotations

from pathlib import Path

from pipelines.config import Config, ConfigError
from pipelines.experiment.plan import estimated_seconds, fit_budget, kinds_of_steps
from pipelines.gain.plan import gain_plan
from pipelines.report.page import duration
from pipelines.workbench.speed import seconds_per_step


def within_budget(config: Config, out: Path, budget: float) -> tuple[Config, str]:
    """The configuration with the replicates and steps that fit a time budget.

    Args:
        config: The run; its replicates and steps are the most that are taken.
        out: Its folder; finished parts cost nothing.
        budget: Seconds.

    Returns:
        The configuration to run, and a sentence that says what was chosen.

    Raises:
        ConfigError: If not even three replicates with a quarter of the steps fit; says what takes
            longest.
    """
    plan = gain_plan(config, out)
    groups = plan.expected_groups()
    speeds = seconds_per_step(plan.setting, plan.bundle.train, kinds_of_steps(groups))
    replicates = config.gain.replicates
    screening, trained = groups[:-replicates], groups[-replicates:]
    processes = config.gain.processes

    def seconds(count: int, share: float) -> float:
        chosen = [*screening, *trained[:count]]
        return share * estimated_seconds(chosen, plan.store, speeds, processes)

    found = fit_budget(seconds, budget, replicates)
    if found is None:
        fewest = min(3, replicates)
        parts = {
            "screening": estimated_seconds(screening, plan.store, speeds, processes),
            f"{fewest} replicates": estimated_seconds(
                trained[:fewest], plan.store, speeds, processes
            ),
        }
        told = ", ".join(f"{name} {duration(value)}" for name, value in parts.items())
        raise ConfigError(
            f"--budget: {duration(budget)} is too short even with a quarter of the steps; with all "
            f"steps: {told}. Name fewer arms or candidates, a smaller --size, or a longer budget"
        )
    count, share = found
    gain = config.gain.model_copy(update={"replicates": max(2, count)})
    source = config.source.model_copy(update={"steps": max(1, round(config.source.steps * share))})
    steps = max(1, round(config.classifier.steps * share))
    classifier = config.classifier.model_copy(update={"steps": steps})
    updates = {"gain": gain, "source": source, "classifier": classifier}
    words = (
        f"--budget: {count} of {replicates} replicates with {100 * share:g} % of the steps, about "
        f"{duration(seconds(count, share))}"
    )
    return config.model_copy(update=updates), words
