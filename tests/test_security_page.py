"""SECURITY.md is true: its limits are those of the code, and the tests and files that it names are
there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from augmentor.common import given_files, tar_files, tensor_files
from augmentor.data import recipe, stored_set
from pipelines import image_folder, strict_yaml
from pipelines.config import section
from pipelines.data import full
from pipelines.outside import files

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "SECURITY.md").read_text("utf-8")
MIB, GIB, MILLION = 2**20, 2**30, 10**6
LIMITS = {
    "JSON document; lines of a manifest": [
        (32, given_files.MOST_JSON / MIB),
        (100, given_files.MOST_DEPTH),
        (256, given_files.MOST_LINES / MIB),
    ],
    "config": [
        (1, strict_yaml.LARGEST_FILE / MILLION),
        (10_000, strict_yaml.MOST_VALUES),
        (50, strict_yaml.MOST_DEPTH),
    ],
    "image": [
        (512, given_files.MOST_IMAGE / MIB),
        (64, image_folder.MOST_PIXELS / MILLION),
        (256, files.LARGEST_FILE / MIB),
    ],
    "tar file": [(16, given_files.MOST_SHARD / GIB), (50_000, tar_files.MOST_MEMBERS)],
    "safetensors": [
        (64, given_files.MOST_TENSORS / GIB),
        (8, tensor_files.MOST_HEADER / MIB),
        (20_000, tensor_files.MOST_NAMES),
    ],
    "synthetic set": [
        (10, recipe.MOST_IMAGES / MILLION),
        (1, recipe.MOST_SHARDS / MILLION),
        (256, stored_set.MOST_FINGERPRINTS / MIB),
    ],
    "replicates, rounds, subsets, processes; samples of a measurement": [
        (10_000, section.MOST_REPEATS),
        (1, section.MOST_SAMPLES / MILLION),
    ],
}


@pytest.mark.parametrize("what", LIMITS)
def test_the_limits_are_those_of_the_code(what: str) -> None:
    (cell,) = re.findall(rf"^\| {re.escape(what)} \| (.*) \|$", PAGE, re.MULTILINE)
    told = [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\b", cell)]
    assert told == [number for number, _ in LIMITS[what]]
    assert all(number == limit for number, limit in LIMITS[what])


def test_the_rows_without_a_number_of_the_table_are_known() -> None:
    table = PAGE.partition("## Limits")[2].partition("\n## ")[0]
    rows = set(re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE)) - {"what"}
    others = {"image or shard of a synthetic set", "images of a folder in memory"}
    assert rows == set(LIMITS) | others
    assert "a quarter of what there is" in table
    assert full.USUAL_SHARE == 4


def test_the_tests_and_files_that_it_names_are_there() -> None:
    short = {path.stem for path in [*ROOT.glob("tests/faults/*.py"), *ROOT.glob("tests/*/*.py")]}
    named = re.findall(r"`((?:tests/[\w/]+\.py)|test_\w+)`", PAGE)
    assert len(named) > 20
    lost = [one for one in named if one not in short and not (ROOT / one).is_file()]
    lost += [link for link in re.findall(r"\]\((\w[\w/.]+)\)", PAGE) if not (ROOT / link).exists()]
    assert lost == []
