"""The cells of a gain run: what one tuning split or one replicate needs and leaves in its file.

A cell is named by a hash of all that decides its content but for the trainings in it: one that is
asked for more trains these and keeps the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from augmentor.common.atomic_files import write_text
from augmentor.common.types import LabelledImages
from augmentor.sampling.synthesize import synthesize
from pipelines.cell_key import bytes_of, cell_key
from pipelines.config import Config
from pipelines.datasets import DataBundle, load_data
from pipelines.device import device_of
from pipelines.gain.arms import Bench, predictions
from pipelines.gain.policy import tune
from pipelines.gain.recipes import GENERATOR_FREE, Recipe
from pipelines.gain.report import Gallery, save_gallery
from pipelines.interrupt import Watch
from pipelines.source.train import options_of

PER_CLASS = 8  # images of a class in the report
SAMPLES = 12  # generated images whose neighbours are shown
NEIGHBOURS = 4
CELLS = 3  # of the code behind a cell; raise it when the same settings give other predictions
IRRELEVANT: dict[
    str, Any
] = {  # keys of a config that change no cell, or are in the key by themselves
    **dict.fromkeys(("gain", "semi", "compare", "verify", "out", "threads", "device"), True),
    "data": {"data_root"},
    "source": {"checkpoint_every", "sample_every"},
}


@dataclass(frozen=True)
class GainJob:
    """One cell to make.

    Args:
        config: The run.
        index: Number of the tuning split or replicate.
        path: The cell's file.
        tuning: Whether it is a tuning split.
        recipes: The trainings of a replicate; those that are in the cell already are not made
            again.
        judge: As in ``Bench``.
    """

    config: Config
    index: int
    path: Path
    tuning: bool = False
    recipes: tuple[Recipe, ...] = ()
    judge: Recipe = GENERATOR_FREE["classical"]

    @property
    def missing(self) -> list[Recipe]:
        """The trainings that the cell does not have."""
        known = read_cell(self.path)["trainings"] if self.path.exists() else []
        return [recipe for recipe in self.recipes if found(known, recipe) is None]

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.path.exists() and (self.tuning or not self.missing)


def make_cell(job: GainJob, on_part: Callable[[str], None], watch: Watch | None) -> None:
    """Do one job and leave its cell; runs in a worker. A replicate that is stopped keeps its
    finished trainings.
    """
    if job.tuning:
        _write(
            job.path,
            tune(bundle_of(job.config, job.config.seed), job.config, job.index, on_part, watch),
        )
    else:
        _replicate(job, on_part, watch)


def _replicate(job: GainJob, on_part: Callable[[str], None], watch: Watch | None) -> None:
    """Train what is missing. The images that are scored are looked at here and nowhere else."""
    config, seed = job.config, job.config.seed + job.index
    bundle = bundle_of(config, seed)
    bench = Bench(bundle.train, bundle.pool, config, seed, on_part, watch, job.judge)
    cell = (
        read_cell(job.path) if job.path.exists() else {"trainings": [], "seconds": {}, "notes": []}
    )
    gallery = job.path.with_suffix(".safetensors")
    for recipe in dict.fromkeys(job.missing):
        guesses = predictions(bench.classifier(recipe), bundle.test.x)
        cell["trainings"].append({"recipe": asdict(recipe), "predictions": guesses})
        if job.index == 0 and "source" in bench.seconds and not gallery.exists():
            save_gallery(gallery, _make_gallery(bench))
        _write(
            job.path,
            cell
            | {"seconds": _sums(cell["seconds"], bench.seconds)}
            | {"notes": _notes(cell, bench)},
        )


def _sums(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    return {
        part: first.get(part, 0.0) + second.get(part, 0.0) for part in sorted({*first, *second})
    }


def _notes(cell: Mapping[str, Any], bench: Bench) -> list[str]:
    return sorted({*cell["notes"], *bench.notes})


def _write(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, allow_nan=False, separators=(",", ":")))


def found(trainings: Sequence[Mapping[str, Any]], recipe: Recipe) -> list[int] | None:
    """The classes that a training of a cell predicted, if it is there."""
    return next((one["predictions"] for one in trainings if one["recipe"] == asdict(recipe)), None)


def _everything(
    config: Config, bundle: DataBundle
) -> tuple[LabelledImages, LabelledImages, torch.Tensor | None]:
    """All images that the replicates draw theirs from: training and test part, and the pool."""
    rest = None if config.data.unlabelled == "rest" else config.data.unlabelled
    no_regime = {
        "per_class": None,
        "imbalance": 1.0,
        "labels": None,
        "max_pool": None,
        "unlabelled": rest,
    }
    data = config.data.model_copy(update=no_regime)
    if data != config.data:
        bundle = load_data(data, config.seed, tuning=config.gain.tuning)
    return bundle.train, bundle.test, bundle.pool


def bundle_of(config: Config, seed: int) -> DataBundle:
    """The data of a replicate; for a screening without the test images."""
    return load_data(config.data, seed, tuning=config.gain.tuning)


def _make_gallery(bench: Bench) -> Gallery:
    """Pictures of a bench: the first images of every class, and the neighbours of the first
    samples.
    """
    train, source = bench.train, bench.source
    first = [(train.y == index).nonzero()[:PER_CLASS, 0] for index in range(len(train.classes))]
    synthetic = synthesize(source, dict.fromkeys(range(len(train.classes)), PER_CLASS), bench.seed)
    shown = (
        torch.linspace(0, len(train.classes) - 1, min(SAMPLES, len(train.classes))).round().long()
    )
    samples = synthetic.subset(shown * PER_CLASS)  # the first of every class shown
    known = train.x if bench.pool is None else torch.cat([train.x, bench.pool])
    distances = torch.cdist(samples.x.flatten(1), known.flatten(1)) / (
        2 * samples.x[0].numel() ** 0.5
    )
    nearest = distances.topk(min(NEIGHBOURS, len(known)), largest=False)
    return Gallery(
        train.subset(torch.cat(first)), synthetic, samples, known[nearest.indices], nearest.values
    )


Key = Callable[[Mapping[str, Any]], str]
"""What else decides a cell, plain values, to its name."""


def key_maker(config: Config, bundle: DataBundle) -> Key:
    """Names of cells for a run: by its settings, the images its replicates draw theirs from, and
    the device's kind.

    Args:
        config: The run.
        bundle: The data of its first replicate.

    Returns:
        What turns the rest that decides a cell, plain values, into sixteen hex digits.
    """
    read = config.model_dump(mode="json", exclude=IRRELEVANT)
    parts = [CELLS, read, config.gain.tuning, device_of(config).type, options_of(config)]
    images = [bytes_of(one) for one in _everything(config, bundle)]
    return lambda options: cell_key([*parts, dict(options)], images)


def read_cell(path: Path) -> dict[str, Any]:
    """The contents of a cell's file."""
    cell: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return cell
