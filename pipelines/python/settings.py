"""From keyword arguments to the configuration of a job and its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.config import Config, ConfigError, config_from
from pipelines.progress import Progress, Silent, show
from pipelines.python.given_data import GivenData, Written, place_of, written

DATA_SECTION = {"gain": "gain", "verify": "verify"}
"""Jobs that take synthetic images, and the section that names them."""
ANYWHERE = ("device", "threads", "out", "engine")
PER_JOB = "processes"
"""Keys that do not decide what a run finds."""


def prepared(
    job: str,
    given: GivenData,
    keys: Mapping[str, Any],
    settings: Mapping[str, Any],
    out: str | Path | None,
) -> tuple[Config, Path]:
    """Write what is not on the disk, and make the configuration of a job.

    Args:
        job: Name of the function, for messages and the folder.
        given: The images.
        keys: Values by the key of the configuration, such as ``gain.arms``; None is the default.
        settings: Sections as they were given, laid over by ``keys``.
        out: Folder of the run; None is ``runs/<job>-<digest>``.

    Returns:
        The configuration, and the folder of the run.

    Raises:
        ConfigError: If a name or value is wrong, or the folder holds other images.
        ValueError: If images or labels cannot be used.
    """
    mapping = _mapping(job, keys, settings)
    _with_data(mapping, job, given, given.on_disk or "data", {})
    config_from(mapping, where=f"{job}()")  # wrong names are refused before any work
    folder = None if out is None else Path(out)
    with written(given, folder) as found:
        folder = folder or Path("runs") / f"{job}-{_digest(mapping, found)}"
        placed = {one.place: str(one.publish(folder)) for one in found}
    _with_data(mapping, job, given, given.on_disk or placed[Path("data")], placed)
    return config_from(mapping, where=f"{job}()"), folder


def command_words(job: str, config: Config) -> str:
    """The call in one line, for the record of a result."""
    told = config.model_dump(mode="json", exclude_defaults=True)
    given = [repr(config.data.data)]
    told.get("data", {}).pop("data", None)
    given += [f"{name}={value!r}" for name, value in told.items() if value != {}]
    return f"pipelines.{job}({', '.join(given)})"


@contextmanager
def reporter(progress: bool | Progress) -> Iterator[Progress]:
    """The progress reporter that was asked for: bars or lines, none, or the caller's own."""
    if isinstance(progress, bool):
        if not progress:
            yield Silent()
            return
        with show() as bars:
            yield bars
        return
    yield progress


def _mapping(
    job: str, keys: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Sections with the given keys laid over them."""
    found = dict[str, Any]()
    for name, value in settings.items():
        found[name] = dict(value) if isinstance(value, Mapping) else value
    for key, value in keys.items():
        if value is None:
            continue
        section, _, last = key.rpartition(".")
        inner = found.setdefault(section, {}) if section else found
        if not isinstance(inner, dict):
            raise ConfigError(f"{job}(): {section} must be a dict of its keys, found {inner!r}")
        inner[last] = value
    return found


def _with_data(
    mapping: dict[str, Any],
    job: str,
    given: GivenData,
    data: str,
    placed: Mapping[Path, str],
) -> None:
    """Enter where the images are."""
    section = _section(mapping, "data")
    if given.test is not None and "test_fraction" in section:
        raise ConfigError(f"{job}(): data.test_fraction splits one set, and a test_set was given")
    section["data"] = data
    if not given.synthetic:
        return
    folders = []
    for name, one in given.synthetic.items():
        place = place_of(name)
        folders.append(str(one) if isinstance(one, str | Path) else placed.get(place, str(place)))
    _section(mapping, DATA_SECTION[job])["synthetic"] = folders


def _section(mapping: dict[str, Any], name: str) -> dict[str, Any]:
    inner = mapping.setdefault(name, {})
    return inner if isinstance(inner, dict) else {}  # what is not a dict is refused later


def _digest(mapping: Mapping[str, Any], found: list[Written]) -> str:
    """Changes with any setting but where it runs, and with any image that was written."""
    told: dict[str, Any] = {}
    for name, value in mapping.items():
        if isinstance(value, dict):
            value = {key: inner for key, inner in value.items() if key != PER_JOB} or None
        if name not in ANYWHERE and value is not None:
            told[name] = value
    told["written"] = [one.digest for one in found]
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
