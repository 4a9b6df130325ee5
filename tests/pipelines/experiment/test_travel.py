"""What a task takes to a machine without its files, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from pipelines.config import Config, DataConfig
from pipelines.datasets import all_images, files_of, images_at_hand, load_data
from pipelines.experiment.engine import PART_MADE
from pipelines.experiment.parts import PartStore
from pipelines.experiment.travel import (
    Luggage,
    Report,
    data_of,
    lay,
    moved,
    packed,
    performed,
)
from tests.pipelines.experiment.travellers import make_numbers, numbers


def reports_of(luggage: Luggage) -> list[Report]:
    return list(performed(make_numbers, luggage, {}, 1))


def test_a_task_is_done_away_from_its_folder_and_its_files_come_back(tmp_path: Path) -> None:
    (tmp_path / "out" / "parts").mkdir(parents=True)
    task = numbers(tmp_path / "out" / "parts", 1, 2, 3).task
    store = PartStore(task.folder)
    store.write(task.parts[1], {"number": 7}, seconds={}, device="cpu")
    luggage = packed(task)
    task.beside.unlink()  # it travels
    before = sorted(path.name for path in task.folder.iterdir())
    heard = reports_of(luggage)
    assert sorted(path.name for path in task.folder.iterdir()) == before
    assert [one.note for one in heard] == [PART_MADE + "number 1", PART_MADE + "number 3", ""]
    assert [len(one.files) for one in heard] == [1, 1, 0]
    for one in heard:
        lay(luggage.root, one.files)
    assert [store.read(part).content["number"] for part in task.parts] == [1001, 7, 1003]


def test_what_a_task_raises_is_reported_and_versions_must_agree(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    task = numbers(tmp_path / "out" / "parts", 1, wrong="no such number").task
    (last,) = reports_of(packed(task))
    assert isinstance(last.error, ValueError)
    luggage = packed(task)
    other = {**luggage.versions, "torch": "1.0"}
    changed = Luggage(
        luggage.task, luggage.root, luggage.below, luggage.beside, luggage.returns, other
    )
    (last,) = reports_of(changed)
    assert "the driver 1.0" in str(last.error)


def test_files_stay_below_their_folder(tmp_path: Path) -> None:
    for name in ("../x", "/x", "a/../../x"):
        with pytest.raises(ValueError, match="leads out"):
            lay(tmp_path, {name: b""})
    lay(tmp_path, {"a/b": b"1", "c": b"2"})
    lay(tmp_path, {"a/b": None})
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["c"]


@dataclass(frozen=True)
class Nested:
    paths: dict[str, Path]
    tensor: torch.Tensor


def test_paths_are_moved_wherever_they_are_and_nothing_else_is_copied() -> None:
    one = Nested({"a": Path("x/y/z"), "b": Path("w")}, torch.zeros(2))
    found = moved([one, Path("x/y")], {Path("x/y"): Path("t")})
    assert found[0].paths == {"a": Path("t/z"), "b": Path("w")}
    assert found[0].tensor is one.tensor
    assert found[1] == Path("t")
    assert moved(one, {Path("elsewhere"): Path("t")}) is one


def test_the_data_of_a_task_are_found_once_and_drawn_from(make_folder, tmp_path: Path) -> None:
    counts = {"cat": 9, "dog": 9}
    root = make_folder(tmp_path / "photos", counts)
    few = DataConfig(data=str(root), size=8, labels=4)
    more = DataConfig(data=str(root), size=8, labels=6)
    found = data_of((few, Config(data=more)))
    assert found == [files_of(few)]
    expected = load_data(few, 3)
    images = {found[0]: all_images(found[0])}
    root.rename(tmp_path / "gone")
    with images_at_hand(images):
        bundle = load_data(few, 3)
    assert torch.equal(bundle.train.x, expected.train.x)
    assert bundle.pool is not None
    assert expected.pool is not None
    assert torch.equal(bundle.pool, expected.pool)
    assert torch.equal(bundle.test.x, expected.test.x)
