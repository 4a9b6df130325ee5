from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from augmentor.common.types import DataError
from pipelines.outside.files import find_images, form_of

MakeFolder = Callable[..., Path]


def png(value: int, side: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((side, side), value, dtype=np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def write_shard(path: Path, samples: Mapping[str, Mapping[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for key, members in samples.items():
            for extension, data in members.items():
                member = tarfile.TarInfo(f"{key}.{extension}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return path


def test_class_folders_keep_their_names_and_empty_ones_count(
    tmp_path: Path, make_folder: MakeFolder
) -> None:
    make_folder(tmp_path, {"cat": 2, "dog": 1, "eel": 0})
    found = find_images(tmp_path)
    assert found.classes == ("cat", "dog", "eel")
    assert found.counts() == {"cat": 2, "dog": 1, "eel": 0}
    assert form_of(found).shape == (3, 8, 8)
    assert form_of(found, size=4, grey=True).shape == (1, 4, 4)
    assert form_of(found, size=4).read(found.places[0]).shape == (3, 4, 4)


def test_shards_are_read_by_name_number_and_json(tmp_path: Path) -> None:
    (tmp_path / "classnames.txt").write_text("cat\ndog\neel\n")
    write_shard(
        tmp_path / "a.tar",
        {
            "1": {"png": png(1), "cls": b"1"},
            "x/2": {"png": png(2), "json": json.dumps({"label": 0}).encode()},
            "3": {"png": png(3), "cls": b"dog", "txt": b"a dog"},
        },
    )
    found = find_images(tmp_path)
    assert found.counts() == {"cat": 1, "dog": 2, "eel": 0}
    form = form_of(found)
    values = [int(form.read(place)[0, 0, 0]) for place in found.places]
    assert values == [2, 1, 3]
    assert str(found.places[0]).endswith("a.tar, x/2")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"png": png(1)}, "names no class"),
        ({"cls": b"0"}, "0 images in one sample"),
        ({"png": png(1), "jpg": png(1), "cls": b"0"}, "2 images in one sample"),
        ({"png": png(1), "json": b"[" * 9999}, "names no class"),
    ],
)
def test_a_sample_that_lacks_something_is_named(
    tmp_path: Path, members: Mapping[str, bytes], words: str
) -> None:
    write_shard(tmp_path / "a.tar", {"key": members})
    with pytest.raises(DataError, match=rf"a\.tar, key: .*{words}"):
        find_images(tmp_path)


def test_numbers_are_numbers_where_the_names_are_numbers_too(tmp_path: Path) -> None:
    (tmp_path / "classnames.txt").write_text("1\n2\n3\n")
    samples = {str(n): {"png": png(n), "cls": str(n).encode()} for n in range(3)}
    write_shard(tmp_path / "a.tar", samples)
    assert find_images(tmp_path).counts() == {"1": 1, "2": 1, "3": 1}


def test_a_label_beyond_the_class_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "classnames.txt").write_text("cat\n")
    write_shard(tmp_path / "a.tar", {"1": {"png": png(1), "cls": b"1"}})
    with pytest.raises(DataError, match="label '1' is not one of the 1 classes"):
        find_images(tmp_path)


@pytest.mark.parametrize("name", [".", "./", "/", ""])
def test_a_member_without_a_name_is_refused(tmp_path: Path, name: str) -> None:
    """Found by ``make fuzz``: it ended in a ValueError of pathlib."""
    write_shard(tmp_path / "a.tar", {"1": {"png": png(1), "cls": b"cat"}})
    member = tarfile.TarInfo(name)
    member.size = len(png(2))
    with tarfile.open(tmp_path / "a.tar", "a") as tar:
        tar.addfile(member, io.BytesIO(png(2)))
    with pytest.raises(DataError, match="0 images in one sample"):
        find_images(tmp_path)


def test_what_is_no_tar_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(DataError, match="cannot be read as a tar file"):
        find_images(tmp_path)


@pytest.mark.parametrize("twin", ["Cat", "cat ", "c_at", "ｃat"])
def test_a_class_in_two_spellings_is_refused(
    tmp_path: Path, make_folder: MakeFolder, twin: str
) -> None:
    first = "c at" if twin == "c_at" else "cat"
    make_folder(tmp_path, {first: 1, twin: 1})
    with pytest.raises(DataError, match=r"is spelled .* too; merge"):
        find_images(tmp_path)


def test_missing_empty_and_damaged_folders(tmp_path: Path, make_folder: MakeFolder) -> None:
    with pytest.raises(DataError, match="no such folder of synthetic images"):
        find_images(tmp_path / "nothing")
    make_folder(tmp_path / "empty", {"cat": 0})
    with pytest.raises(DataError, match="holds no images"):
        find_images(tmp_path / "empty")
    make_folder(tmp_path / "bad", {"cat": 5})
    for number in range(4):
        (tmp_path / "bad" / "cat" / f"{number}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"0\.png: not an image.*and 1 more.*repair or remove"):
        form_of(find_images(tmp_path / "bad"))


def test_another_aspect_or_mode_is_refused(tmp_path: Path, make_folder: MakeFolder) -> None:
    make_folder(tmp_path, {"cat": 2})
    make_folder(tmp_path / "wide", {"dog": 1}, size=(8, 7))
    (tmp_path / "wide" / "dog").rename(tmp_path / "dog")
    (tmp_path / "wide").rmdir()
    found = find_images(tmp_path)
    with pytest.raises(DataError, match=r"dog/0\.png: is 8x7, other images are 8x8; crop"):
        form_of(found)
    assert form_of(found, size=6).shape == (3, 6, 6)
    (tmp_path / "dog" / "0.png").write_bytes(png(3))
    found = find_images(tmp_path)
    with pytest.raises(DataError, match=r"dog/0\.png: is stored in grey, as 1 of 3 images"):
        form_of(found)
    assert torch.equal(form_of(found, grey=True).read(found.places[2]), torch.full((1, 8, 8), 3))
