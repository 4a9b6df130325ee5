"""Checkpoints that survive what happens to machines: safetensors and JSON only, never pickle.

A checkpoint is a folder ``step-00000500`` with the tensors, ``state.json`` and, written last,
``manifest.json`` with the SHA-256 of both. It is made under another name and renamed when
everything in it has reached the disk. What is read is verified first; a corrupted checkpoint is
passed over for the one before it.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from augmentor.common.atomic_files import (
    json_bytes,
    publish_folder,
    sha256_of,
    write_bytes,
    write_json,
)
from augmentor.common.given_files import MOST_JSON, MOST_TENSORS, parse_json, read_bytes, read_text
from augmentor.common.tensor_files import read_tensors, require_whole
from augmentor.common.types import DataError

FORMAT = 1
NAME = re.compile(r"step-(\d{8,})")  # of a checkpoint's folder
MOST_OF = {"tensors.safetensors": MOST_TENSORS, "state.json": MOST_JSON}
"""Bytes that a file of a checkpoint may have."""


@dataclass(frozen=True)
class Checkpoint:
    """What was saved.

    Args:
        step: Training steps done.
        meta: What one must know to build the objects: JSON values.
        state: Nested dicts and lists of tensors and numbers.
        sha256: Of the tensors' file.
        passed_over: Files of newer checkpoints that could not be used, with the reason.
    """

    step: int
    meta: dict[str, Any]
    state: dict[str, Any]
    sha256: str
    passed_over: tuple[str, ...] = ()


def save_checkpoint(
    folder: Path, step: int, meta: dict[str, Any], state: dict[str, Any], keep: int = 2
) -> Path:
    """Save one checkpoint and drop all but the newest ``keep``.

    Args:
        folder: Folder of the checkpoints; made if absent.
        step: Training steps done.
        meta: JSON values.
        state: Nested dicts (keys text or int), lists and tuples of tensors, numbers, text, None.
        keep: Checkpoints to keep, this one included; two or more, so that there is one to fall back
            on.

    Returns:
        The checkpoint's folder.

    Raises:
        OSError: If the disk is full or not writable; earlier checkpoints are as they were.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{step:08d}"
    temporary = folder / f".{final.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        _write(temporary, step, meta, state)
        if final.exists():
            shutil.rmtree(final)
        publish_folder(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    kept = _newest_first(folder)
    # Who saves a step behind others went on from an older one: the newer ones were corrupted.
    behind = kept.index(final)
    for old in [*kept[:behind], *kept[behind + keep :]]:
        shutil.rmtree(old)
    return final


def load_checkpoint(folder: Path) -> Checkpoint:
    """Load the newest checkpoint whose bytes are those that were saved.

    Args:
        folder: As given to ``save_checkpoint``, or one checkpoint's own folder.

    Raises:
        DataError: If checkpoints are missing, or none is intact; the message names the files.
    """
    candidates = [folder] if (folder / "manifest.json").exists() else _newest_first(folder)
    if not candidates:
        raise DataError(f"{folder}: no checkpoint here; train first, or name the run's own folder")
    problems: list[str] = []
    for candidate in candidates:
        try:
            return _read(candidate, tuple(problems))
        except _CorruptedError as error:
            problems.append(str(error))
    raise DataError(f"no intact checkpoint: {'; '.join(problems)}")


class _CorruptedError(Exception):
    """A file of a checkpoint is missing, not as it was written, or was never one of a
    checkpoint.
    """


def _newest_first(folder: Path) -> list[Path]:
    """Checkpoints of a folder, without what else lies there, such as a copy by another name."""
    found = folder.iterdir() if folder.is_dir() else ()
    steps = {path: NAME.fullmatch(path.name) for path in found if path.is_dir()}
    numbers = {path: int(name[1]) for path, name in steps.items() if name}
    return sorted(numbers, key=numbers.__getitem__, reverse=True)


def _write(folder: Path, step: int, meta: dict[str, Any], state: dict[str, Any]) -> None:
    tensors: dict[str, Tensor] = {}
    skeleton = _pack(state, "", tensors)
    write_bytes(folder / "tensors.safetensors", save(tensors))
    write_json(
        folder / "state.json", {"format": FORMAT, "step": step, "meta": meta, "state": skeleton}
    )
    hashes = {name: sha256_of(folder / name) for name in ("tensors.safetensors", "state.json")}
    write_json(folder / "manifest.json", _manifest(hashes))


def _manifest(hashes: dict[str, str]) -> dict[str, Any]:
    return {"format": FORMAT, "sha256": hashes}


def _read(folder: Path, passed_over: tuple[str, ...]) -> Checkpoint:
    hashes = _verified_hashes(folder)
    # A right hash says that nobody changed the files by accident, not that they hold what they
    # should.
    try:
        record = parse_json(read_text(folder / "state.json"))
        if record["format"] != FORMAT:
            raise DataError(
                f"{folder}: checkpoint format {record['format']}, this version reads {FORMAT}"
            )
        state = _unpack(record["state"], read_tensors(folder / "tensors.safetensors"))
        step, meta = record["step"], record["meta"]
        if type(step) is not int or not isinstance(meta, dict) or not isinstance(state, dict):
            raise TypeError("step, meta and state must be a whole number and two mappings")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise _CorruptedError(
            f"{folder}: not what save_checkpoint writes ({type(error).__name__}: {error})"
        ) from error
    if read_bytes(folder / "manifest.json", MOST_JSON) != json_bytes(_manifest(hashes)):
        raise _CorruptedError(f"{folder / 'manifest.json'}: not the bytes that were saved")
    return Checkpoint(step, meta, state, hashes["tensors.safetensors"], passed_over)


def _verified_hashes(folder: Path) -> dict[str, str]:
    """The manifest's hashes, after the files were found to have them."""
    manifest = folder / "manifest.json"
    try:
        hashes: dict[str, str] = parse_json(read_text(manifest))["sha256"]
        expected = {
            "tensors.safetensors": hashes["tensors.safetensors"],
            "state.json": hashes["state.json"],
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _CorruptedError(f"{manifest}: {type(error).__name__}") from error
    try:  # before minutes go into the sum of a file that is not as long as it says
        require_whole(folder / "tensors.safetensors")
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise _CorruptedError(f"{folder / 'tensors.safetensors'}: {said}") from error
    for name, expected_hash in expected.items():
        try:
            found = sha256_of(folder / name, MOST_OF[name])
        except OSError as error:
            raise _CorruptedError(f"{folder / name}: {error.strerror}") from error
        if found != expected_hash:
            raise _CorruptedError(
                f"{folder / name}: not the bytes that were saved (SHA-256 differs)"
            )
    return expected


def _pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """``value`` as JSON, its tensors moved to ``tensors`` and named by where they were."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous()
        return {"tensor": name, "channels_last": _is_channels_last(value)}
    if isinstance(value, dict):
        return {
            "dict": [[key, _pack(item, f"{name}/{key}", tensors)] for key, item in value.items()]
        }
    if isinstance(value, list | tuple):
        return {"list": [_pack(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]}
    return {"value": value}


def _is_channels_last(value: Tensor) -> bool:
    return (
        value.ndim == 4
        and not value.is_contiguous()
        and value.is_contiguous(memory_format=torch.channels_last)
    )


def _unpack(packed: Any, tensors: dict[str, Tensor]) -> Any:
    if "tensor" in packed:
        tensor = tensors[packed["tensor"]]
        # Fused optimisers walk a weight and its moments side by side in memory: the layout is part
        # of the state.
        return (
            tensor.contiguous(memory_format=torch.channels_last)
            if packed["channels_last"]
            else tensor
        )
    if "dict" in packed:
        return {key: _unpack(item, tensors) for key, item in packed["dict"]}
    if "list" in packed:
        return [_unpack(item, tensors) for item in packed["list"]]
    return packed["value"]
