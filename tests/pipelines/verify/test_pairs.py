from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from augmentor.common.types import DataError
from augmentor.data.fingerprint import fingerprints
from pipelines.verify.pairs import find_pairs, read_pairs
from tests.pipelines.faces import SIDE, write_pairs

SHAPE = (3, SIDE, SIDE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs", folds=3, people=2, photos=2)


def test_reads_what_is_there(folder: Path) -> None:
    pairs = read_pairs(folder, SHAPE)
    assert (len(pairs), pairs.x.shape, pairs.fold_numbers) == (18, (12, *SHAPE), (0, 1, 2))
    assert pairs.same.sum() == 6
    first, second = (pairs.paths[int(numbers[0])] for numbers in (pairs.first, pairs.second))
    assert (first, second) == ("images/b0-0/0.png", "images/b0-0/1.png")
    assert pairs.people[int(pairs.first[0])] == "b0-0"
    assert read_pairs(folder, (1, 16, 16)).x.shape == (12, 1, 16, 16)


def test_folds_are_taken_apart(folder: Path) -> None:
    pairs = read_pairs(folder, SHAPE)
    some = pairs.of_folds([2, 1])
    assert (len(some), len(some.x), some.fold_numbers) == (12, 8, (1, 2))
    kept = (pairs.folds > 0).nonzero()[:, 0]
    for mine, theirs in ((some.first, pairs.first), (some.second, pairs.second)):
        assert [some.paths[i] for i in mine] == [pairs.paths[i] for i in theirs[kept]]
        assert torch.equal(some.x[mine], pairs.x[theirs[kept]])
    people = some.labelled()
    assert people.classes == ("b1-0", "b1-1", "b2-0", "b2-1")
    assert people.counts == dict.fromkeys(range(4), 2)
    with pytest.raises(DataError, match="no fold 7; there are 0, 1, 2"):
        pairs.of_folds([0, 7])


def test_known_people_and_images_are_refused(folder: Path) -> None:
    pairs, nothing = read_pairs(folder, SHAPE), np.empty(0, np.int64)
    pairs.refuse_known(["somebody"], nothing, "it")
    with pytest.raises(DataError, match="it learned from 'b1-0'"):
        pairs.refuse_known(["b1-0"], nothing, "it")
    with pytest.raises(DataError, match=r"images/b0-1/0\.png"):
        pairs.refuse_known([], fingerprints(pairs.x[2:3]), "it")


def test_found_by_path_or_under_the_data_root(folder: Path, tmp_path: Path) -> None:
    assert find_pairs(str(folder), tmp_path / "nowhere") == folder
    assert find_pairs("pairs", tmp_path) == folder
    with pytest.raises(DataError, match=r"no pairs\.csv in"):
        find_pairs("others", tmp_path)


GOOD = "0,1,images/b0-0/0.png,images/b0-0/1.png"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0,1,images/b0-0/0.png", "line 20: must be fold,same"),
        ("x,1,images/b0-0/0.png,images/b0-0/1.png", "whole number"),
        ("-1,1,images/b0-0/0.png,images/b0-0/1.png", "whole number"),
        ("0,2,images/b0-0/0.png,images/b0-0/1.png", "0 or 1"),
        ("0,1,../b0-0/0.png,images/b0-0/1.png", "below the folder"),
        ("0,1,/images/b0-0/0.png,images/b0-0/1.png", "below the folder"),
        ("0,1,0.png,images/b0-0/1.png", "folder of its person"),
        ("0,1,images/b0-0/0.png,images/b0-0/./0.png", "images/b0-0/0.png twice"),
        ("0,0,images/b0-0/0.png,images/b0-0/1.png", "same is 0, but"),
        ("0,1,images/b0-0/0.png,images/b0-1/0.png", "same is 1, but"),
        ("0,1,images/b0-0/1.png,images/b0-0/0.png", "line 20: the pair of line 2 again"),
        ("2,0,images/b0-0/1.png,images/b1-0/0.png", "b0-0 is in fold 2 and in fold 0"),
        ("0,1,images/b0-0/0.png,images/b0-0/9.png", "9.png: no such image"),
    ],
)
def test_bad_lines_are_named(folder: Path, line: str, message: str) -> None:
    with (folder / "pairs.csv").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(DataError, match=message):
        read_pairs(folder, SHAPE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must begin with"),
        (f"same,fold,first,second\n{GOOD}\n", "must begin with"),
        ("fold,same,first,second\n", "two folds"),
        (f"fold,same,first,second\n{GOOD}\n", "two folds"),
    ],
)
def test_bad_files_are_refused(folder: Path, text: str, message: str) -> None:
    (folder / "pairs.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_pairs(folder, SHAPE)


def test_bad_images_are_named(folder: Path) -> None:
    (folder / "images" / "b0-0" / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"names what cannot be used: .*0\.png"):
        read_pairs(folder, SHAPE)


def test_links_are_not_followed_outside(folder: Path, tmp_path: Path) -> None:
    target = folder / "images" / "b0-0" / "0.png"
    target.rename(tmp_path / "elsewhere.png")
    target.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(DataError, match="leads outside"):
        read_pairs(folder, SHAPE)
