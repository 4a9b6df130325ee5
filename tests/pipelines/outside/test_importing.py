from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import to_uint8
from augmentor.data.synthetic_mix import SyntheticMix
from augmentor.data.synthetic_store import read_set
from pipelines import cli
from pipelines.config import DataConfig
from pipelines.datasets import load_data
from pipelines.outside.importing import import_run
from pipelines.outside.sets import open_set, write_copy
from pipelines.progress import Silent

MakeFolder = Callable[..., Path]
NOT_LOOKED = "not looked for (give --data)"


def write_images(root: Path, images: LabelledImages, pixels: Tensor | None = None) -> Path:
    """PNG files, a folder per class."""
    pixels = to_uint8(images.x) if pixels is None else pixels
    for name in images.classes:
        (root / name).mkdir(parents=True, exist_ok=True)
    for number, (image, label) in enumerate(zip(pixels, images.y.tolist(), strict=True)):
        Image.fromarray(image[0].numpy()).save(root / images.classes[label] / f"{number:04d}.png")
    return root


@pytest.fixture(scope="module")
def digits() -> tuple[LabelledImages, LabelledImages]:
    bundle = load_data(DataConfig(data="digits"), 0)
    return bundle.train, bundle.test


def test_an_imported_folder_is_a_synthetic_set(tmp_path: Path, make_folder: MakeFolder) -> None:
    make_folder(tmp_path / "made", {"cat": 3, "dog": 300, "eel": 0}, size=(12, 10))
    report = import_run(tmp_path / "made", tmp_path / "set")
    assert report.counts == {"cat": 3, "dog": 300}
    assert (report.form, report.origin, report.copies) == (
        "12x10 RGB",
        "origin unknown",
        NOT_LOOKED,
    )
    found = read_set(tmp_path / "set")
    assert found.recipe.classes == ("cat", "dog", "eel")
    assert found.recipe.source_augment == "unknown"
    assert found.stored.pixels.shape == (303, 3, 10, 12)
    first = np.array(Image.open(tmp_path / "made" / "cat" / "0.png"))
    assert np.array_equal(found.stored.pixels[0].permute(1, 2, 0).numpy(), first)
    with pytest.raises(DataError, match="was trained on 3 of these"):
        found.refuse_seen(found.stored.pixels[:3])
    before = (tmp_path / "set" / "manifest.jsonl").read_bytes()
    import_run(tmp_path / "made", tmp_path / "set")
    assert (tmp_path / "set" / "manifest.jsonl").read_bytes() == before
    with pytest.raises(DataError, match="is a synthetic set already"):
        import_run(tmp_path / "set", tmp_path / "again")


def test_shards_come_back_as_a_set_and_mix_with_real_images(
    tmp_path: Path, digits: tuple[LabelledImages, LabelledImages]
) -> None:
    real = digits[0].subset(torch.arange(40))
    write_images(tmp_path / "made", real, to_uint8(real.x).flip(-1))
    import_run(tmp_path / "made", tmp_path / "shards", format="shards")
    (tmp_path / "only").mkdir()
    for shard in (tmp_path / "shards").glob("*.tar"):
        (tmp_path / "only" / shard.name).write_bytes(shard.read_bytes())
    import_run(tmp_path / "only", tmp_path / "back")
    first, second = read_set(tmp_path / "shards").stored, read_set(tmp_path / "back").stored
    assert torch.equal(first.pixels, second.pixels)
    assert [first.classes[i] for i in first.y] == [second.classes[i] for i in second.y]
    dataset = torch.utils.data.TensorDataset(to_uint8(real.x), real.y)
    mix = SyntheticMix(dataset, tmp_path / "back", classes=real.classes, share=0.5)
    assert len(mix) > len(real)


