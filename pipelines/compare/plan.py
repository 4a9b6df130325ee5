"""What a comparison of families will do, resolved once: rows, judge, seeds, parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from augmentor.common.types import DataError, SampleSource, conditions_of
from augmentor.families import FAMILIES
from pipelines.compare.parts import CompareTask, PlannedRow, judge_group, row_group, settings_for
from pipelines.config import CompareConfig, Config, ConfigError, SourceConfig, VariantConfig
from pipelines.datasets import DataBundle
from pipelines.evaluate.run import refuse_seen_test_images
from pipelines.experiment.job import parts_folder
from pipelines.experiment.parallelism import Parallelism, parallelism_of
from pipelines.experiment.parts import PartStore
from pipelines.experiment.plan import Group
from pipelines.experiment.setting import Setting, setting_of
from pipelines.generators.in_memory import chosen_family, require_generated
from pipelines.generators.load import load_source
from pipelines.generators.quality import EvaluateSettings, require_same_kind
from pipelines.generators.train import require_run_of

OF_A_VARIANT = ("family", "preset", "options")
"""Keys of the source of which every row has its own."""


@dataclass(frozen=True)
class ComparePlan:
    """One comparison of families.

    Args:
        setting: Data, seed and device; its source holds the budget that all trained rows share.
        bundle: The data.
        store: Where finished parts are.
        parallelism: Its workers.
        rows: The rows to train, then the finished runs.
        judging: How the judge and its student are trained, and how rows are measured.
        judge: The judge as a group; made before all rows.
        row_groups: One group per row, in the order of ``rows``.
    """

    setting: Setting
    bundle: DataBundle
    store: PartStore
    parallelism: Parallelism
    rows: tuple[PlannedRow, ...]
    judging: EvaluateSettings
    judge: Group[CompareTask]
    row_groups: tuple[Group[CompareTask], ...]

    @property
    def groups(self) -> list[Group[CompareTask]]:
        """All groups of parts, the judge first."""
        return [self.judge, *self.row_groups]


def compare_plan(config: Config, out: Path) -> ComparePlan:
    """Resolve a configuration; every wrong name is refused here, before any training.

    Args:
        config: The run; ``source`` holds what all families share, ``compare`` their names and
            options.
        out: Its folder, which need not exist.

    Raises:
        ConfigError: If a family, preset or option is unknown, this machine does not have the
            device, or ``out`` holds trainings of another configuration.
        DataError: If the data cannot be used, or an extra run is not a run, is of other data or saw
            a test image.
    """
    if config.data.condition:
        raise ConfigError(
            "data.condition: a comparison is of families that know classes alone; leave it out"
        )
    rows = _trained_rows(config, out)
    setting, store = setting_of(config), PartStore(parts_folder(out))
    bundle = setting.bundle(setting.seed)
    require_generated(setting.source, bundle.train)
    rows += _finished_rows(config.compare, setting, bundle)
    judging = settings_for(config.compare, setting.trainer.domain)
    judge = judge_group(setting, judging, store)
    has_pool, groups = bundle.pool is not None, []
    for row in rows:
        settings = settings_for(config.compare, setting.trainer.domain, row.source.family)
        group = row_group(setting, row, settings, judge.parts[0], store, has_pool=has_pool)
        groups.append(group)
    _require_own_folders(rows, groups, store)
    return ComparePlan(
        setting=setting,
        bundle=bundle,
        store=store,
        parallelism=parallelism_of(config.compare.processes, config, setting, bundle, len(groups)),
        rows=tuple(rows),
        judging=judging,
        judge=judge,
        row_groups=tuple(groups),
    )


def _trained_rows(config: Config, out: Path) -> list[PlannedRow]:
    """The rows to train.

    Raises:
        ConfigError: If a family, preset or option is unknown; the message names the key and what is
            known.
    """
    _require_no_family(config.source)
    variants = config.compare.families or dict.fromkeys(FAMILIES, VariantConfig())
    return [_trained_row(config, out, name, variant) for name, variant in variants.items()]


def _require_no_family(source: SourceConfig) -> None:
    """Refuse what a comparison would not heed, at its default too: who names it wants it."""
    named = source.model_fields_set.intersection(OF_A_VARIANT)
    by_a_run = len(named) == len(OF_A_VARIANT)  # it writes down all keys, these at their defaults
    for key in OF_A_VARIANT:
        changed = getattr(source, key) != getattr(SourceConfig(), key)
        if changed or (key in named and not by_a_run):
            raise ConfigError(
                f"source.{key}: a comparison takes it from compare.families, for every row its "
                f"own; name the families there, and leave source.{key} out"
            )


def _trained_row(config: Config, out: Path, name: str, variant: VariantConfig) -> PlannedRow:
    own = {"family": variant.family or name, "preset": variant.preset, "options": variant.options}
    source = config.source.model_copy(update=own)
    try:
        chosen_family(source)
    except ConfigError as error:
        message = str(error).removeprefix("source.family: ").removeprefix("source: ")
        raise ConfigError(f"compare.families.{name}: {message}") from error
    training = config.model_copy(update={"source": source})
    return PlannedRow(name, source, out / name, training)


def _require_classes_alone(source: SampleSource) -> None:
    if names := conditions_of(source).names:
        raise DataError(
            f"the source knows conditions ({', '.join(names)}) and the others know classes alone; "
            "`augmentor evaluate` measures it"
        )


def _finished_rows(
    compare: CompareConfig, setting: Setting, bundle: DataBundle
) -> list[PlannedRow]:
    """The finished runs to measure too: how they were trained, and the hash of the checkpoint.

    Raises:
        DataError: If one is not a run, or its source does not fit the data or saw a test image.
    """
    found = []
    for name, folder in compare.extra.items():
        run = Path(folder)
        try:
            loaded = load_source(run, setting.device)
            require_same_kind(loaded.source, bundle)
            _require_classes_alone(loaded.source)
            refuse_seen_test_images(loaded, bundle)
        except DataError as error:
            raise DataError(f"compare.extra.{name}: {error}") from error
        source, sha256 = loaded.config.source, loaded.checkpoint_sha256
        found.append(PlannedRow(name, source, run, checkpoint_sha256=sha256))
    return found


def _require_own_folders(
    rows: Sequence[PlannedRow], groups: Sequence[Group[CompareTask]], store: PartStore
) -> None:
    """Refuse a row that must be trained in a folder that holds another training."""
    for row, group in zip(rows, groups, strict=True):
        if row.training is not None and store.missing(group.parts):
            require_run_of(row.run, row.training)
