"""Conditions from metadata and folders: what loads, and what is refused with file and line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from augmentor.common.types import DataError
from pipelines import cli
from pipelines.check import check_data
from pipelines.conditions import metadata
from pipelines.conditions.attach import find_conditions
from pipelines.conditions.table import combination_table, without_pixels
from pipelines.config import DataConfig, config_from
from pipelines.datasets import load_data
from pipelines.image_folder import ImageTree

MakeFolder = Callable[..., Path]
CAMERAS = ("left", "right", "top")


@pytest.fixture
def parts(tmp_path: Path, make_folder: MakeFolder) -> Path:
    """Two classes; images 0 to 2 of each in training, 0 in the test part."""
    make_folder(tmp_path / "train", {"cat": 3, "dog": 3})
    make_folder(tmp_path / "test", {"cat": 1, "dog": 1}, seed=1)
    return tmp_path


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    """A row for every image: its camera, and where it hung."""
    rows = {}
    for path in sorted(folder.glob("*/*.png")):
        place = int(path.stem)
        name = path.relative_to(folder).as_posix()
        rows[name] = {"camera": CAMERAS[place], "height": str(place * 1.5), "site": f"s{place % 2}"}
    return rows


def write(folder: Path, rows: Mapping[str, Mapping[str, str]], prefix: str = "") -> None:
    columns = next(iter(rows.values()))
    lines = [",".join(["file_name", *columns])]
    lines += [",".join([prefix + name, *row.values()]) for name, row in rows.items()]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")


def described(root: Path, change: Callable[[dict[str, dict[str, str]]], object] = id) -> Path:
    """``train/`` and ``test/`` with metadata; ``change`` spoils the rows of ``train/``."""
    rows = rows_of(root / "train")
    change(rows)
    write(root / "train", rows)
    write(root / "test", rows_of(root / "test"))
    return root


def data(root: Path, *condition: str) -> DataConfig:
    return DataConfig(data=str(root), condition=condition)


def refused(capsys: pytest.CaptureFixture[str], root: Path, condition: str = "camera") -> str:
    """The one sentence of a run that ends with exit code 3; `check` says the same."""
    assert cli.main(["check", str(root), "--condition", condition]) == 3
    checked = capsys.readouterr().out
    with pytest.raises(DataError) as error:
        load_data(data(root, *condition.split(",")), seed=0)
    assert str(error.value).split(" (and ")[0].split("; ")[0] in checked
    return str(error.value)


def test_numbers_are_categories_where_they_are_said_to_be(parts: Path) -> None:
    described(parts)
    asked = DataConfig(data=str(parts), condition=("height",), categories=("height",))
    bundle = load_data(asked, seed=0)
    assert bundle.train.conditions.categories == ("0.0", "1.5", "3.0")
    assert load_data(data(parts, "height"), seed=0).train.conditions.are_numbers
    mixed = DataConfig(data=str(parts), condition=("camera", "height"), categories=("height",))
    assert "left, 0.0" in load_data(mixed, seed=0).train.conditions.categories
    with pytest.raises(ValueError, match="'site', which is not one of the conditions"):
        DataConfig(data=str(parts), condition=("height",), categories=("site",))


def test_a_single_name_needs_no_list() -> None:
    assert config_from({"data": {"condition": "camera"}}).data.condition == ("camera",)


def test_conditions_named_one_by_one_are_all_heeded(
    parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    described(parts)
    asked = ["check", str(parts), "--condition", "camera", "--condition", "site"]
    assert cli.main(asked) == 0
    told = capsys.readouterr()
    assert "condition camera, site, 3 categories" in told.out
    assert "--condition camera,site" in told.err


def test_numbers_that_float32_cannot_tell_apart_are_refused(
    parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def days(rows: dict[str, dict[str, str]]) -> None:
        for place, row in enumerate(rows.values()):
            row["height"] = str(20240101 + place)

    described(parts, days)
    assert "height holds numbers that are too near each other" in refused(capsys, parts, "height")


def test_classes_and_conditions_without_a_link_are_told(
    parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def one_to_one(rows: dict[str, dict[str, str]]) -> None:
        for name, row in rows.items():
            row["camera"] = "left" if name.startswith("cat") else "right"

    described(parts, one_to_one)
    assert cli.main(["check", str(parts), "--condition", "camera"]) == 0
    assert "classes and conditions fall into 2 groups" in capsys.readouterr().out


def test_names_as_windows_writes_them_are_found(
    parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def of_windows(rows: dict[str, dict[str, str]]) -> None:
        for name in [*rows]:
            rows[name.replace("/", "\\")] = rows.pop(name)

    described(parts)
    expected = load_data(data(parts, "camera"), 0).train.condition
    described(parts, of_windows)
    found = load_data(data(parts, "camera"), 0).train.condition
    assert expected is not None
    assert found is not None
    assert torch.equal(found, expected)
    described(parts, lambda rows: rows.update({"..\\test\\cat\\0.png": rows.pop("cat/1.png")}))
    assert "names ..\\test\\cat\\0.png" in refused(capsys, parts)


def test_words_are_categories_in_the_order_of_their_names(parts: Path) -> None:
    bundle = load_data(data(described(parts), "camera"), seed=0)
    assert bundle.train.conditions.categories == CAMERAS
    assert bundle.train.condition.tolist() == [0, 1, 2, 0, 1, 2]  # type: ignore[union-attr]
    assert bundle.test.conditions == bundle.train.conditions
    assert bundle.test.condition.tolist() == [0, 0]  # type: ignore[union-attr]
    assert "condition camera, 3 categories" in bundle.note


def test_numbers_are_a_vector_that_the_training_part_scales(parts: Path) -> None:
    train = load_data(data(described(parts), "height"), seed=0).train
    assert train.condition.tolist() == [[0.0], [1.5], [3.0]] * 2  # type: ignore[union-attr]
    assert (train.conditions.centre, train.conditions.scale) == ((1.5,), (1.5,))
    assert train.conditions.rows(train.condition).abs().max() == 1  # type: ignore[arg-type]


def test_several_word_columns_are_one_category(parts: Path) -> None:
    train = load_data(data(described(parts), "camera", "site"), seed=0).train
    assert train.conditions.categories == ("left, s0", "right, s1", "top, s0")


def test_json_lines_and_one_file_at_the_root(parts: Path) -> None:
    lines = []
    for part in ("train", "test"):
        for name, row in rows_of(parts / part).items():
            values = {"file_name": f"{part}/./{name}", "height": float(row["height"])}
            lines.append(json.dumps({**values, "box": [1, 2], "camera": row["camera"]}))
    (parts / "metadata.jsonl").write_text("\n\n".join(lines))
    both = load_data(data(parts, "camera"), seed=0).train, load_data(data(parts, "height"), 0).train
    assert both[0].condition.tolist() == [0, 1, 2, 0, 1, 2]  # type: ignore[union-attr]
    assert both[1].condition.flatten().tolist() == [0.0, 1.5, 3.0] * 2  # type: ignore[union-attr]


def test_the_folder_level(tmp_path: Path, make_folder: MakeFolder) -> None:
    make_folder(tmp_path / "cat", {"day": 4, "night": 4})
    make_folder(tmp_path / "dog", {"day": 4}, seed=1)  # a class seen in one condition only is fine
    train = load_data(data(tmp_path, "folder"), seed=0).train
    assert train.conditions.categories == ("day", "night")
    for label, condition in zip(train.y.tolist(), train.condition.tolist(), strict=True):  # type: ignore[union-attr]
        assert (label, condition) != (1, 1)
    report = check_data(data(tmp_path, "folder"))
    assert report.ok
    assert "classes seen in one condition only: 1" in report.text()


def test_an_image_outside_of_the_condition_folders(
    tmp_path: Path, make_folder: MakeFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder(tmp_path / "cat", {"day": 4, "night": 4})
    make_folder(tmp_path, {"dog": 3}, seed=1)
    assert "dog/0.png: lies in the folder of its class" in refused(capsys, tmp_path, "folder")


BAD = {
    "an image without a row": (
        lambda rows: rows.pop("cat/1.png"),
        "train/metadata.csv: has no row for the image cat/1.png; add one",
    ),
    "a missing file": (
        lambda rows: rows.update({"cat/9.png": rows["cat/1.png"]}),
        "train/metadata.csv:8: names cat/9.png, which is not in",
    ),
    "a file twice, with other values": (
        lambda rows: rows.update({"cat/./1.png": rows["cat/0.png"]}),
        "train/metadata.csv:8: names cat/./1.png again with other values than line 3",
    ),
    "a path that leaves the folder": (
        lambda rows: rows.update({"../test/cat/0.png": rows["cat/0.png"]}),
        "train/metadata.csv:8: file_name '../test/cat/0.png' is not a path inside this folder",
    ),
    "an absolute path": (
        lambda rows: rows.update({"/etc/hostname": rows["cat/0.png"]}),
        "train/metadata.csv:8: file_name '/etc/hostname' is not a path inside this folder",
    ),
    "an empty value": (
        lambda rows: rows["dog/0.png"].update(camera=" "),
        "train/metadata.csv:5: has no camera; write its value",
    ),
    "a number among words": (
        lambda rows: rows["dog/0.png"].update(camera="12"),
        "train/metadata.csv:5: camera is '12', but most values of this column are no numbers",
    ),
    "one condition for all": (
        lambda rows: [row.update(camera="left") for row in rows.values()],
        "camera is 'left' for every training image, so there is nothing to tell apart",
    ),
    "one value too many": (
        lambda rows: rows["dog/0.png"].update(site="a,b"),
        "train/metadata.csv:5: has 5 values for 4 columns",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_rows_are_told_with_file_and_line(
    kind: str, parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, sentence = BAD[kind]
    assert sentence in refused(capsys, described(parts, change))


@pytest.mark.parametrize("odd", ["NaN", "inf", "high", "1e99", "1_0"])
def test_what_is_no_finite_number_among_numbers(
    odd: str, parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    described(parts, lambda rows: rows["dog/1.png"].update(height=odd))
    found = refused(capsys, parts, "height")
    assert f"train/metadata.csv:6: height is {odd!r}, but most values" in found
    assert "or make categories of them: --categories height" in found


def test_names_with_numbers_and_underscores_are_words(parts: Path) -> None:
    described(
        parts, lambda rows: [row.update(site=f"2024_0{row['site'][1]}") for row in rows.values()]
    )
    assert load_data(data(parts, "site"), 0).train.conditions.categories[0] == "2024_00"


def test_words_and_numbers_do_not_mix(parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = refused(capsys, described(parts), "camera,height")
    assert "height holds numbers and camera holds words; name columns of one kind" in found


def test_an_unknown_column_names_the_known_ones(
    parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = refused(capsys, described(parts), "lens")
    assert "has no column 'lens'; its columns are camera, height, site" in found


def test_no_metadata_says_what_to_write(parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = refused(capsys, parts)
    assert "train: has no metadata.csv or metadata.jsonl" in found
    assert "--condition folder" in found


def spoil(file: Path, kind: str) -> str:
    """Spoil a metadata file; the sentence to be told."""
    text = file.read_bytes()
    if kind == "link":
        file.unlink()
        file.symlink_to("/etc/hostname")
        return "metadata.csv: a link that leads outside the folder"
    if kind == "pipe":
        file.unlink()
        os.mkfifo(file)
        return "metadata.csv: not a regular file"
    if kind == "two":
        file.with_suffix(".jsonl").write_text("{}")
        return "has both metadata.csv and metadata.jsonl"
    wanted = {
        "latin": (text.replace(b"left", b"l\xe9ft"), "metadata.csv:2: is not UTF-8"),
        "empty": (b"", "metadata.csv: has no rows"),
        "semicolons": (text.replace(b",", b";"), "separated by commas"),
        "quote": (text + b'"open', "metadata.csv:8: is not CSV"),
        "column twice": (text.replace(b"site", b"camera"), "metadata.csv:1: names a column twice"),
    }
    file.write_bytes(wanted[kind][0])
    return wanted[kind][1]


@pytest.mark.parametrize(
    "kind",
    ["link", "pipe", "two", "latin", "empty", "semicolons", "quote", "column twice"],
)
def test_files_that_cannot_be_used(
    kind: str, parts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = spoil(described(parts) / "train" / "metadata.csv", kind)
    assert sentence in refused(capsys, parts)


@pytest.mark.parametrize("line", ["{", "[1]", "[" * 100_000, '{"file_name": "a.png"'])
def test_json_that_is_none(line: str, parts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    described(parts)
    (parts / "train" / "metadata.csv").unlink()
    (parts / "train" / "metadata.jsonl").write_text(line)
    assert "metadata.jsonl:1: is no" in refused(capsys, parts).replace("is not", "is no")


def test_a_file_that_is_too_large(
    parts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metadata, "MOST_BYTES", 100)
    assert "MiB are more than" in refused(capsys, described(parts))


def test_lines_that_repeat_an_earlier_one_do_no_harm(parts: Path) -> None:
    described(parts, lambda rows: rows.update({"cat/./1.png": rows["cat/1.png"]}))
    report = check_data(data(parts, "camera"))
    assert report.ok
    assert "1 lines repeat an earlier one" in report.text()


def test_a_word_for_a_missing_value_is_told(parts: Path) -> None:
    described(parts, lambda rows: rows["cat/1.png"].update(camera="NaN"))
    report = check_data(data(parts, "camera"))
    assert report.ok
    assert any("the condition 'NaN' is a category of its own" in one for one in report.remarks)
    described(parts)
    assert not any(
        "category of its own" in one for one in check_data(data(parts, "camera")).remarks
    )


def test_rows_of_bad_files_are_the_bad_files_own_matter(parts: Path) -> None:
    described(parts)
    link = parts / "train" / "cat" / "1.png"
    link.unlink()
    link.symlink_to("/etc/hostname")
    report = check_data(data(parts, "camera"))
    assert [one.path for one in report.bad] == [link]
    assert report.problems == ()


def test_a_condition_in_the_test_part_alone_is_told(parts: Path) -> None:
    described(parts)
    rows = rows_of(parts / "test")
    rows["dog/0.png"]["camera"] = "below"
    write(parts / "test", rows)
    report = check_data(data(parts, "camera"))
    assert report.ok
    words = "1 in the test part alone: cannot be learned (below)"
    assert words in " ".join(report.text().split())
    assert "conditions in the test part alone, which nothing can be learned of: 1" in report.text()
    found = report.to_json()["combinations"]
    assert found["missing_in_test"] == [
        {"class": "dog", "condition": "below", "train": 0, "test": 1}
    ]
    assert words in load_data(data(parts, "camera"), 0).note


def test_the_table_in_text_and_json(parts: Path) -> None:
    described(parts, lambda rows: rows["dog/0.png"].update(camera="top"))
    report = check_data(data(parts, "camera"))
    found = report.to_json()["combinations"]
    assert json.loads(json.dumps(found)) == found
    assert (found["train"], found["test"]) == ([[1, 1, 1], [0, 1, 2]], [[1, 0, 0], [1, 0, 0]])
    assert found["missing_in_test"][0] == {
        "class": "dog",
        "condition": "left",
        "train": 0,
        "test": 1,
    }
    text = report.text()
    assert "missing in training, present in the test part: 1\n  dog × left" in text
    assert "\ndog                !   1   2\n" in text
    assert "\nb = right\n" in text


def test_a_table_of_ten_thousand_conditions_is_shortened(tmp_path: Path) -> None:
    count = 20_000
    folder = tmp_path / "train"
    paths = tuple(folder / f"c{i % 2}" / f"{i}.png" for i in range(count))
    tree = ImageTree(folder, ("c0", "c1"), paths, tuple(i % 2 for i in range(count)), (), 0)
    folder.mkdir()
    lines = [f"c{i % 2}/{i}.png,place {i // 2}" for i in range(count)]
    (folder / "metadata.csv").write_text("\n".join(["file_name,site", *lines]))
    index = list(range(count))
    found = find_conditions(tmp_path, (tree, index[:-9]), (tree, index[-9:]), ("site",))
    y = torch.tensor(tree.y)
    parts = []
    for labels, condition in ((y[:-9], found.train), (y[-9:], found.test)):
        parts.append(without_pixels(labels, tree.classes, condition, found.conditions))
    table = combination_table(parts[0], parts[1], found)
    lines = table.lines()
    assert found.conditions.size == 10_000
    assert len(lines) < 40
    assert max(map(len, lines)) <= 80
    assert len(table.to_json()["missing_in_test"]) == 9


def test_a_picture_under_two_conditions_is_left_out_of_a_split_made_here(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    make_folder(tmp_path / "cat", {"day": 6, "night": 6})
    make_folder(tmp_path / "dog", {"day": 6, "night": 6}, seed=1)
    for name in range(6):
        twin = tmp_path / "cat" / "night" / f"{name}.png"
        twin.write_bytes((tmp_path / "cat" / "day" / f"{name}.png").read_bytes())
    bundle = load_data(data(tmp_path, "folder"), seed=0)
    assert "test images are pictures of the training part too: left out" in bundle.note
    assert bundle.test_paths is not None
    assert len(bundle.test_paths) == len(bundle.test) < 6
    report = check_data(data(tmp_path, "folder"))
    assert report.ok
    assert "a run leaves them out of the test part" in report.text()


def test_data_without_conditions_are_loaded_as_before(parts: Path) -> None:
    assert load_data(DataConfig(data=str(parts)), seed=0).train.condition is None
    with pytest.raises(DataError, match="digits has no conditions"):
        load_data(DataConfig(condition=("look",)), seed=0)


@pytest.mark.parametrize("names", ["folder,camera", "camera,camera", "file_name", ","])
def test_names_that_are_no_condition(names: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "digits", "--condition", names]) == 2
    assert "condition" in capsys.readouterr().err
