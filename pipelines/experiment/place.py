"""Whether a job may write to a folder: files of the user, other runs and the data stay as they
are.
"""

from __future__ import annotations

from pathlib import Path

from augmentor.common.types import DataError
from pipelines.config import Config, ConfigError, DataConfig, dump_config
from pipelines.data.folders import TEST_NAMES, TRAIN_NAMES, find_folder, part_folder
from pipelines.data.table import is_named
from pipelines.run_dir import RunDir, require_writable
from pipelines.strict_yaml import YamlError, parse_yaml


def require_place(config: Config, out: Path) -> None:
    """Refuse, before any work, a folder that a job with parts must not or cannot write to.

    Args:
        config: Of the job.
        out: Its folder; made if absent.

    Raises:
        ConfigError: If the folder lies among the images, or holds a trained generator, a run of
            other data or a config that no job wrote.
        OSError: If it cannot be written to.
    """
    require_outside_data(config.data, out)
    run = RunDir(out)
    if run.checkpoints.is_dir():
        raise ConfigError(
            f"{out} holds a trained generator, whose config.yaml this job would replace; give "
            "another --out"
        )
    run.require_own_config(dump_config(config))
    _require_same_data(run, config.data)
    require_writable(out)


def require_outside_data(data: DataConfig, out: Path) -> None:
    """Refuse a folder whose pictures would be read as images of a class.

    Raises:
        ConfigError: If it lies in a folder that holds the class folders of the data.
    """
    for folder in _class_parents(data):
        if out.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(
                f"{out} lies in the folder of the images, {folder}, and would be read as one of "
                "its classes; name a folder outside of it by --out"
            )


def _class_parents(data: DataConfig) -> list[Path]:
    """The folders with one folder per class; none where the data are not a folder of this
    machine.
    """
    if is_named(data.data):
        return []
    try:
        root = find_folder(data)
        parts = [part_folder(root, names) for names in (TRAIN_NAMES, TEST_NAMES)]
    except DataError:  # the job itself says what is wrong with the data
        return []
    return [part for part in parts if part is not None] if parts[0] is not None else [root]


def _require_same_data(run: RunDir, data: DataConfig) -> None:
    """Refuse a folder with parts of other data: the new result would take the place of theirs."""
    if not run.has_work or not run.config.exists():
        return
    known = _data_of(run)
    if known is None or _meaning(known) == _meaning(data):
        return
    raise ConfigError(
        f"{run.path} holds a run on {known.data!r}, whose result this one on {data.data!r} would "
        f"replace; give another --out, or remove {run.config} if both are the same images"
    )


def _data_of(run: RunDir) -> DataConfig | None:
    """Where the data of a finished run were; None where its config, of another version perhaps,
    does not say.
    """
    try:
        section = parse_yaml(run.read_config(), str(run.config)).get("data")
    except YamlError:
        return None
    if not isinstance(section, dict) or not isinstance(section.get("data"), str):
        return None
    root = section.get("data_root")
    return DataConfig(data=section["data"], data_root=None if root is None else Path(str(root)))


def _meaning(data: DataConfig) -> str | Path:
    """The folder that is meant, or else the name."""
    if is_named(data.data):
        return data.data
    try:
        return find_folder(data).resolve()
    except DataError:
        return data.data
