"""The file of decoded images, where memory does not hold a folder: flipped bits, cuts, kill -9."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from augmentor.common.types import DataError
from pipelines.data import decoded
from pipelines.data.decoded import decoded_squares

Tally = Callable[[int, int, str], None]
FLIPS, KILLS = 80, 12


@pytest.fixture
def paths(
    tmp_path: Path, make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> list[Path]:
    monkeypatch.setenv("AUGMENTOR_CACHE", str(tmp_path / "cache"))
    return sorted(make_folder(tmp_path / "photos", {"a": 16}, size=(12, 12)).rglob("*.png"))


def images(paths: list[Path]) -> Tensor:
    return decoded_squares(paths, size=8, grey=False, most=10**9)[0].clone()


def the_file() -> Path:
    (path,) = decoded.cache_folder().glob("*.pixels")
    return path


def told_or_right(paths: list[Path], wanted: Tensor) -> bool:
    """Whether damage is named, or repaired; and whether the next run has the images again."""
    try:
        first = torch.equal(images(paths), wanted)
    except DataError as error:
        first = "damaged on the disk" in str(error)
    return first and torch.equal(images(paths), wanted)


def test_a_flipped_bit(paths: list[Path], tally: Tally) -> None:
    wanted, rng = images(paths), random.Random(0)
    whole, survived = the_file().read_bytes(), 0
    for _ in range(FLIPS):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        the_file().write_bytes(data)
        survived += told_or_right(paths, wanted)
    tally(FLIPS, survived, "one bit flipped in a file of decoded images: named or decoded anew")
    assert survived == FLIPS


def test_a_cut(paths: list[Path], tally: Tally) -> None:
    wanted = images(paths)
    whole, survived = the_file().read_bytes(), 0
    lengths = range(0, len(whole), len(whole) // 25)
    for length in lengths:
        the_file().write_bytes(whole[:length])
        survived += told_or_right(paths, wanted)
    tally(len(lengths), survived, "a file of decoded images truncated: decoded anew")
    assert survived == len(lengths)


def test_kill_9_while_images_are_decoded(paths: list[Path], tally: Tally) -> None:
    survived, read = 0, decoded.read_squares
    wanted, _ = read(paths, size=8, grey=False)
    for number in range(KILLS):
        if (child := os.fork()) == 0:
            left = iter(range(number))

            def killed(*args: Any, left: Any = left, **form: Any) -> Any:
                if next(left, None) is None:
                    os.kill(os.getpid(), 9)
                return read(*args, **form)

            decoded.read_squares = killed
            images(paths)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
        left_behind = list(decoded.cache_folder().glob("*.pixels"))
        survived += not left_behind and torch.equal(images(paths), wanted.float().div(127.5).sub(1))
        the_file().unlink()
    tally(KILLS, survived, "kill -9 while images are decoded to disk: the next run decodes all")
    assert survived == KILLS
