"""Class lists that differ, and test images on the wrong side: refused, with names of what is
affected."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image

from augmentor.common.types import DataError
from augmentor.data.fingerprint import to_uint8
from augmentor.data.synthetic_mix import SyntheticMix
from augmentor.data.synthetic_store import read_set
from pipelines import cli
from pipelines.config import DataConfig
from pipelines.datasets import load_data
from tests.faults.plain_data import PlainData

Tally = Callable[[int, int, str], None]
MakeFolder = Callable[..., Path]
QUICK = ["--steps", "2", "--batch-size", "4", "--threads", "1"]


@dataclass
class Trained:
    """A data set of cat, dog and eel, a run on it, and a synthetic set of the run."""

    data: Path
    run: Path

    @property
    def train(self) -> list[str]:
        return ["train", "--data", str(self.data), *QUICK, "--out", str(self.run)]


@pytest.fixture
def trained(tmp_path: Path, make_folder: MakeFolder, capsys: pytest.CaptureFixture[str]) -> Trained:
    make_folder(tmp_path / "data" / "train", {"cat": 4, "dog": 3, "eel": 2}, seed=0)
    make_folder(tmp_path / "data" / "test", {"cat": 2, "dog": 2, "eel": 2}, seed=1)
    made = Trained(tmp_path / "data", tmp_path / "run")
    assert cli.main(made.train) == 0, capsys.readouterr().err
    assert cli.main(["synth", str(made.run), "--per-class", "1"]) == 0
    return made


def renamed(data: Path) -> None:
    for part in ("train", "test"):
        (data / part / "dog").rename(data / part / "hound")


def one_less(data: Path) -> None:
    for part in ("train", "test"):
        shutil.rmtree(data / part / "dog")


def one_more(data: Path) -> None:
    for part in ("train", "test"):
        (data / part / "yak").mkdir()
        for number, name in enumerate(("cat", "dog")):
            source = data / part / name / "0.png"
            (data / part / "yak" / f"{number}.png").write_bytes(_turned(source))


def _turned(path: Path) -> bytes:
    """Another picture than the one in the file."""
    buffer = io.BytesIO()
    Image.open(path).rotate(90).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize("change", [renamed, one_less, one_more])
def test_no_job_uses_a_source_on_data_of_other_classes(
    trained: Trained,
    change: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
    tally: Tally,
) -> None:
    change(trained.data)
    changed = {"renamed": "hound", "one_less": "dog", "one_more": "yak"}[change.__name__]
    jobs = [
        ["synth", str(trained.run), "--class-balance", "--out", str(trained.run) + "-2"],
        ["evaluate", str(trained.run), "--samples", "9"],
        [*trained.train, "--steps", "4", "--resume"],
    ]
    failed = []
    for job in jobs:
        capsys.readouterr()
        code = cli.main(job)
        err = capsys.readouterr().err
        if code != 3 or f"'{changed}'" not in err:
            failed.append((job[0], code, err))
    tally(
        len(jobs),
        len(jobs) - len(failed),
        f"data of other classes than the checkpoint's ({change.__name__}): refused",
    )
    assert not failed


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (["cat", "hound", "eel"], ["'hound'", "'dog'"]),
        (["cat", "eel"], ["'dog'"]),
        (["Cat", "dog", "eel"], ["'Cat'", "'cat'"]),
        (["0", "1", "2"], ["'0'", "'cat'"]),
    ],
)
def test_no_synthetic_set_is_mixed_into_data_of_other_classes(
    trained: Trained, classes: list[str], words: list[str], tally: Tally
) -> None:
    stored = read_set(trained.run / "synthetic")
    with pytest.raises(DataError) as caught:
        SyntheticMix(PlainData(classes), stored)
    named = all(word in str(caught.value) for word in words)
    tally(
        1, int(named), "synthetic set of other classes than the data's: refused, the classes named"
    )
    assert named, caught.value


def test_the_same_classes_in_another_order_are_matched_by_name(trained: Trained) -> None:
    """Never by position: that would swap labels without a word."""
    stored = read_set(trained.run / "synthetic")
    mix = SyntheticMix(PlainData(["eel", "cat", "dog"]), stored)
    by_name = {
        name: stored.images.x[stored.images.y == label][0]
        for label, name in enumerate(stored.images.classes)
    }
    synthetic = [mix[index] for index in range(len(mix)) if mix.is_synthetic(index)]
    assert len(synthetic) == 3
    for image, label in synthetic:
        assert torch.equal(
            to_uint8(by_name[mix.classes[label]]), (image * 255).round().to(torch.uint8)
        )


def test_a_test_image_in_the_training_part_is_refused_by_every_job(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str], tally: Tally
) -> None:
    test, leak = (
        trained.data / "test" / "dog" / "1.png",
        trained.data / "train" / "cat" / "leak.png",
    )
    shutil.copy(test, leak)
    data, out = ["--data", str(trained.data), *QUICK], ["--out", str(tmp_path / "new")]
    jobs = [
        ["check", str(trained.data)],
        ["train", *data, *out],
        ["train", *data, *out, "--dry-run"],
        ["gain", *data, *out],
        ["semi", "--data", str(trained.data), "--labels", "3", *out],
        ["synth", str(trained.run), "--class-balance", *out],
        ["evaluate", str(trained.run), "--samples", "9"],
    ]
    failed = []
    for job in jobs:
        code = cli.main(job)
        captured = capsys.readouterr()
        if code != 3 or not all(str(path) in captured.out + captured.err for path in (test, leak)):
            failed.append((job[0], code, captured.err))
    tally(
        len(jobs),
        len(jobs) - len(failed),
        "test image copied into the training part: refused, both files named",
    )
    assert not failed


def test_a_test_image_in_other_bytes_is_the_same_picture(
    trained: Trained, capsys: pytest.CaptureFixture[str], tally: Tally
) -> None:
    """Another format, metadata or name does not hide it: pixels are compared."""
    for number, suffix in enumerate(("bmp", "tiff", "ppm")):
        test = trained.data / "test" / "eel" / "0.png"
        leak = trained.data / "train" / "cat" / f"holiday {number}.{suffix}"
        Image.open(test).save(leak)
        code = cli.main(["check", str(trained.data)])
        text = capsys.readouterr().out
        tally(
            1,
            int(code == 3 and leak.name in text),
            f"test image in the training part as {suffix}: refused",
        )
        assert code == 3
        assert leak.name in text
        leak.unlink()


@pytest.fixture
def swapped(trained: Trained) -> Trained:
    """The source was trained on what is now the test part."""
    train, test = trained.data / "train", trained.data / "test"
    train.rename(trained.data / "other")
    test.rename(train)
    (trained.data / "other").rename(test)
    return trained


def test_a_source_that_was_trained_on_test_images_is_refused_naming_examples(
    swapped: Trained, capsys: pytest.CaptureFixture[str], tally: Tally
) -> None:
    code = cli.main(["evaluate", str(swapped.run), "--samples", "9"])
    err = capsys.readouterr().err
    example = str(swapped.data / "test" / "cat" / "0.png")
    fine = code == 3 and "trained on 9 of the test images" in err and example in err
    tally(1, int(fine), "evaluate of a source that saw the test part: refused, files named")
    assert fine, err


def test_a_synthetic_set_whose_source_saw_the_test_part_is_refused_naming_examples(
    swapped: Trained, tally: Tally
) -> None:
    data = load_data(DataConfig(data=str(swapped.data)), seed=0)
    stored = read_set(swapped.run / "synthetic")
    stored.refuse_seen(data.train.x)
    with pytest.raises(DataError) as caught:
        stored.refuse_seen(torch.cat([data.train.x, data.test.x]))
    words = "trained on 9 of these 15 images (number 6, 7, 8 and 6 more)"
    tally(
        1,
        int(words in str(caught.value)),
        "synthetic set whose source saw the test part: refused, numbers named",
    )
    assert words in str(caught.value)
