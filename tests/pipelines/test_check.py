from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops

from augmentor.common.types import DataError
from pipelines.check import check_data
from pipelines.config import DataConfig
from pipelines.data.folders import folder_layout

MakeFolder = Callable[..., Path]


class Noted:
    """Remembers the steps it is told."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []

    def step(self, task: str, done: int, total: int, note: str = "") -> None:
        self.steps.append((task, done, total))

    def say(self, line: str) -> None:
        raise AssertionError(line)


def test_a_good_folder(tmp_path: Path, make_folder: MakeFolder) -> None:
    make_folder(tmp_path / "train", {"cat": 3, "dog": 2}, size=(40, 34))
    make_folder(tmp_path / "test", {"cat": 1, "dog": 1}, size=(33, 64), seed=1)
    (tmp_path / "train" / "cat" / "readme.txt").write_text("")
    noted = Noted()
    report = check_data(DataConfig(data=str(tmp_path)), noted)
    assert report.ok
    assert (report.train, report.test) == ({"cat": 3, "dog": 2}, {"cat": 1, "dog": 1})
    assert report.sizes == {"40x34": 5, "33x64": 2}
    assert (report.modes, report.form, report.ignored) == ({"RGB": 7}, "32x32 RGB", 1)
    assert noted.steps == [("reading training images", 5, 5), ("reading test images", 2, 2)]
    text = report.text()
    assert text.splitlines()[0].endswith("2 classes, 5 training and 2 test images")
    assert "cat        3     1" in text
    assert text.endswith("ok")
    training, test = report.few
    assert training.startswith("few training images: cat, dog with less than 5; a generator")
    assert test.startswith("few test images: cat, dog with less than 10; one of 1 is 100 points")
    assert report.to_json()["remarks"] == report.few
    assert training in text


def test_a_part_that_is_not_read_is_named(tmp_path: Path, make_folder: MakeFolder) -> None:
    for seed, part in enumerate(("train", "val", "test")):
        make_folder(tmp_path / part, {"cat": 2, "dog": 2}, seed=seed)
    report = check_data(DataConfig(data=str(tmp_path)))
    assert report.split == "train/ and test/; val/ is not read"


def test_classes_spelled_alike_and_a_picture_in_two_classes_are_named(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    make_folder(tmp_path / "train", {"Cat": 5, "dog": 5})
    make_folder(tmp_path / "test", {"Cat": 10, "dog": 10}, seed=1)
    assert check_data(DataConfig(data=str(tmp_path))).remarks == ()
    for part in ("train", "test"):
        (tmp_path / part / "dog").rename(tmp_path / part / "cat")
    cat = tmp_path / "train" / "Cat"
    shutil.copy(next(cat.iterdir()), tmp_path / "train" / "cat" / "again.png")
    report = check_data(DataConfig(data=str(tmp_path)))
    alike, twice = report.remarks
    assert alike.startswith("the classes Cat and cat are spelled alike")
    assert twice.startswith(f"pictures that lie in two classes: 1, such as {cat}")
    assert report.ok


@pytest.mark.parametrize(("bits", "top"), [(16, 4095), (8, 16)])
def test_pictures_that_use_little_of_the_range_are_named(
    tmp_path: Path, make_folder: MakeFolder, bits: int, top: int
) -> None:
    rng = np.random.default_rng(0)
    dtype = np.uint16 if bits == 16 else np.uint8
    for place, count in (("train/a", 5), ("train/b", 5), ("test/a", 10), ("test/b", 10)):
        (tmp_path / place).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, top, (8, 8), endpoint=True).astype(dtype)
            Image.fromarray(pixels).save(tmp_path / place / f"{number}.png")
    [remark] = check_data(DataConfig(data=str(tmp_path))).remarks
    assert "0.png are nearly black: the brightest value of all is 16 of 255" in remark
    Image.fromarray(np.full((8, 8), 65535 if bits == 16 else 255, dtype)).save(
        tmp_path / "train" / "a" / "white.png"
    )
    assert check_data(DataConfig(data=str(tmp_path))).remarks == ()


def test_enough_images_leave_no_remark(tmp_path: Path, make_folder: MakeFolder) -> None:
    make_folder(tmp_path / "train", dict.fromkeys("abcdef", 5))
    make_folder(tmp_path / "test", dict.fromkeys("abcdef", 10), seed=1)
    report = check_data(DataConfig(data=str(tmp_path)))
    assert report.few == []
    few = replace(report, train={**report.train, **dict.fromkeys("abcd", 4)})
    assert few.few[0].startswith("few training images: a, b, c and 1 more with less than 5")


def test_everything_that_is_wrong_is_listed_at_once(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    make_folder(tmp_path / "train", {"cat": 3, "dog": 2, "empty": 0}, size=(8, 8))
    make_folder(tmp_path / "test", {"cat": 1, "dog": 1, "empty": 0}, seed=1)
    train = tmp_path / "train"
    shutil.copy(train / "cat" / "0.png", tmp_path / "test" / "cat" / "twin.png")
    (train / "dog" / "words.png").write_text("no image")
    whole = (train / "dog" / "1.png").read_bytes()
    (train / "dog" / "1.png").write_bytes(whole[:-40])
    (train / "dog" / "link.png").symlink_to("/etc/hostname")
    report = check_data(DataConfig(data=str(tmp_path)))
    assert not report.ok
    found = report.to_json()
    assert json.loads(json.dumps(found)) == found
    assert sorted(Path(one["path"]).name for one in found["bad"]) == [
        "1.png",
        "link.png",
        "words.png",
    ]
    problems = "\n".join(found["problems"])
    assert problems.count("class 'empty'") == 2
    assert "twin.png is the same picture as training image" in problems
    text = report.text()
    assert text.endswith("not usable as it is")
    assert "words.png: not an image" in text
    assert "bad files: 3" in text


def test_all_doubles_of_a_folder_that_is_split_here_are_listed_at_once(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    """Which of them lie in both parts changes with every file that is removed."""
    make_folder(tmp_path, {"cat": 20, "dog": 20})
    for number in range(8):
        shutil.copy(tmp_path / "cat" / f"{number}.png", tmp_path / "cat" / f"again{number}.png")
    report = check_data(DataConfig(data=str(tmp_path)))
    assert len(report.problems) == 8
    cat = tmp_path / "cat"
    for number in range(8):
        told = [one for one in report.problems if f"{cat / f'again{number}.png'}" in one]
        assert len(told) == 1
        assert f"{cat / f'{number}.png'}" in told[0]
    for number in range(8):
        (cat / f"again{number}.png").unlink()
    assert check_data(DataConfig(data=str(tmp_path))).ok


def test_doubles_in_one_part_are_remarked(tmp_path: Path, make_folder: MakeFolder) -> None:
    make_folder(tmp_path, {"cat": 20, "dog": 20})
    data = DataConfig(data=str(tmp_path))
    layout = folder_layout(tmp_path, data)
    tree = layout.train
    twice = next(tree.paths[i] for i in layout.train_index)
    for number in range(9):  # one of them sorts into the training part
        copy = twice.with_name(f"again{number}.png")
        shutil.copy(twice, copy)
        report = check_data(data)
        if report.ok:
            break
        copy.unlink()
    assert report.remarks[0].startswith("pictures that are there more than once: 1, such as ")
    assert str(twice) in report.remarks[0]


def test_one_level_and_one_class(tmp_path: Path, make_folder: MakeFolder) -> None:
    make_folder(tmp_path, {"cat": 4})
    report = check_data(DataConfig(data=str(tmp_path)))
    assert (report.train, report.test) == ({"cat": 3}, {"cat": 1})
    assert [problem for problem in report.problems if "only one class" in problem]


def test_a_folder_without_a_readable_image(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_text("x")
    report = check_data(DataConfig(data=str(tmp_path)))
    assert (report.form, len(report.bad)) == (None, 2)
    assert "nothing readable" in report.text()


def test_names_that_steer_a_terminal_are_escaped(tmp_path: Path, make_folder: MakeFolder) -> None:
    make_folder(tmp_path, {"a\x1b[31m": 2, "b": 2})
    report = check_data(DataConfig(data=str(tmp_path)))
    assert "\x1b" not in report.text()
    assert "a\x1b[31m" in report.train


def test_named_data_ignore_the_regime() -> None:
    report = check_data(DataConfig(per_class=5, unlabelled="rest"))
    assert (sum(report.train.values()), sum(report.test.values())) == (901, 896)
    assert report.ok


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        check_data(DataConfig(data=str(tmp_path / "nowhere")))


def smooth_pictures(root: Path, counts: dict[str, int], seed: int) -> None:
    """Pictures without sharp edges, as photos are."""
    rng = np.random.default_rng(seed)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            coarse.resize((32, 32), Image.Resampling.BICUBIC).save(root / name / f"{number}.png")


@pytest.mark.parametrize("way", ["mirrored", "shifted", "jpeg", "resized", "one pixel"])
def test_near_copies_of_test_images_are_named(tmp_path: Path, way: str) -> None:
    smooth_pictures(tmp_path / "train", {"cat": 20, "dog": 20}, seed=0)
    smooth_pictures(tmp_path / "test", {"cat": 60, "dog": 60}, seed=1)
    for number in range(2):
        with Image.open(tmp_path / "test" / "dog" / f"{number}.png") as image:
            copy = image.copy()
        if way == "mirrored":
            copy = copy.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        elif way == "shifted":
            copy = ImageChops.offset(copy, 1, 0)
        elif way == "resized":
            copy = copy.resize((48, 48), Image.Resampling.BICUBIC)
        elif way == "one pixel":
            copy.putpixel((3, 4), (255, 0, 255))
        name = f"copy{number}." + ("jpg" if way == "jpeg" else "png")
        copy.save(tmp_path / "train" / "cat" / name)
    report = check_data(DataConfig(data=str(tmp_path)))
    assert not report.ok
    assert len(report.problems) == 2
    for number, problem in enumerate(report.problems):
        assert f"copy{number}." in problem
        assert f"is nearly test image {tmp_path}/test/dog/{number}.png" in problem
        assert "% of images that are not copies would be named too" in problem


def test_other_pictures_are_not_called_copies(tmp_path: Path, make_folder: MakeFolder) -> None:
    make_folder(tmp_path / "train", {"cat": 50, "dog": 50}, size=(16, 16))
    make_folder(tmp_path / "test", {"cat": 30, "dog": 30}, size=(16, 16), seed=1)
    report = check_data(DataConfig(data=str(tmp_path)))
    assert report.ok
    assert report.remarks == ()
