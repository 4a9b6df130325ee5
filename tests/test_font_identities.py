"""Fonts as identities: what the folders hold."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import font_identities
from pipelines.verify.pairs import read_pairs

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FAMILIES = 8


def make_fonts(folder: Path) -> None:
    """Eight families of two fonts; of the last font all letters are those of the first."""
    rng, rows = np.random.default_rng(0), list[tuple[str, ...]]()
    for family in range(FAMILIES):
        for style in ("bold", "thin"):
            font = f"f{family}.{style}"
            for letter in LETTERS:
                name = f"{letter}/{font}.png"
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if font == f"f{FAMILIES - 1}.thin":
                    path.write_bytes((folder / letter / "f0.bold.png").read_bytes())
                else:
                    pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
                    Image.fromarray(pixels).save(path)
                rows.append((name, letter, font, f"f{family}"))
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file_name", "letter", "font", "family"), *rows])


def test_folders_of_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_fonts(tmp_path / "fonts")
    monkeypatch.setattr(font_identities, "FOLDS", 2)
    monkeypatch.setattr(font_identities, "PAIRS", 12)
    monkeypatch.setattr(font_identities, "NEW", 3)
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path / "fonts"), "--out", str(out)])
    font_identities.main()
    people = {path.name for path in (out / "people" / "train").iterdir() if path.is_dir()}
    pairs = read_pairs(out / "pairs", (1, 8, 8))
    assert not people & set(pairs.people)
    assert people | set(pairs.people) >= {"f0.bold", "f6.thin"}
    assert "f7.thin" not in people | set(pairs.people)  # its pictures are another font's
    assert pairs.same.sum() == 2 * 12
    assert len(pairs.same) == 4 * 12
    families = [name.partition(".")[0] for name in pairs.people]
    for first, second, same in zip(pairs.first, pairs.second, pairs.same, strict=True):
        assert (families[first] == families[second]) == bool(same)
        assert (pairs.people[first] == pairs.people[second]) == bool(same)
    for part, letters in (("train", LETTERS[:22]), ("test", LETTERS[22:])):
        for font in people:
            assert {path.stem for path in (out / "people" / part / font).iterdir()} == set(letters)
        rows = (out / "people" / part / "metadata.csv").read_text().splitlines()
        assert rows[:2] == ["file_name,letter", f"{min(people)}/{letters[0]}.png,{letters[0]}"]
        assert len(rows) == 1 + len(people) * len(letters)
    (mixed, *others) = sorted((out / "mixed_pixels").iterdir())
    assert len(others) == 2
    assert len(list(mixed.iterdir())) == 22
    turned = next((out / "rotated").iterdir())
    own = np.asarray(Image.open(out / "people" / "train" / turned.name[:-8] / "A.png"))
    np.testing.assert_array_equal(np.asarray(Image.open(turned / "A.png")), np.rot90(own))