@pytest.mark.parametrize("way", ["exact", "mirrored", "shifted"])
def test_copies_of_test_images_are_refused_by_name(
    tmp_path: Path, digits: tuple[LabelledImages, LabelledImages], way: str
) -> None:
    alter = {
        "exact": lambda x: x,
        "mirrored": lambda x: x.flip(-1),
        "shifted": lambda x: x.roll(1, 3),
    }[way]
    train, test = digits
    few = LabelledImages(
        torch.cat([train.x[:30], alter(test.x[:2])]),
        torch.cat([train.y[:30], test.y[:2]]),
        train.classes,
    )
    write_images(tmp_path / "made", few)
    with pytest.raises(DataError, match=r"2 images are copies of test images: .*0030\.png is") as e:
        import_run(tmp_path / "made", tmp_path / "set", data=DataConfig(data="digits"))
    assert way == "exact" or way in str(e.value)
    assert not (tmp_path / "set" / "recipe.json").exists()


def test_real_images_are_no_copies(
    tmp_path: Path, digits: tuple[LabelledImages, LabelledImages]
) -> None:
    write_images(tmp_path / "made", digits[0])
    report = import_run(tmp_path / "made", tmp_path / "set", data=DataConfig(data="digits"))
    assert sum(report.counts.values()) == len(digits[0])
    assert report.copies.count("may be copies") <= 1


def test_the_command_says_what_is_wrong_in_one_line(
    tmp_path: Path, make_folder: MakeFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    made, out = str(tmp_path / "made"), str(tmp_path / "set")
    make_folder(tmp_path / "made", {str(digit): 1 for digit in range(9)}, mode="L")
    ask = ["import", made, "--data", "digits", "--out", out]
    (tmp_path / "made" / "ten").mkdir()
    assert cli.main(ask) == 3
    assert "the data have no class 'ten'" in capsys.readouterr().err
    (tmp_path / "made" / "ten").rmdir()
    assert cli.main([*ask, "--colour"]) == 3
    said = f"`augmentor import {made} --data digits --grey --out SET`"
    assert said in capsys.readouterr().err, "the copies are looked for then, too"
    assert cli.main([*ask, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["origin"] == "origin unknown"
    assert told["copies"] == "none found among 896 test images"


def test_a_set_is_brought_into_the_form_of_the_data(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    make_folder(tmp_path / "made", {"a": 2, "b": 3, "c": 0}, size=(12, 12), mode="L")
    found = open_set(tmp_path / "made", ("c", "b", "a"), (1, 8, 8))
    assert (found.name, found.is_set, found.made_at) == ("made", False, (1, 12, 12))
    assert found.stored.y.tolist() == [2, 2, 1, 1, 1]
    assert found.counts() == {"c": 0, "b": 3, "a": 2}
    write_copy(found, tmp_path / "copy")
    again = open_set(tmp_path / "copy", ("c", "b", "a"), (1, 8, 8))
    assert again.is_set
    assert again.counts() == found.counts()
    assert torch.equal(again.stored.pixels[:3], found.stored.pixels[2:])
    assert len(again.files) == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"counts": {"a": 1, "B": 1}}, "'B' is spelled 'b' in the data"),
        ({"counts": {"a": 1, " b": 1}}, "' b' is spelled 'b' in the data"),
        ({"size": (8, 6)}, "are 8x6, those of the data are square"),
        ({"mode": "RGB"}, "stored in colour, those of the data in grey"),
    ],
)
def test_a_folder_of_another_kind_is_refused(
    tmp_path: Path, make_folder: MakeFolder, changes: dict[str, object], words: str
) -> None:
    made = {"counts": {"a": 1, "b": 1}, "size": (8, 8), "mode": "L"} | changes
    make_folder(tmp_path, **made)
    with pytest.raises(DataError, match=words):
        open_set(tmp_path, ("a", "b"), (1, 8, 8))


class Heard(Silent):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_images_that_use_little_of_the_range_are_named(tmp_path: Path) -> None:
    heard = Heard()
    for number, place in enumerate(("a", "b")):
        (tmp_path / "made" / place).mkdir(parents=True)
        pixels = np.full((8, 8), 15 + number, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "made" / place / "0.png")
    import_run(tmp_path / "made", tmp_path / "set", progress=heard)
    [line] = heard.lines
    assert "a/0.png are nearly black: the brightest value of all is 16 of 255" in line
