"""The job ``evaluate``: measures the source of a run and writes the numbers, a table, two pictures
and a report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from augmentor.common.atomic_files import write_bytes, write_text
from augmentor.common.types import (
    DataError,
    EncodingSource,
    SampleSource,
    conditions_of,
    device_of,
)
from augmentor.data.fingerprint import fingerprints
from augmentor.quality.conditioning import condition_agreement
from augmentor.sampling.occurring_conditions import OccurringConditions
from pipelines.config import Config, ConfigError
from pipelines.config.section import MOST_SAMPLES
from pipelines.datasets import DataBundle, load_data
from pipelines.device import use_threads
from pipelines.evaluate.report import PICTURES, evaluate_report
from pipelines.evaluate.tables import as_markdown
from pipelines.evaluate.verdict import verdict
from pipelines.experiment.provenance import provenance
from pipelines.experiment.setting import domain_of
from pipelines.experiment.setup import data_setup, generator_setup
from pipelines.generators.compared import Section
from pipelines.generators.findings import about_condition
from pipelines.generators.in_memory import for_generator
from pipelines.generators.load import LoadedRun, load_source, published_name, require_images_of
from pipelines.generators.quality import EvaluateSettings, evaluate_source
from pipelines.image_folder import shown
from pipelines.progress import Progress, Silent
from pipelines.report.pictures import png_bytes
from pipelines.results import read_result, write_result
from pipelines.run_dir import RunDir, require_writable

DEFAULTS = EvaluateSettings()


def evaluate_run(
    run: Path,
    out: Path | None = None,
    *,
    samples: int = 10_000,
    seed: int = 0,
    device: str | None = None,
    progress: Progress | None = None,
    settings: EvaluateSettings = DEFAULTS,
) -> dict[str, Any]:
    """Measure the source of a run and write ``evaluate.json``, ``evaluate.md``, ``samples.png``,
    ``neighbours.png``, ``report.html``.

    Args:
        run: Folder of the run; its newest intact checkpoint is measured on the data of its config.
        out: Folder to write to; the run's own unless given.
        samples: Generated images, in equal shares of the classes.
        seed: Seed of judge, student, latents and subsets.
        device: Where to compute, as ``Config.device``; where the run was trained unless given.
        progress: Progress reporter.
        settings: All else that can be set.

    Returns:
        What stands in ``evaluate.json``.

    Raises:
        OSError: If ``out`` cannot be written to; found before any work.
        ConfigError: If this machine does not have the device.
        DataError: If no run is intact, the data are not those that its source was trained on, or
            the source saw a test image.
    """
    if samples > MOST_SAMPLES:
        raise ConfigError(f"--samples: at most {MOST_SAMPLES} images are rendered, got {samples}")
    loaded = load_source(run, device)
    config, target, progress = loaded.config, out or run, progress or Silent()
    use_threads(config.threads)
    if words := loaded.unfinished(run):
        progress.say(words)
    bundle = load_data(config.data, config.seed)
    refuse_seen_test_images(loaded, bundle)
    require_images_of(loaded, bundle)
    require_writable(target)
    domain = domain_of(config.classifier, config.data)
    settings = replace(settings, samples=samples, domain=domain)
    source, note = _for_classes(loaded)
    evaluation = evaluate_source(source, bundle, settings, seed, progress)
    command = f"augmentor evaluate {published_name(run)} --samples {samples} --seed {seed}"
    command += f" --device {device}" if device else ""
    where = str(device_of(loaded.source))
    origin = provenance(evaluation.result["seconds"], where, command=command)
    result = evaluation.result | {"source": _described(loaded)} | origin
    if note:
        result["conditions"] = note
    agreement = _condition_agreement(loaded, bundle, seed)
    if agreement is not None:
        result["condition_agreement"] = agreement
        result["warnings"] = [*about_condition(agreement), *result["warnings"]]
    result["setup"] = _setup(loaded, bundle, settings, seed)
    result["verdict"] = verdict(result)
    _write(target, result, evaluation.pictures, run)
    return result


def report_again(config: Config, out: Path) -> Path:
    """Write the report of a finished evaluation anew, from evaluate.json and its pictures. In its
    commands the run is called RUN where the evaluation lies in a folder of its own.

    Returns:
        The page.
    """
    result, pictures = read_result(out / "evaluate.json", "evaluate"), {}
    for name in PICTURES:
        if (out / f"{name}.png").is_file():
            with Image.open(out / f"{name}.png") as picture:
                pictures[name] = picture.convert("RGB")
    result["verdict"] = verdict(result)
    run = out if RunDir(out).checkpoints.is_dir() else Path("RUN")
    write_text(out / "report.html", evaluate_report(result, pictures, run))
    return out / "report.html"


def _setup(
    loaded: LoadedRun, bundle: DataBundle, settings: EvaluateSettings, seed: int
) -> dict[str, Any]:
    """What was trained on what, for the report."""
    source, told = loaded.config.source, {}
    for name, one in (("judge", settings.judge), ("student", settings.student)):
        told[name] = f"{one.name}, random first weights, {one.steps} steps of {one.batch_size}"
    return {
        **data_setup(bundle),
        "test images": len(bundle.test),
        **told,
        "samples": settings.samples,
        **generator_setup(source, bundle.train.image_shape[1]),
        "generator step": loaded.step,
        "seed": seed,
    }


def _for_classes(loaded: LoadedRun) -> tuple[SampleSource, str]:
    """The source of a run as one that knows classes alone, and what that means in words."""
    if loaded.seen is None:
        return loaded.source, ""
    source = OccurringConditions(loaded.source, loaded.seen)
    names = ", ".join(loaded.source.conditions.names)
    return source, (
        f"The source knows conditions ({names}): every class was rendered under all {len(source)} "
        "that occur in training, equally often; real images have them as often as they are"
    )


def _condition_agreement(loaded: LoadedRun, bundle: DataBundle, seed: int) -> float | None:
    """How well the source follows its condition on test images; None where that cannot be asked."""
    test = bundle.test
    if not conditions_of(loaded.source) or test.condition is None:
        return None
    several = len(torch.unique(test.condition, dim=0)) > 1
    if not several or not isinstance(loaded.source, EncodingSource):
        return None
    images = for_generator(test, loaded.config.source)
    return condition_agreement(loaded.source, images, seed)


def _described(loaded: LoadedRun) -> Section:
    config = loaded.config.source
    return {
        "family": config.family,
        "preset": config.preset,
        "source_augment": config.source_augment,
        "step": loaded.step,
        "checkpoint_sha256": loaded.checkpoint_sha256,
    }


def refuse_seen_test_images(loaded: LoadedRun, bundle: DataBundle) -> None:
    """The data may have changed since the training. A picture that a named data set holds on both
    sides is not a leak.

    Raises:
        DataError: If the source saw a test image.
    """
    own = set(fingerprints(bundle.train.x).tolist())
    if bundle.pool is not None:
        own |= set(fingerprints(bundle.pool).tolist())
    leaked = set(fingerprints(bundle.test.x).tolist()) & set(loaded.trained_on.tolist()) - own
    if leaked:
        raise DataError(
            f"{bundle.name}: the source was trained on {len(leaked)} of the test images, such as "
            f"{_examples(bundle, leaked)}; restore the data it was trained on, or train it again"
        )


def _examples(bundle: DataBundle, leaked: set[int], most: int = 3) -> str:
    """The first test images with these fingerprints: their files, or else their numbers."""
    words: list[str] = []
    for number, one in enumerate(fingerprints(bundle.test.x).tolist()):
        if one in leaked and len(words) < most:
            paths = bundle.test_paths
            words.append(f"number {number}" if paths is None else shown(paths[number]))
    return ", ".join(words)


def _write(out: Path, result: Section, pictures: Mapping[str, Image.Image], run: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        write_bytes(out / f"{name}.png", png_bytes(picture))
    write_text(out / "evaluate.md", as_markdown(result))
    write_text(out / "report.html", evaluate_report(result, pictures, run))
    write_result(out / "evaluate.json", result, "evaluate")
