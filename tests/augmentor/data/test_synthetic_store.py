from __future__ import annotations

import io
import itertools
import json
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torchvision.datasets import ImageFolder

from augmentor.common.types import DataError
from augmentor.data.fingerprint import fingerprints, from_uint8, to_uint8
from augmentor.data.synthetic_store import (
    Recipe,
    ShardReader,
    folder_names,
    read_manifest,
    read_recipe,
    read_set,
    safe_folder_name,
    trained_on_digest,
    write_set,
)

SEEN = from_uint8(
    torch.arange(5 * 3 * 16, dtype=torch.int64).remainder(256).to(torch.uint8).reshape(5, 3, 4, 4)
)
TRAINED_ON = fingerprints(SEEN)


def recipe(**changes: Any) -> Recipe:
    basis = Recipe(
        family="echo",
        source_sha256="0" * 64,
        classes=("cat", "../dog", "emu"),
        image_shape=(3, 4, 4),
        counts={"cat": 5, "../dog": 3, "emu": 0},
        seed=1,
        source_augment="none",
        trained_on=trained_on_digest(TRAINED_ON),
        shard_size=2,
    )
    return replace(basis, **changes)


class Renderer:
    """Keeps every second candidate; a candidate's pixels depend on class and number only. Notes
    what it was asked."""

    def __init__(self, shape: tuple[int, int, int] = (3, 4, 4)) -> None:
        self.shape = shape
        self.calls: list[tuple[int, int, int]] = []

    def __call__(self, class_index: int, n: int, start: int) -> tuple[Tensor, Tensor]:
        self.calls.append((class_index, n, start))
        candidates = torch.arange(start + start % 2, start + start % 2 + 2 * n, 2)
        return torch.stack([self.image(class_index, int(c)) for c in candidates]), candidates

    def image(self, class_index: int, candidate: int) -> Tensor:
        rng = torch.Generator().manual_seed(1000 * class_index + candidate)
        return from_uint8(torch.randint(0, 256, self.shape, generator=rng, dtype=torch.uint8))


class Stop(BaseException):
    pass


def stop_after(calls: int) -> Any:
    counter = itertools.count(1)

    def on_shard(done: int, total: int) -> None:
        if next(counter) == calls:
            raise Stop

    return on_shard


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


BOTH = pytest.mark.parametrize("form", ["folder", "shards"])


@BOTH
def test_what_is_written_is_read(tmp_path: Path, form: Any) -> None:
    renderer = Renderer()
    write_set(tmp_path / "s", recipe(format=form), TRAINED_ON, renderer)
    stored = read_set(tmp_path / "s")
    expected = [renderer.image(c, 2 * i) for c, n in ((0, 5), (1, 3)) for i in range(n)]
    assert torch.equal(stored.images.x, torch.stack(expected))
    assert stored.images.y.tolist() == [0] * 5 + [1] * 3
    assert stored.images.classes == ("cat", "../dog", "emu")
    assert stored.recipe == recipe(format=form)
    assert sorted(stored.trained_on) == sorted(TRAINED_ON)


@BOTH
def test_grey_images(tmp_path: Path, form: Any) -> None:
    renderer = Renderer((1, 4, 4))
    write_set(tmp_path / "s", recipe(format=form, image_shape=(1, 4, 4)), TRAINED_ON, renderer)
    assert torch.equal(read_set(tmp_path / "s").images.x[6], renderer.image(1, 2))


