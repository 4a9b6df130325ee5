"""Objects of every kind become one folder of images, without loss; what cannot be told is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, Subset, TensorDataset

from pipelines.config import ConfigError
from pipelines.image_folder import list_tree
from pipelines.outside.files import find_images
from pipelines.python.given_data import GivenData, sets_by_name, written
from pipelines.python.items import items_of
from pipelines.python.labels import class_folders
from pipelines.run_dir import RunDir

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (4, 8, 6, 3), dtype=np.uint8)
LABELS = [0, 1, 1, 0]
NAMES = ["cat", "dog"]


class Photos(Dataset[Any]):
    """In the style of torchvision: names of classes, and a transform that loses pixels."""

    classes = NAMES

    def __init__(self) -> None:
        self.transform = lambda image: image.resize((2, 2))

    def __len__(self) -> int:
        return len(LABELS)

    def __getitem__(self, i: int) -> Any:
        return self.transform(Image.fromarray(PIXELS[i])), LABELS[i]


def place(out: Path, train: Any, test: Any = None, **more: Any) -> Path:
    """The folder that the images are written to."""
    with written(GivenData(train, test, **more), out) as found:
        return found[0].publish(out)


def pixels_in(folder: Path) -> dict[str, list[Any]]:
    """The stored images of every class, in their order."""
    found = {}
    for path in sorted(one for one in folder.iterdir() if one.is_dir()):
        found[path.name] = [np.asarray(Image.open(one)) for one in sorted(path.iterdir())]
    return found


def kinds(root: Path) -> dict[str, Any]:
    """The same images and names in every form."""
    paths = []
    for i, pixels in enumerate(PIXELS):
        paths.append(root / f"{i}.png")
        Image.fromarray(pixels).save(paths[-1])
    first = np.ascontiguousarray(PIXELS.transpose(0, 3, 1, 2))
    words = [NAMES[label] for label in LABELS]
    return {
        "torchvision": Photos(),
        "subset": Subset(Photos(), [0, 1, 2, 3]),
        "channels last": (PIXELS, np.array(words)),
        "channels first": (first, words),
        "zero to one": (first.astype(np.float32) / 255, words),
        "minus one to one": (torch.from_numpy(first) / 127.5 - 1, words),
        "list of pictures": list(zip(map(Image.fromarray, PIXELS), words, strict=True)),
        "paths": list(zip(map(str, paths), words, strict=True)),
    }


KINDS = (
    "torchvision",
    "subset",
    "channels last",
    "channels first",
    "zero to one",
    "minus one to one",
    "list of pictures",
    "paths",
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_form_gives_the_same_pictures(tmp_path: Path, kind: str) -> None:
    given = kinds(tmp_path)[kind]
    found = pixels_in(place(tmp_path / "run", given) / "train")
    assert list(found) == NAMES
    np.testing.assert_array_equal(found["cat"], PIXELS[[0, 3]])
    np.testing.assert_array_equal(found["dog"], PIXELS[[1, 2]])


def test_a_tensor_data_set_takes_names_from_the_caller(tmp_path: Path) -> None:
    given = TensorDataset(torch.from_numpy(PIXELS[..., 0]), torch.tensor(LABELS))
    found = pixels_in(place(tmp_path, given, class_names=NAMES) / "train")
    np.testing.assert_array_equal(found["dog"], PIXELS[[1, 2], :, :, 0])


def test_hugging_face(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)}
    )
    rows = {"image": list(map(Image.fromarray, PIXELS)), "label": LABELS}
    given = datasets.Dataset.from_dict(rows, features=features).with_format("torch")
    found = pixels_in(place(tmp_path, given) / "train")
    np.testing.assert_array_equal(found["cat"], PIXELS[[0, 3]])
    with pytest.raises(ValueError, match=r"choose one, such as data\['train'\]"):
        items_of(datasets.DatasetDict({"train": given}), "train_set")


def test_a_table_of_paths(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    rows = kinds(tmp_path)["paths"]
    table = pandas.DataFrame({"file": [row[0] for row in rows], "kind": [row[1] for row in rows]})
    found = pixels_in(place(tmp_path / "run", table) / "train")
    np.testing.assert_array_equal(found["dog"], PIXELS[[1, 2]])
    with pytest.raises(ValueError, match="rename them to path and label"):
        items_of(table.assign(more=1), "train_set")


def test_equal_images_are_kept_and_others_refused(tmp_path: Path) -> None:
    first = place(tmp_path, (PIXELS, LABELS), (PIXELS[::-1], LABELS[::-1]))
    assert sorted(path.name for path in first.iterdir()) == ["given.json", "test", "train"]
    record = json.loads((first / "given.json").read_text())
    assert record["images"] == {"train": 4, "test": 4}
    assert place(tmp_path, (PIXELS, LABELS), (PIXELS[::-1], LABELS[::-1])) == first
    RunDir(tmp_path).parts.mkdir()
    with pytest.raises(ConfigError, match="holds other images than those given; give another out"):
        place(tmp_path, (255 - PIXELS, LABELS))
    assert not list(tmp_path.glob(".given*"))


def test_images_of_a_call_that_made_nothing_of_them_give_way(tmp_path: Path) -> None:
    place(tmp_path, (PIXELS, LABELS))
    found = pixels_in(place(tmp_path, (255 - PIXELS, LABELS)) / "train")
    np.testing.assert_array_equal(found["0"], 255 - PIXELS[[0, 3]])
    (tmp_path / "data" / "given.json").unlink()  # a folder of the user's stays
    with pytest.raises(ConfigError, match="holds other images"):
        place(tmp_path, (PIXELS, LABELS))


def test_classes_keep_names_that_no_folder_can_bear(tmp_path: Path) -> None:
    names = ["and/or", "con", "x"]
    labels = [names[0], names[1], names[2], names[0]]
    given = GivenData((PIXELS, labels), synthetic={"made": (PIXELS[:1], labels[:1])})
    with written(given, tmp_path) as found:
        data, made = (one.publish(tmp_path) for one in found)
    assert sorted(list_tree(data / "train").classes) == names
    assert list(find_images(made).classes) == names[:1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((PIXELS, [0, 1, None, 1]), "train_set: item 2 has no label"),
        ((PIXELS, [0.0, 1.5, 1, 0]), "labels must be words, or whole numbers from 0 on"),
        ((PIXELS, [0, 1, float("nan"), 0]), "has no label"),
        ((PIXELS, [0, -1, 1, 0]), "has no label"),
        ((PIXELS, [0, 0, 0, 0]), "images of two classes at least"),
        ((PIXELS, [0, 1]), "4 images and 2 labels"),
        ((PIXELS.astype(np.float32), LABELS), r"such as value_range=\(0, 255\)"),
        ((PIXELS.astype(np.int64), LABELS), "say what black and white are by value_range"),
        ((PIXELS.reshape(4, -1, 9, 2), LABELS), "give 1, 3 or 4 channels"),
        (PIXELS, "ndarray has no images with labels; give a folder"),
        ([("gone.png", "cat"), ("gone.png", "dog")], "gone.png is not an image file"),
        ((PIXELS, ["a:b", "a?b", "a:b", "c"]), "are spelled alike"),
    ],
)
def test_what_cannot_be_told_is_one_sentence(tmp_path: Path, given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        place(tmp_path, given)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "data").exists()


def test_the_range_can_be_told(tmp_path: Path) -> None:
    given = (PIXELS.astype(np.float32), LABELS)
    found = pixels_in(place(tmp_path, given, value_range=(0, 255)) / "train")
    np.testing.assert_array_equal(found["0"], PIXELS[[0, 3]])


@pytest.mark.parametrize("wrong", [(255, 0), (0, 1), (float("nan"), 255)])
def test_a_range_that_the_images_do_not_have_is_refused(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(ValueError, match="value_range="):
        place(tmp_path, (PIXELS.astype(np.float32), LABELS), value_range=wrong)


def test_a_number_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give one for every label by class_names"):
        place(tmp_path, (PIXELS, [0, 1, 2, 0]), class_names=NAMES)


def test_class_names_become_safe_folders() -> None:
    assert class_folders(["a/b", "..", "ok"]) == {"a/b": "a_b", "..": "__", "ok": "ok"}


def test_a_class_has_one_folder_whatever_its_place() -> None:
    """Parts of the data meet their classes in another order."""
    names = ["class_2", "con", "class_0", "a\u00a0b", "x" * 300]
    first, again = class_folders(names), class_folders(names[::-1])
    assert first == again
    assert (first["class_2"], first["class_0"]) == ("class_2", "class_0")
    assert len(set(first.values())) == len(names)
    assert first["con"].startswith("class-")


class Renamed(Photos):
    """The same images with another order of names, as when some classes alone were rendered."""

    classes: ClassVar[list[str]] = ["dog", "cat"]


def test_every_set_of_images_has_its_own_class_names(tmp_path: Path) -> None:
    given = GivenData(Photos(), Renamed(), synthetic={"made": Renamed()})
    with written(given, tmp_path) as found:
        data, made = (one.publish(tmp_path) for one in found)
    for folder in (data / "test", made):
        stored = pixels_in(folder)
        assert len(stored["dog"]) == len(stored["cat"]) == 2
        assert (stored["dog"][0] == PIXELS[0]).all(), "label 0 is its dog"
    assert (pixels_in(data / "train")["cat"][0] == PIXELS[0]).all()
    renamed = GivenData(Photos(), Renamed(), class_names=["Katze", "Hund"])
    with written(renamed, tmp_path / "other") as found:
        data = found[0].publish(tmp_path / "other")
    assert (pixels_in(data / "test")["Hund"][0] == PIXELS[0]).all()


def test_a_folder_that_is_called_otherwise_is_refused() -> None:
    with pytest.raises(ConfigError, match="a folder is called after itself, not 'sd'"):
        sets_by_name({"sd": "runs/rendered"})
    assert sets_by_name({"rendered": "runs/rendered"}) == {"rendered": "runs/rendered"}


@pytest.mark.parametrize("mode", ["I", "F"])
def test_a_picture_whose_white_is_not_known_is_refused(tmp_path: Path, mode: str) -> None:
    pictures = [(Image.fromarray(pixels).convert(mode), "cat") for pixels in PIXELS]
    with pytest.raises(ValueError, match=f"item 0: the image has the mode {mode}"):
        place(tmp_path, pictures)


def test_folders_pass_through_and_sets_have_names() -> None:
    assert GivenData("photos").on_disk == "photos"
    assert GivenData("photos/train", Path("photos/test")).on_disk == "photos"
    assert GivenData("photos", "other").on_disk is None
    assert list(sets_by_name((PIXELS, LABELS))) == ["synthetic"]
    assert list(sets_by_name(["rendered", (PIXELS, LABELS)])) == ["rendered", "synthetic-2"]
    assert list(sets_by_name({"diffusion": (PIXELS, LABELS)})) == ["diffusion"]


def test_conditions_are_columns_of_a_table(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    rows = kinds(tmp_path)["paths"]
    table = pandas.DataFrame(rows, columns=["path", "label"]).assign(camera=list("nsns"))
    folder = place(tmp_path / "run", table, condition=("camera",))
    lines = (folder / "train" / "metadata.csv").read_text().split()
    assert lines == [
        "file_name,camera",
        "cat/0000000.png,n",
        "dog/0000001.png,s",
        "dog/0000002.png,n",
        "cat/0000003.png,s",
    ]
    with pytest.raises(
        ValueError, match="no column 'light'; give it by conditions, or a table of path, label and"
    ):
        place(tmp_path / "other", table, condition=("camera", "light"))
    with pytest.raises(ValueError, match="train_set has no column 'light'"):
        place(tmp_path / "other", (PIXELS, LABELS), condition=("light",))


def test_conditions_of_arrays(tmp_path: Path) -> None:
    light = {"light": np.array([3, 4, 5, 6]), "camera": list("nsns")}
    other = {"light": [1, 1, 2, 2], "camera": ["n"] * 4}
    more: dict[str, Any] = {"condition": ("camera", "light"), "class_names": NAMES}
    arrays = PIXELS, LABELS
    folder = place(tmp_path, arrays, arrays, conditions=light, test_conditions=other, **more)
    assert (folder / "train" / "metadata.csv").read_text().split() == [
        "file_name,camera,light",
        "cat/0000000.png,n,3",
        "dog/0000001.png,s,4",
        "dog/0000002.png,n,5",
        "cat/0000003.png,s,6",
    ]
    assert "dog/0000002.png,n,2" in (folder / "test" / "metadata.csv").read_text()


def test_conditions_that_cannot_be_used(tmp_path: Path) -> None:
    arrays = PIXELS, LABELS
    with pytest.raises(ValueError, match="'light' has 3 values, train_set has 4 images"):
        place(tmp_path, arrays, conditions={"light": [1, 2, 3]}, condition=("light",))
    with pytest.raises(ValueError, match="conditions must be a dict of columns"):
        place(tmp_path, arrays, conditions=[1, 2, 3, 4], condition=("light",))
    for lost in (None, float("nan")):
        with pytest.raises(ValueError, match="train_set: item 2 has no light"):
            place(tmp_path, arrays, conditions={"light": [1, 2, lost, 2]}, condition=("light",))
    known = {"light": [1, 2, 1, 2]}
    with pytest.raises(ValueError, match="test_set has no column 'light'; give it by conditions"):
        place(tmp_path, arrays, arrays, conditions=known, condition=("light",))
    with pytest.raises(ValueError, match="those of a folder stand in its metadata"):
        GivenData("photos", conditions={"light": [1]})
