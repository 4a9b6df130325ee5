"""Decompression bombs: files of some hundred kilobytes that unfold into hundreds of megabytes."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import augmentor
from augmentor.common.types import DataError
from augmentor.data.fingerprint import fingerprints
from augmentor.data.synthetic_store import (
    Recipe,
    ShardReader,
    read_manifest,
    read_recipe,
    read_set,
    trained_on_digest,
    write_set,
)
from augmentor.families import FAMILIES
from augmentor.training.checkpoint import save_checkpoint
from pipelines import cli
from pipelines.edit.files import read_files

Tally = Callable[[int, int, str], None]
GIGABYTE = 2**30


pytestmark = pytest.mark.xdist_group("bombs")  # they are written once


def write_bomb(path: Path, width: int, height: int) -> None:
    """A grey PNG of zeros, whole and correct, compressed a thousand to one."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
        )

    packer, row = zlib.compressobj(1), bytes(width + 1)
    pixels = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    assert path.stat().st_size < 4_000_000


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bombs")
    write_bomb(folder / "120 megapixels.png", 12_000, 10_000)
    write_bomb(folder / "400 megapixels.png", 20_000, 20_000)
    return sorted(folder.iterdir())


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    """What unfolds must not bring down the machine of whoever takes the protection out."""
    import resource

    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + 3 * GIGABYTE, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def with_bombs(root: Path, bombs: list[Path], make_folder: Callable[..., Path]) -> Path:
    make_folder(root, {"a": 4, "b": 4})
    for bomb in bombs:
        (root / "b" / bomb.name).symlink_to(
            os.path.relpath(_copied(bomb, root / "b" / f".{bomb.name}"), root / "b")
        )
    return root


def _copied(bomb: Path, to: Path) -> Path:
    to.write_bytes(bomb.read_bytes())
    return to


@pytest.mark.faults
def test_memory_stays_under_a_gigabyte_where_bombs_lie_among_the_images(
    tmp_path: Path, bombs: list[Path], make_folder: Callable[..., Path], tally: Tally
) -> None:
    """A process of its own that reads its own peak: what wait4 tells counts its parent's, from
    before the exec, too."""
    root = with_bombs(tmp_path / "data", bombs, make_folder)
    code = (
        "import sys; from pathlib import Path; from pipelines.cli import main; code = "
        "main(sys.argv[1:]); "
        "print(Path('/proc/self/status').read_text(), file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "check", str(root), "--json"]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(child.stdout)
    listed = {Path(one["path"]).name for one in found["bad"]}
    peak = 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", child.stderr)[-1])
    fine = child.returncode == 3 and peak < GIGABYTE
    tally(
        len(bombs),
        len(listed) if fine else 0,
        f"image of 120 and 400 megapixels: refused, at most {peak >> 20} MiB",
    )
    assert child.returncode == 3
    assert listed == {bomb.name for bomb in bombs}
    assert all("more than 64 million pixels" in one["reason"] for one in found["bad"])
    assert peak < GIGABYTE


def peak_of(work: Callable[[], object]) -> int:
    """Bytes by which the resident memory of this process rose above what it was, at its highest,
    during the work."""
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = _status("VmRSS")
    work()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)
    )
    return int(line.split()[1]) * 1024


def test_every_door_refuses_them(
    tmp_path: Path,
    bombs: list[Path],
    make_folder: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    tally: Tally,
) -> None:
    whole = make_folder(tmp_path / "whole", {"a": 4, "b": 4})
    doors: list[tuple[str, Callable[[], object]]] = []
    for bomb in bombs:
        pool = make_folder(tmp_path / f"pool of {bomb.name}", {"x": 1})
        _copied(bomb, pool / "x" / bomb.name)
        data = with_bombs(tmp_path / f"data with {bomb.name}", [bomb], make_folder)
        out = ["--out", str(tmp_path / "run")]
        doors += [
            ("train", lambda data=data, out=out: cli.main(["train", "--data", str(data), *out])),
            ("unlabelled", lambda pool=pool, out=out: cli.main(
                ["train", "--data", str(whole), "--unlabelled", str(pool), *out]
            )),
            ("edit", lambda bomb=bomb: read_files([bomb], (1, 8, 8))),
            ("synthetic set", lambda bomb=bomb: read_set(
                _set_with(tmp_path / f"set {bomb.stem}", bomb), verify=False
            )),
            ("shard", lambda bomb=bomb: _shard_with(tmp_path / f"{bomb.stem}.tar", bomb)[0]),
        ]  # fmt: skip
    refused, peak = [], 0
    for name, door in doors:

        def knock(door: Callable[[], object] = door, name: str = name) -> None:
            try:
                code = door()
            except DataError as error:
                code = 3 if "png" in str(error) or ".tar" in str(error) else str(error)
            refused.append((name, code))

        peak = max(peak, peak_of(knock))
    errors = capsys.readouterr().err
    good = [name for name, code in refused if code == 3]
    tally(
        len(doors), len(good), "bomb as image, pool, file to edit, synthetic image, shard: refused"
    )
    assert len(good) == len(doors), (refused, errors)
    assert errors.count("more than 64 million pixels") == 4
    assert peak < 100 * 2**20


