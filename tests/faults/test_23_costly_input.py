"""Small files that are legal and cost minutes or gigabytes: refused, or planned, within ten seconds
and 200 MB."""

from __future__ import annotations

import json
import struct
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from augmentor.common import tar_files
from augmentor.common.tar_files import MOST_MEMBERS
from augmentor.common.tensor_files import MOST_HEADER, MOST_NAMES, mapped_tensors, read_tensors
from augmentor.common.types import DataError
from augmentor.data.fingerprint import fingerprints
from augmentor.data.synthetic_store import (
    MOST_IMAGES,
    Format,
    Recipe,
    ShardReader,
    read_recipe,
    read_set,
    trained_on_digest,
    write_set,
)
from augmentor.sampling.synthesize import synthesize
from augmentor.training.checkpoint import load_checkpoint
from pipelines.config import ConfigError, config_from, load_config
from pipelines.outside.files import find_images
from pipelines.strict_yaml import MOST_VALUES, YamlError, parse_yaml
from tests.faults.test_12_bombs import peak_of
from tests.faults.test_22_special_files import SHARD, STEP, a_run, a_set

Tally = Callable[[int, int, str], None]
SECONDS, BYTES = 10.0, 200 * 10**6  # on a slow machine, counted line by line


@contextmanager
def cheaply(error: type[Exception], words: str) -> Iterator[None]:
    """The block raises this error, and spends little processor time until then."""
    start = time.process_time()
    with pytest.raises(error, match=words):
        yield
    assert time.process_time() - start < SECONDS


def tensor_file(path: Path, names: int) -> Path:
    """A whole file of safetensors with so many tensors of one byte."""
    header: dict[str, Any] = {}
    for number in range(names):
        header[f"{number}"] = {"dtype": "U8", "shape": [1], "data_offsets": [number, number + 1]}
    text = json.dumps(header, separators=(",", ":")).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(names))
    return path


@pytest.mark.parametrize("read", [read_tensors, mapped_tensors])
def test_a_header_of_many_tensors_is_refused(
    tmp_path: Path, tally: Tally, read: Callable[[Path], object]
) -> None:
    few = tensor_file(tmp_path / "few", 100)
    many, most = tensor_file(tmp_path / "many", MOST_NAMES + 1), tmp_path / "most"
    most.write_bytes(struct.pack("<Q", MOST_HEADER + 1) + bytes(MOST_HEADER + 1))
    read(few)

    def refused() -> None:
        with cheaply(ValueError, "it names 20001 tensors, at most 20000"):
            read(many)
        with cheaply(ValueError, "its header has 8388609 bytes"):
            read(most)

    peak = peak_of(refused)
    tally(2, 2 * (peak < BYTES), f"header that names a million tensors: refused by {read.__name__}")
    assert peak < BYTES


def tar_of(path: Path, members: int) -> Path:
    one = tarfile.TarInfo("0.cls").tobuf(tarfile.USTAR_FORMAT)
    path.write_bytes(one * members + bytes(1024))
    return path


