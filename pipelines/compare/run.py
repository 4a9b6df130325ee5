"""The job ``compare``: families trained on one data set with one budget, all measured by one judge.

The training of a row is a run of its own, ``<out>/<row>/``, and is gone on with where it was cut
off. What was measured is its cell, a small JSON file named by the row and a hash of all that
decides its content; a run makes the missing cells only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from augmentor.common.atomic_files import write_bytes, write_text
from augmentor.common.types import DataError, DivergedError
from augmentor.families import FAMILIES
from pipelines.cell_key import bytes_of, cell_key
from pipelines.compare.report import pictures, write_compare_report
from pipelines.compare.rows import POINTS, CompareJob, make_cell, settings_of
from pipelines.compare.tables import as_markdown, order_of, verdict
from pipelines.config import Config, ConfigError, VariantConfig
from pipelines.crew import Crew
from pipelines.datasets import DataBundle, load_data
from pipelines.device import device_of, use_threads
from pipelines.interrupt import watch_signals
from pipelines.report.pictures import png_bytes
from pipelines.progress import Progress, Silent
from pipelines.results import package_versions, provenance, write_result
from pipelines.run_dir import RunDir
from pipelines.generators.evaluate import refuse_seen_test_images
from pipelines.generators.quality import Section, require_same_kind
from pipelines.generators.train import chosen_family, load_source, options_of, require_run_of

JOB_POINTS = sum(POINTS.values()) + 1
OF_A_VARIANT = ("family", "preset", "options")  # keys of the source that every row has its own of
ONLY_IN_CELLS = ("row", "real", "measured_by", "pictures", "device", "versions")
# The keys of a config that decide what a row makes of the data. Where the images lie and what is
# saved when do not.
READ = ("data", "source", "pool", "classifier", "seed", "device")
UNREAD: dict[str, Any] = {"data": {"data_root"}, "source": {"checkpoint_every", "sample_every"}}


def compare_run(
    config: Config, out: Path, *, progress: Progress | None = None, command: str | None = None
) -> dict[str, Any]:
    """Train families with one budget and measure them with one judge.

    Args:
        config: The run; ``source`` holds what all families share, ``compare`` their names and
            options.
        out: Folder for ``compare.json``, ``compare.md``, ``compare.png``, ``reconstructions.png``
            (where a family has an encoder), ``report.html``, ``cells/`` and a folder a row.
        progress: Who is told.
        command: How the report says it was run; this process's command line unless given.

    Returns:
        The contents of compare.json.

    Raises:
        ConfigError: If a family or an option is unknown, or ``out`` holds trainings of another
            config.
        DataError: If the data cannot be used, or an extra run is none, is of other data or saw a
            test image.
        DivergedError: If no training came to anything; a single one that does not leaves a row
            without numbers.
        Interrupted: After a signal; finished cells and the trainings so far stay.
        RunLockedError: If another process works in ``out``.
    """
    progress, start = progress or Silent(), time.perf_counter()
    rows = known_rows(config)
    device_of(config)  # one that is not on this machine is refused before any work
    use_threads(config)
    with (
        RunDir(out).lock(),
        watch_signals() as watch,
        Crew(make_cell, config.compare.processes, config.threads, watch) as crew,
    ):
        bundle = load_data(config.data, config.seed)
        jobs = _jobs(rows, _extra_keys(config, bundle), bundle, out)
        (out / "cells").mkdir(exist_ok=True)
        _make_missing(jobs, crew, progress)
        cells = [_read(job.path) for job in jobs]
    result = _result(config, bundle, cells) | provenance(
        _seconds(cells, time.perf_counter() - start),
        str(device_of(config)),
        package_versions(),
        command,
    )
    # The cells may have been made on another machine than this one, which puts them together.
    result["device"] = "; ".join(sorted({cell["device"] for cell in cells}))
    _write(out, result, cells, bundle)
    return result


def known_rows(config: Config) -> dict[str, Config]:
    """The trainings asked for: names of rows to their configs.

    Raises:
        ConfigError: If a family, preset or option is unknown; the message names the key and what is
            known.
    """
    if given := sorted(config.source.model_fields_set & set(OF_A_VARIANT)):
        raise ConfigError(
            f"source.{given[0]}: a comparison takes it from compare.families, for every row its own"
        )
    variants = config.compare.families
    if variants is None:
        variants = dict.fromkeys(FAMILIES, VariantConfig())
    return {name: _row_config(config, name, variant) for name, variant in variants.items()}


def _row_config(config: Config, name: str, variant: VariantConfig) -> Config:
    own = {"family": variant.family or name, "preset": variant.preset, "options": variant.options}
    row = config.model_copy(update={"source": config.source.model_copy(update=own)})
    try:
        chosen_family(row)
    except ConfigError as error:
        message = str(error).removeprefix("source.family: ").removeprefix("source: ")
        raise ConfigError(f"compare.families.{name}: {message}") from error
    return row


def _extra_keys(config: Config, bundle: DataBundle) -> dict[str, tuple[Config, str]]:
    """The finished runs to measure too: how they were trained, and the hash of the checkpoint.

    Raises:
        DataError: If one is no run, or its source does not fit the data or saw a test image.
    """
    found = {}
    for name, run in config.compare.extra.items():
        try:
            loaded = load_source(Path(run), config.device)
            require_same_kind(loaded.source, bundle)
            refuse_seen_test_images(loaded, bundle)
        except DataError as error:
            raise DataError(f"compare.extra.{name}: {error}") from error
        found[name] = (
            config.model_copy(update={"source": loaded.config.source}),
            loaded.checkpoint_sha256,
        )
    return found


def _jobs(
    rows: Mapping[str, Config],
    extra: Mapping[str, tuple[Config, str]],
    bundle: DataBundle,
    out: Path,
) -> list[CompareJob]:
    """One job a row, those to be trained first.

    Raises:
        ConfigError: If a row must be trained and its folder holds another training.
    """
    some = next(iter(rows.values()))
    judged = ("judge", _key(some, bundle, ("data", "seed", "device"), exclude=("samples",)))
    reference = out / "cells" / f"{'-'.join(judged)}.safetensors"

    def job(name: str, row: Config, run: Path, trains: bool, sha256: str = "") -> CompareJob:
        key = _key(row, bundle, READ, more=sha256)
        return CompareJob(row, name, run, trains, reference, out / "cells" / f"{name}-{key}.json")

    trained = [job(name, row, out / name, True) for name, row in rows.items()]
    for one in trained:
        if not one.path.exists():
            require_run_of(one.run, one.config)
    paths = some.compare.extra
    return trained + [
        job(name, row, Path(paths[name]), False, sha256) for name, (row, sha256) in extra.items()
    ]


def _make_missing(jobs: Sequence[CompareJob], crew: Crew[CompareJob], progress: Progress) -> None:
    """Make the cells that are not there, and before them what all need; a job is full when it is
    finished.
    """
    done = {index: JOB_POINTS for index, job in enumerate(jobs) if job.path.exists()}
    todo = [index for index in range(len(jobs)) if index not in done]

    def tell(part: str) -> None:
        progress.step("compare", sum(done.values()), JOB_POINTS * len(jobs), part)

    def on_part(position: int, part: str) -> None:
        index = todo[position]
        done[index] = min(JOB_POINTS, done.get(index, 0) + 1) if part else JOB_POINTS
        tell(part)

    tell("")
    if todo and not jobs[0].reference.exists():
        first = jobs[todo[0]]
        judge = CompareJob(first.config, "", first.run, False, first.reference, first.reference)
        crew.run([judge], lambda position, part: tell(part))
    crew.run([jobs[index] for index in todo], on_part)


def _result(config: Config, bundle: DataBundle, cells: Sequence[Section]) -> dict[str, Any]:
    measured = [cell for cell in cells if cell["real"] is not None]
    if not measured:
        raise DivergedError(
            f"no row could be measured: {cells[0]['row']}: {cells[0]['warnings'][0]}"
        )
    fullest = max(measured, key=lambda cell: int(cell["samples"]))
    rows = {cell["row"]: _row(cell, cell["samples"] < fullest["samples"]) for cell in cells}
    result: dict[str, Any] = {
        "dataset": bundle.name,
        "regime": bundle.regime,
        "budget": _budget(config),
        "samples": fullest["samples"],
        "real": fullest["real"] | {"memorisation_p": None},
        "rows": list(rows),
        "families": rows,
        "order": order_of(rows),
        **fullest["measured_by"],
        "notes": [bundle.note],
    }
    return result | {"verdict": verdict(result)}


def _row(cell: Section, fewer: bool) -> Section:
    """A cell as compare.json holds it; beside a row of fewer samples what real data score with as
    few.
    """
    row = {key: value for key, value in cell.items() if key not in ONLY_IN_CELLS}
    return row | {"real_at_as_few": cell["real"]} if fewer and cell["real"] is not None else row


def _budget(config: Config) -> Section:
    s = config.source
    return {
        "steps": s.steps,
        "batch_size": s.batch_size,
        "images": s.steps * s.batch_size,
        "class_power": s.class_power,
        "source_augment": s.source_augment,
        "seed": config.seed,
    }


def _key(
    config: Config,
    bundle: DataBundle,
    keys: Sequence[str],
    more: str = "",
    exclude: Sequence[str] = (),
) -> str:
    """Sixteen hex digits that change with anything that may change a cell.

    Keys left at their defaults are not in it, so that a later version with more keys still knows
    its old cells; a version with other defaults has another number, which is in it. A family's
    options are in it in full: a new one or another default makes its cells anew.
    """
    read = config.model_dump(mode="json", include=set(keys), exclude=UNREAD, exclude_defaults=True)
    settings = settings_of(config, "" if exclude else config.source.family)
    measured = {
        name: _plain(value) for name, value in vars(settings).items() if name not in exclude
    }
    options = [options_of(config)] if "source" in keys else []
    return cell_key(
        [read, measured, more, *options], map(bytes_of, (bundle.train, bundle.test, bundle.pool))
    )


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def _seconds(cells: Sequence[Section], total: float) -> dict[str, float]:
    """Wall-clock time of this call, and of each row's training and measuring as far as one sitting
    did it.
    """
    return {"total": total} | {cell["row"]: sum(cell["seconds"].values()) for cell in cells}


def _read(path: Path) -> Section:
    cell: Section = json.loads(path.read_text(encoding="utf-8"))
    return cell


def _write(out: Path, result: dict[str, Any], cells: Sequence[Section], bundle: DataBundle) -> None:
    for name, picture in pictures(cells, bundle).items():
        write_bytes(out / f"{name}.png", png_bytes(picture))
    write_text(out / "compare.md", as_markdown(result))
    write_compare_report(out / "report.html", result, cells, bundle)
    write_result(out / "compare.json", result, "compare")
