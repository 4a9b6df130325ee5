"""Finished parts of a job: named by what they depend on, written whole, checked when they are read.

A part is one finished training, or another thing that takes long to make. Its file is named by a
hash of an explicit description in which every setting at its default is left out, so that a later
version with more settings still finds it. A part that is damaged, or that another plan or version
made, is told of and made again, never used.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from safetensors.torch import save
from torch import Tensor

from augmentor.common.atomic_files import write_bytes
from augmentor.common.tensor_files import mapped_tensors
from augmentor.common.types import LabelledImages
from augmentor.data.fingerprint import fingerprints
from pipelines.experiment.engine import Needs
from pipelines.experiment.provenance import device_name, package_versions

FORM = 1
"""Of the files; raise it when their layout changes."""
DECIDING = ("augmentor", "torch", "timm")
"""Packages whose version may change a part."""
SUFFIX = ".safetensors"
NAMED = 3
"""Differences of another plan that are named, at most."""


class PartError(Exception):
    """A part's file cannot be used; the message names it and says why."""


@dataclass(frozen=True)
class Part:
    """One thing to make, and what decides its content.

    Args:
        kind: What it is, one word, such as ``training``.
        label: Which one, for people: ``replicate 3, mixup``.
        description: All that its content depends on, as JSON holds it, defaults left out
            (``described``). The versions of the deciding packages are added.
        steps: Steps to make it, by what is trained: ``classifier``, ``generator``. For estimates
            only; not in the name.
    """

    kind: str
    label: str
    description: Mapping[str, Any]
    steps: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def full_description(self) -> dict[str, Any]:
        """The description with the form of the file and the versions of the deciding packages."""
        versions = package_versions()
        deciding = {name: versions[name] for name in DECIDING}
        return {"form": FORM, "kind": self.kind, "versions": deciding, **self.description}

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits that change with anything in the description."""
        text = json.dumps(self.full_description, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def stem(self) -> str:
        """Kind and label as the beginning of a file name."""
        label = re.sub(r"[^A-Za-z0-9+_.]+", "-", self.label).strip("-")
        return f"{self.kind}-{label}"[:120]

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return f"{self.stem}-{self.digest}{SUFFIX}"


@dataclass(frozen=True)
class FinishedPart:
    """What a part's file holds.

    Args:
        label: As in ``Part``.
        content: Small results, as JSON holds them.
        tensors: Large ones, such as ``class_probs``.
        seconds: Wall-clock time by what was made.
        device: Where it was made, with the name of the processor.
        versions: Of Python and the packages.
        notes: What a reader of the result should know.
    """

    label: str
    content: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    seconds: Mapping[str, float]
    device: str
    versions: Mapping[str, str]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class PartRow:
    """One line of ``augmentor parts``.

    Args:
        file: Name of the file.
        kind: As in ``Part``; empty if unreadable.
        label: As in ``Part``; empty if unreadable.
        status: ``finished``, ``missing``, ``damaged`` or ``of another plan``.
        reason: Why, where it is not finished.
        seconds: Time it took to make, 0 if unknown.
    """

    file: str
    kind: str
    label: str
    status: str
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class PartStore:
    """A folder of finished parts; workers write to it at the same time.

    Args:
        folder: Made when the first part is written.
    """

    folder: Path

    def path(self, part: Part) -> Path:
        """The file of a part, which need not be there."""
        return self.folder / part.file_name

    def has(self, part: Part) -> bool:
        """Whether a part's file is there; ``read`` finds out whether it is intact."""
        return self.path(part).is_file()

    def missing(self, parts: Iterable[Part]) -> list[Part]:
        """The parts whose files are not there."""
        return [part for part in parts if not self.has(part)]

    def write(
        self,
        part: Part,
        content: Mapping[str, Any],
        tensors: Mapping[str, Tensor] | None = None,
        *,
        seconds: Mapping[str, float],
        device: str,
        notes: Sequence[str] = (),
    ) -> None:
        """Write a finished part, whole or not at all.

        Args:
            part: Which one.
            content: As in ``FinishedPart``; no NaN or infinity.
            tensors: Likewise; go to the CPU.
            seconds: Likewise.
            device: Where it was made, as torch names it.
            notes: As in ``FinishedPart``.

        Raises:
            OSError: If the disk is full or the folder cannot be written to.
            ValueError: If the content holds a NaN or an infinity.
        """
        kept = {name: one.detach().cpu().contiguous() for name, one in (tensors or {}).items()}
        header = {
            "description": part.full_description,
            "label": part.label,
            "content": dict(content),
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "device": device_name(device),
            "versions": package_versions(),
            "notes": list(notes),
        }
        text = json.dumps(header, sort_keys=True, allow_nan=False)
        data = save(kept, metadata={"part": text, "sha256": _checksum(text, kept)})
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(self.path(part), data)

    def read(self, part: Part) -> FinishedPart:
        """Read a part and check it.

        Raises:
            PartError: If its file is missing or damaged, or holds another part.
        """
        header, tensors = _read(self.path(part))
        if header["description"] != json.loads(json.dumps(part.full_description)):
            raise PartError(f"{self.path(part)}: holds another part")
        return FinishedPart(
            label=header["label"],
            content=header["content"],
            tensors=tensors,
            seconds=header["seconds"],
            device=header["device"],
            versions=header["versions"],
            notes=header["notes"],
        )

    def drop_damaged(self, parts: Iterable[Part]) -> list[str]:
        """Remove the files of these parts that cannot be read, so that they are made again.

        Returns:
            A sentence for each that was removed.

        Raises:
            OSError: If a file cannot be read at all; it stays.
        """
        said = []
        for part in parts:
            if not self.has(part):
                continue
            try:
                self.read(part)
            except PartError as error:
                self.path(part).unlink()
                said.append(f"{error}; made again")
        return said

    def strangers(self, parts: Sequence[Part]) -> list[str]:
        """A sentence for every file that bears the label of one of these parts and is of another
        plan or version.
        """
        said = []
        for part in parts:
            if self.has(part):
                continue
            for path in sorted(self.folder.glob(f"{_escaped(part.stem)}-????????????????{SUFFIX}")):
                said.append(f"{path.name}: {self.explain(path, part)}; not used, made again")
        return said

    def rows(self, parts: Sequence[Part]) -> list[PartRow]:
        """The parts of a plan, then the other files of the folder, each with its status."""
        rows = [self._row(part) for part in parts]
        known = {part.file_name for part in parts}
        by_stem = {part.stem: part for part in parts}
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            if path.name not in known:
                rows.append(self._stranger(path, by_stem.get(path.name[: -17 - len(SUFFIX)])))
        return rows

    def explain(self, path: Path, part: Part | None) -> str:
        """Why a file is not the part it has the label of."""
        try:
            header, _ = _read(path)
        except PartError as error:
            return str(error)
        if part is None:
            return "of no part of this plan"
        changes = _differences(header["description"], json.loads(json.dumps(part.full_description)))
        more = len(changes) - NAMED
        rest = [f"and {more} more"] if more > 0 else []
        return "of another plan: " + "; ".join(changes[:NAMED] + rest)

    def _row(self, part: Part) -> PartRow:
        if not self.has(part):
            return PartRow(part.file_name, part.kind, part.label, "missing")
        try:
            found = self.read(part)
        except PartError as error:
            return PartRow(part.file_name, part.kind, part.label, "damaged", str(error))
        seconds = sum(found.seconds.values())
        return PartRow(part.file_name, part.kind, part.label, "finished", seconds=seconds)

    def _stranger(self, path: Path, part: Part | None) -> PartRow:
        try:
            header, _ = _read(path)
        except PartError as error:
            return PartRow(path.name, "", "", "damaged", str(error))
        kind, label = header["description"]["kind"], header["label"]
        return PartRow(path.name, kind, label, "of another plan", self.explain(path, part))