def test_folder_is_an_image_folder(tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    write_set(tmp_path / "s", recipe(), TRAINED_ON, Renderer())
    dataset = ImageFolder(str(tmp_path / "s"))
    assert dataset.classes == ["cat", "class_0001"]
    assert dataset.targets == [0] * 5 + [1] * 3


def test_shards_have_webdataset_layout(tmp_path: Path) -> None:
    write_set(tmp_path / "s", recipe(format="shards"), TRAINED_ON, Renderer())
    assert {p.name for p in (tmp_path / "s").glob("*.tar")} == {
        "shard-00000-00000.tar",
        "shard-00000-00001.tar",
        "shard-00000-00002.tar",
        "shard-00001-00000.tar",
        "shard-00001-00001.tar",
    }
    with tarfile.open(tmp_path / "s" / "shard-00001-00000.tar") as tar:
        names = tar.getnames()
        info = json.loads(tar.extractfile("00001-00000002.json").read())  # type: ignore[union-attr]
        label = tar.extractfile("00001-00000002.cls").read()  # type: ignore[union-attr]
        assert {(m.mtime, m.uid, m.gid, m.uname) for m in tar.getmembers()} == {(0, 0, 0, "")}
    assert names == [f"00001-0000000{c}.{e}" for c in (0, 2) for e in ("cls", "json", "png")]
    assert info == {
        "class": "../dog",
        "candidate": 2,
        "seed": 1,
        "recipe": recipe(format="shards").hash,
    }
    assert label == b"1"


@BOTH
def test_manifest_tells_where_every_image_is_from(tmp_path: Path, form: Any) -> None:
    write_set(tmp_path / "s", recipe(format=form), TRAINED_ON, Renderer())
    shards = read_manifest(tmp_path / "s")
    assert [(s.class_name, s.number, s.count, s.candidates) for s in shards] == [
        ("cat", 0, 2, (0, 3)),
        ("cat", 1, 2, (3, 7)),
        ("cat", 2, 1, (7, 9)),
        ("../dog", 0, 2, (0, 3)),
        ("../dog", 1, 1, (3, 5)),
    ]
    assert {s.recipe for s in shards} == {recipe(format=form).hash}
    assert {(s.device, s.dtype, s.seed) for s in shards} == {("cpu", "float32", 1)}
    assert all(s.versions.keys() == {"torch", "numpy", "pillow"} for s in shards)


@BOTH
@pytest.mark.parametrize("calls", [1, 2, 4, 5])
def test_stopped_and_finished_equals_undisturbed(tmp_path: Path, form: Any, calls: int) -> None:
    made = recipe(format=form)
    write_set(tmp_path / "whole", made, TRAINED_ON, Renderer())
    with pytest.raises(Stop):
        write_set(tmp_path / "s", made, TRAINED_ON, Renderer(), stop_after(calls))
    second = Renderer()
    write_set(tmp_path / "s", made, TRAINED_ON, second)
    assert len(second.calls) == 5 - calls
    assert tree(tmp_path / "s") == tree(tmp_path / "whole")


@BOTH
def test_killed_within_a_shard(tmp_path: Path, form: Any) -> None:
    """What a kill leaves: a torn line, a file that was being written, images without a line."""
    made = recipe(format=form)
    write_set(tmp_path / "whole", made, TRAINED_ON, Renderer())
    with pytest.raises(Stop):
        write_set(tmp_path / "s", made, TRAINED_ON, Renderer(), stop_after(2))
    folder = tmp_path / "s"
    with (folder / "manifest.jsonl").open("a") as file:
        file.write('{"class_index": 0, "num')
    (folder / ".partial").mkdir(exist_ok=True)
    (folder / ".partial" / "00000008.png").write_bytes(b"half")
    (folder / ".0123456789abcdef.tmp").write_bytes(b"half")
    if form == "folder":
        (folder / "cat" / "00000008.png").write_bytes(b"half")
    write_set(folder, made, TRAINED_ON, Renderer())
    assert tree(folder) == tree(tmp_path / "whole")
    assert not (folder / ".partial").exists()


@pytest.mark.parametrize("left", [[], ["recipe.json"], ["recipe.json", "trained_on.safetensors"]])
def test_killed_at_the_beginning(tmp_path: Path, left: list[str]) -> None:
    write_set(tmp_path / "whole", recipe(), TRAINED_ON, Renderer())
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / ".0123456789abcdef.tmp").write_bytes(b"half")
    for name in left:
        (tmp_path / "s" / name).write_bytes((tmp_path / "whole" / name).read_bytes())
    write_set(tmp_path / "s", recipe(), TRAINED_ON, Renderer())
    assert tree(tmp_path / "s") == tree(tmp_path / "whole")


@BOTH
@pytest.mark.parametrize("damage", ["missing", "flipped"])
def test_a_second_run_restores_what_is_missing_or_damaged(
    tmp_path: Path, form: Any, damage: str
) -> None:
    made = recipe(format=form)
    write_set(tmp_path / "s", made, TRAINED_ON, Renderer())
    before = tree(tmp_path / "s")
    path = tmp_path / "s" / ("cat/00000004.png" if form == "folder" else "shard-00000-00001.tar")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink() if damage == "missing" else path.write_bytes(data)
    with pytest.raises(DataError, match=f"{path.name}: missing or not the bytes"):
        read_set(tmp_path / "s")
    second = Renderer()
    write_set(tmp_path / "s", made, TRAINED_ON, second)
    assert second.calls == [(0, 2, 3)]
    assert tree(tmp_path / "s") == before


