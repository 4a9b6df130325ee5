"""Where a result comes from: command, versions, device, seconds."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augmentor import __version__

if TYPE_CHECKING:
    from pipelines.experiment.parts import FinishedPart

ROOT = "$AUGMENTOR_DATA"
PACKAGES = ("torch", "torchvision", "timm", "numpy", "scikit-learn")


def provenance(
    seconds: Mapping[str, float],
    device: str,
    versions: Mapping[str, str] | None = None,
    command: str | None = None,
) -> dict[str, Any]:
    """The keys that every result file shares.

    Args:
        seconds: Wall-clock time of every part of the job.
        device: Where it ran, as torch names it.
        versions: Of the packages; read from the installation unless given.
        command: The command line to record; this process's own unless given.

    Returns:
        ``command``, ``versions``, ``device`` (with the name of the processor) and ``seconds``
        rounded to tenths.
    """
    return {
        "command": command or this_command(),
        "versions": dict(versions or package_versions()),
        "device": device_name(device),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }


def provenance_of_parts(
    parts: Iterable[FinishedPart], total: float, command: str | None = None
) -> dict[str, Any]:
    """As ``provenance``, of a job whose parts may come from other machines and earlier calls.

    Args:
        parts: All parts of the result.
        total: Wall-clock seconds of this call.
        command: As in ``provenance``.

    Returns:
        ``seconds`` holds the total and the mean time per part of everything that was made.
    """
    devices, taken = set(), dict[str, list[float]]()
    for part in parts:
        devices.add(part.device)
        for name, value in part.seconds.items():
            taken.setdefault(name, []).append(value)
    seconds = {"total": round(total, 1)}
    for name, values in sorted(taken.items()):
        seconds[f"{name}, mean of {len(values)}"] = round(sum(values) / len(values), 1)
    return {
        "command": command or this_command(),
        "versions": package_versions(),
        "device": "; ".join(sorted(devices)),
        "seconds": seconds,
    }


def this_command() -> str:
    """The command line of this process, with the data root written as ``$AUGMENTOR_DATA``."""
    program, *arguments = sys.argv
    root = os.environ.get("AUGMENTOR_DATA", "").rstrip("/")
    words = [Path(program).name]
    for word in arguments:
        option, given, path = word.partition("=") if word.startswith("--") else ("", "", word)
        if root and (path == root or path.startswith(f"{root}/")):
            path = ROOT + path.removeprefix(root)
        words.append(option + given + path)
    return command_line(words)


def command_line(words: Iterable[str]) -> str:
    r"""Words as a shell takes them, which puts the data root in the place of its variable.

    Example:
        >>> command_line(["augmentor", "gain", "--data", "$AUGMENTOR_DATA/my cats"])
        'augmentor gain --data "$AUGMENTOR_DATA"\'/my cats\''
    """
    found = []
    for word in words:
        before, variable, after = word.partition(ROOT)
        if not variable:
            found.append(shlex.quote(word))
            continue
        plain = shlex.quote(f"-{before}{after}") == f"-{before}{after}"
        rest = shlex.quote(after) if after else ""
        found.append(word if plain else f'{shlex.quote(before) if before else ""}"{ROOT}"{rest}')
    return " ".join(found)


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide over numbers."""
    return dict(_versions())


@cache
def _versions() -> Mapping[str, str]:
    versions = {"python": ".".join(map(str, sys.version_info[:3])), "augmentor": __version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def device_name(device: str) -> str:
    """A device with what it is: ``cuda (NVIDIA …)``, ``cpu (2 cores, 1 thread)``.

    On a CPU the number of threads decides how sums are rounded, and without ``--threads`` it goes
    by the number of processes: a result whose parts were made with several numbers names each.
    """
    import torch

    if device.startswith("cuda"):
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device != "cpu":
        return device
    threads = torch.get_num_threads()
    return f"{device} ({os.cpu_count()} cores, {threads} thread{'s' if threads > 1 else ''})"