def needs_of(
    parts: Sequence[Part],
    folder: Path,
    *,
    reads: Sequence[Part] = (),
    beside: Iterable[Path] = (),
    run: Path | None = None,
) -> Needs:
    """What a task that makes parts needs on another machine.

    Args:
        parts: What it makes; those that are there are not made again.
        folder: Of the store.
        reads: Finished parts that it reads.
        beside: Files and folders of other places that it reads.
        run: Folder beside that of the store where it trains, if it leaves more than parts.
    """
    store = PartStore(folder)
    below, returns = [store.path(one) for one in (*parts, *reads) if store.has(one)], [folder]
    if run is not None:
        returns.append(run)
        below += [run] if run.is_dir() else []
    label = next(iter(store.missing(parts)), parts[0]).label
    return Needs(label, folder.parent, tuple(below), tuple(beside), tuple(returns))


def described(value: Any) -> Any:
    """Settings as a description holds them: plain values, every key at its default left out.

    Args:
        value: A pydantic section, a dataclass, or a plain value; containers of these.

    Returns:
        What JSON holds. A field that is added with a default changes nothing for objects that
        leave it there.

    Example:
        >>> from pipelines.config import SourceConfig
        >>> described(SourceConfig(steps=7))
        {'steps': 7}
    """
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _described_dataclass(value)
    if isinstance(value, Mapping):
        return {str(key): described(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [described(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def digest_of_images(*images: LabelledImages | Tensor | None) -> str:
    """Sixteen hex digits that change with any pixel, label or condition, and with the order.

    Args:
        images: Labelled images, or tensors (N, C, H, W) in [-1, 1] without labels; None is none.
    """
    digest = hashlib.sha256()
    for one in images:
        if one is None:
            digest.update(b"none")
        elif isinstance(one, Tensor):
            digest.update(fingerprints(one).tobytes())
        else:
            digest.update(fingerprints(one.x).tobytes() + one.y.numpy().tobytes())
            digest.update(json.dumps(one.classes).encode())
            if one.condition is not None:
                digest.update(one.condition.numpy().tobytes())
                digest.update(json.dumps(dataclasses.astuple(one.conditions)).encode())
    return digest.hexdigest()[:16]


def _described_dataclass(value: Any) -> dict[str, Any]:
    found = {}
    for one in dataclasses.fields(value):
        current = getattr(value, one.name)
        if current != _default(one):
            found[one.name] = described(current)
    return found


def _default(one: dataclasses.Field[Any]) -> Any:
    if one.default_factory is not dataclasses.MISSING:
        return one.default_factory()
    return one.default


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise PartError(f"{path}: no such part")
    try:
        tensors, metadata = mapped_tensors(path)
        text = metadata["part"]
        header: dict[str, Any] = json.loads(text)
    except (KeyError, ValueError, RecursionError) as error:
        # No OSError: a disk that cannot be read now does not make a part worthless.
        raise PartError(f"{path}: damaged ({str(error) or type(error).__name__})") from error
    if metadata.get("sha256") != _checksum(text, tensors):
        raise PartError(f"{path}: damaged (its checksum is wrong)")
    return header, tensors


def _differences(found: Any, wanted: Any, where: str = "") -> list[str]:
    """What differs between two descriptions, key by key."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        said = []
        for key in sorted({*found, *wanted}):
            inner = f"{where}.{key}" if where else key
            said += _differences(found.get(key, "default"), wanted.get(key, "default"), inner)
        return said
    return [] if found == wanted else [f"{where} was {_short(found)}, is {_short(wanted)}"]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _escaped(text: str) -> str:
    return re.sub(r"([\[\]*?])", r"[\1]", text)
