"""How fast shards are written: ours beside webdataset's writer.

    python -m benchmarks.speed.writing [--json FILE]

The same images, each a PNG, a class and a line of JSON, into tar shards of the same number of
images, in the temporary folder of the machine. Ours also writes recipe and manifest with the hash
of every shard, and waits until each is on the disk; webdataset's does neither.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
import webdataset
from torch import Tensor

from augmentor.data.fingerprint import fingerprints, from_uint8, to_uint8
from augmentor.data.synthetic_store import Recipe, trained_on_digest, write_set
from benchmarks.speed.rounds import medians, tell

CLASSES, SHARD, ROUNDS = 10, 256, 7
SIDES = {28: 512, 64: 128}
"""Images of every class, by pixels."""


def images_of(side: int, count: int) -> Tensor:
    """Smooth grey images in [-1, 1], (count, 1, side, side): noise compresses like nothing real."""
    draw = torch.Generator().manual_seed(0)
    small = torch.rand(count, 1, 8, 8, generator=draw)
    large = torch.nn.functional.interpolate(small, size=(side, side), mode="bicubic")
    return from_uint8((large.clamp(0, 1) * 255).to(torch.uint8))


def write_ours(folder: Path, x: Tensor) -> None:
    """A synthetic set in shards, anew."""
    shutil.rmtree(folder, ignore_errors=True)
    seen, names = fingerprints(x[:1]), tuple(map(str, range(CLASSES)))
    counts = dict.fromkeys(names, len(x))
    recipe = Recipe(
        "cvae_gan", "0" * 64, names, tuple(x.shape[1:]), counts, 0, "none",
        trained_on_digest(seen), format="shards", shard_size=SHARD,
    )  # fmt: skip
    write_set(folder, recipe, seen, lambda c, n, s: (x[s : s + n], torch.arange(s, s + n)))


def write_theirs(folder: Path, x: Tensor) -> None:
    """The same samples by webdataset, anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    pattern = str(folder / "shard-%05d.tar")
    with webdataset.ShardWriter(pattern, maxcount=SHARD, maxsize=1e12, verbose=0) as out:
        for label in range(CLASSES):
            for number, pixels in enumerate(to_uint8(x)):
                key = f"{label:05d}-{number:08d}"
                told = {"candidate": number, "class": str(label)}
                out.write({"__key__": key, "png": pixels[0].numpy(), "cls": label, "json": told})


def measure(sides: dict[int, int], rounds: int) -> dict[str, Any]:
    """Images per second of both, and how many times as fast ours is."""
    found: dict[str, Any] = {}
    for side, count in sides.items():
        x = images_of(side, count)
        with tempfile.TemporaryDirectory() as name:
            ways = {
                "augmentor": partial(write_ours, Path(name) / "ours", x),
                "webdataset": partial(write_theirs, Path(name) / "theirs", x),
            }
            seconds = medians(ways, rounds)
            bytes_of = {
                "augmentor": sum(f.stat().st_size for f in (Path(name) / "ours").glob("*.tar")),
                "webdataset": sum(f.stat().st_size for f in (Path(name) / "theirs").glob("*.tar")),
            }
        found[str(side)] = {
            "images_per_second": {way: round(CLASSES * count / s, 1) for way, s in seconds.items()},
            "bytes": bytes_of,
            "times_as_fast": round(seconds["webdataset"] / seconds["augmentor"], 2),
        }
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="few images, one round: a trial")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    given = (dict.fromkeys(SIDES, 4), 1) if asked.quick else (SIDES, ROUNDS)
    tell(measure(*given), asked.json)


if __name__ == "__main__":
    main()
