"""What ``--dry-run`` and ``augmentor parts`` show of the jobs with parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import click

from augmentor.common.given_files import parse_json, read_text
from pipelines.cli.output import TIMING, note, print_plan, print_result

if TYPE_CHECKING:
    from pipelines.config import Config
    from pipelines.datasets import DataBundle
    from pipelines.experiment.parallelism import Parallelism
    from pipelines.experiment.parts import Part, PartRow, PartStore
    from pipelines.experiment.plan import Group
    from pipelines.experiment.setting import Setting
    from pipelines.gain.plan import GainPlan

JOB_BY_PART = {
    "verifier-": "verify",
    "row-": "compare",
    "judge-": "compare",
    "gan_head-": "semi",
    "training-replicate": "gain",
    "training-screening": "gain",
    "training-rehearsal": "gain",
    "gallery-": "gain",
}
"""The job that leaves files whose names begin so; every other job is ``semi``."""


class JobPlan(Protocol):
    """What all plans have."""

    @property
    def setting(self) -> Setting:
        """Data, networks, device."""

    @property
    def bundle(self) -> DataBundle:
        """The data of the first replicate."""

    @property
    def store(self) -> PartStore:
        """Where finished parts are."""

    @property
    def parallelism(self) -> Parallelism:
        """Workers of the job."""


def print_synth_plan(
    run: Path,
    filter_: str | None,
    form: Literal["folder", "shards"],
    workers: int,
    price: float | None,
    values: dict[str, Any],
    as_json: bool,
) -> None:
    """The plan of ``synth``: shards, bytes, time and cost."""
    from pipelines.generators.synth_plan import plan_text, synth_plan_run
    from pipelines.generators.synthesize import Wish
    from pipelines.report.page import duration

    ways = ("strategy", "per_class", "ratio", "fill", "classes")
    wish = Wish(**{name: values.pop(name) for name in ways})
    plan = synth_plan_run(
        run, wish, filter=filter_, format=form, workers=workers, price=price, **values
    )
    print_result(plan, as_json, lambda: plan_text(plan, [duration(r.seconds) for r in plan.rows]))


def print_gain_plan(config: Config, out: Path, as_json: bool) -> None:
    """The plan of ``gain``: what is trained how often, what is finished, and an estimate."""
    from pipelines.gain.plan import gain_plan

    plan = gain_plan(config, out)
    facts = {
        "scored": _scored(plan.bundle),
        "arms": ", ".join(plan.arms),
        "auto chooses from": "; ".join(policy.name for policy in plan.candidates),
        "metrics": ", ".join(metric.name for metric in plan.metrics),
        "replicates": str(plan.settings.replicates),
    }
    if not plan.screens:
        facts.pop("auto chooses from")
    if plan.settings.rehearse:
        folds = "1 fold" if plan.rounds == 1 else f"{plan.rounds} folds"
        facts["rehearsal"] = (
            f"{folds}; each makes a third of the well photographed classes as incomplete as the "
            "incomplete ones are"
        )
    _print_trainings(plan, plan.expected_groups(), facts, as_json)


def print_semi_plan(config: Config, out: Path, as_json: bool) -> None:
    """The plan of ``semi``."""
    from pipelines.semi.plan import semi_plan

    plan = semi_plan(config, out)
    facts = {
        "scored": _scored(plan.bundle),
        "methods": ", ".join(plan.methods),
        "compared with": plan.reference,
        "numbers of labels": ", ".join(map(str, plan.settings.labels)),
        "subsets": str(plan.settings.subsets),
    }
    _print_trainings(plan, plan.groups, facts, as_json)


def print_compare_plan(config: Config, out: Path, as_json: bool) -> None:
    """The plan of ``compare``."""
    from pipelines.compare.plan import compare_plan
    from pipelines.compare.timing import step_seconds
    from pipelines.device import threads_of_a_worker

    plan = compare_plan(config, out)
    judging, source = plan.judging, plan.setting.source
    real = _scored(plan.bundle)
    facts = {
        "scored": f"{judging.samples} samples of each row, beside {real}",
        "rows": ", ".join(row.name for row in plan.rows),
        "budget of a row": f"{source.steps} steps of {source.batch_size} images",
        "judge": f"{judging.judge.name}, {judging.judge.steps} steps",
        "student": f"{judging.student.name}, {judging.student.steps} steps",
    }
    note(TIMING)
    with threads_of_a_worker(plan.parallelism.threads, plan.parallelism.processes):
        speeds = step_seconds(plan)
    _print(plan, plan.groups, facts, speeds, as_json)


def print_verify_plan(config: Config, out: Path, as_json: bool) -> None:
    """The plan of ``verify``."""
    from pipelines.verify.plan import verify_plan
    from pipelines.workbench.speed import seconds_per_step

    plan = verify_plan(config, out)
    trainer, pairs = plan.setting.trainer, plan.pairs
    same = int(pairs.same.sum())
    people, folds = len(set(pairs.people)), len(pairs.fold_numbers)
    head, steps = plan.settings.head, trainer.settings.steps
    facts = {
        "scored": f"{same} pairs of one person and {len(pairs) - same} of two, {people} people in "
        f"{folds} folds",
        "arms": ", ".join(arm.name for arm in plan.arms),
        "replicates": str(plan.settings.replicates),
        "network": f"{trainer.network}, {head} head, {steps} steps",
    }
    note(TIMING)
    speeds = seconds_per_step(plan.setting, plan.bundle.train, ["classifier"], plan.parallelism)
    _print(plan, plan.groups, facts, speeds, as_json)


def rows_of_run(run: Path) -> list[PartRow]:
    """The parts of a run's plan, then the other files in its folder of parts.

    Raises:
        click.UsageError: If the folder holds no run with parts.
    """
    from pipelines.config import load_config
    from pipelines.experiment.job import parts_folder
    from pipelines.experiment.parts import PartStore

    file, folder = run / "config.yaml", parts_folder(run)
    if not file.is_file() or not folder.is_dir():
        raise click.UsageError(
            f"{run}: no run with parts here (config.yaml or parts/ is missing)",
            click.get_current_context(),
        )
    return PartStore(folder).rows(_parts_of(load_config(file), run, _job_of(folder)))


def _scored(bundle: DataBundle) -> str:
    from pipelines.report.page import scored_words

    return f"{len(bundle.test)} {scored_words(bundle.scored_on)}"


def _print_trainings(
    plan: JobPlan,
    groups: Sequence[Group[Any]],
    facts: Mapping[str, str],
    as_json: bool,
) -> None:
    """Of a job that trains classifiers, and generators where an arm or a method needs one."""
    from pipelines.experiment.plan import kinds_of_steps
    from pipelines.workbench.speed import seconds_per_step

    trainer, source = plan.setting.trainer, plan.setting.source
    told = {**facts, "classifier": f"{trainer.network}, {trainer.settings.steps} steps"}
    trained = kinds_of_steps(groups)
    if "generator" in trained:
        told["generator"] = f"{source.family}, {source.steps} steps"
    note(TIMING)
    speeds = seconds_per_step(plan.setting, plan.bundle.train, trained, plan.parallelism)
    _print(plan, groups, told, speeds, as_json)


def _print(
    plan: JobPlan,
    groups: Sequence[Group[Any]],
    facts: Mapping[str, str],
    speeds: Mapping[str, float],
    as_json: bool,
) -> None:
    from pipelines.experiment.plan import estimated_seconds, plan_rows

    told = {"data": f"{plan.bundle.name}: {plan.bundle.regime}", **facts}
    rows = plan_rows(groups, plan.store, speeds)
    processes = plan.parallelism.processes
    seconds = estimated_seconds(groups, plan.store, speeds, processes)
    print_plan(told, rows, seconds, processes, as_json)


def _job_of(folder: Path) -> str:
    for path in sorted(folder.iterdir()):
        for beginning, job in JOB_BY_PART.items():
            if path.name.startswith(beginning):
                return job
    return "semi"


def _parts_of(config: Config, run: Path, job: str) -> list[Part]:
    """The parts that the run's configuration asks for."""
    from pipelines.compare.plan import compare_plan
    from pipelines.experiment.plan import parts_of
    from pipelines.gain.plan import gain_plan
    from pipelines.semi.plan import semi_plan
    from pipelines.verify.plan import verify_plan

    if job == "gain":
        groups = _groups_of_gain(gain_plan(config, run), run / "policy.json")
        return [*parts_of(groups), *(part for group in groups for part in group.beside)]
    plans = {"semi": semi_plan, "compare": compare_plan, "verify": verify_plan}
    plan: Any = plans[job](config, run)
    return parts_of(plan.groups)


def _groups_of_gain(plan: GainPlan, file: Path) -> list[Group[Any]]:
    """Those of the policy that was chosen; before that, those that are expected."""
    from downstream.arms.policy import policy_of

    if not file.is_file():
        return list(plan.expected_groups())
    policy: dict[str, Any] = parse_json(read_text(file))
    raced = {row["name"]: row["rounds"] for row in policy["screening"]["candidates"]}
    groups: list[Group[Any]] = []
    for number in range(max(raced.values(), default=0)):
        alive = [one for one in plan.candidates if raced.get(one.name, 0) > number]
        recipes = {policy.name: policy.recipe for policy in alive}
        groups.append(plan.split_group(number, recipes | plan.ceiling))
    return groups + plan.replicate_groups(policy_of(policy), dict(policy["strengths"]))
