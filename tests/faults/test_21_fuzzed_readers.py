"""Files that are nearly right, tens of thousands of them: every reader returns or raises the error
it documents.

Half of the files have bytes changed, the others are whole JSON with one value replaced. Sums and
hashes are made to fit most of the time, so that what lies behind them is reached too.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import augmentor
from augmentor.common.atomic_files import json_bytes
from augmentor.common.types import DataError
from augmentor.data.fingerprint import fingerprints, from_uint8
from augmentor.data.synthetic_store import (
    MANIFEST,
    RECIPE,
    Recipe,
    read_set,
    trained_on_digest,
    write_set,
)
from augmentor.families import FAMILIES
from augmentor.training.checkpoint import load_checkpoint, save_checkpoint
from pipelines.config import ConfigError, load_config

NIGHTLY = int(os.environ.get("AUGMENTOR_FUZZ_INPUTS", 20_000))
"""Inputs for each reader in ``make faults``; ``make fuzz`` sets a million."""
SECONDS = float(os.environ.get("AUGMENTOR_FUZZ_SECONDS", "inf"))
"""A reader stops after so long; the table says how many inputs it got."""
FIRST = int(os.environ.get("AUGMENTOR_FUZZ_FIRST", 0))
"""Number of the first input, so that every night has others."""
MANY = pytest.mark.parametrize("inputs", [500, pytest.param(NIGHTLY, marks=pytest.mark.faults)])
BITS = [
    b"null",
    b"-1",
    b"1e999",
    b"{}",
    b"[]",
    b'"x"',
    b"NaN",
    b"\xff",
    b"[" * 3000,
    b'{"a":',
    b"true",
    b"9" * 5000,
]
BITS += [
    b": ",
    b"- ",
    b"&a ",
    b"*a",
    b"!!python/name:os.system ",
    b"..",
    b"/",
    b"\n",
    b"\0",
    b"#",
    b"'",
    b"\xef\xbb\xbf",
]
VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    10**30,
    1e308,
    "",
    "x",
    "../x",
    "\ud800",
    "\0",
    "n" * 300,
    [],
    {},
    [1],
    {"a": 1},
]
NOT_DECIDING = ("device", "dtype", "versions", "mixtures", "check")
CONFIG = b"""# a comment
data: {data: digits, per_class: 80, imbalance: 20, unlabelled: rest, size: 8, grey: true}
source:
  family: cvae_gan
  steps: 3000
  options: {width: 16, weight_kl: 1e-3, game: hinge, diff_augment: ''}
gain:
  arms: [real, classical]
  comparisons: [[classical, real]]
semi: {labels: [20, 100], screening: false}
seed: 3
device: auto
out: runs/x
"""


@pytest.fixture(autouse=True)
def _bounded_memory() -> Iterator[None]:
    """Six gigabytes more than now: a file that asks for all of the machine fails its test
    instead."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + 6 * 2**30, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def with_changed_bytes(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at, kind = chance.randrange(len(changed) + 1), chance.random()
        if kind < 0.3 and at < len(changed):
            changed[at] = chance.randrange(256)
        elif kind < 0.45:
            del changed[at : at + chance.randint(1, 8)]
        elif kind < 0.6:
            changed[at:at] = chance.randbytes(chance.randint(1, 6))
        elif kind < 0.7:
            changed[at:at] = changed[chance.randrange(len(changed) + 1) :][: chance.randint(1, 30)]
        elif kind < 0.75:
            del changed[at:]
        else:
            changed[at:at] = chance.choice(BITS)
    return bytes(changed)


def with_another_value(chance: random.Random, value: Any) -> Any:
    """The same JSON but for one value replaced, one key gone, or one more."""
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        return [*value[:at], with_another_value(chance, value[at]), *value[at + 1 :]]
    if not isinstance(value, dict) or not value or chance.random() < 0.2:
        return chance.choice(VALUES)
    key, kind = chance.choice(list(value)), chance.random()
    if kind < 0.2:
        return {name: item for name, item in value.items() if name != key}
    if kind < 0.3:
        return value | {"extra": chance.choice(VALUES)}
    return value | {key: with_another_value(chance, value[key])}


def damaged(chance: random.Random, data: bytes) -> bytes:
    """A JSON file, one object a file or a line, made nearly right."""
    if chance.random() < 0.5:
        return with_changed_bytes(chance, data)
    if data.startswith(b"{\n"):
        return json.dumps(with_another_value(chance, json.loads(data))).encode()
    lines = data.decode().splitlines()
    at = chance.randrange(len(lines))
    lines[at] = json.dumps(with_another_value(chance, json.loads(lines[at])))
    return ("\n".join(lines) + "\n").encode()


def crashes(
    inputs: int,
    spoil: Callable[[random.Random], object],
    read: Callable[[], object],
    documented: type[Exception],
) -> tuple[list[str], int]:
    """What was raised beside the documented error, and how many inputs there was time for."""
    found, end = [], time.monotonic() + SECONDS
    done = 0
    for number in range(FIRST, FIRST + inputs):
        if time.monotonic() > end:
            break
        done += 1
        spoil(random.Random(number))
        try:
            read()
        except documented:
            pass
        except Exception as error:
            found.append(f"input {number}: {type(error).__name__}: {str(error)[:200]}")
    return found, done


