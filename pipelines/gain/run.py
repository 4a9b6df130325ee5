"""The job ``gain``: every arm in every replicate, the paired comparison, gain.json and the report.

The work is cut into jobs, a tuning split or a replicate each, which leave a cell. A run that was
stopped, or is asked for more replicates or arms, makes only what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from augmentor.common.atomic_files import write_json
from augmentor.common.types import DataError, LabelledImages
from downstream.gain import measure_gain
from pipelines.config import Config, ConfigError
from pipelines.crew import Crew
from pipelines.datasets import DataBundle
from pipelines.device import device_of, use_threads
from pipelines.gain.arms import discriminator_of
from pipelines.gain.cells import GainJob, Key, bundle_of, found, key_maker, make_cell, read_cell
from pipelines.gain.policy import candidates, choose, policy_of, tuning_parts
from pipelines.gain.recipes import (
    Policy,
    Recipe,
    known_arms,
    named_policies,
    policy_of_arm,
    recipe_of,
)
from pipelines.gain.report import Gallery, load_gallery, write_report
from pipelines.gain.verdict import verdict
from pipelines.gain.yardsticks import best_baselines, picked_on_scores
from pipelines.interrupt import watch_signals
from pipelines.progress import Progress, Silent
from pipelines.results import package_versions, provenance, write_result
from pipelines.run_dir import RunDir
from pipelines.source.train import chosen_family

METRIC = "balanced_accuracy"
# replicates for tuning are numbered from here, so that none of their draws is ever reported
TUNING_SEED = 100


def gain_run(
    config: Config, out: Path, *, progress: Progress | None = None, command: str | None = None
) -> dict[str, Any]:
    """Measure what each arm is worth on real test images.

    Args:
        config: The run.
        out: Folder for ``gain.json``, ``policy.json``, ``report.html`` and ``cells/``.
        progress: Who is told.
        command: How the report says it was run; this process's command line unless given.

    Returns:
        The contents of gain.json.

    Raises:
        ConfigError: If an arm, a comparison or the family is unknown or impossible with these data.
        DataError: If the data cannot be used.
        Interrupted: After a signal; finished cells stay.
        RunLockedError: If another process works in ``out``.
    """
    progress, start = progress or Silent(), time.perf_counter()
    chosen_family(config)  # a wrong name is refused before any work
    device_of(config)  # and so is a device that is not on this machine
    use_threads(config)
    if config.gain.tuning:
        config = config.model_copy(update={"seed": config.seed + TUNING_SEED})
    with (
        RunDir(out).lock(),
        watch_signals() as watch,
        Crew(make_cell, config.gain.processes, config.threads, watch) as crew,
    ):
        bundle = bundle_of(config, config.seed)
        arms = _known_arms(config, bundle)
        declared_pairs(config, arms, "classical")  # refuses a bad one before the work, not after
        (out / "cells").mkdir(exist_ok=True)
        key = key_maker(config, bundle)
        tuned = "auto" in arms or len(set(config.gain.strengths)) > 1
        policy = _policy(config, bundle, out, key, crew, progress) if tuned else None
        cells = _replicates(config, arms, out, key, crew, progress, policy)
    result = _result(config, bundle, arms, cells, policy) | provenance(
        _seconds(cells, time.perf_counter() - start),
        str(device_of(config)),
        package_versions(),
        command,
    )
    write_result(out / "gain.json", result, "gain")
    write_report(out / "report.html", result, _gallery(cells[0], bundle))
    return result


def _recipe(
    arm: str, config: Config, policy: Policy | None, strengths: Mapping[str, float]
) -> Recipe:
    return recipe_of(
        arm, config.gain.synthetic_share, policy, named=named_policies(config), strengths=strengths
    )


def declared_pairs(
    config: Config, arms: Sequence[str], best_classical: str, best_with_pool: str = "pseudo_label"
) -> list[tuple[str, str]]:
    """The comparisons (arm, baseline) to test: the config's, else those the verdict needs.

    Args:
        config: The run.
        arms: The arms that run.
        best_classical: The strongest arm without generator and pool.
        best_with_pool: The strongest with the pool and no generator.

    Raises:
        ConfigError: If the config's name an arm that does not run.
    """
    if config.gain.comparisons is None:
        wanted = [("synthetic", "real"), ("synthetic", "smote")]
        wanted += [
            (arm, base)
            for arm in ("synthetic+classical", "auto")
            for base in ("classical", best_classical)
        ]
        with_pool = ("pseudo_label", best_with_pool)
        wanted += [(arm, base) for base in with_pool for arm in ("synthetic+classical", "auto")]
        wanted += [(arm, "classical") for arm in with_pool]
        return [pair for pair in dict.fromkeys(wanted) if set(pair) <= set(arms)]
    for pair in config.gain.comparisons:
        if missing := [arm for arm in pair if arm not in arms]:
            raise ConfigError(
                f"gain.comparisons: arm {missing[0]!r} is not run; arms: {', '.join(arms)}"
            )
    return list(config.gain.comparisons)


def gain_table(result: Mapping[str, Any]) -> str:
    """The arms and comparisons of a result as plain text, for a terminal."""
    width = max(len(name) for name in result["arms"])
    lines = [f"{'arm':<{width}}   mean   95 % interval"]
    for name, arm in result["arms"].items():
        low, high = arm["ci95"]
        lines.append(
            f"{name:<{width}}  {100 * arm['mean']:5.1f}   {100 * low:.1f} to {100 * high:.1f}"
        )
    pairs = [(f"{row['arm']} - {row['baseline']}", row) for row in result["comparisons"]]
    width = max((len(name) for name, _ in pairs), default=0)
    lines += (
        ["", f"{'difference, points':<{width}}          95 % interval    Holm p"] if pairs else []
    )
    for name, row in pairs:
        low, high = row["ci95"]
        p = "-" if row["p_holm"] is None else f"{row['p_holm']:.3f}"
        lines.append(
            f"{name:<{width}}  {100 * row['delta']:+5.1f}   {100 * low:+5.1f} to "
            f"{100 * high:+5.1f}   {p}"
        )
    return "\n".join(lines)


def _result(
    config: Config,
    bundle: DataBundle,
    arms: Sequence[str],
    cells: Sequence[Mapping[str, Any]],
    policy: dict[str, Any] | None,
) -> dict[str, Any]:
    strengths = _strengths(config, policy)
    guesses = {arm: torch.tensor([cell["predictions"][arm] for cell in cells]) for arm in arms}
    classes, y = bundle.test.classes, bundle.test.y
    alone = measure_gain(guesses, y, len(classes), [], metric=METRIC, bootstraps=1).to_json(
        classes
    )  # scores only
    own = named_policies(config).items()
    bases = {arm: policy.base for arm, policy in own if arm in arms and not policy.uses_generator}
    best = best_baselines(alone | {"policy": policy, "bases": bases})
    pairs = declared_pairs(
        config, arms, best.get("classical", "classical"), best.get("same_pool", "pseudo_label")
    )
    measured = measure_gain(guesses, y, len(classes), pairs, metric=METRIC)
    result: dict[str, Any] = {
        "dataset": bundle.name,
        "regime": bundle.regime,
        "source_augment": config.source.source_augment,
        "metric": METRIC,
        "scored_on": bundle.scored_on,
        "replicates": len(cells),
        **measured.to_json(classes),
        "policy": policy if "auto" in arms else None,
        "strengths": strengths,
        "mixtures": _mixtures(config, arms, strengths),
        "bases": bases,
        "yardsticks": best,
        "training_counts": {
            bundle.train.classes[index]: count for index, count in bundle.train.counts.items()
        },
        "notes": [bundle.note, *sorted({note for cell in cells for note in cell["notes"]})],
    }
    return result | {
        "verdict": verdict(
            result, list(best.values()) or ["classical"], picked_on_scores(best, policy)
        )
    }


def _strengths(config: Config, policy: Mapping[str, Any] | None) -> dict[str, float]:
    """Strengths of classical augmentation by arm: the tuned ones, or the only one."""
    return {"classical": config.gain.strengths[0]} if policy is None else dict(policy["strengths"])


def _mixtures(
    config: Config, arms: Sequence[str], strengths: Mapping[str, float]
) -> dict[str, str]:
    """The arms that use a generator whatever ``auto`` does, and how, in words."""
    named, share = named_policies(config), config.gain.synthetic_share
    policies = {arm: policy_of_arm(arm, share, named, strengths) for arm in arms if arm != "auto"}
    return {arm: policy.name for arm, policy in policies.items() if policy.uses_generator}


def _known_arms(config: Config, bundle: DataBundle) -> tuple[str, ...]:
    """The arms to run; refuses arms, candidates and policies that cannot be."""
    pool = bundle.pool is not None
    try:
        arms = known_arms(config, pool=pool)
        chosen = [policy for policy in candidates(config, pool=pool) if "auto" in arms]
    except ValueError as error:
        raise ConfigError(f"gain: {error}") from error
    _require_able_family(
        {
            name: policy
            for name, policy in named_policies(config).items()
            if name in arms or policy in chosen
        },
        config,
        bundle.train,
    )
    return arms


def _require_able_family(
    policies: Mapping[str, Policy], config: Config, images: LabelledImages
) -> None:
    """Refuse a family without an encoder, or a discriminator of images, where a policy needs
    one.
    """
    family, options = chosen_family(config)
    encoded = [name for name, policy in policies.items() if policy.latents != "prior"]
    if encoded and not hasattr(family.model, "encode"):
        raise ConfigError(
            f"gain.policies: {encoded[0]!r} needs an encoder; {config.source.family} has none"
        )
    realistic = [name for name, policy in policies.items() if policy.realism]
    if realistic:
        try:
            with torch.random.fork_rng(devices=[]):
                discriminator_of(family.model(images.classes, images.image_shape, options))
        except DataError as error:
            raise ConfigError(
                f"gain.policies: {realistic[0]!r}: {error}; {config.source.family} has none"
            ) from error


def _policy(
    config: Config, bundle: DataBundle, out: Path, key: Key, crew: Crew[GainJob], progress: Progress
) -> dict[str, Any]:
    pool = bundle.pool is not None
    asked = [policy.to_json() for policy in candidates(config, pool=pool)]
    fitted = [
        tuning_parts(bundle, config, split)[0].tolist()
        for split in range(config.gain.tuning_splits)
    ]
    keys = [key({"candidates": asked, "fitted": numbers}) for numbers in fitted]
    paths = [out / "cells" / f"tuning-{split:03d}-{name}.json" for split, name in enumerate(keys)]
    jobs = [GainJob(config, split, path, tuning=True) for split, path in enumerate(paths)]
    _make_missing(jobs, crew, progress, "tuning", len(asked))
    document = choose(
        [read_cell(path) for path in paths], config, len(bundle.train.classes), pool=pool
    )
    write_json(out / "policy.json", document)
    progress.say(document["words"])
    return document


def _replicates(
    config: Config,
    arms: Sequence[str],
    out: Path,
    key: Key,
    crew: Crew[GainJob],
    progress: Progress,
    document: dict[str, Any] | None,
) -> list[dict[str, Any]]:
    """The cells, with the ``predictions`` of the arms by name."""
    policy = policy_of(document) if document is not None and "auto" in arms else None
    strengths = _strengths(config, document)
    judge = _recipe("classical", config, None, strengths)
    recipes = {arm: _recipe(arm, config, policy, strengths) for arm in arms}
    name = key({"judge": asdict(judge)})
    paths = [
        out / "cells" / f"replicate-{index:03d}-{name}.json"
        for index in range(config.gain.replicates)
    ]
    wanted = tuple(dict.fromkeys(recipes.values()))
    jobs = [
        GainJob(config, index, path, recipes=wanted, judge=judge)
        for index, path in enumerate(paths)
    ]
    _make_missing(jobs, crew, progress, "replicates", len(wanted))
    cells = [read_cell(path) | {"path": path} for path in paths]
    return [
        cell
        | {
            "predictions": {
                arm: found(cell["trainings"], recipe) for arm, recipe in recipes.items()
            }
        }
        for cell in cells
    ]


def _make_missing(
    jobs: Sequence[GainJob], crew: Crew[GainJob], progress: Progress, task: str, classifiers: int
) -> None:
    """Make what is not there; the bar counts classifiers, and a job is full when it is finished."""
    done = {index: classifiers for index, job in enumerate(jobs) if job.done}
    todo = [index for index in range(len(jobs)) if index not in done]

    def on_part(position: int, part: str) -> None:
        index = todo[position]
        done[index] = (
            min(classifiers, done.get(index, 0) + (part == "classifier")) if part else classifiers
        )
        progress.step(task, sum(done.values()), classifiers * len(jobs), part)

    progress.step(task, sum(done.values()), classifiers * len(jobs))
    crew.run([jobs[index] for index in todo], on_part)


def _gallery(cell: Mapping[str, Any], bundle: DataBundle) -> Gallery | None:
    path = cell["path"].with_suffix(".safetensors")
    return load_gallery(path, bundle.train.classes) if path.exists() else None


def _seconds(cells: Sequence[Mapping[str, Any]], total: float) -> dict[str, float]:
    """Wall-clock time of this call, and what the parts of one replicate took on average."""
    parts = {part for cell in cells for part in cell["seconds"]}
    means = {
        part: sum(cell["seconds"].get(part, 0.0) for cell in cells) / len(cells)
        for part in sorted(parts)
    }
    return {"total": total} | {f"{part} a replicate": value for part, value in means.items()}