def test_a_finished_set_is_left_alone(tmp_path: Path) -> None:
    write_set(tmp_path / "s", recipe(), TRAINED_ON, Renderer())
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "s").rglob("*.png")}
    second, progress = Renderer(), []
    write_set(
        tmp_path / "s",
        recipe(),
        TRAINED_ON,
        second,
        lambda done, total: progress.append((done, total)),
    )
    assert second.calls == []
    assert progress == [(2, 8), (4, 8), (5, 8), (7, 8), (8, 8)]
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "s").rglob("*.png")} == times


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 2},
        {"counts": {"cat": 6}},
        {"filter": {"confidence": 0.5}},
        {"source_sha256": "1" * 64},
        {"format": "shards"},
        {"source_augment": "classical"},
        {"batch_size": 7},
    ],
)
def test_another_recipe_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_set(tmp_path / "s", recipe(), TRAINED_ON, Renderer())
    before = tree(tmp_path / "s")
    with pytest.raises(
        DataError,
        match=rf"another recipe \(different: {next(iter(changes))}\); choose a new folder",
    ):
        write_set(tmp_path / "s", recipe(**changes), TRAINED_ON, Renderer())
    assert tree(tmp_path / "s") == before


def test_another_machine_may_finish_the_set(tmp_path: Path) -> None:
    elsewhere = recipe(device="cuda", versions={"torch": "9", "numpy": "9", "pillow": "9"})
    assert elsewhere.hash == recipe().hash
    with pytest.raises(Stop):
        write_set(tmp_path / "s", recipe(), TRAINED_ON, Renderer(), stop_after(2))
    write_set(tmp_path / "s", elsewhere, TRAINED_ON, Renderer())
    assert [shard.device for shard in read_manifest(tmp_path / "s")] == [
        "cpu",
        "cpu",
        "cuda",
        "cuda",
        "cuda",
    ]
    assert len(read_set(tmp_path / "s").images) == 8


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match=r"other files \('thesis.txt'"):
        write_set(tmp_path, recipe(), TRAINED_ON, Renderer())
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(DataError, match="is a file"):
        write_set(tmp_path / "thesis.txt", recipe(), TRAINED_ON, Renderer())


def test_a_job_s_lock_is_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("")
    write_set(tmp_path, recipe(), TRAINED_ON, Renderer())
    assert len(read_set(tmp_path).images) == 8


def test_fingerprints_must_be_the_recipe_s(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="trained_on"):
        write_set(tmp_path / "s", recipe(), TRAINED_ON[:2], Renderer())


def test_reading_only_the_first_images_of_every_class(tmp_path: Path) -> None:
    write_set(tmp_path / "s", recipe(), TRAINED_ON, Renderer())
    whole = read_set(tmp_path / "s").images
    part = read_set(tmp_path / "s", per_class=3).images
    assert part.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(part.x, whole.x[[0, 1, 2, 5, 6, 7]])


def test_an_empty_set(tmp_path: Path) -> None:
    write_set(tmp_path / "s", recipe(counts={}), TRAINED_ON, Renderer())
    assert read_set(tmp_path / "s").images.x.shape == (0, 3, 4, 4)


def test_an_unfinished_set_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        write_set(tmp_path / "s", recipe(), TRAINED_ON, Renderer(), stop_after(2))
    with pytest.raises(
        DataError, match=r"unfinished \(4 of 8 images\); run the same synth command again"
    ):
        read_set(tmp_path / "s")


def test_no_set(tmp_path: Path) -> None:
    ways = r"RUN/synthetic: give that folder; augmentor import FOLDER --out SET"
    with pytest.raises(DataError, match=rf"no recipe\.json there, .*augmentor synth .* {ways}"):
        read_set(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"classes": 3}', '{"classes": ["a"], "image_shape": [1, 2, 2]}']
)
def test_a_broken_recipe(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(DataError, match=r"recipe\.json: cannot be read"):
        read_recipe(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", "3", "\x00"])
def test_a_broken_manifest(tmp_path: Path, text: str) -> None:
    write_set(tmp_path / "s", recipe(), TRAINED_ON, Renderer())
    with (tmp_path / "s" / "manifest.jsonl").open("a") as file:
        file.write(text + "\n")
    with pytest.raises(DataError, match=r"manifest\.jsonl, line 6: cannot be read"):
        read_set(tmp_path / "s")


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/passwd", "cat/../../secret.png", "..\\secret.png"]
)
def test_a_manifest_cannot_lead_outside(tmp_path: Path, name: str) -> None:
    write_set(tmp_path / "s", recipe(), TRAINED_ON, Renderer())
    shards = read_manifest(tmp_path / "s")
    bad = replace(shards[0], sha256={name: "0" * 64})
    (tmp_path / "s" / "manifest.jsonl").write_text(bad.line + "\n")
    with pytest.raises(DataError, match="outside the folder"):
        read_set(tmp_path / "s", verify=False)


def test_broken_or_foreign_fingerprints(tmp_path: Path) -> None:
    write_set(tmp_path / "s", recipe(), TRAINED_ON, Renderer())
    path = tmp_path / "s" / "trained_on.safetensors"
    path.write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"trained_on\.safetensors: cannot be read"):
        read_set(tmp_path / "s")
    write_set(
        tmp_path / "other",
        recipe(trained_on=trained_on_digest(TRAINED_ON[:1])),
        TRAINED_ON[:1],
        Renderer(),
    )
    path.write_bytes((tmp_path / "other" / "trained_on.safetensors").read_bytes())
    with pytest.raises(DataError, match="not the fingerprints"):
        read_set(tmp_path / "s")


