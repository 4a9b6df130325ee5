from __future__ import annotations

import json
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path

import pytest
import torch
from pydantic import Field, create_model

from augmentor.common.types import LabelledImages
from downstream.arms.recipe import Recipe
from pipelines.config import PoolConfig, SourceConfig
from pipelines.device import threads_of_a_worker
from pipelines.experiment import parts as module
from pipelines.experiment.parts import (
    Part,
    PartError,
    PartStore,
    described,
    digest_of_images,
)
from pipelines.experiment.provenance import provenance_of_parts

PART = Part("training", "replicate 3, smote+classical", {"recipe": {"share": 0.5}, "seed": 7})


def store_with(folder: Path, part: Part = PART) -> PartStore:
    store = PartStore(folder)
    tensors = {"class_probs": torch.tensor([[0.25, 0.75]], dtype=torch.float16)}
    store.write(part, {"curve": [1, 2]}, tensors, seconds={"classifier": 1.5}, device="cpu")
    return store


def test_a_part_is_read_as_it_was_written(tmp_path: Path) -> None:
    store = store_with(tmp_path / "parts")
    found = store.read(PART)
    assert found.label == PART.label
    assert found.content == {"curve": [1, 2]}
    assert found.tensors["class_probs"].dtype == torch.float16
    assert found.tensors["class_probs"].tolist() == [[0.25, 0.75]]
    assert found.seconds == {"classifier": 1.5}
    assert found.device.startswith("cpu (")
    assert store.missing([PART]) == []


def test_a_result_of_parts_made_with_other_numbers_of_threads_says_so(tmp_path: Path) -> None:
    store = PartStore(tmp_path)
    for threads in (1, 2):
        with threads_of_a_worker(threads, 1):
            store.write(replace(PART, label=f"{threads}"), {}, seconds={}, device="cpu")
    found = [store.read(replace(PART, label=label)) for label in "12"]
    first, second = provenance_of_parts(found, 1.0, "x")["device"].split("; ")
    assert first.endswith(" cores, 1 thread)")
    assert second.endswith(" cores, 2 threads)")


@pytest.mark.parametrize("section", [SourceConfig, PoolConfig])
def test_a_new_key_at_its_default_renames_nothing(section: type[SourceConfig]) -> None:
    later = create_model("Later", __base__=section, extra_knob=(int, Field(default=1)))
    before = Part("training", "x", {"settings": described(section())})
    after = Part("training", "x", {"settings": described(later())})
    assert before.file_name == after.file_name
    changed = Part("training", "x", {"settings": described(later(extra_knob=2))})
    assert changed.file_name != before.file_name


def test_a_new_field_of_a_recipe_at_its_default_renames_nothing() -> None:
    later = make_dataclass("Later", [("extra_knob", int, 1)], bases=(Recipe,), frozen=True)
    recipe = {"augment": ("classical", "mixup"), "share": 0.25}
    assert described(later(**recipe)) == described(Recipe(**recipe))
    assert described(later(**recipe, extra_knob=2)) != described(Recipe(**recipe))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "row"},
        {"description": {"recipe": {"share": 0.25}, "seed": 7}},
        {"description": {"recipe": {"share": 0.5}, "seed": 8}},
    ],
)
def test_what_decides_is_in_the_name(change: dict[str, object]) -> None:
    assert replace(PART, **change).digest != PART.digest  # type: ignore[arg-type]


def test_the_version_of_a_deciding_package_is_in_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    before = PART.digest
    versions = module.package_versions()
    monkeypatch.setattr(module, "package_versions", lambda: versions | {"torch": "0.0"})
    assert replace(PART).digest != before


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "text"])
def test_a_damaged_part_is_named_and_made_again(tmp_path: Path, damage: str) -> None:
    store = store_with(tmp_path)
    path = store.path(PART)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-1] ^= 1  # one bit of the probabilities
    path.write_bytes(
        {"flip": bytes(data), "cut": bytes(data[:-3]), "empty": b"", "text": b"x" * 40}[damage]
    )
    with pytest.raises(PartError, match=r"training-replicate-3.*damaged"):
        store.read(PART)
    assert [row.status for row in store.rows([PART])] == ["damaged"]
    said = store.drop_damaged([PART])
    assert len(said) == 1
    assert "made again" in said[0]
    assert store.missing([PART]) == [PART]


def test_a_disk_that_cannot_be_read_costs_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_with(tmp_path)

    def fails(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(module, "mapped_tensors", fails)
    with pytest.raises(PermissionError):
        store.drop_damaged([PART])
    assert store.has(PART)


def test_a_file_that_holds_another_part_is_not_used(tmp_path: Path) -> None:
    other = replace(PART, description={"seed": 8})
    store = store_with(tmp_path, other)
    store.path(other).rename(store.path(PART))
    with pytest.raises(PartError, match="holds another part"):
        store.read(PART)


def test_a_part_of_another_plan_is_named_with_what_differs(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    wanted = replace(PART, description={"recipe": {"share": 0.25}, "seed": 7})
    (line,) = store.strangers([wanted])
    assert "recipe.share was 0.5, is 0.25" in line
    rows = store.rows([wanted])
    assert [row.status for row in rows] == ["missing", "of another plan"]
    assert "recipe.share was 0.5, is 0.25" in rows[1].reason


def test_of_many_differences_the_first_are_named(tmp_path: Path) -> None:
    found = {f"option_{letter}": 1 for letter in "abcdefgh"}
    store = store_with(tmp_path, replace(PART, description=found))
    (line,) = store.strangers([replace(PART, description=dict.fromkeys(found, 2))])
    assert "option_a was 1, is 2; option_b was 1, is 2; option_c was 1, is 2; and 5 more" in line
    assert "option_d" not in line


def test_not_a_number_is_refused_in_the_content(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        PartStore(tmp_path).write(PART, {"loss": float("nan")}, seconds={}, device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_names_are_safe_for_files(tmp_path: Path) -> None:
    part = Part("training", "100 labels, ../é*[x]", {})
    assert "/" not in part.file_name
    store = store_with(tmp_path, part)
    assert store.has(part)
    assert store.strangers([replace(part, description={"seed": 1})]) != []


def test_a_digest_of_images_changes_with_pixels_labels_and_names() -> None:
    x, y = torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])
    first = LabelledImages(x, y, ("a", "b"))
    others = [
        LabelledImages(x + 0.5, y, ("a", "b")),
        LabelledImages(x, 1 - y, ("a", "b")),
        LabelledImages(x, y, ("a", "c")),
    ]
    digests = {digest_of_images(one) for one in (first, *others)}
    assert len(digests) == 4
    assert digest_of_images(first, None) != digest_of_images(None, first)
    assert digest_of_images(first) == digest_of_images(first)


def test_a_description_is_plain_json() -> None:
    @dataclass(frozen=True)
    class Inner:
        path: Path | None = None
        numbers: tuple[int, ...] = ()

    found = described({"inner": Inner(Path("a"), (1, 2)), "same": Inner()})
    assert found == {"inner": {"path": "a", "numbers": [1, 2]}, "same": {}}
    json.dumps(found)
