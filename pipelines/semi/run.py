"""The job ``semi``: every method on the same few labels, and what each makes of the unlabelled
rest.

A training, of one method on one labelled subset, leaves a cell: a small JSON file named by method,
number of labels, seed of the subset and a hash of all else that decides its content. A run that was
stopped, or is asked for more methods, subsets or numbers of labels, makes the missing cells only.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from augmentor.common.atomic_files import write_text
from augmentor.common.types import DataError
from augmentor.data.fingerprint import fingerprints
from augmentor.data.splits import few_labels
from downstream.evaluate import accuracy
from pipelines.cell_key import bytes_of, cell_key
from pipelines.config import Config, ConfigError
from pipelines.crew import Crew
from pipelines.datasets import DataBundle, load_data
from pipelines.device import device_of, use_threads
from pipelines.interrupt import Watch, watch_signals
from pipelines.progress import Progress, Silent
from pipelines.results import device_name, package_versions, provenance, write_result
from pipelines.run_dir import RunDir
from pipelines.semi.consistency_methods import fixmatch, graph_fixmatch
from pipelines.semi.gan_methods import head_cvae_gan, improved_gan
from pipelines.semi.methods import (
    Method,
    SemiTask,
    classical_augmentation,
    pseudo_label,
    supervised,
)
from pipelines.semi.report import write_semi_report
from pipelines.semi.scores import joined, paired_differences, scores, verdict
from pipelines.semi.tables import as_markdown
from pipelines.generators.train import options_of

METHODS: dict[str, Method] = {
    "supervised": supervised,
    "classical": classical_augmentation,
    "pseudo_label": pseudo_label,
    "fixmatch": fixmatch,
    "graph_fixmatch": graph_fixmatch,
    "improved_gan": improved_gan,
    "head_cvae_gan": head_cvae_gan,
}

POINTS = 50  # most points of a training curve
TUNING_SEED = 100  # seeds of subsets for tuning start here, so that none of them is ever reported
# The keys of a config that decide what a method makes of a subset, beside data and device: those of
# a cell's hash.
READS: dict[str, dict[str, Any]] = {
    "supervised": {"classifier": True},
    "classical": {"classifier": True},
    "pseudo_label": {"classifier": True, "pool": True},
    "fixmatch": {"classifier": True, "semi": {"consistency_steps"}},
    "graph_fixmatch": {"classifier": True, "semi": {"consistency_steps"}},
    "improved_gan": {"semi": {"gan_steps"}},
    "head_cvae_gan": {"classifier": True, "pool": True, "source": True},
}
WHERE = {
    "data_root",
    "labels",
}  # where the images lie is no matter, and the labels are in the cell's name


@dataclass(frozen=True)
class SemiJob:
    """One cell to make.

    Args:
        config: The run, with the job's number of labels as ``data.labels`` and the subset's seed as
            ``seed``.
        method: One of ``METHODS``.
        path: The cell's file.
    """

    config: Config
    method: str
    path: Path


@dataclass
class Curve:
    """At most fifty points of a training, evenly spread, the last step among them.

    Args:
        values: One mapping a point: ``step``, and the named values of that step.
    """

    values: list[dict[str, float | None]] = field(default_factory=list)
    _slot: int = 0

    def add(self, step: int, steps: int, values: Mapping[str, float]) -> bool:
        """Take the values of a step if a point is due; returns whether it was."""
        slot = step * POINTS // steps
        if slot <= self._slot:
            return False
        self._slot = slot
        self.values.append({"step": step} | {name: _short(value) for name, value in values.items()})
        return True


def semi_run(
    config: Config, out: Path, *, progress: Progress | None = None, command: str | None = None
) -> dict[str, Any]:
    """Measure the error of semi-supervised methods against the number of labels.

    Args:
        config: The run.
        out: Folder for ``semi.json``, ``semi.md``, ``report.html`` and ``cells/``.
        progress: Who is told.
        command: How the report says it was run; this process's command line unless given.

    Returns:
        The contents of semi.json.

    Raises:
        ConfigError: If a method is unknown, or the labels asked for cannot be drawn from these
            data.
        DataError: If the data cannot be used.
        Interrupted: After a signal; finished cells stay.
        RunLockedError: If another process works in ``out``.
    """
    progress, start = progress or Silent(), time.perf_counter()
    use_threads(config)
    methods = known_methods(config)
    device_of(config)  # one that is not on this machine is refused before any work
    with (
        RunDir(out).lock(),
        watch_signals() as watch,
        Crew(make_cell, config.semi.processes, config.threads, watch) as crew,
    ):
        everything = _all_images(config)
        (out / "cells").mkdir(exist_ok=True)
        jobs = _jobs(
            config, out / "cells", {method: _key(config, method, everything) for method in methods}
        )
        _make_missing(jobs, crew, progress)
        cells = [_read(job.path) for job in jobs]
    result = _result(config, everything, methods, cells) | provenance(
        _seconds(cells, time.perf_counter() - start),
        str(device_of(config)),
        package_versions(),
        command,
    )
    # The cells may have been made on another machine than this one, which puts them together.
    result["device"] = joined(sorted({cell["device"] for cell in cells}))
    write_result(out / "semi.json", result, "semi")
    write_text(out / "semi.md", as_markdown(result))
    write_semi_report(out / "report.html", result, cells)
    return result


def known_methods(config: Config) -> tuple[str, ...]:
    """The methods to run: those of the config, else all.

    Raises:
        ConfigError: If a method is unknown or named twice.
    """
    methods = config.semi.methods or tuple(METHODS)
    for where, names in (("methods", methods), ("default_method", (config.semi.default_method,))):
        if unknown := [name for name in names if name not in METHODS]:
            raise ConfigError(
                f"semi.{where}: unknown method {unknown[0]!r}; known: {', '.join(METHODS)}"
            )
    if len(set(methods)) != len(methods):
        raise ConfigError(f"semi.methods: a method is named twice: {', '.join(methods)}")
    return methods


def make_cell(job: SemiJob, on_part: Callable[[str], None], watch: Watch | None) -> None:
    """Train one method on one subset and leave its cell; runs in a worker.

    The images that the error is measured on are looked at here, once, and nowhere else.
    """
    config, curve, start = job.config, Curve(), time.perf_counter()
    bundle = load_data(config.data, config.seed, tuning=config.semi.tuning)
    if bundle.pool is None:
        raise DataError(
            f"{bundle.name}: {config.data.labels} labels leave no image unlabelled; ask for fewer"
        )

    def on_step(step: int, steps: int, values: Mapping[str, float]) -> None:
        if watch is not None:
            watch.check()
        if curve.add(step, steps, values):
            on_part(
                f"{job.method}, {config.data.labels} labels, seed {config.seed}: step {step} of "
                f"{steps}"
            )

    predict = METHODS[job.method](SemiTask(bundle.train, bundle.pool, config, config.seed, on_step))
    seconds = time.perf_counter() - start
    guesses = predict(bundle.test.x).argmax(dim=1).cpu()
    cell = {
        "method": job.method,
        "labels": config.data.labels,
        "seed": config.seed,
        "scored_on": bundle.scored_on,
        "error": round(1 - accuracy(guesses, bundle.test.y), 8),
        "seconds": round(seconds, 1),
        "curve": curve.values,
        "device": device_name(str(device_of(config))),
        "versions": package_versions(),
    }
    write_text(job.path, json.dumps(cell, allow_nan=False))


def _all_images(config: Config) -> DataBundle:
    """All training images, after a look at whether every number of labels can be drawn from them.

    Raises:
        ConfigError: If it cannot, or the data section names a regime of its own.
    """
    data = config.data
    if data.labels is not None or data.per_class is not None:
        raise ConfigError(
            "data.labels, data.per_class: semi draws its own subsets; leave them out, give "
            "semi.labels"
        )
    folder = None if data.unlabelled == "rest" else data.unlabelled
    bundle = load_data(
        data.model_copy(update={"unlabelled": folder}), config.seed, tuning=config.semi.tuning
    )
    for labels in config.semi.labels:
        try:
            few_labels(bundle.train.y, labels, config.seed, bundle.train.classes)
        except ValueError as error:
            raise ConfigError(f"semi.labels: {error}") from error
    return bundle


def _jobs(config: Config, cells: Path, keys: Mapping[str, str]) -> list[SemiJob]:
    """The grid; one subset after the other, so that what is finished early can be compared in
    pairs.
    """
    first = config.seed + (TUNING_SEED if config.semi.tuning else 0)
    jobs = []
    for subset in range(config.semi.subsets):
        for labels in config.semi.labels:
            data = config.data.model_copy(update={"labels": labels})
            one = config.model_copy(update={"data": data, "seed": first + subset})
            jobs += [
                SemiJob(one, method, cells / f"{method}-{labels}-{first + subset}-{key}.json")
                for method, key in keys.items()
                if _runs(config, method, labels, subset)
            ]
    return jobs


def _runs(config: Config, method: str, labels: int, subset: int) -> bool:
    s = config.semi
    asked = labels in (s.baseline_labels or s.labels) and subset < (s.baseline_subsets or s.subsets)
    return asked or method == s.default_method


def _make_missing(jobs: Sequence[SemiJob], crew: Crew[SemiJob], progress: Progress) -> None:
    """Make the cells that are not there; the bar counts points of curves, and a job is full when it
    is finished.
    """
    done = {index: POINTS for index, job in enumerate(jobs) if job.path.exists()}
    todo = [index for index in range(len(jobs)) if index not in done]

    def on_part(position: int, part: str) -> None:
        index = todo[position]
        done[index] = min(POINTS, done.get(index, 0) + 1) if part else POINTS
        progress.step("semi", sum(done.values()), POINTS * len(jobs), part)

    progress.step("semi", sum(done.values()), POINTS * len(jobs))
    crew.run([jobs[index] for index in todo], on_part)


def _result(
    config: Config,
    everything: DataBundle,
    methods: Sequence[str],
    cells: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    ran = [method for method in methods if any(cell["method"] == method for cell in cells)]
    errors: dict[str, dict[str, list[float]]] = {method: {} for method in ran}
    for cell in cells:  # in the order of the subsets, so that the errors of two methods pair up
        errors[cell["method"]].setdefault(str(cell["labels"]), []).append(cell["error"])
    result: dict[str, Any] = {
        "dataset": everything.name,
        "default_method": config.semi.default_method,
        "methods": {
            name: {n: scores(found) for n, found in by_labels.items()}
            for name, by_labels in errors.items()
        },
        "differences": paired_differences(errors, config.semi.default_method),
        "scored_on": everything.scored_on,
        "images": {"training": len(everything.train), "scored": len(everything.test)},
        "notes": [everything.note],
    }
    return result | {"verdict": verdict(result)}


def _key(config: Config, method: str, everything: DataBundle) -> str:
    """Sixteen hex digits that change with anything that may change a method's cells, beside what is
    in their names.

    Keys left at their defaults are not in it, so that a later version with more keys still knows
    its old cells; a version with other defaults has another number, which is in it. A family's
    options are in it in full: a new one or another default makes its cells anew.
    """
    read = config.model_dump(
        mode="json", include={"device": True, **READS[method]}, exclude_defaults=True
    )
    data = config.data.model_dump(mode="json", exclude=WHERE, exclude_defaults=True)
    options = [options_of(config)] if "source" in READS[method] else []
    pool = everything.pool  # in any order: that of the disk is no matter
    unlabelled = b"" if pool is None else np.sort(fingerprints(pool)).tobytes()
    images = (bytes_of(everything.train), bytes_of(everything.test), unlabelled)
    return cell_key([read, data, config.semi.tuning, *options], images)


def _read(path: Path) -> dict[str, Any]:
    cell: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return cell


def _seconds(cells: Sequence[Mapping[str, Any]], total: float) -> dict[str, float]:
    """Wall-clock time of this call, and what one training of each method took on average."""
    taken: dict[str, list[float]] = {}
    for cell in cells:
        taken.setdefault(cell["method"], []).append(cell["seconds"])
    return {"total": total} | {
        f"{method} a training": fmean(times) for method, times in taken.items()
    }


def _short(value: float) -> float | None:
    """Five digits are enough for a picture; JSON knows no infinity."""
    return float(f"{value:.5g}") if math.isfinite(value) else None
