"""From options to the config of a job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.output import note

if TYPE_CHECKING:
    from pipelines.config import Config


def config_of(path: Path | None, values: Mapping[str, Any], *, needs_data: bool = False) -> Config:
    """The file's keys with the given options laid over them.

    Args:
        path: The file; None for options alone.
        values: The options by key.
        needs_data: Whether the file or an option has to name the data.
    """
    from pipelines.config import config_from
    from pipelines.strict_yaml import read_yaml

    if needs_data and path is None and values["data__data"] is None:
        raise click.UsageError("give a CONFIG file or --data", click.get_current_context())
    merged = _with_options(read_yaml(path) if path else {}, values)
    config = config_from(merged, where=str(path) if path else "options")
    named = merged.get("data", {}).get("data")
    if needs_data and named is None:
        raise click.UsageError(
            f"{path} does not name the data; write data: {{data: NAME or FOLDER}} into it, or give "
            "--data",
            click.get_current_context(),
        )
    _tell_which_data(named)
    _refuse_idle(config, values)
    return config


def _refuse_idle(config: Config, values: Mapping[str, Any]) -> None:
    """Refuse options of this call that the rest of the configuration leaves without effect."""
    has_pool = config.data.labels or config.data.unlabelled or "semi__labels" in values
    rests_on = {
        "classifier__views": ("--views", "--train head", config.classifier.train == "head"),
        "data__max_pool": ("--max-pool", "--labels or --unlabelled", has_pool),
    }
    for name, (flag, other, is_used) in rests_on.items():
        if values.get(name) is not None and not is_used:
            raise click.UsageError(
                f"{flag} has no effect without {other}", click.get_current_context()
            )


def _tell_which_data(name: str | None) -> None:
    """Say so where a name of the table is that of a folder here, too."""
    from pipelines.data.table import NAMED_DATA

    if name in NAMED_DATA and Path(name).is_dir():
        note(f"{name} means the data set of this name; write ./{name} for the folder of it")


def _config_of_run(file: Path, values: Mapping[str, Any]) -> Config:
    """As ``config_of``, of the folder of a run, which wrote down all keys.

    Where conditions are new, its generator at the defaults is nobody's choice, so that the one that
    suits conditions takes its place.
    """
    from pipelines.config import SourceConfig, config_from
    from pipelines.strict_yaml import read_yaml

    written = read_yaml(file)
    data, source = written.get("data"), written.get("source")
    if isinstance(data, dict) and isinstance(source, dict) and values.get("data__condition"):
        kept = {key: source.get(key) for key in ("family", "preset", "options")}
        usual = SourceConfig().model_dump(include=set(kept))
        if not data.get("condition") and kept == usual:
            del source["family"], source["preset"]
    return config_from(_with_options(written, values), where=str(file))


def config_to_resume(values: Mapping[str, Any]) -> Config:
    """The config in the folder ``--out`` of a run, of this version or an earlier one, with the
    given options laid over it.
    """
    from pipelines.config import config_from
    from pipelines.generators.load import training_config
    from pipelines.run_dir import RunDir

    context = click.get_current_context()
    if values["out"] is None:
        raise click.UsageError(
            "--resume needs --out, or the CONFIG or --data it began with", context
        )
    file = Path(values["out"]) / "config.yaml"
    if not file.is_file():
        raise click.UsageError(f"{file} cannot be read: name the folder of a run by --out", context)
    kept = training_config(RunDir(file.parent).read_config(), where=str(file))
    return config_from(_with_options(kept.model_dump(), values), where=str(file))


def _with_options(config: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a config with the given options laid over them.

    Workers that nobody asked for are a matter of the command line: a script of the user's would run
    from its top in each of them.
    """
    for name, value in values.items():
        *sections, last = name.split("__")
        inner = config
        for section in sections:
            inner = inner.setdefault(section, {}) if isinstance(inner, dict) else {}
        if value is not None and isinstance(inner, dict):
            inner[last] = value
        elif last == "processes" and isinstance(inner, dict):
            inner.setdefault(last, "auto")
    return config


def out_of(config: Config, path: Path | None) -> Path:
    """The folder of the run: as configured, else named after the config file or the data."""
    if config.out is not None:
        return config.out
    if path is None:
        from pipelines.data.table import short_name

        data = Path(short_name(config.data.data))
        dots = data.name in ("", "..")  # the name of the folder that they stand for is meant
        return Path("runs") / (data.resolve() if dots else data).name
    # The config of a published run is called config.yaml in the folder of the run.
    return Path("runs") / (path.resolve().parent.name if path.stem == "config" else path.stem)


def at_most_one(values: Mapping[str, Any], flags: Mapping[str, str]) -> None:
    """Refuse options that exclude each other; ``flags`` are their names for the message."""
    given = [flag for name, flag in flags.items() if values[name] is not None]
    if len(given) > 1:
        raise click.UsageError(
            f"{' and '.join(given)} exclude each other", click.get_current_context()
        )


def settings_and_folder(
    path: Path | None, values: Mapping[str, Any], *, suffix: str = ""
) -> tuple[Config, Path]:
    """The configuration and the folder of a job.

    Args:
        path: A file, or the folder of a run, whose configuration and folder are then taken; of a
            trained generator's run another folder beside it.
        values: Options given on the command line, which override the file.
        suffix: Of the folder's name where it is named after the data or a generator's run.
    """
    if path is None or not path.is_dir():
        config = config_of(path, values, needs_data=True)
        out = out_of(config, path)
        named = config.out is not None or path is not None
        return config, out if named else out.with_name(out.name + suffix)
    file = path / "config.yaml"
    if not file.is_file():
        raise click.UsageError(
            f"{path}: no run here (config.yaml is missing)", click.get_current_context()
        )
    config = _config_of_run(file, values)
    if given := values.get("out"):
        return config, Path(given)
    if suffix and (path / "checkpoints").is_dir():
        # A generator's folder keeps its own config, which a job that took it over would replace.
        return config, path.resolve().with_name(path.resolve().name + suffix)
    return config, path
