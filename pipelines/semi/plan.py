"""What a semi run will do, resolved once: methods, numbers of labels, subsets, seeds, parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from augmentor.common.types import DataError
from augmentor.data.splits import TooManyLabelsError
from downstream.arms.recipe import Recipe
from downstream.arms.table import BASES
from downstream.comparison import expected_overlap
from downstream.metrics import METRICS, Metric
from pipelines.config import Config, ConfigError, DataConfig, SemiConfig
from pipelines.datasets import DataBundle
from pipelines.experiment.job import parts_folder
from pipelines.experiment.parallelism import Parallelism, parallelism_of
from pipelines.experiment.parts import Part, PartStore
from pipelines.experiment.plan import Group
from pipelines.experiment.setting import Setting, setting_of
from pipelines.generators.in_memory import chosen_family, require_generated
from pipelines.semi.gan_methods import GanHead
from pipelines.semi.gan_parts import SemiTask, gan_group
from pipelines.semi.methods import METHODS, method_of
from pipelines.workbench.training_parts import training_group

JUDGE = BASES["classical"]


@dataclass(frozen=True)
class Trial:
    """The methods on one labelled subset.

    Args:
        labels: Number of labelled images.
        subset: Number of the subset, from 0.
        seed: Of the subset.
        parts: The training of every method that runs on it.
        groups: What workers make of it.
    """

    labels: int
    subset: int
    seed: int
    parts: Mapping[str, Part]
    groups: tuple[Group[SemiTask], ...]


@dataclass(frozen=True)
class SemiPlan:
    """One comparison of methods on few labels.

    Args:
        setting: Data without a regime, networks, device.
        bundle: The data of the first subset with the fewest labels; its test part gives the scored
            images.
        store: Where finished parts are.
        methods: What each method is, in the order in which they are shown.
        reference: The method that every other one is compared with.
        settings: The section ``semi``: labels, subsets, steps.
        parallelism: Its workers.
        overlaps: Share of labelled images that two subsets are expected to have in common, by
            number of labels.
        trials: One subset after the other, so that what is finished early can be compared.
        notes: What a reader of the result should know.
    """

    setting: Setting
    bundle: DataBundle
    store: PartStore
    methods: Mapping[str, Recipe | GanHead]
    reference: str
    settings: SemiConfig
    parallelism: Parallelism
    overlaps: Mapping[int, float]
    trials: tuple[Trial, ...]
    notes: tuple[str, ...]

    @property
    def groups(self) -> list[Group[SemiTask]]:
        """All groups of parts."""
        found: list[Group[SemiTask]] = []
        for trial in self.trials:
            found += trial.groups
        return found

    @property
    def metric(self) -> Metric:
        """What the methods are compared by."""
        return METRICS["error"]


def semi_plan(config: Config, out: Path) -> SemiPlan:
    """Resolve a configuration; every wrong name is refused here, before any training.

    Args:
        config: The run.
        out: Its folder, which need not exist.

    Raises:
        ConfigError: If a name is unknown, or the labels asked for cannot be drawn from these data.
        DataError: If the data cannot be used.
    """
    settings, store = config.semi, PartStore(parts_folder(out))
    _require_no_regime(config.data)
    _require_known_counts(settings)
    chosen_family(config.source)
    methods = _methods(settings)
    whole = setting_of(config, screening=settings.screening)
    setting = replace(whole, fixmatch_steps=settings.consistency_steps)
    bundle, overlaps = _first_subsets(setting, settings.labels)
    _require_whole_networks(setting, methods, bundle)
    setting.require_network(bundle.train)
    reference, notes = _reference(settings, methods)
    trials = _trials(setting, settings, methods, reference, store)
    groups = sum(len(trial.groups) for trial in trials)
    return SemiPlan(
        setting=setting,
        bundle=bundle,
        store=store,
        methods=_that_run(methods, trials),
        reference=reference,
        settings=settings,
        parallelism=parallelism_of(settings.processes, config, setting, bundle, groups),
        overlaps=overlaps,
        trials=trials,
        notes=(bundle.note, *notes),
    )


def _methods(settings: SemiConfig) -> dict[str, Recipe | GanHead]:
    """The methods of the configuration, else all of the table."""
    names = settings.methods or tuple(METHODS)
    if len(set(names)) != len(names):
        raise ConfigError(f"semi.methods: a method is named twice: {', '.join(names)}")
    method_of(settings.default_method, "semi.default_method")
    return {name: method_of(name, "semi.methods") for name in names}


def _require_known_counts(settings: SemiConfig) -> None:
    """Refuse numbers of labels at which nothing would run."""
    if unknown := sorted(set(settings.baseline_labels or ()) - set(settings.labels)):
        raise ConfigError(
            f"semi.baseline_labels: {unknown[0]} is none of semi.labels, so that the other methods "
            "would not run there; give --baseline-labels too"
        )


def _reference(
    settings: SemiConfig, methods: Mapping[str, Recipe | GanHead]
) -> tuple[str, Sequence[str]]:
    """The method that all others are compared with, and a note where it is not the default."""
    default = settings.default_method
    if default in methods:
        return default, ()
    first = next(iter(methods))
    return first, (
        f"{default}, the default method, did not run: the methods are compared with the one that "
        f"is named first, {first}",
    )


def _require_no_regime(data: DataConfig) -> None:
    if data.labels is not None or data.per_class is not None:
        raise ConfigError(
            "data.labels, data.per_class: semi draws its own subsets; leave them out, give "
            "semi.labels"
        )
    if data.rare is not None:
        raise ConfigError("data.rare: semi removes labels, not images; leave it out")


def _first_subsets(setting: Setting, numbers: Sequence[int]) -> tuple[DataBundle, dict[int, float]]:
    """The data of the first subset with the fewest labels, and the expected overlap of two subsets
    by number of labels; refuses labels that cannot be drawn.
    """
    first: DataBundle | None = None
    overlaps = {}
    for labels in sorted(numbers):
        bundle = _first_subset(setting, labels)
        counts = tuple(bundle.train.counts.values())
        overlaps[labels] = expected_overlap(counts, bundle.available)
        first = first or bundle
    assert first is not None
    return first, overlaps


def _first_subset(setting: Setting, labels: int) -> DataBundle:
    try:
        bundle = setting.with_labels(labels).bundle(setting.replicate_seed(0))
    except ValueError as error:
        raise ConfigError(f"semi.labels: {error}") from error
    except TooManyLabelsError as error:
        raise DataError(f"semi.labels: {error}") from error
    if bundle.pool is None:
        raise DataError(
            f"semi.labels: {labels} labels leave none of the images of {bundle.name} unlabelled; "
            "ask for fewer"
        )
    return bundle


def _require_whole_networks(
    setting: Setting, methods: Mapping[str, Recipe | GanHead], bundle: DataBundle
) -> None:
    """Refuse what methods for few labels cannot do: keep features, or generate large images."""
    if setting.trainer.part == "head":
        raise ConfigError("classifier.train: semi trains all of a network; leave train: head out")
    if any(isinstance(one, GanHead) or one.uses_generator for one in methods.values()):
        require_generated(setting.source, bundle.train)


def _that_run(
    methods: Mapping[str, Recipe | GanHead], trials: Sequence[Trial]
) -> dict[str, Recipe | GanHead]:
    """Without the methods that run on none of the labels."""
    ran: set[str] = set()
    for trial in trials:
        ran |= set(trial.parts)
    return {name: method for name, method in methods.items() if name in ran}


def _trials(
    setting: Setting,
    settings: SemiConfig,
    methods: Mapping[str, Recipe | GanHead],
    reference: str,
    store: PartStore,
) -> tuple[Trial, ...]:
    found = []
    for subset in range(settings.subsets):
        for labels in settings.labels:
            fewer = labels not in (settings.baseline_labels or settings.labels)
            fewer = fewer or subset >= (settings.baseline_subsets or settings.subsets)
            run = {reference: methods[reference]} if fewer else methods
            found.append(_trial(setting, settings.gan_steps, run, labels, subset, store))
    return tuple(found)


def _trial(
    setting: Setting,
    gan_steps: int,
    methods: Mapping[str, Recipe | GanHead],
    labels: int,
    subset: int,
    store: PartStore,
) -> Trial:
    """The arms as one group, which shares what is made on the way, and every GAN head alone."""
    own, seed = setting.with_labels(labels), setting.replicate_seed(subset)
    name = f"{labels} labels, subset {subset}"
    parts: dict[str, Part] = {}
    groups: list[Group[SemiTask]] = []
    recipes = {key: one for key, one in methods.items() if isinstance(one, Recipe)}
    if recipes:
        arms = training_group(own, name, seed, recipes, store, JUDGE, has_pool=True)
        by_recipe = dict(zip(arms.task.recipes, arms.parts, strict=True))
        parts |= {key: by_recipe[recipe] for key, recipe in recipes.items()}
        groups.append(cast("Group[SemiTask]", arms))
    for key in methods:
        if key not in recipes:
            head = gan_group(own, name, seed, key, gan_steps, store)
            parts[key] = head.parts[0]
            groups.append(head)
    return Trial(labels, subset, seed, parts, tuple(groups))