def test_a_tar_of_many_members_is_refused(
    tmp_path: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    many = tar_of(tmp_path / "one" / "s.tar", 2 * MOST_MEMBERS + 1000)

    def refused() -> None:
        for read in (lambda: ShardReader(many, (1, 8, 8)), lambda: find_images(many.parent)):
            with cheaply(DataError, r"s\.tar: .*more than 50,000 files"):
                read()

    monkeypatch.setattr(tar_files, "MOST_MEMBERS", 2)
    tar_of(tmp_path / "few.tar", 3)  # fewer headers than two for each, and too many all the same
    with pytest.raises(tarfile.TarError, match="more than 2 files"):
        list(tar_files.regular_members(tmp_path / "few.tar"))
    monkeypatch.undo()
    peak = peak_of(refused)
    tally(2, 2 * (peak < BYTES), "tar of 300,000 members: refused")
    assert peak < BYTES


def test_yaml_of_many_keys_is_refused(tmp_path: Path, tally: Tally) -> None:
    text = "".join(f"k{number}: {number}\n" for number in range(60_000))
    (tmp_path / "c.yaml").write_text(text)

    def refused() -> None:
        with cheaply(ConfigError, r"c\.yaml, line \d+: more than 10000 keys and values"):
            load_config(tmp_path / "c.yaml")
        with cheaply(YamlError, "more than"):
            parse_yaml(f"a: [{'1,' * 100_000}]", "x")

    peak = peak_of(refused)
    tally(2, 2 * (peak < BYTES), "YAML of 90,000 keys: refused")
    assert peak < BYTES


def test_a_config_of_many_mistakes_names_the_first() -> None:
    unknown = {f"k{number}": number for number in range(MOST_VALUES // 2 - 1)}
    with cheaply(ConfigError, "and 4989 more$"):
        config_from({"data": {"data": "digits"}, **unknown}, where="x")


def recipe(**changes: Any) -> Recipe:
    seen = fingerprints(torch.zeros(1, 1, 8, 8))
    plain = Recipe("f", "0" * 64, ("a",), (1, 8, 8), {"a": 1}, 0, "none", trained_on_digest(seen))
    return replace(plain, **changes)


@pytest.mark.parametrize("count", [MOST_IMAGES + 1, 10**11, 10**30])
def test_a_count_beyond_any_use_is_refused(tmp_path: Path, tally: Tally, count: int) -> None:
    with cheaply(ValueError, f"{count} synthetic images are more than the 10000000 of one set"):
        recipe(counts={"a": count})
    with cheaply(ValueError, "more than the 10000000"):
        synthesize(None, {0: count}, 0)  # type: ignore[arg-type]
    seen = fingerprints(torch.zeros(1, 1, 8, 8))
    render = lambda c, n, start: (torch.zeros(n, 1, 8, 8), torch.arange(n))  # noqa: E731
    write_set(tmp_path / "s", recipe(), seen, render)
    stored = asdict(read_recipe(tmp_path / "s")) | {"counts": {"a": count}}
    (tmp_path / "s" / "recipe.json").write_text(json.dumps(stored))
    with cheaply(DataError, r"recipe\.json: cannot be read \(.* more than the 10000000"):
        read_set(tmp_path / "s")
    tally(3, 3, f"count of {count:.0e} synthetic images: refused")


def grown(path: Path, size: int) -> bytes:
    """Zeros without end behind the bytes of a file, which take no room on the disk."""
    before = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(size)
    return before


@pytest.mark.parametrize(("form", "file"), [("folder", "a/00000000.png"), ("shards", SHARD)])
def test_a_huge_file_of_a_set_is_refused_by_its_size(
    tmp_path: Path, tally: Tally, form: Format, file: str
) -> None:
    a_set(tmp_path / "s", form)
    before = grown(tmp_path / "s" / file, 12 * 2**30)
    with cheaply(DataError, f"{file}: missing or not the bytes that were written"):
        read_set(tmp_path / "s")
    start = time.process_time()
    a_set(tmp_path / "s", form)  # restores it
    assert time.process_time() - start < SECONDS
    assert (tmp_path / "s" / file).read_bytes() == before
    tally(2, 2, f"sparse file of 12 GiB in a set ({form}): refused by its size, then restored")


def test_huge_tensors_are_refused_by_their_size(tmp_path: Path, tally: Tally) -> None:
    a_set(tmp_path / "s", "folder")
    a_run(tmp_path / "r")
    grown(tmp_path / "s" / "trained_on.safetensors", 12 * 2**30)
    grown(tmp_path / "r" / STEP / "tensors.safetensors", 12 * 2**30)

    def refused() -> None:
        with cheaply(DataError, r"trained_on\.safetensors: cannot be read \(it has 128849"):
            read_set(tmp_path / "s")
        with cheaply(DataError, r"tensors\.safetensors: it has 12884901888 bytes"):
            load_checkpoint(tmp_path / "r" / "checkpoints")

    peak = peak_of(refused)
    tally(2, 2 * (peak < BYTES), "sparse file of 12 GiB in the place of tensors: refused")
    assert peak < BYTES


def test_shards_beyond_any_use_are_refused() -> None:
    with cheaply(ValueError, "2000000 shards are more than the 1000000"):
        recipe(counts={"a": 2_000_000}, shard_size=1)


@pytest.mark.parametrize(
    "keys",
    [
        {"gain": {"replicates": 10**11}},
        {"gain": {"screening_rounds": 10**11}},
        {"gain": {"rehearsal_folds": 10**11}},
        {"semi": {"subsets": 10**11}},
        {"verify": {"replicates": 10**11}},
        {"compare": {"samples": 10**11}},
    ],
)
def test_a_config_cannot_plan_without_end(keys: dict[str, Any]) -> None:
    with cheaply(ConfigError, "less than or equal to"):
        config_from({"data": {"data": "digits"}, **keys}, where="x")
