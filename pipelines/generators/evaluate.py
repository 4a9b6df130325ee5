"""The job ``evaluate``: measures the source of a run and writes the numbers, a table and two
pictures.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from augmentor.common.atomic_files import write_bytes, write_text
from augmentor.common.types import DataError, SampleSource, device_of
from augmentor.data.fingerprint import fingerprints
from augmentor.sampling.occurring_conditions import OccurringConditions
from pipelines.config import ConfigError
from pipelines.config.section import MOST_SAMPLES
from pipelines.datasets import DataBundle, load_data
from pipelines.device import use_threads
from pipelines.experiment.provenance import provenance
from pipelines.experiment.setting import domain_of
from pipelines.generators.compared import Section
from pipelines.generators.copied import copies_words
from pipelines.generators.findings import summary
from pipelines.generators.load import LoadedRun, load_source, published_name
from pipelines.generators.quality import EvaluateSettings, Evaluation, evaluate_source
from pipelines.image_folder import shown
from pipelines.progress import Progress, Silent
from pipelines.report.pictures import png_bytes
from pipelines.results import write_result
from pipelines.run_dir import require_writable

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
    ``neighbours.png``.

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
        DataError: If no run is intact, the data no longer fit its source, or the source saw a
            test image.
    """
    if samples > MOST_SAMPLES:
        raise ConfigError(f"--samples: at most {MOST_SAMPLES} images are rendered, got {samples}")
    loaded = load_source(run, device)
    config, target = loaded.config, out or run
    use_threads(config.threads)
    bundle = load_data(config.data, config.seed)
    refuse_seen_test_images(loaded, bundle)
    require_writable(target)
    domain = domain_of(config.classifier, config.data)
    settings = replace(settings, samples=samples, domain=domain)
    source, note = _for_classes(loaded)
    evaluation = evaluate_source(source, bundle, settings, seed, progress or Silent())
    command = f"augmentor evaluate {published_name(run)} --samples {samples} --seed {seed}"
    command += f" --device {device}" if device else ""
    where = str(device_of(loaded.source))
    origin = provenance(evaluation.result["seconds"], where, command=command)
    result = evaluation.result | {"source": _described(loaded)} | origin
    if note:
        result["conditions"] = note
    _write(target, result, evaluation)
    return result


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


def as_markdown(result: Section) -> str:
    """The numbers as a page to read: a table with the row "real data", what the columns mean,
    warnings.
    """
    metrics = result["metrics"]
    lines = [f"# Evaluation: {result['dataset']}, {result['regime']}\n"]
    for words in result["warnings"]:
        lines.append(f"**Warning**: {words}.\n")
    if "conditions" in result:
        lines.append(f"{result['conditions']}.\n")
    lines += _table_head()
    lines.append(_table_row("real data", summary(metrics, "real")))
    lines.append(_table_row("generated", summary(metrics, "generated")))
    lines += ["", _legend(result), "## Memorisation\n", _memorisation(metrics["memorisation"])]
    return "\n".join([*lines, "## Made by\n", _origin(result)])


COLUMNS = {
    "top1": ("top-1 %", 100, 2),
    "inception_score": ("inception score", 1, 2),
    "fid": ("FID", 1, 3),
    "kid": ("KID × 1000", 1000, 2),
    "precision": ("precision", 1, 3),
    "recall": ("recall", 1, 3),
    "density": ("density", 1, 3),
    "coverage": ("coverage", 1, 3),
    "diversity": ("diversity", 1, 3),
    "cas": ("trained on it, real test %", 100, 2),
}
"""Key of ``findings.summary`` to title, factor and digits."""


def _table_head() -> list[str]:
    titles = [title for title, _, _ in COLUMNS.values()]
    return [f"| | {' | '.join(titles)} |", f"|---|{'---:|' * len(COLUMNS)}"]


def _table_row(name: str, row: Section) -> str:
    return f"| {name} | {' | '.join(quality_cells(row))} |"


def quality_cells(row: Section) -> list[str]:
    """What ``findings.summary`` returned, as a table shows it: a text per column of ``COLUMNS``."""
    cells = []
    for key, (_, factor, digits) in COLUMNS.items():
        cells.append(_shown(row[key], factor, digits))
    return cells


def _shown(value: float | None, factor: float, digits: int) -> str:
    return "–" if value is None else f"{value * factor:.{digits}f}"


def _legend(result: Section) -> str:
    metrics, judge, student = result["metrics"], result["judge"], result["student"]
    answers, fidelity, usefulness = metrics["answers"], metrics["fidelity"], metrics["usefulness"]
    return f"""\
- Judge: `{judge["name"]}`, {judge["steps"]} steps of {judge["batch_size"]} on \
{result["images"]["train"]} real training images with classical augmentation of strength \
{judge["strength"]}. It recognises {answers["real"]["top1"]:.2%} of \
{answers["real"]["images"]} real test images. Features are its {judge["features"]}: \
numbers in them cannot be compared with those of another judge.
- top-1, inception score: {answers["generated"]["images"]} generated images in equal shares of the \
classes, latents from the whole prior, no filter. Real data: the test images.
- FID, KID, precision, recall, density, coverage (k = {result["k"]}): \
{fidelity["generated"]["images"]} generated against as many real test images of the same classes. \
Real data: {fidelity["real"]["images"]} training against as many test images.
- diversity: mean distance in pixels of two images of the same class, over that of real test images.
- last column (classification accuracy score): `{student["name"]}`, {student["steps"]} steps of \
{student["batch_size"]}, augmentation of strength {student["strength"]}, trained on \
{usefulness["generated"]["images"]} generated images only. Real data: on \
{usefulness["real"]["images"]} training images.
"""


def _memorisation(memorisation: Section) -> str:
    lines = [
        f"{memorisation['samples']} samples and {memorisation['unseen']} unseen test images "
        "against the "
        f"{memorisation['seen']} images the source has seen.\n",
        "| distance in | median of samples | median of unseen | p (samples nearer) | near copies "
        "% (without copying 1) "
        "| copied share % (without copying 0) |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for kind in ("pixels", "features"):
        m = memorisation[kind]
        lines.append(
            f"| {kind} | {m['median_sample']:.3f} | {m['median_holdout']:.3f} | {m['p']:.2g} | "
            f"{_shown(m['near_copies'], 100, 1)} | {_shown(m['copied_share'], 100, 1)} ± "
            f"{_shown(m['copied_share_error'], 100, 1)} |"
        )
    if copies := memorisation.get("copies"):
        unseen = copies["unseen"]
        lines.append(
            f"\nOne by one: {copies_words(copies)}. Of unseen real images {unseen['found']} of "
            f"{unseen['looked_at']} were called so."
        )
    return "\n".join(lines) + "\n"


def _origin(result: Section) -> str:
    source = result["source"]
    versions = _listed(result["versions"], "{} {}")
    seconds = _listed(result["seconds"], "{} {:.0f}")
    return f"""\
`{result["command"]}`

Source: {source["family"]}, preset {source["preset"]}, step {source["step"]}, source augmentation \
{source["source_augment"]}, checkpoint {source["checkpoint_sha256"][:12]}. {result["device"]}; \
{versions}. Seconds: {seconds}.
"""


def _listed(values: Section, form: str) -> str:
    return ", ".join(form.format(name, value) for name, value in values.items())


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


def _write(folder: Path, result: Section, evaluation: Evaluation) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in evaluation.pictures.items():
        write_bytes(folder / f"{name}.png", png_bytes(picture))
    write_text(folder / "evaluate.md", as_markdown(result))
    write_result(folder / "evaluate.json", result, "evaluate")
