from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augmentor.common.types import DataError
from augmentor.data.fingerprint import to_uint8
from pipelines.cli import main
from pipelines.config import DataConfig
from pipelines.data import full
from pipelines.data.hugging_face import HubName, hub_name
from pipelines.datasets import load_data
from tests.pipelines.data.layouts import noise, save

hub = pytest.importorskip("datasets", reason="datasets is not installed")


def part(count: int, seed: int, names: tuple[str, ...] = ("cat", "dog"), **more: Any) -> Any:
    """A split of noise whose classes take turns; ``more`` are further columns and features."""
    pixels = noise(count, 28, 30, 3, seed=seed)
    columns = {"picture": [Image.fromarray(one) for one in pixels]}
    columns["kind"] = [i % 2 for i in range(count)]
    features = {"picture": hub.Image(), "kind": hub.ClassLabel(names=list(names))}
    for name, feature in more.items():
        columns[name], features[name] = columns["kind"], feature
    return hub.Dataset.from_dict(columns, features=hub.Features(features))


def load(folder: Path, **settings: Any) -> Any:
    return load_data(DataConfig(data=f"hf:{folder}", **settings), seed=0)


def test_a_saved_set_with_two_splits(tmp_path: Path) -> None:
    hub.DatasetDict(train=part(6, 0), test=part(4, 1)).save_to_disk(tmp_path / "pets")
    bundle = load(tmp_path / "pets")
    assert (bundle.name, bundle.note) == ("pets", "splits train and test")
    assert bundle.train.classes == bundle.test.classes == ("cat", "dog")
    assert (bundle.train.y.tolist(), bundle.test.y.tolist()) == ([0, 1] * 3, [0, 1] * 2)
    with pytest.raises(DataError, match="splits train and test: has a test part"):
        load(tmp_path / "pets", test_fraction=0.5)
    assert bundle.train.image_shape == (3, 28, 28)
    stored = noise(4, 28, 30, 3, seed=1).transpose(0, 3, 1, 2)
    assert np.array_equal(to_uint8(bundle.test.x).numpy(), stored[..., 1:29])


def test_validation_stands_in_for_a_test_split_without_labels(tmp_path: Path) -> None:
    untold = part(4, 1).map(lambda row: {"kind": -1})
    splits = {"train": part(6, 0), "test": untold, "validation": part(2, 2)}
    hub.DatasetDict(splits).save_to_disk(tmp_path / "d")
    bundle = load(tmp_path / "d")
    assert (bundle.note, len(bundle.test)) == ("splits train and validation", 2)


def test_without_a_split_for_training_the_splits_are_named(tmp_path: Path) -> None:
    hub.DatasetDict(test=part(4, 0), validation=part(4, 1)).save_to_disk(tmp_path / "d")
    with pytest.raises(DataError, match="none of its splits is called train: test, validation"):
        load(tmp_path / "d")


def test_one_split_is_split_by_a_rule(tmp_path: Path) -> None:
    part(16, 0).save_to_disk(tmp_path / "d")
    bundle = load(tmp_path / "d", test_fraction=0.25)
    assert bundle.note == "split train, 0.25 of a class is test, seed 0"
    assert (bundle.train.counts, bundle.test.counts) == ({0: 6, 1: 6}, {0: 2, 1: 2})


def test_a_folder_of_images_is_read_by_datasets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for split, seed in (("train", 0), ("test", 10)):
        for name in ("cat", "dog"):
            for i in range(2):
                path = tmp_path / "d" / split / name / f"{i}.png"
                save(path, noise(3, 16, 16, seed=seed + i + 5 * (name == "dog")))
    bundle = load(tmp_path / "d")
    assert (bundle.train.classes, bundle.train.image_shape) == (("cat", "dog"), (3, 16, 16))
    assert (len(bundle.train), len(bundle.test)) == (4, 4)


def test_the_column_is_said_where_there_are_two(tmp_path: Path) -> None:
    coarse = hub.ClassLabel(names=["beast", "pet"])
    splits = {"train": part(6, 0, coarse=coarse), "test": part(4, 1, coarse=coarse)}
    hub.DatasetDict(splits).save_to_disk(tmp_path / "d")
    words = r"2 columns of classes \(ClassLabel\), kind, coarse; say which, as in hf:.*d#kind$"
    with pytest.raises(DataError, match=words):
        load(tmp_path / "d")
    named = load_data(DataConfig(data=f"hf:{tmp_path / 'd'}#coarse"), seed=0)
    assert (named.name, named.train.classes) == ("d", ("beast", "pet"))
    with pytest.raises(DataError, match="no column 'fine'; its columns are picture, kind, coarse"):
        load_data(DataConfig(data=f"hf:{tmp_path / 'd'}#fine"), seed=0)