def png(size: tuple[int, int], mode: str = "RGB", form: str = "png") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (png((5, 4)), r"is RGB \(5, 4\)"),
        (png((4, 4), "L"), "is L"),
        (png((4, 4), form="bmp"), "no whole PNG"),
        (png((4, 4))[:40], "no whole PNG"),
        (b"", "no whole PNG"),
    ],
)
def test_another_image_in_a_file_s_place(tmp_path: Path, data: bytes, message: str) -> None:
    write_set(tmp_path / "s", recipe(), TRAINED_ON, Renderer())
    (tmp_path / "s" / "cat" / "00000004.png").write_bytes(data)
    with pytest.raises(DataError, match=f"00000004.png: {message}"):
        read_set(tmp_path / "s", verify=False)


def test_shard_reader(tmp_path: Path) -> None:
    renderer = Renderer()
    write_set(tmp_path / "s", recipe(format="shards"), TRAINED_ON, renderer)
    reader = ShardReader(tmp_path / "s" / "shard-00000-00001.tar", (3, 4, 4))
    assert len(reader) == 2
    assert [
        (reader[i].key, reader[i].class_index, reader[i].info["candidate"]) for i in (1, 0)
    ] == [
        ("00000-00000006", 0, 6),
        ("00000-00000004", 0, 4),
    ]
    assert torch.equal(from_uint8(reader[1].pixels), renderer.image(0, 6))
    with pytest.raises(IndexError):
        reader[2]


@pytest.mark.parametrize("kept", [0, 100, 1000])
def test_shard_reader_refuses_what_is_no_whole_shard(tmp_path: Path, kept: int) -> None:
    write_set(tmp_path / "s", recipe(format="shards"), TRAINED_ON, Renderer())
    path = tmp_path / "s" / "shard-00000-00001.tar"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"shard-00000-00001\.tar: "):
        ShardReader(path, (3, 4, 4))


def test_shard_reader_of_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as a tar shard"):
        ShardReader(tmp_path / "no.tar", (3, 4, 4))


def test_refuse_seen(tmp_path: Path) -> None:
    write_set(tmp_path / "s", recipe(), TRAINED_ON, Renderer())
    stored = read_set(tmp_path / "s")
    stored.refuse_seen(-SEEN)
    with pytest.raises(DataError, match=r"trained on 1 of these 6 images \(number 5\)"):
        stored.refuse_seen(torch.cat([-SEEN, SEEN[3:4]]))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: (x + 1) / 2, r"numbers from 0 to 0.937255: give floats in \[-1, 1\]"),
        (lambda x: (x + 1) * 127.5, "numbers from 0 to 239"),
        (lambda x: 3 * x, "numbers from -3 to"),
        (lambda x: to_uint8(x).long(), r"torch.int64 numbers from 0 to 239"),
        (lambda x: x.mean(dim=1, keepdim=True), r"\(N, 3, 4, 4\) as the set's, got \(5, 1, 4, 4\)"),
        (lambda x: x.repeat(1, 1, 2, 2), r"got \(5, 3, 8, 8\)"),
        (lambda x: x[0], r"got \(3, 4, 4\)"),
    ],
)
def test_refuse_seen_refuses_what_it_cannot_compare(
    tmp_path: Path, spoil: Any, message: str
) -> None:
    write_set(tmp_path / "s", recipe(), TRAINED_ON, Renderer())
    with pytest.raises(ValueError, match=message):
        read_set(tmp_path / "s").refuse_seen(spoil(SEEN))


