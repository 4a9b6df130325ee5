"""The job ``edit mix-identities``: new classes from mixed labels, as a synthetic set on disk."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from augmentor.common.randomness import rng_for
from augmentor.common.types import SampleSource
from augmentor.data.class_names import class_index, listed
from augmentor.data.synthetic_store import Format, Recipe
from augmentor.networks.blocks import MOST_WEIGHT
from augmentor.sampling.mixed_classes import MixedClasses
from augmentor.sampling.occurring_conditions import OccurringConditions
from augmentor.sampling.synthesize import synthesize_set
from pipelines.config import ConfigError
from pipelines.device import use_threads
from pipelines.generators.load import LoadedRun, load_source
from pipelines.generators.synthesize import (
    SynthesisReport,
    recipe_of,
    report_on,
    write_contact_sheet,
)
from pipelines.interrupt import watch_signals
from pipelines.progress import Progress, Silent
from pipelines.run_dir import RunDir

Mixtures = dict[str, dict[str, float]]
"""Name of a new class to the weights of old ones."""


def mix_identities_run(
    run: Path,
    out: Path,
    *,
    mixes: Sequence[Sequence[str]] = (),
    new: int = 0,
    of: int = 3,
    weight: float | None = None,
    per_class: int = 10,
    seed: int = 0,
    format: Format = "folder",
    device: str | None = None,
    progress: Progress | None = None,
) -> SynthesisReport:
    """Render classes that are mixtures of a run's, or finish the set an interrupted call left. No
    encoder is needed. A source that knows conditions renders each new class under those that occur
    in its training, all equally often.

    Args:
        run: Folder of the run.
        out: Folder of the set; new, empty, or with a set of the same recipe.
        mixes: Classes to blend in equal parts, by name; a new class each.
        new: As many more new classes, drawn by ``seed`` as ``drawn_mixtures`` says.
        of: Classes blended in each of those; the paper blends three.
        weight: Of every blended class. Unless given, parts that sum to one: equal ones in
            ``mixes``, random ones in ``new``.
        per_class: Images of every new class.
        seed: Seed of the mixtures and the latents.
        format: A folder of PNG files per class, or tar shards in WebDataset's layout.
        device: Where to compute, as ``Config.device``; where the run was trained unless given.
        progress: Progress reporter.

    Returns:
        What the set holds; its ``recipe.json`` has the mixtures.

    Raises:
        ConfigError: If nothing is asked for, or a mix cannot be made of these classes.
        DataError: If ``out`` holds something else.
        Interrupted: After a signal; finished shards stay.
        RunLockedError: If another process writes to ``out``.

    Source:
        Bao et al. 2017, arXiv:1703.10155, section 4.5: new identities from three.
    """
    began, progress, loaded = time.monotonic(), progress or Silent(), load_source(run, device)
    use_threads(loaded.config.threads)
    mixtures = _asked(loaded.source.classes, mixes, new, of, weight, per_class, seed)
    recipe = _recipe(loaded, mixtures, per_class, seed, format)
    class_probs = class_probs_of(mixtures, loaded.source.classes)
    known: SampleSource = loaded.source
    if loaded.seen is not None:
        known = OccurringConditions(known, loaded.seen)
    source = MixedClasses(known, class_probs, recipe.classes)
    with RunDir(out).lock(), watch_signals() as watch:

        def on_shard(done: int, total: int) -> None:
            progress.step("mix-identities", done, total)
            watch.check()

        synthesize_set(source, recipe, out, loaded.trained_on, on_shard=on_shard)
        write_contact_sheet(out)
    return report_on(out, recipe, time.monotonic() - began)


def _asked(
    classes: Sequence[str],
    mixes: Sequence[Sequence[str]],
    new: int,
    of: int,
    weight: float | None,
    per_class: int,
    seed: int,
) -> Mixtures:
    mixtures = even_mixtures(classes, mixes) | drawn_mixtures(classes, new, of, seed)
    if not mixtures or per_class < 1:
        raise ConfigError(
            "there is nothing to render; say which classes to blend with --mix A,B or how many "
            "with --new"
        )
    if weight is None:
        return mixtures
    most = max(map(len, mixtures.values()))
    if not 0 < weight * most <= MOST_WEIGHT:
        limit = math.floor(100 * MOST_WEIGHT / most) / 100
        raise ConfigError(
            f"--weight: above 0 and at most {limit:g} for {most} classes, got {weight:g}"
        )
    weighed = {name: dict.fromkeys(mixture, weight) for name, mixture in mixtures.items()}
    if len(set(map(frozenset, weighed.values()))) < len(weighed):
        raise ConfigError(
            "--weight: two new classes would blend the same ones and be equal; ask for fewer with "
            "--new, or change --of or --seed"
        )
    return weighed


def even_mixtures(classes: Sequence[str], mixes: Sequence[Sequence[str]]) -> Mixtures:
    """Classes blended in equal parts, as ``{"A+B": {"A": 0.5, "B": 0.5}}``.

    Raises:
        ConfigError: If a class is unknown or named twice, or fewer than two are blended.
    """
    blended: Mixtures = {}
    for mix in mixes:
        names = _known_names(classes, mix)
        if len(mix) < 2 or len(set(names)) < len(mix):
            raise ConfigError(
                f"--mix: needs two or more different classes, got {', '.join(map(ascii, mix))}"
            )
        blended["+".join(names)] = dict.fromkeys(names, 1 / len(names))
    return blended


def _known_names(classes: Sequence[str], mix: Sequence[str]) -> list[str]:
    """The source's own names of some classes."""
    names = []
    for name in mix:
        index = class_index(name, classes)
        if index is None:
            raise ConfigError(f"--mix: unknown class {name!r}; known are {listed(classes)}")
        names.append(classes[index])
    return names