def test_a_set_without_classes_is_refused(tmp_path: Path) -> None:
    part(4, 0).remove_columns("kind").save_to_disk(tmp_path / "d")
    with pytest.raises(
        DataError, match=r"no column of classes \(ClassLabel\); its columns are pic"
    ):
        load(tmp_path / "d")


def test_test_images_that_are_training_images_are_left_out(tmp_path: Path) -> None:
    both = hub.concatenate_datasets([part(4, 1), part(6, 0).select([0, 1])])
    hub.DatasetDict(train=part(6, 0), test=both).save_to_disk(tmp_path / "d")
    bundle = load(tmp_path / "d")
    assert len(bundle.test) == 4
    assert "2 test images are pictures of the training part too: left out" in bundle.note


def test_classes_without_images_are_left_out(tmp_path: Path) -> None:
    names = ("cat", "dog", "unicorn")
    hub.DatasetDict(train=part(6, 0, names), test=part(4, 1, names)).save_to_disk(tmp_path / "d")
    assert load(tmp_path / "d").train.classes == ("cat", "dog")
    alone = part(6, 0, names).map(lambda row: {"kind": 2 * row["kind"]})
    hub.DatasetDict(train=alone, test=part(4, 1, names)).save_to_disk(tmp_path / "e")
    with pytest.raises(DataError, match="class 'dog' has test images alone"):
        load(tmp_path / "e")


def test_rows_without_a_class_or_with_a_damaged_image_are_named(tmp_path: Path) -> None:
    untold = part(6, 0).map(
        lambda row, i: {"kind": -1 if i == 3 else row["kind"]}, with_indices=True
    )
    untold.save_to_disk(tmp_path / "d")
    with pytest.raises(DataError, match="row 3 has no class in 'kind'"):
        load(tmp_path / "d")
    files = [{"bytes": b"no image", "path": None}] * 4
    features = hub.Features({"picture": hub.Image(), "kind": hub.ClassLabel(names=["a", "b"])})
    columns = {"picture": files, "kind": [0, 1, 0, 1]}
    hub.Dataset.from_dict(columns, features=features).save_to_disk(tmp_path / "e")
    with pytest.raises(DataError, match="the image of row 0 cannot be used: not an image"):
        load(tmp_path / "e")


def test_what_does_not_fit_in_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part(16, 0).save_to_disk(tmp_path / "d")
    monkeypatch.setattr(full, "memory_bytes", lambda: 10**5)
    with pytest.raises(DataError, match=r"16 images of 28x28 RGB take 0\.2 MB of memory"):
        load(tmp_path / "d")


def test_no_network_and_no_package_are_one_sentence_and_exit_code_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "hf:nobody/no-such-set"]) == 3
    output, error = capsys.readouterr()
    assert output == ""
    assert "hf:nobody/no-such-set: cannot be loaded" in error.strip().splitlines()[-1]
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert main(["check", "hf:nobody/no-such-set"]) == 3
    assert "needs the package datasets; pip install datasets" in capsys.readouterr().err


def test_check_reads_a_set_of_the_hub(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub.DatasetDict(train=part(6, 0), test=part(4, 1)).save_to_disk(tmp_path / "pets")
    assert main(["check", f"hf:{tmp_path / 'pets'}"]) == 0
    assert "pets: 2 classes, 6 training and 4 test images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("hf:mnist", HubName("mnist")),
        ("hf:ylecun/mnist", HubName("ylecun/mnist")),
        ("hf:owner/name/config", HubName("owner/name", "config")),
        ("hf:owner/name#img, fine", HubName("owner/name", None, ("img", "fine"))),
    ],
)
def test_names(name: str, meant: HubName) -> None:
    assert hub_name(name) == meant


def test_no_name_is_refused() -> None:
    with pytest.raises(DataError, match="names no data set"):
        hub_name("hf:")


def test_a_split_that_numbers_the_classes_its_own_way_is_read_by_name(tmp_path: Path) -> None:
    splits = {"train": part(6, 0), "test": part(4, 1, names=("dog", "cat"))}
    hub.DatasetDict(splits).save_to_disk(tmp_path / "d")
    assert load(tmp_path / "d").test.y.tolist() == [1, 0] * 2
    splits["test"] = part(4, 1, names=("dog", "horse"))
    hub.DatasetDict(splits).save_to_disk(tmp_path / "e")
    with pytest.raises(DataError, match="row 1 is of class 'horse', which training lacks"):
        load(tmp_path / "e")


def test_a_test_split_without_classes_is_passed_over(tmp_path: Path) -> None:
    splits = {"train": part(6, 0), "validation": part(4, 2)}
    splits["test"] = part(4, 1).remove_columns("kind")
    hub.DatasetDict(splits).save_to_disk(tmp_path / "d")
    assert load(tmp_path / "d").note == "splits train and validation"
