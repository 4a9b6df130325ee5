"""Files of every kind beside sets, checkpoints and configs, nearly right: each is read, or refused
by the error that its reader documents."""

from __future__ import annotations

import functools
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import safetensors.torch
import torch
from PIL import Image

from augmentor.common.tensor_files import mapped_tensors, read_tensors
from augmentor.common.types import DataError
from augmentor.data.class_counts import read_strategy
from augmentor.data.synthetic_mix import SyntheticMix
from augmentor.data.synthetic_store import ShardReader, SyntheticSet, read_set
from downstream.weights import WeightsError, read_weights
from pipelines.conditions.metadata import read_metadata
from pipelines.image_folder import ImageFileError, read_header, read_squares
from pipelines.outside.files import find_images
from pipelines.results import read_result
from pipelines.summary.read import read
from tests.faults.plain_data import PlainData
from tests.faults.test_21_fuzzed_readers import NIGHTLY, crashes, damaged, with_changed_bytes
from tests.faults.test_22_special_files import SHARD, a_set

GOLDEN = Path(__file__).parents[1] / "golden" / "0.1.0" / "gain.json"
RESULT = Path(__file__).parents[2] / "docs" / "results" / "gain_tail_mnist" / "result.json"
SOME = pytest.mark.parametrize("inputs", [50, pytest.param(NIGHTLY, marks=pytest.mark.faults)])
Tally = Callable[[int, int, str], None]


class Kind(NamedTuple):
    """A whole file, what reads it, the error that it documents, and how many forms of file share
    the inputs of that reader."""

    name: str
    whole: Callable[[Path], bytes]
    read: Callable[[Path], object]
    error: type[Exception] | tuple[type[Exception], ...]
    is_json: bool = False
    forms: int = 1


def policy(folder: Path) -> bytes:
    a_set(folder / "s", "folder")
    found = {"share": 0.5, "base": "real", "balanced": True, "short_only": False}
    return json.dumps({**found, "confidence": None, "screening": {}}, indent=1).encode()


def mix_of(path: Path) -> None:
    SyntheticMix(PlainData(["a"], (1, 8, 8)), stored(path.parent / "s"), policy=path)


@functools.cache
def stored(folder: Path) -> SyntheticSet:
    return read_set(folder)


def metadata(_: Path) -> bytes:
    rows = [{"file_name": f"a/{n}.png", "light": "left", "age": n} for n in range(3)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def table(_: Path) -> bytes:
    return b'file_name,light,age\na/0.png,left,3\n"a/1.png",right,4\na/2.png,"up, left",5\n'


def shard(folder: Path) -> bytes:
    a_set(folder / "s", "shards")
    return (folder / "s" / SHARD).read_bytes()


def from_shard(path: Path) -> None:
    reader = ShardReader(path, (1, 8, 8))
    for index in range(len(reader)):
        reader[index]


def pictured(form: str) -> Callable[[Path], bytes]:
    def whole(_: Path) -> bytes:
        buffer = io.BytesIO()
        Image.linear_gradient("L").resize((9, 7)).save(buffer, form)
        return buffer.getvalue()

    return whole


def picture(path: Path) -> None:
    read_squares([path], size=8, grey=True)
    read_header(path)


def tensors(_: Path) -> bytes:
    found = {"weight": torch.ones(2, 3), "bias": torch.zeros(2, dtype=torch.int64)}
    return safetensors.torch.save(found, metadata={"part": "{}"})


def both(path: Path) -> None:
    """Mapped and copied, the file is read or refused alike."""
    failed = []
    for way in (read_tensors, mapped_tensors):
        try:
            way(path)
        except ValueError as error:
            failed.append(error)
    assert len(failed) in (0, 2)
    if failed:
        raise failed[0]


LIGHT = ("light", "age")
KINDS = [
    Kind("n.json", lambda _: b'{"cat": 100, "dog": 80}', lambda p: read_strategy(str(p)), DataError,
         is_json=True),
    Kind("p.json", policy, mix_of, DataError, is_json=True),
    Kind("metadata.jsonl", metadata, lambda p: read_metadata(p, LIGHT), DataError, is_json=True,
         forms=2),
    Kind("metadata.csv", table, lambda p: read_metadata(p, LIGHT), DataError, forms=2),
    Kind("gain.json", lambda _: RESULT.read_bytes(), lambda p: read_result(p, "gain"), DataError,
         is_json=True),
    Kind("old.json", lambda _: GOLDEN.read_bytes(), read, DataError, is_json=True, forms=2),
    Kind("result.json", lambda _: RESULT.read_bytes(), read, DataError, is_json=True, forms=2),
    Kind("s.tar", shard, from_shard, DataError),
    Kind("t.tar", shard, lambda p: find_images(p.parent), DataError),
    Kind("i.png", pictured("png"), picture, ImageFileError, forms=4),
    Kind("i.jpg", pictured("jpeg"), picture, ImageFileError, forms=4),
    Kind("i.gif", pictured("gif"), picture, ImageFileError, forms=4),
    Kind("i.tiff", pictured("tiff"), picture, ImageFileError, forms=4),
    Kind("w.safetensors", tensors, both, ValueError),
    Kind("v.safetensors", tensors, read_weights, WeightsError),
]  # fmt: skip


@SOME
@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_files(tmp_path: Path, tally: Tally, kind: Kind, inputs: int) -> None:
    whole = kind.whole(tmp_path)
    path = tmp_path / "f" / kind.name
    path.parent.mkdir()
    if (tmp_path / "s").exists():
        (tmp_path / "s").rename(path.parent / "s")
    change: Any = damaged if kind.is_json else with_changed_bytes

    def spoil(chance: random.Random) -> None:
        path.write_bytes(change(chance, whole))

    path.write_bytes(whole)
    kind.read(path)
    shared = inputs // kind.forms if inputs == NIGHTLY else inputs
    found, done = crashes(shared, spoil, lambda: kind.read(path), kind.error)
    tally(done, done - len(found), f"fuzzed {kind.name}: it is read, or an error names it")
    assert not found, found[:5]
