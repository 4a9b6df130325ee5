"""The blocks of the README and what they need: its config made small, and a folder of photos."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", README, flags=re.DOTALL)
SMALL_CONFIG = """
data: {data: digits, per_class: 80, imbalance: 20, unlabelled: rest}
source: {steps: 4, batch_size: 16, options: {width: 4, latent_dim: 8}}
classifier: {steps: 4}
pool: {threshold: 0.0}
gain: {replicates: 2, screening_rounds: 2, shares: [0.5], confidences: [0.0]}
"""


def make_photos(folder: Path) -> None:
    """The folder of one's own that the README speaks of: 12 photos each of cats and dogs."""
    rng = np.random.default_rng(0)
    for name, base in (("cat", 60), ("dog", 180)):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(base - 50, base + 50, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