@MANY
def test_configs(tmp_path: Path, tally: Callable[[int, int, str], None], inputs: int) -> None:
    path = tmp_path / "f.yaml"

    def spoil(chance: random.Random) -> None:
        path.write_bytes(with_changed_bytes(chance, CONFIG))

    found, done = crashes(inputs, spoil, lambda: load_config(path), ConfigError)
    tally(done, done - len(found), "fuzzed config: it is read, or an error names the file")
    assert not found, found[:5]


@MANY
@pytest.mark.parametrize("form", ["folder", "shards"])
def test_recipes_and_manifests(
    tmp_path: Path, tally: Callable[[int, int, str], None], form: Any, inputs: int
) -> None:
    seen = fingerprints(from_uint8(torch.arange(32, dtype=torch.uint8).reshape(2, 1, 4, 4)))
    recipe = Recipe(
        "f",
        "0" * 64,
        ("a", "b"),
        (1, 4, 4),
        {"a": 3, "b": 1},
        0,
        "none",
        trained_on_digest(seen),
        shard_size=2,
    )
    write_set(
        tmp_path,
        recipe,
        seen,
        lambda c, n, start: (torch.zeros(n, 1, 4, 4), torch.arange(start, start + n)),
    )
    whole = {name: (tmp_path / name).read_bytes() for name in (RECIPE, MANIFEST)}

    def spoil(chance: random.Random) -> None:
        victim, files = chance.choice([RECIPE, MANIFEST]), dict(whole)
        files[victim] = _summed(chance, damaged(chance, whole[victim]))
        if victim == RECIPE and chance.random() < 0.9:
            files[MANIFEST] = _of_recipe(files[RECIPE], whole[MANIFEST])
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)

    found, done = crashes(inputs // 2, spoil, lambda: read_set(tmp_path), DataError)
    tally(
        done,
        done - len(found),
        f"fuzzed recipe or manifest ({form}): it is read, or an error names it",
    )
    assert not found, found[:5]


def _of_recipe(recipe: bytes, manifest: bytes) -> bytes:
    """The manifest with the hash of this recipe, as whoever forges one would write it."""
    try:
        deciding = {
            name: item for name, item in json.loads(recipe).items() if name not in NOT_DECIDING
        }
    except (ValueError, AttributeError, RecursionError):
        return manifest
    found = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()
    lines = [json.loads(line) | {"recipe": found} for line in manifest.splitlines()]
    return b"".join(
        json.dumps({n: v for n, v in line.items() if n != "check"}).encode() + b"\n"
        for line in lines
    )


def _summed(chance: random.Random, data: bytes) -> bytes:
    """Mostly with the checksum of a line made right again, so that the reader gets past it."""
    if chance.random() < 0.2:
        return data
    try:
        lines = [data] if data.startswith(b"{\n") else data.splitlines()
        records = [
            {name: item for name, item in json.loads(line).items() if name != "check"}
            for line in lines
        ]
        return b"".join(json.dumps(record).encode() + b"\n" for record in records)
    except (ValueError, AttributeError, RecursionError):
        return data


@MANY
def test_checkpoints(tmp_path: Path, tally: Callable[[int, int, str], None], inputs: int) -> None:
    model = FAMILIES["cgan"].model(
        ("a", "b"), (1, 8, 8), FAMILIES["cgan"].options_for("default", {"width": 1})
    )
    options = {"width": 1, "latent_dim": model.latent_dim}
    meta = {"family": "cgan", "classes": ["a", "b"], "image_shape": [1, 8, 8], "options": options}
    folder = save_checkpoint(
        tmp_path, 3, meta, {"average": model.state_dict(), "n": 1, "list": [1, "a", None]}
    )
    whole = {
        name: (folder / name).read_bytes()
        for name in ("state.json", "tensors.safetensors", "manifest.json")
    }

    def spoil(chance: random.Random) -> None:
        files, victim = dict(whole), chance.choice([*whole, "state.json", "meta"])
        if victim == "meta":
            record = json.loads(whole["state.json"])
            record["meta"] = with_another_value(chance, record["meta"])
            files["state.json"] = json.dumps(record).encode()
        else:
            change = with_changed_bytes if victim == "tensors.safetensors" else damaged
            files[victim] = change(chance, whole[victim])
        if victim != "manifest.json" and chance.random() < 0.9:
            names = ("state.json", "tensors.safetensors")
            hashes = {name: hashlib.sha256(files[name]).hexdigest() for name in names}
            files["manifest.json"] = json_bytes({"format": 1, "sha256": hashes})
        for name, data in files.items():
            (folder / name).write_bytes(data)

    def read() -> None:
        if (
            load_checkpoint(tmp_path).meta != meta
        ):  # to build a network takes longer than to read one
            source = augmentor.load(tmp_path)
            assert source.sample(label=source.classes[0], n=1).shape[0] == 1

    found, done = crashes(inputs, spoil, read, DataError)
    tally(done, done - len(found), "fuzzed checkpoint: it is loaded, or an error names it")
    assert not found, found[:5]