def _set_with(folder: Path, bomb: Path) -> Path:
    """A synthetic set whose only image is replaced by a bomb; its recipe says eight pixels a
    side."""
    seen = fingerprints(torch.zeros(1, 1, 8, 8))
    recipe = Recipe("f", "0" * 64, ("a",), (1, 8, 8), {"a": 1}, 0, "none", trained_on_digest(seen))
    write_set(folder, recipe, seen, lambda c, n, start: (torch.zeros(n, 1, 8, 8), torch.arange(n)))
    _copied(bomb, folder / "a" / "00000000.png")
    return folder


def _shard_with(path: Path, bomb: Path) -> ShardReader:
    with tarfile.open(path, "w") as tar:
        for extension, data in (("cls", b"0"), ("json", b"{}"), ("png", bomb.read_bytes())):
            member = tarfile.TarInfo(f"0.{extension}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return ShardReader(path, (1, 8, 8))


def test_a_recipe_cannot_ask_for_images_of_any_size(tmp_path: Path, bombs: list[Path]) -> None:
    """Whoever puts a bomb into a set can also write its size into the recipe."""
    folder = _set_with(tmp_path / "s", bombs[0])
    stored = json.loads((folder / "recipe.json").read_text())
    plain = {name: value for name, value in stored.items() if name != "check"}
    (folder / "recipe.json").write_text(json.dumps(plain | {"image_shape": [1, 10_000, 12_000]}))
    with pytest.raises(DataError, match=r"recipe\.json: cannot be read \(images must have"):
        read_set(folder, verify=False)
    with pytest.raises(ValueError, match="sides of use"):
        replace(Recipe("f", "0" * 64, ("a",), (1, 8, 8), {}, 0, "none", ""), image_shape=(1, 8, 0))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("counts", {"a": 10**6}, "unfinished"),
        ("counts", {"a": 1.5}, "counts is of another type"),
        ("seed", "x", "seed is of another type"),
    ],
)
def test_a_forged_recipe_is_refused_though_its_manifest_fits(
    tmp_path: Path, bombs: list[Path], key: str, value: object, words: str
) -> None:
    """Endless shards would fill the memory with their plan."""
    folder = _set_with(tmp_path / "s", bombs[0])
    forged = replace(read_recipe(folder), shard_size=1, **{key: value})  # type: ignore[arg-type]
    lines = [replace(shard, recipe=forged.hash).line for shard in read_manifest(folder)]
    (folder / "recipe.json").write_text(json.dumps(asdict(forged)))
    (folder / "manifest.jsonl").write_text("".join(line + "\n" for line in lines))
    with pytest.raises(DataError, match=words):
        read_set(folder, verify=False)


def test_a_checkpoint_cannot_describe_a_network_of_any_size(tmp_path: Path, tally: Tally) -> None:
    """A few bytes of JSON would otherwise take gigabytes before the weights are found not to
    fit."""
    options = {"width": 1, "latent_dim": 2}
    model = FAMILIES["cgan"].model(
        ("a", "b"), (1, 8, 8), FAMILIES["cgan"].options_for("default", options)
    )
    meta = {"family": "cgan", "classes": ["a", "b"], "image_shape": [1, 8, 8], "options": options}
    forged = meta | {"options": {"width": 1024, "latent_dim": 2}}
    save_checkpoint(tmp_path / "own", 1, meta, {"average": model.state_dict()})
    save_checkpoint(tmp_path / "forged", 1, forged, {"average": model.state_dict()})
    augmentor.load(tmp_path / "own")  # whatever is imported by the first one

    def refused() -> None:
        with pytest.raises(DataError, match="weights are not those of the network it describes"):
            augmentor.load(tmp_path / "forged")

    peak = peak_of(refused)
    tally(
        1,
        int(peak < 100 * 2**20),
        "checkpoint that describes a huge network: refused before memory is taken",
    )
    assert peak < 100 * 2**20


@pytest.mark.parametrize("width", [16, 10**30])
def test_a_checkpoint_of_images_that_are_not_square_is_refused(tmp_path: Path, width: int) -> None:
    """`make fuzz` found it: the weights fit, and the first sample ended in a TypeError."""
    options = FAMILIES["cgan"].options_for("default", {"width": 1, "latent_dim": 2})
    model = FAMILIES["cgan"].model(("a", "b"), (1, 8, 8), options)
    meta = augmentor.api.describe("cgan", model) | {"image_shape": [1, 8, width]}
    save_checkpoint(tmp_path, 1, meta, {"average": model.state_dict()})
    with pytest.raises(DataError, match=rf"images of the shape \(1, 8, {width}\)"):
        augmentor.load(tmp_path)


def test_a_shard_cannot_claim_more_than_it_holds(tmp_path: Path) -> None:
    """A sparse member of a tar file says any size in a few bytes."""
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "png")
    member = tarfile.TarInfo("0.png")
    member.size = len(buffer.getvalue())
    member.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[386:398] = b"%011o\0" % member.size  # one piece: offset 0, its size
    block[483:495] = b"%011o\0" % (7 * GIGABYTE)  # the size it claims
    block[148:156] = b"%06o\0 " % (sum(block[:148]) + 8 * 32 + sum(block[156:512]))
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in (("0.cls", b"0"), ("0.json", b"{}")):
            plain = tarfile.TarInfo(name)
            plain.size = len(data)
            tar.addfile(plain, io.BytesIO(data))
    ordinary = path.read_bytes()[: 4 * 512]
    padding = bytes(-member.size % 512)
    path.write_bytes(ordinary + bytes(block[:512]) + buffer.getvalue() + padding + bytes(1024))
    with pytest.raises(DataError, match=r"s\.tar: a sample is longer than the file"):
        ShardReader(path, (1, 8, 8))
