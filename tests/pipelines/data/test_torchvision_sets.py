from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from augmentor.common.types import DataError
from augmentor.data.fingerprint import to_uint8
from pipelines.check import check_data
from pipelines.cli import main
from pipelines.config import DataConfig
from pipelines.data import full
from pipelines.data.table import NAMED_DATA
from pipelines.datasets import load_data
from tests.pipelines.data.layouts import LAYOUTS, cifar10, dtd, eurosat, food101

OF_TORCHVISION = [name for name, known in NAMED_DATA.items() if known.torchvision]


def named(name: str, root: Path, **settings: object) -> DataConfig:
    return DataConfig(data=name, data_root=root, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_set_in_torchvisions_layout_is_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, shape = LAYOUTS[name]
    written = write(tmp_path, monkeypatch)
    bundle = load_data(named(name, tmp_path), seed=0)
    assert (bundle.name, bundle.train.image_shape) == (name, shape)
    assert bundle.note.startswith(NAMED_DATA[name].split)
    for part, pixels, y in (
        (bundle.train, written.train, written.train_y),
        (bundle.test, written.test, written.test_y),
    ):
        assert part.classes == written.classes
        assert part.y.tolist() == y
        if pixels is not None:
            assert np.array_equal(to_uint8(part.x).numpy(), pixels)


@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_the_table_fits_torchvision(name: str) -> None:
    known = NAMED_DATA[name]
    kind = getattr(datasets, known.torchvision)
    names = inspect.signature(kind.__init__).parameters
    takes = set(names) | (
        set(inspect.signature(datasets.MNIST).parameters) if "kwargs" in names else set()
    )
    assert known.files
    assert not known.downloads or "download" in takes
    for keywords in (*known.keywords[0], *known.keywords[1]):
        assert set(keywords) <= takes


@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_a_set_that_is_not_to_be_had_ends_with_exit_code_3_and_the_place_of_its_files(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", name, "--data-root", str(tmp_path)]) == 3
    output, error = capsys.readouterr()
    last = error.strip().splitlines()[-1]
    assert output == ""
    assert f"{name}: neither in {tmp_path} nor to be downloaded" in last
    assert last.endswith(f"put the files in {tmp_path / NAMED_DATA[name].files} or set --data-root")


def test_other_sizes_and_grey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = cifar10(tmp_path, monkeypatch)
    grey = load_data(named("cifar10", tmp_path, grey=True), seed=0)
    assert written.train is not None
    for found, stored in zip(to_uint8(grey.train.x), written.train, strict=True):
        luma = np.asarray(Image.fromarray(stored.transpose(1, 2, 0)).convert("L"))
        assert np.array_equal(found[0].numpy(), luma)
    assert load_data(named("cifar10", tmp_path, size=16), seed=0).test.image_shape == (3, 16, 16)


def test_photos_are_larger_where_the_classifier_sees_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    food101(tmp_path, monkeypatch)
    data = named("food101", tmp_path, max_size=256, grey=True)
    assert load_data(data, seed=0).train.image_shape == (1, 256, 256)


def test_the_split_that_is_made_here_never_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eurosat(tmp_path, monkeypatch)
    first, other = (load_data(named("eurosat", tmp_path), seed) for seed in (0, 1))
    assert torch.equal(first.test.x, other.test.x)
    assert first.note == "stratified, a quarter is test, seed 0"


def test_check_lists_the_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar10(tmp_path, monkeypatch)
    report = check_data(named("cifar10", tmp_path))
    assert report.ok
    assert (report.form, report.train["kind 3"], report.test["kind 3"]) == ("32x32 RGB", 2, 1)


def test_parts_with_other_classes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dtd(tmp_path, monkeypatch)
    (tmp_path / "dtd" / "dtd" / "labels" / "test1.txt").write_text("woven/woven_test.jpg\n")
    with pytest.raises(DataError, match="class 'banded' is in one part of the data only"):
        load_data(named("dtd", tmp_path), seed=0)


def test_a_damaged_photo_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    food101(tmp_path, monkeypatch)
    cut_short = tmp_path / "food-101" / "images" / "waffles" / "train0.jpg"
    cut_short.write_bytes(cut_short.read_bytes()[:500])
    with pytest.raises(DataError, match=r"food101: image 2 cannot be read .* in .*food-101 anew"):
        load_data(named("food101", tmp_path), seed=0)


def test_what_does_not_fit_in_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    food101(tmp_path, monkeypatch)
    monkeypatch.setattr(full, "memory_bytes", lambda: 1_000_000)
    words = (
        r"food101: 8 images of 128x128 RGB take 2\.0 MB of memory, of which there are 1\.0 MB; "
        r"ask for a smaller --size"
    )
    with pytest.raises(DataError, match=words):
        load_data(named("food101", tmp_path), seed=0)
    assert load_data(named("food101", tmp_path, size=64), seed=0).train.image_shape[1] == 64
    monkeypatch.undo()
    assert full.memory_bytes() > 10**8


def test_a_set_by_name_has_no_conditions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cifar10 has no conditions"):
        load_data(named("cifar10", tmp_path, condition=("look",)), seed=0)
