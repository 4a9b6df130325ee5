"""Fonts as identities: folders for ``augmentor verify`` from letters in many fonts.

    python benchmarks/font_identities.py $AUGMENTOR_DATA/fonts_32 --out runs/fonts

A font is an identity, a letter is one picture of it. OUT gets

- ``people/``: a class per font of half of the families, 22 letters to learn from and four for
  tests, and ``metadata.csv`` with the letter of every picture;
- ``pairs/``: pairs of two letters, of one font or of two families, all of the other families, in
  ten folds; no family is in two;
- ``mixed_pixels/``: new classes without a generator, the mean of two fonts, letter by letter;
- ``rotated/``: new classes without a generator, fonts turned by a quarter.

The last two become sets by ``augmentor import``; ``docs/results/verify_fonts/config.yaml`` has the
commands.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FOLDS, PAIRS = 10, 300
"""Pairs of each kind in a fold."""
NEW = 100
"""New classes of either kind."""
FEWEST = 20
"""Letters of a font."""
TESTED = frozenset("WXYZ")

Pixels = NDArray[np.uint8]
Fonts = dict[str, dict[str, dict[str, Pixels]]]
"""Family to font to letter to pixels (H, W)."""


def read_fonts(folder: Path) -> Fonts:
    """All letters but those whose very picture came before; fonts of which few letters are left
    are left out.
    """
    fonts: Fonts = defaultdict(lambda: defaultdict(dict))
    seen = set[bytes]()
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            pixels = np.asarray(Image.open(folder / row["file_name"]).convert("L"))
            if pixels.tobytes() not in seen:
                seen.add(pixels.tobytes())
                fonts[row["family"]][row["font"]][row["letter"]] = pixels
    found: Fonts = {}
    for family, own in fonts.items():
        if kept := {font: letters for font, letters in own.items() if len(letters) >= FEWEST}:
            found[family] = kept
    return found


def write(folder: Path, font: str, letters: dict[str, Pixels]) -> None:
    """A PNG file per letter."""
    (folder / font).mkdir(parents=True, exist_ok=True)
    for letter, pixels in letters.items():
        Image.fromarray(pixels).save(folder / font / f"{letter}.png")


def write_people(out: Path, fonts: dict[str, dict[str, Pixels]]) -> None:
    """The fonts to learn, in two parts."""
    for font, letters in fonts.items():
        parts: dict[str, dict[str, Pixels]] = {"train": {}, "test": {}}
        for letter, pixels in letters.items():
            parts["test" if letter in TESTED else "train"][letter] = pixels
        for part, own in parts.items():
            write(out / part, font, own)
    for part in ("train", "test"):
        names = sorted(path.relative_to(out / part) for path in (out / part).glob("*/*.png"))
        lines = ["file_name,letter", *(f"{name.as_posix()},{name.stem}" for name in names)]
        (out / part / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_pairs(out: Path, families: list[dict[str, dict[str, Pixels]]], seed: int) -> None:
    """``pairs.csv`` and its images; family k is in fold k % FOLDS."""
    rng = np.random.default_rng(seed)
    lines = ["fold,same,first,second"]
    for family in families:
        for font, letters in family.items():
            write(out / "images", font, letters)
    for fold in range(FOLDS):
        own = families[fold::FOLDS]
        for same in (True, False):
            pairs = set[tuple[str, str]]()
            while len(pairs) < PAIRS:
                pair = pair_of(own, same, rng)
                pairs.add((min(pair), max(pair)))
            for first, second in sorted(pairs):
                lines.append(f"{fold},{int(same)},images/{first}.png,images/{second}.png")
    (out / "pairs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def pair_of(
    families: list[dict[str, dict[str, Pixels]]], same: bool, rng: np.random.Generator
) -> tuple[str, str]:
    """Two letters of one font, or of fonts of two families, as ``font/letter``."""
    one, other = rng.choice(len(families), 2, replace=False)
    first = rng.choice(sorted(families[one]))
    second = first if same else rng.choice(sorted(families[other]))
    letter, another = rng.choice(sorted(families[one][first]), 2, replace=False)
    if not same:
        another = rng.choice(sorted(families[other][second]))
    return f"{first}/{letter}", f"{second}/{another}"


def mixed_pixels(fonts: dict[str, dict[str, Pixels]], seed: int) -> dict[str, dict[str, Pixels]]:
    """NEW classes, each the mean of two fonts."""
    rng, found = np.random.default_rng(seed), {}
    for number in range(NEW):
        first, second = rng.choice(sorted(fonts), 2, replace=False)
        both = sorted(set(fonts[first]) & set(fonts[second]) - TESTED)
        mean = {}
        for letter in both:
            pair = np.stack([fonts[first][letter], fonts[second][letter]])
            mean[letter] = pair.mean(axis=0).round().astype(np.uint8)
        found[f"pixels-{number:03d}"] = mean
    return found


def rotated(fonts: dict[str, dict[str, Pixels]], seed: int) -> dict[str, dict[str, Pixels]]:
    """NEW classes, each a font turned by a quarter."""
    rng, found = np.random.default_rng(seed), {}
    for font in rng.choice(sorted(fonts), NEW, replace=False):
        own = {one: pixels for one, pixels in fonts[font].items() if one not in TESTED}
        found[f"{font}-rotated"] = {one: np.rot90(pixels).copy() for one, pixels in own.items()}
    return found


def main() -> None:
    """Write the folders."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("fonts", type=Path, help="the folder with metadata.csv")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    fonts = read_fonts(asked.fonts)
    order = [str(name) for name in np.random.default_rng(asked.seed).permutation(sorted(fonts))]
    half = len(order) // 2
    learned = {font: own for name in order[:half] for font, own in fonts[name].items()}
    write_people(asked.out / "people", learned)
    write_pairs(asked.out / "pairs", [fonts[name] for name in order[half:]], asked.seed)
    for name, made in (("mixed_pixels", mixed_pixels), ("rotated", rotated)):
        for font, letters in made(learned, asked.seed).items():
            write(asked.out / name, font, letters)
    print(f"{len(learned)} fonts to learn, {len(order) - half} families in pairs")


if __name__ == "__main__":
    main()
