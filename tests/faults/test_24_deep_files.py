"""JSON and YAML nested hundreds and thousands of levels deep, as a whole file and in the place of
every value: the reader's own error, never a RecursionError."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import augmentor
from augmentor.common.atomic_files import json_bytes
from augmentor.common.tensor_files import mapped_tensors, read_tensors
from augmentor.common.types import DataError
from augmentor.data.synthetic_store import read_set
from augmentor.training.checkpoint import load_checkpoint
from pipelines.conditions.metadata import read_metadata
from pipelines.config import ConfigError, load_config
from tests.faults.test_21_fuzzed_readers import CONFIG, _of_recipe
from tests.faults.test_22_special_files import DOORS, STEP, a_run, a_set

Tally = Callable[[int, int, str], None]
DEPTHS = (150, 400, 900, 100_000)
"""Below and above what Python's own readers bear, and what walks through a value bears."""
FORMS = {"lists": ("[", "]"), "objects": ('{"a":', "}")}
TEXTS = [
    "recipe",
    "manifest",
    "fingerprints",
    "config of a run",
    "manifest of a checkpoint",
    "state",
    "tensors",
    "config",
    "counts",
    "policy",
    "result",
    "published result",
]


def nested(form: str, depth: int) -> str:
    opened, closed = FORMS[form]
    return opened * depth + "1" + closed * depth


def every_nest() -> Iterator[str]:
    for depth in DEPTHS:
        for form in FORMS:
            yield nested(form, depth)


def refused(read_one: Callable[[], object], error: Any) -> bool:
    """Whether reading raises the documented error."""
    try:
        read_one()
    except error:
        return True
    return False


@pytest.mark.parametrize("name", TEXTS)
def test_a_deep_file_is_refused(tmp_path: Path, tally: Tally, name: str) -> None:
    door = DOORS[name]
    door.make(tmp_path / "f")
    victim = tmp_path / "f" / door.file
    done = []
    for text in every_nest():
        data = text.encode()
        if victim.suffix == ".safetensors":
            data = struct.pack("<Q", len(data)) + data
        victim.write_bytes(data + b"\n")
        if name in ("state", "tensors"):
            sign(victim.parent)
        done.append(refused(lambda: door.read(victim), door.error))
    tally(len(done), sum(done), f"nested 150 to 100,000 levels deep, refused: {name}")
    assert all(done)


def sign(folder: Path) -> None:
    """Right hashes for the files of a checkpoint, as whoever forges one writes them."""
    names = ("state.json", "tensors.safetensors")
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    (folder / "manifest.json").write_bytes(json_bytes({"format": 1, "sha256": hashes}))


def with_each_value(document: dict[str, Any], text: str) -> Iterator[str]:
    """The document as text, with this text in the place of each value in turn."""
    for key in document:
        yield json.dumps({**document, key: "HERE"}).replace('"HERE"', text)


@pytest.mark.parametrize("name", ["recipe.json", "manifest.jsonl"])
def test_a_deep_value_in_a_set_is_refused(tmp_path: Path, tally: Tally, name: str) -> None:
    a_set(tmp_path / "s", "folder")
    whole = (tmp_path / "s" / name).read_bytes()
    plain = {key: item for key, item in json.loads(whole).items() if key != "check"}
    lines = (tmp_path / "s" / "manifest.jsonl").read_bytes()
    done = []
    for nest in every_nest():
        for text in with_each_value(plain, nest):
            (tmp_path / "s" / name).write_text(text + "\n")
            if name == "recipe.json":
                (tmp_path / "s" / "manifest.jsonl").write_bytes(_of_recipe(text.encode(), lines))
            done.append(refused(lambda: read_set(tmp_path / "s"), DataError))
    tally(len(done), sum(done), f"a value nested 150 to 100,000 levels deep in {name}: refused")
    assert all(done)


@pytest.mark.parametrize("where", ["meta", "options", "state"])
def test_a_deep_value_in_a_checkpoint_is_refused(tmp_path: Path, tally: Tally, where: str) -> None:
    a_run(tmp_path / "r")
    folder = tmp_path / "r" / STEP
    whole = json.loads((folder / "state.json").read_text())
    inner = whole["meta"]["options"] if where == "options" else whole[where]
    kept = dict(inner)
    done = []
    for depth in DEPTHS:
        for nest in (nested("lists", depth), nested("objects", depth), packed(depth)):
            for key in kept:
                inner[key] = "HERE"
                text = json.dumps(whole).replace('"HERE"', nest)
                inner[key] = kept[key]
                (folder / "state.json").write_text(text)
                sign(folder)
                done.append(refused(lambda: augmentor.load(tmp_path / "r"), DataError))
                done.append(refused(lambda: load_checkpoint(folder.parent), DataError))
    tally(len(done), sum(done), f"{where} of a checkpoint nested 150 to 100,000 deep: refused")
    assert all(done)


def packed(depth: int) -> str:
    """Lists in lists, in the form in which checkpoints keep them."""
    return '{"list":[' * depth + '{"value":1}' + "]}" * depth


def test_deep_metadata_of_images_is_refused(tmp_path: Path, tally: Tally) -> None:
    path, done = tmp_path / "metadata.jsonl", []
    for nest in every_nest():
        path.write_text('{"file_name": "a.png", "light": ' + nest + "}\n")
        done.append(refused(lambda: read_metadata(path, ("light",)), DataError))
        path.write_text(nest + "\n")
        done.append(refused(lambda: read_metadata(path, ("light",)), DataError))
    tally(len(done), sum(done), "metadata.jsonl nested 150 to 100,000 levels deep: refused")
    assert all(done)


def test_a_deep_config_is_refused(tmp_path: Path, tally: Tally) -> None:
    path, done = tmp_path / "c.yaml", []
    keys = [b"out: runs/x", b"seed: 3", b"options: {width: 16", b"arms: [real, classical]"]
    for depth in DEPTHS:
        flow = [nested("lists", depth), "{a: " * depth + "1" + "}" * depth]
        for nest in (one.encode() for one in flow):
            for key in keys:
                name = key.split(b":")[0] + b": "
                inside = b"{width: " if name == b"options: " else b""
                path.write_bytes(CONFIG.replace(key, name + inside + nest))
                done.append(refused(lambda: load_config(path), ConfigError))
        path.write_text("- " * depth + "1\n")
        done.append(refused(lambda: load_config(path), ConfigError))
    tally(len(done), sum(done), "config nested 150 to 100,000 levels deep: refused")
    assert all(done)


@pytest.mark.parametrize("read_file", [read_tensors, mapped_tensors])
def test_a_deep_header_is_refused(
    tmp_path: Path, tally: Tally, read_file: Callable[[Path], object]
) -> None:
    path, done = tmp_path / "t.safetensors", []
    tensor = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}
    for nest in every_nest():
        texts = [*with_each_value({"x": tensor, "__metadata__": {}}, nest)]
        texts += ['{"x":' + text + "}" for text in with_each_value(tensor, nest)]
        for text in texts:
            path.write_bytes(struct.pack("<Q", len(text)) + text.encode() + b"\0")
            done.append(refused(lambda: read_file(path), ValueError))
    tally(len(done), sum(done), f"safetensors header nested deep: refused by {read_file.__name__}")
    assert all(done)