def drawn_mixtures(classes: Sequence[str], new: int, of: int, seed: int) -> Mixtures:
    """Mixtures of ``of`` classes, drawn at random.

    Each part is the mean of an equal one and one drawn evenly from all that sum to one, so that
    there are any number of different classes, and no old class makes up nearly all of a new one.

    Args:
        classes: The source's.
        new: How many, 0 or more. A longer draw begins with a shorter one.
        of: Classes in each, 2 to all.
        seed: Decides classes and parts.

    Returns:
        Mixtures named ``mix-0000`` and so on; every part lies between 1 / (2 of) and
        (1 + 1 / of) / 2.

    Raises:
        ConfigError: If ``new`` is negative or there are too few classes.
    """
    if new < 0 or (new and not 2 <= of <= len(classes)):
        raise ConfigError(f"cannot blend {of} classes: --of takes 2 to {len(classes)} here")
    return {f"mix-{index:04d}": _drawn(classes, of, seed, index) for index in range(new)}


def class_probs_of(mixtures: Mixtures, classes: Sequence[str]) -> Tensor:
    """Mixtures as rows of weights of the classes, float32 (M, K)."""
    class_probs = torch.zeros(len(mixtures), len(classes))
    for row, mixture in enumerate(mixtures.values()):
        for name, part in mixture.items():
            class_probs[row, classes.index(name)] = part
    return class_probs


def _drawn(classes: Sequence[str], of: int, seed: int, index: int) -> dict[str, float]:
    rng = rng_for("mix-identities", seed, index)
    chosen = torch.randperm(len(classes), generator=rng)[:of].tolist()
    lengths = -torch.rand(of, generator=rng, dtype=torch.float64).clamp(min=1e-12).log()
    parts = (1 / of + lengths / lengths.sum()) / 2
    return {classes[c]: part for c, part in zip(chosen, parts.tolist(), strict=True)}


def _recipe(
    loaded: LoadedRun, mixtures: Mixtures, per_class: int, seed: int, form: Format
) -> Recipe:
    own = recipe_of(loaded, {}, None, seed, form)
    return replace(
        own, classes=tuple(mixtures), counts=dict.fromkeys(mixtures, per_class), mixtures=mixtures
    )
