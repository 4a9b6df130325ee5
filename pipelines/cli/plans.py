"""What ``--dry-run`` and ``augmentor parts`` show of the jobs with parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.output import print_plan

if TYPE_CHECKING:
    from pipelines.config import Config
    from pipelines.experiment.parts import Part, PartRow


def print_gain_plan(config: Config, out: Path, as_json: bool) -> None:
    """The plan of ``gain``: what is trained how often, what is finished, and an estimate."""
    from pipelines.experiment.plan import estimated_seconds, plan_rows
    from pipelines.gain.plan import gain_plan
    from pipelines.workbench.speed import seconds_per_step

    plan = gain_plan(config, out)
    groups = plan.expected_groups()
    speeds = seconds_per_step(plan.setting, plan.bundle.train)
    rows = plan_rows(groups, plan.store, speeds)
    processes = config.gain.processes
    seconds = estimated_seconds(groups, plan.store, speeds, processes)
    trainer = plan.setting.trainer
    facts = {
        "arms": ", ".join(plan.arms),
        "auto chooses from": ", ".join(policy.name for policy in plan.candidates),
        "metrics": ", ".join(metric.name for metric in plan.metrics),
        "replicates": str(plan.settings.replicates),
        "classifier": f"{trainer.network}, {trainer.settings.steps} steps",
        "generator": f"{plan.setting.source.family}, {plan.setting.source.steps} steps",
    }
    if not plan.screens:
        facts.pop("auto chooses from")
    print_plan(plan.bundle, rows, seconds, processes, as_json, facts)


def rows_of_run(run: Path) -> list[PartRow]:
    """The parts of a run's plan, then the other files in its folder of parts.

    Raises:
        click.UsageError: If the folder holds no run with parts.
    """
    from pipelines.config import load_config
    from pipelines.experiment.job import parts_folder
    from pipelines.experiment.parts import PartStore

    file = run / "config.yaml"
    if not file.is_file() or not parts_folder(run).is_dir():
        raise click.UsageError(
            f"{run}: no run with parts here (config.yaml or parts/ is missing)",
            click.get_current_context(),
        )
    config = load_config(file)
    return PartStore(parts_folder(run)).rows(_parts_of_plan(config, run))


def _parts_of_plan(config: Config, run: Path) -> list[Part]:
    """The parts that the run's configuration asks for; of ``gain`` with the policy that was
    chosen.
    """
    from downstream.arms.policy import policy_of
    from pipelines.experiment.plan import parts_of
    from pipelines.gain.plan import gain_plan

    plan = gain_plan(config, run)
    policy: dict[str, Any] | None = None
    if (run / "policy.json").is_file():
        policy = json.loads((run / "policy.json").read_text("utf-8"))
    if policy is None:
        return parts_of(plan.expected_groups())
    strengths = dict(policy["strengths"])
    groups = []
    raced = {row["name"]: row.get("rounds", 0) for row in policy["screening"]["candidates"]}
    for number in range(max(raced.values(), default=0)):
        alive = [one for one in plan.candidates if raced.get(one.name, 0) > number]
        groups.append(plan.screening_group(number, alive))
    groups += plan.replicate_groups(policy_of(policy), strengths)
    return parts_of(groups)
