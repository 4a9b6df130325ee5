"""What ``SyntheticMix`` costs beside torchvision's ``ConcatDataset`` of the same images.

    python -m benchmarks.speed.mixing [--json FILE]

Real images and synthetic ones are read by one loader with one transform, as a mix and as two image
folders one after the other, in turns. A mix keeps its synthetic images in memory; the time of
making one is told apart.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import augmentor
from augmentor import SyntheticMix
from benchmarks.speed.rounds import medians, tell
from benchmarks.speed.synthesis import run_of, synth, write_noise

SIDE, PER_CLASS, ROUNDS, BATCH = 28, 100, 7, 64
TRANSFORM = v2.Compose(
    [v2.Grayscale(), v2.RandomCrop(SIDE, padding=2), v2.ToImage(), v2.ToDtype(torch.float32, True)]
)


def read(data: Dataset[Any]) -> None:
    """Load every item once, in batches."""
    for _ in DataLoader(data, batch_size=BATCH):
        pass


def measure(per_class: int, rounds: int) -> dict[str, Any]:
    """Times of reading, relative to the two folders, and of making the mix."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        real = ImageFolder(str(write_noise(home / "real", SIDE, per_class, 1)), TRANSFORM)
        run = run_of(home, SIDE)
        for kind in ("folder", "shards"):
            synth(run, home / kind, per_class, kind, 1)
        source = augmentor.load(run)
        kinds: dict[str, Any] = {
            "folder": lambda: SyntheticMix(real, home / "folder"),
            "shards": lambda: SyntheticMix(real, home / "shards"),
            "live source": lambda: SyntheticMix(real, source, counts=2 * per_class),
        }
        making = medians(kinds, 1)
        mixes = {kind: make() for kind, make in kinds.items()}
        both = ConcatDataset([real, ImageFolder(str(home / "folder"), TRANSFORM)])
        if {len(mix) for mix in mixes.values()} != {len(both)}:
            raise RuntimeError("the mixes and the folders must hold equally many images")
        ways = {"concat": both} | mixes
        seconds = medians({kind: _reading(data) for kind, data in ways.items()}, rounds)
    return {
        "images": len(both),
        "images_per_second": {kind: round(len(both) / s, 1) for kind, s in seconds.items()},
        "overhead": {kind: round(seconds[kind] / seconds["concat"] - 1, 3) for kind in mixes},
        "seconds_to_make": {kind: round(s, 3) for kind, s in making.items()},
        "mix_overhead": round(max(seconds[k] for k in mixes) / seconds["concat"] - 1, 3),
    }


def _reading(data: Dataset[Any]) -> Any:
    return lambda: read(data)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="few images, one round: a trial")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    given = (8, 1) if asked.quick else (PER_CLASS, ROUNDS)
    tell(measure(*given), asked.json)


if __name__ == "__main__":
    main()