def test_refuse_seen_takes_bytes_and_no_images(tmp_path: Path) -> None:
    write_set(tmp_path / "s", recipe(), TRAINED_ON, Renderer())
    stored = read_set(tmp_path / "s")
    stored.refuse_seen(SEEN[:0])
    stored.refuse_seen(
        torch.full((1, 3, 4, 4), 255, dtype=torch.uint8)
    )  # bright all over, and no doubt about it
    with pytest.raises(DataError, match="trained on 5 of these 5 images"):
        stored.refuse_seen(to_uint8(SEEN))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("a", "a"), "counts": {}}, "must differ"),
        ({"counts": {"yak": 1}}, r"unknown classes \['yak'\]"),
        ({"counts": {"cat": -1}}, "negative"),
        ({"image_shape": (2, 4, 4)}, "one channel or three"),
        ({"format": "zip"}, "folder or shards"),
        ({"shard_size": 0}, "at least 1"),
    ],
)
def test_impossible_recipes(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(**changes)


def test_digest_of_fingerprints_is_that_of_a_set() -> None:
    assert trained_on_digest(np.array([3, 1, 3])) == trained_on_digest(np.array([1, 3]))
    assert trained_on_digest(np.array([1])) != trained_on_digest(np.array([1, 3]))


HOSTILE = [
    "../x",
    "/abs",
    "a\0b",
    "n" * 300,
    "CON",
    "nul.txt",
    "",
    ".",
    "..",
    ".git",
    "a/b",
    "a\\b",
    "C:",
    "x ",
    "x.",
]
HOSTILE += [
    "recipe.json",
    "Manifest.jsonl",
    "contact_sheet.png",
    "lock",
    "class_0002",
    "a\nb",
    "\udcff",
    "é" * 120,
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_get_a_number(name: str) -> None:
    assert safe_folder_name(name, 7) == "class_0007"


@pytest.mark.parametrize(
    "name", ["7", "cat", "T-shirt", "black-eyed susan", "雪", "Zoë", "a.b", "confetti", "class a"]
)
def test_harmless_names_stay(name: str) -> None:
    assert safe_folder_name(name, 7) == name


@given(
    st.lists(
        st.one_of(st.text(max_size=300), st.sampled_from([*HOSTILE, "A", "a", "é", "e\u0301"])),
        unique=True,
    )
)
def test_folder_names_are_single_different_components(names: list[str]) -> None:
    folders = folder_names(names)
    assert len({name.casefold() for name in folders}) == len(names)
    for folder in folders:
        assert Path(folder).parts == (folder,)
        assert folder not in ("..", ".")
        assert len(folder.encode()) <= 255


@BOTH
def test_a_set_with_hostile_classes_stays_in_its_folder(tmp_path: Path, form: Any) -> None:
    classes = (*HOSTILE, "A", "a")
    made = recipe(classes=classes, counts=dict.fromkeys(classes, 1), format=form)
    write_set(tmp_path / "in" / "s", made, TRAINED_ON, Renderer())
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    assert [p.name for p in (tmp_path / "in").iterdir()] == ["s"]
    stored = read_set(tmp_path / "in" / "s")
    assert stored.images.classes == classes
    assert stored.images.y.tolist() == list(range(len(classes)))


UNSORTED = ("b/c", "a", "z")  # the folder of the first would be class_0000, behind a


def of_unsorted(**changes: Any) -> Recipe:
    counts = {"b/c": 3, "a": 2, "z": 1}
    return recipe(classes=UNSORTED, counts=counts, numbered=None, **changes)


def test_folder_and_shards_give_the_classes_one_order(tmp_path: Path) -> None:
    for form in ("folder", "shards"):
        write_set(tmp_path / form, of_unsorted(format=form), TRAINED_ON, Renderer())
    counts = Counter(y for _, y in ImageFolder(tmp_path / "folder").samples)
    in_tar: Counter[int] = Counter()
    for path in sorted((tmp_path / "shards").glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar.getmembers():
                if member.name.endswith(".cls"):
                    stored = tar.extractfile(member)
                    assert stored is not None
                    in_tar[int(stored.read())] += 1
    assert counts == in_tar == {0: 3, 1: 2, 2: 1}
    assert read_set(tmp_path / "folder").recipe.folders == (
        "class_0000",
        "class_0001_a",
        "class_0002_z",
    )


def test_sets_from_before_folders_were_numbered_are_read_and_finished(tmp_path: Path) -> None:
    old = replace(of_unsorted(), numbered=False)
    folder = tmp_path / "s"
    with pytest.raises(Stop):
        write_set(folder, old, TRAINED_ON, Renderer(), stop_after(2))
    stored = json.loads((folder / "recipe.json").read_text())
    del stored["numbered"], stored["check"]
    (folder / "recipe.json").write_text(json.dumps(stored))
    write_set(folder, of_unsorted(), TRAINED_ON, Renderer())
    found = read_set(folder)
    assert found.recipe.hash == old.hash
    assert found.recipe.folders == ("class_0000", "a", "z")
    assert len(found.images) == 6
