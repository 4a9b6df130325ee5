"""Too few images, too many classes, no difference between them: exit 3 with class and next step, or
a correct run."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from augmentor.data.class_counts import fill_up, resolve_counts
from augmentor.data.class_names import match_classes
from augmentor.data.synthetic_store import Recipe, read_set, trained_on_digest, write_set
from pipelines import cli
from pipelines.config import DataConfig
from pipelines.datasets import load_data
from pipelines.generators.load import load_source

Tally = Callable[[int, int, str], None]
MakeFolder = Callable[..., Path]
QUICK = ["--steps", "2", "--batch-size", "4", "--threads", "1"]
MANY = 10_000


def nothing(root: Path, make: MakeFolder) -> None:
    root.mkdir()


def no_image(root: Path, make: MakeFolder) -> None:
    make(root, {"a": 0, "b": 0})


def no_image_in_two_levels(root: Path, make: MakeFolder) -> None:
    for part in ("train", "test"):
        make(root / part, {"a": 0, "b": 0})


def other_files_only(root: Path, make: MakeFolder) -> None:
    make(root, {"a": 0, "b": 0})
    for name in ("a", "b"):
        (root / name / "notes.txt").write_text("no image")


def images_without_folders(root: Path, make: MakeFolder) -> None:
    make(root, {"a": 4})
    for path in (root / "a").iterdir():
        path.rename(root / path.name)
    (root / "a").rmdir()


def empty_class(root: Path, make: MakeFolder) -> None:
    make(root, {"a": 4, "b": 4, "empty": 0})


def empty_class_of_the_test_part(root: Path, make: MakeFolder) -> None:
    make(root / "train", {"a": 4, "empty": 4})
    make(root / "test", {"a": 4, "empty": 0}, seed=1)


def one_class(root: Path, make: MakeFolder) -> None:
    make(root, {"lonely": 8})


def one_image_in_a_class(root: Path, make: MakeFolder) -> None:
    make(root, {"a": 4, "single": 1})


def all_images_equal(root: Path, make: MakeFolder) -> None:
    make(root, {"a": 4, "b": 4})
    for path in root.rglob("*.png"):
        Image.new("L", (8, 8), 99).save(path)


REFUSED: dict[str, tuple[Callable[[Path, MakeFolder], None], list[str]]] = {
    "an empty folder": (
        nothing,
        ["holds no class folders", "put the images of each class in a folder of its own"],
    ),
    "no image": (no_image, ["class 'a'", "has 0 images", "add images or remove the folder"]),
    "no image in train/ and test/": (
        no_image_in_two_levels,
        ["class 'a'", "has 0 images", "add images"],
    ),
    "other files only": (other_files_only, ["class 'a'", "has 0 images", "add images"]),
    "images without class folders": (images_without_folders, ["holds no class folders"]),
    "an empty class": (
        empty_class,
        ["class 'empty'", "has 0 images, needs 2", "add images or remove the folder"],
    ),
    "an empty class of test/": (
        empty_class_of_the_test_part,
        ["class 'empty'", "test has 0 images", "add images"],
    ),
    "one class": (one_class, ["only one class, 'lonely'", "needs two at least"]),
    "one image to be split": (
        one_image_in_a_class,
        ["class 'single'", "has 1 images, needs 2", "add images"],
    ),
    "all images equal": (
        all_images_equal,
        ["the same picture", "one of them"],
    ),
}


def test_what_cannot_be_learnt_from_is_refused_by_every_job_with_class_and_next_step(
    tmp_path: Path, make_folder: MakeFolder, capsys: pytest.CaptureFixture[str], tally: Tally
) -> None:
    failed, count = [], 0
    for number, (name, (make, words)) in enumerate(REFUSED.items()):
        root = tmp_path / str(number)
        make(root, make_folder)
        out = ["--out", str(tmp_path / "run")]
        for job in (
            ["train", *QUICK, *out],
            ["gain", *QUICK, *out],
            ["semi", "--labels", "2", *out],
            ["check"],
        ):
            code = cli.main(
                [job[0], str(root)] if job == ["check"] else [*job, "--data", str(root)]
            )
            captured = capsys.readouterr()
            text = captured.out + captured.err
            count += 1
            if (
                code != 3
                or not all(word in text for word in words)
                or list((tmp_path / "run").glob("checkpoints"))
            ):
                failed.append((name, job[0], code, text))
    tally(
        count,
        count - len(failed),
        "too few images or classes, or equal ones: exit 3 with class and next step",
    )
    assert not failed


def trained(root: Path, run: Path) -> int:
    return cli.main(["train", "--data", str(root), *QUICK, "--out", str(run)])


def finite_samples(run: Path) -> bool:
    source = load_source(run).source
    return all(bool(source.sample(label=name, n=2).isfinite().all()) for name in source.classes)


@pytest.mark.parametrize("images", [1, 2])
def test_one_or_two_images_in_a_class_are_enough(
    tmp_path: Path,
    make_folder: MakeFolder,
    images: int,
    capsys: pytest.CaptureFixture[str],
    tally: Tally,
) -> None:
    """In the training part; the rarest class is what synthetic images are for."""
    make_folder(tmp_path / "data" / "train", {"common": 6, "rare": images}, seed=0)
    make_folder(tmp_path / "data" / "test", {"common": 2, "rare": 1}, seed=1)
    run = tmp_path / "run"
    fine = cli.main(["check", str(tmp_path / "data")]) == 0 and trained(tmp_path / "data", run) == 0
    fine = fine and cli.main(["synth", str(run), "--class-balance"]) == 0 and finite_samples(run)
    counts = read_set(run / "synthetic").images.counts if fine else {}
    tally(
        1,
        int(counts == {0: 0, 1: 6 - images}),
        f"a class of {images}: trained on, and filled up to the largest",
    )
    assert counts == {0: 0, 1: 6 - images}, capsys.readouterr().err


def test_two_images_a_class_can_be_split(tmp_path: Path, make_folder: MakeFolder) -> None:
    data = load_data(DataConfig(data=str(make_folder(tmp_path / "data", {"a": 2, "b": 2}))), seed=0)
    assert (data.train.counts, data.test.counts) == ({0: 1, 1: 1}, {0: 1, 1: 1})


def test_training_images_may_all_be_equal(
    tmp_path: Path, make_folder: MakeFolder, capsys: pytest.CaptureFixture[str], tally: Tally
) -> None:
    """No spread in a batch: what divides by one must not divide by zero."""
    make_folder(tmp_path / "data" / "train", {"a": 4, "b": 4})
    make_folder(tmp_path / "data" / "test", {"a": 2, "b": 2}, seed=1)
    for path in (tmp_path / "data" / "train").rglob("*.png"):
        Image.new("RGB", (8, 8), (9, 9, 9)).save(path)
    code = trained(tmp_path / "data", tmp_path / "run")
    fine = code == 0 and finite_samples(tmp_path / "run")
    tally(1, int(fine), "training images that are all equal: trained on, samples are finite")
    assert fine, capsys.readouterr().err


@pytest.mark.faults
def test_a_gain_run_takes_the_rarest_classes(
    tmp_path: Path, make_folder: MakeFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder(tmp_path / "data" / "train", {"common": 8, "one": 1, "two": 2}, seed=0)
    make_folder(tmp_path / "data" / "test", {"common": 2, "one": 1, "two": 1}, seed=1)
    options = [
        "--classifier-steps",
        "2",
        "--replicates",
        "2",
        "--arms",
        "real,smote,classical,synthetic",
    ]
    code = cli.main(
        ["gain", "--data", str(tmp_path / "data"), *QUICK, *options, "--out", str(tmp_path / "g")]
    )
    assert code == 0, capsys.readouterr().err
    result = json.loads((tmp_path / "g" / "gain.json").read_text())
    assert result["training_counts"] == {"common": 8, "one": 1, "two": 2}


@pytest.mark.faults
def test_ten_thousand_classes_are_read_checked_and_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tally: Tally
) -> None:
    root, rng, bmp = tmp_path / "data", np.random.default_rng(0), io.BytesIO()
    Image.new("L", (8, 8)).save(bmp, "bmp")
    for label in range(MANY):
        (root / f"{label:05d}").mkdir(parents=True)
        for number in range(2):
            (root / f"{label:05d}" / f"{number}.bmp").write_bytes(
                bmp.getvalue()[:-64] + rng.bytes(64)
            )
    code = cli.main(["check", str(root), "--json"])
    found = json.loads(capsys.readouterr().out)
    fine = code == 0 and len(found["train"]) == MANY and set(found["train"].values()) == {1}
    code = trained(root, tmp_path / "run")
    fine = fine and code == 0 and len(load_source(tmp_path / "run").source.classes) == MANY
    tally(1, int(fine), f"{MANY} classes: checked and trained on")
    assert fine, capsys.readouterr().err
    shutil.rmtree(root)


def test_ten_thousand_classes_are_counted_stored_and_matched(tmp_path: Path, tally: Tally) -> None:
    names = tuple(f"class {label}" for label in range(MANY))
    real = {label: 1 + label % 3 for label in range(MANY)}
    added = resolve_counts("auto", real, names)
    assert sum(added.values()) == sum(3 - n for n in real.values())
    assert sum(fill_up(real, 5000).values()) == 5000
    assert match_classes(names, names[::-1]) == list(range(MANY))[::-1]
    counts = {names[label]: added[label] for label in range(0, MANY, 20)}
    seen = np.array([1], dtype=np.int64)
    recipe = Recipe(
        "f", "0" * 64, names, (1, 4, 4), counts, 0, "none", trained_on_digest(seen), format="shards"
    )
    write_set(
        tmp_path,
        recipe,
        seen,
        lambda c, n, start: (torch.zeros(n, 1, 4, 4), torch.arange(start, start + n)),
    )
    images = read_set(tmp_path).images
    found = {names[c]: n for c, n in images.counts.items() if n}
    tally(
        1,
        int(found == {name: n for name, n in counts.items() if n}),
        f"{MANY} classes: counted, stored, read back",
    )
    assert found == {name: n for name, n in counts.items() if n}
