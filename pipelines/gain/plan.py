"""What a gain run will do, resolved once: arms, recipes, comparisons, metrics, seeds, parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import Tensor

from downstream.arms.policy import MixPolicy, recipe_of
from downstream.arms.recipe import Recipe
from downstream.arms.table import ARMS, BASES, Arm
from downstream.comparison import OF_THE_LOWEST, expected_overlap, measured_overlap
from downstream.metrics import Metric, metric_of
from pipelines.config import Config, ConfigError, GainConfig
from pipelines.datasets import DataBundle
from pipelines.experiment.job import parts_folder
from pipelines.experiment.parallelism import Parallelism, parallelism_of
from pipelines.experiment.parts import PartStore
from pipelines.experiment.plan import Group
from pipelines.experiment.setting import Setting, setting_of
from pipelines.gain.arms import arms_of, candidates_of, own_policies, renders
from pipelines.gain.outside import OutsideArms, open_outside
from pipelines.gain.requirements import (
    require_able_family,
    require_factored_source,
    require_rehearsable,
    require_scored,
    require_screenable,
)
from pipelines.generators.in_memory import chosen_family
from pipelines.run_dir import RunDir
from pipelines.workbench.training_parts import (
    Screen,
    TrainingTask,
    copies_in,
    scored_in,
    training_group,
    views_computed,
)

FEWEST_FOR_SYNTHETIC = 3
"""Rounds of the race, as far as it has as many."""
MEASURED = 20
"""Replicates whose training images are compared with each other at most."""


@dataclass(frozen=True)
class GainPlan:
    """One comparison of arms.

    Args:
        setting: Data, networks, device.
        bundle: The data of the first replicate; its test part gives the scored images.
        store: Where finished parts are.
        arms: The arms that run, by name.
        own: The run's own policies by name.
        candidates: What ``auto`` may choose.
        settings: The section ``gain``: replicates, shares, rounds.
        parallelism: Its workers.
        metric: What the comparisons and ``auto`` go by.
        metrics: All metrics that are shown.
        comparisons: Pairs (arm, baseline) to test; None: those that the verdict needs.
        table: All arms by name, those of the sets too.
        outside: Sets of another generator's images.
        first_split: Number of the first screening split; another one repeats the choice with other
            splits and seeds.
    """

    setting: Setting
    bundle: DataBundle
    store: PartStore
    arms: tuple[str, ...]
    own: Mapping[str, MixPolicy]
    candidates: tuple[MixPolicy, ...]
    settings: GainConfig
    parallelism: Parallelism
    metric: Metric
    metrics: tuple[Metric, ...]
    comparisons: tuple[tuple[str, str], ...] | None
    table: Mapping[str, Arm]
    outside: tuple[OutsideArms, ...] = ()
    first_split: int = 0

    @property
    def has_pool(self) -> bool:
        """Whether there are unlabelled images."""
        return self.bundle.pool is not None

    @property
    def screens(self) -> bool:
        """Whether anything is chosen on held-out training images."""
        return _screens(self.settings, self.arms)

    @property
    def rounds(self) -> int:
        """Most rounds of the race: screening splits, or folds of a rehearsal."""
        return _rounds(self.settings)

    @property
    def fewest_for_synthetic(self) -> int:
        """Rounds that a candidate with synthetic images must have run to be taken."""
        return min(FEWEST_FOR_SYNTHETIC, self.rounds)

    @property
    def screening_metric(self) -> Metric:
        """What candidates are compared by; every image of a rehearsal is of a missing
        combination.
        """
        return metric_of("missing_combinations") if self.settings.rehearse else self.metric

    @cached_property
    def overlap(self) -> float:
        """Share of their training images that two replicates have in common: expected, or measured
        on the first replicates where each draws other rare classes.
        """
        if self.setting.data.rare is None:
            counts = tuple(self.bundle.train.counts.values())
            return expected_overlap(counts, self.bundle.available)
        count = min(self.settings.replicates, MEASURED)
        drawn = self.setting.drawn([self.setting.replicate_seed(index) for index in range(count)])
        return measured_overlap(*zip(*drawn, strict=True))

    def recipe(self, arm: str, chosen: MixPolicy | None, strengths: Mapping[str, float]) -> Recipe:
        """How an arm is trained, with what screening chose."""
        share = self.settings.synthetic_share
        return recipe_of(
            arm,
            share=share,
            chosen=chosen,
            own=self.own,
            strengths=strengths,
            table=self.table,
        )

    def replicate_groups(
        self, chosen: MixPolicy | None, strengths: Mapping[str, float]
    ) -> list[Group[TrainingTask]]:
        """The trainings of all replicates.

        Args:
            chosen: What ``auto`` does; None only where it does not run.
            strengths: Of classical augmentation, by arm.
        """
        recipes = {arm: self.recipe(arm, chosen, strengths) for arm in self.arms}
        judge = self.recipe("classical", None, strengths)
        groups = []
        for index in range(self.settings.replicates):
            group = training_group(
                self.setting,
                f"replicate {index:03d}",
                self.setting.replicate_seed(index),
                recipes,
                self.store,
                judge,
                has_pool=self.has_pool,
                gallery=index == 0,
                outside=self.outside_folders,
            )
            scored = len(self.bundle.test) if index == 0 else 0
            training = len(self.bundle.train)
            views = views_computed(self.setting, recipes.values(), training, scored)
            groups.append(replace(group, shared_steps={**group.shared_steps, **views}))
        return groups

    def screening_group(self, number: int, candidates: Sequence[MixPolicy]) -> Group[TrainingTask]:
        """The trainings of these candidates on one screening split of the first replicate."""
        return self.split_group(number, {policy.name: policy.recipe for policy in candidates})

    def split_group(self, number: int, recipes: Mapping[str, Recipe]) -> Group[TrainingTask]:
        """Trainings on one screening split, or fold of the rehearsal, of the first replicate."""
        screen = self.screen(number)
        return training_group(
            self.setting,
            f"{'rehearsal' if screen.rehearse else 'screening'} {screen.number:03d}",
            self.setting.replicate_seed(0),
            recipes,
            self.store,
            BASES["classical"],
            has_pool=self.has_pool,
            screen=screen,
            outside=self.outside_folders,
        )

    def screen(self, number: int) -> Screen:
        """The screening split, or fold of the rehearsal, of this number."""
        split, settings = self.first_split + number, self.settings
        return Screen(split, settings.screening_fraction, settings.rehearse, self.copies)

    def held_out(self, number: int) -> Tensor:
        """Numbers of the training images that it scores, int64 (n,)."""
        return scored_in(self.bundle, self.setting.replicate_seed(0), self.screen(number))

    @cached_property
    def copies(self) -> int:
        """As in ``Screen``."""
        return copies_in(self.bundle)

    @property
    def outside_folders(self) -> dict[str, Path]:
        """Where trainings read the sets of another generator's images, by digest."""
        return {one.images.digest: one.folder for one in self.outside}

    def expected_groups(self) -> list[Group[TrainingTask]]:
        """All groups, as far as they are known before screening: it is counted with all candidates
        in half of its rounds, and ``auto`` as the arm ``classical``.
        """
        groups: list[Group[TrainingTask]] = []
        if self.screens:
            rounds = self.rounds if self.settings.rehearse else max(2, self.rounds // 2)
            recipes = {policy.name: policy.recipe for policy in self.candidates} | self.ceiling
            groups += [self.split_group(number, recipes) for number in range(rounds)]
        return groups + self.replicate_groups(MixPolicy("classical"), self.first_strengths)

    @property
    def ceiling(self) -> dict[str, Recipe]:
        """What a rehearsal trains beside its candidates: the arm that sees the hidden images."""
        oracle = ARMS["oracle"].recipe
        assert oracle is not None
        return {"oracle": oracle} if self.settings.rehearse else {}

    @property
    def first_strengths(self) -> dict[str, float]:
        """The strength of classical augmentation before screening."""
        return {"classical": self.settings.strengths[0]}


def gain_plan(config: Config, out: Path) -> GainPlan:
    """Resolve a configuration; every wrong name is refused here, before any training.

    Args:
        config: The run.
        out: Its folder, which need not exist.

    Raises:
        ConfigError: If a name is unknown or cannot be used with these data.
        DataError: If the data cannot be used.
    """
    config = config.with_family()
    chosen_family(config.source)
    setting = setting_of(config, screening=config.gain.screening)
    setting = replace(setting, trainer=replace(setting.trainer, cache=RunDir(out).features))
    settings = config.gain
    own = own_policies(settings.policies)
    bundle = setting.bundle(setting.replicate_seed(0))
    metric, metrics = _metrics(settings, bundle)
    setting.require_network(bundle.train)
    require_rehearsable(settings, bundle, setting.replicate_seed(0))
    part = setting.trainer.part
    outside = open_outside(settings.synthetic, bundle, out)
    table = dict(ARMS)
    for one in outside:
        table |= one.arms
    arms = arms_of(settings, own, bundle, part, outside, table)
    runs_auto = "auto" in arms or settings.rehearse
    require_screenable(settings, metric, runs_auto=runs_auto)
    rendering = not outside or any(renders(arm, own, table) for arm in arms)
    candidates = candidates_of(
        settings, own, bundle, part, outside, runs_auto=runs_auto, rendering=rendering
    )
    used = {name: policy for name, policy in own.items() if name in arms or policy in candidates}
    require_able_family(used, setting.source, bundle.train)
    recipes = {f"gain.arms: {arm!r}": table[arm].recipe for arm in arms if arm in table}
    recipes |= {f"gain.arms: {arm!r}": own[arm].recipe for arm in arms if arm in own}
    recipes |= {f"gain.candidates: {one.name!r}": one.recipe for one in candidates}
    require_factored_source(recipes, setting.source, bundle)
    tasks = max(settings.replicates, _rounds(settings) if _screens(settings, arms) else 0)
    return GainPlan(
        setting=setting,
        bundle=bundle,
        store=PartStore(parts_folder(out)),
        arms=arms,
        own=own,
        candidates=candidates,
        settings=settings,
        parallelism=parallelism_of(settings.processes, config, setting, bundle, tasks),
        metric=metric,
        metrics=metrics,
        comparisons=_declared(settings, arms),
        table=table,
        outside=outside,
    )


def _screens(settings: GainConfig, arms: Sequence[str]) -> bool:
    return "auto" in arms or len(set(settings.strengths)) > 1 or settings.rehearse


def _rounds(settings: GainConfig) -> int:
    return settings.rehearsal_folds if settings.rehearse else settings.screening_rounds


def usual_comparisons(
    arms: Sequence[str], own: Sequence[str], best_classical: str, best_with_pool: str
) -> list[tuple[str, str]]:
    """The comparisons that the verdict needs, where the configuration declares none.

    Args:
        arms: The arms that run.
        own: Those of them that are the run's own policies with synthetic images.
        best_classical: The strongest arm without generator and pool.
        best_with_pool: The strongest with the pool and no generator.
    """
    bases = list(dict.fromkeys(["classical", best_classical, "pseudo_label", best_with_pool]))
    wanted = [("synthetic", "real"), ("synthetic", "smote"), ("synthetic+classical", "replay")]
    for base in bases:
        for arm in ("synthetic+classical", "factored", "auto", "synthetic", *own):
            wanted.append((arm, base))
    wanted += [("factored", "label_only"), ("factored", "oracle")]
    wanted += [("pseudo_label", "classical"), (best_with_pool, "classical")]
    pairs = []
    for arm, base in dict.fromkeys(wanted):
        plain = arm == "synthetic" and "synthetic+classical" in arms
        redundant = plain and base not in ("real", "smote")
        if arm in arms and base in arms and arm != base and not redundant:
            pairs.append((arm, base))
    return pairs


def _metrics(settings: GainConfig, bundle: DataBundle) -> tuple[Metric, tuple[Metric, ...]]:
    try:
        metric = metric_of(settings.metric)
        shown = []
        for name in dict.fromkeys([settings.metric, *settings.metrics]):
            shown.append(metric_of(name))
    except ValueError as error:
        raise ConfigError(f"gain.metric: {error}") from error
    if metric.lowest:
        raise ConfigError(
            f"gain.metric: {metric.name} cannot decide, as {OF_THE_LOWEST}; use balanced_accuracy, "
            "or missing_combinations or thin_combinations with conditions, and name it in "
            "gain.metrics to see it"
        )
    for one in shown:
        if "similarities" in one.needs:
            raise ConfigError(f"gain.metrics: {one.name} is a metric of pairs, not of classes")
        if set(one.needs) & {"combination", "coverage"} and not bundle.train.conditions:
            raise ConfigError(f"gain.metrics: {one.name} needs conditions; give --condition")
    if any("coverage" in one.needs for one in shown):
        require_scored(shown, bundle)
    return metric, tuple(shown)


def _declared(settings: GainConfig, arms: Sequence[str]) -> tuple[tuple[str, str], ...] | None:
    for pair in settings.comparisons or ():
        for arm in pair:
            if arm not in arms:
                ran = ", ".join(arms)
                raise ConfigError(f"gain.comparisons: arm {arm!r} is not run; arms: {ran}")
    return settings.comparisons
