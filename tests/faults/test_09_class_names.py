"""Class names that are paths, programs or markup: nothing is written outside the output folder, all
is escaped."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from augmentor.common.types import LabelledImages
from augmentor.data.fingerprint import from_uint8
from augmentor.data.synthetic_mix import SyntheticMix
from augmentor.data.synthetic_store import read_recipe, read_set
from pipelines import cli
from pipelines.config import ClassifierConfig
from pipelines.datasets import DataBundle
from pipelines.evaluate.run import DEFAULTS, evaluate_run
from pipelines.generators import synthesize, train
from pipelines.image_folder import list_tree
from tests.faults.jobs import small
from tests.faults.plain_data import PlainData

Tally = Callable[[int, int, str], None]

# What a file system can hold as the name of a folder.
FOLDERS = [
    "line\nbreak",
    "<img src=x onerror=alert(1)>",
    "&amp;<b>",
    'a" onload="x',
    "CON",
    "nul.txt",
    "-rf",
    "$(touch x)",
]
FOLDERS += [
    "tab\there",
    "\x1b[2J",
    "recipe.json",
    "lock",
    "class_0002",
    "trailing.",
    " space ",
    "é" * 100,
    "n" * 255,
    "%s",
]
FOLDERS += [
    "a{b}",
    "'; drop table",
    "x\\..\\y",
    "C:\\x",
    "\u202egnp.exe",
    "{{ 7 * 7 }}",
    "None",
    "#",
    "*",
]


def beyond(home: Path) -> list[str]:
    """What only a checkpoint can hold; every path leads to where its arrival would be noticed."""
    outside = str(home / "outside" / "abs")
    paths = [
        "../x",
        "../../x",
        "a/../../../x",
        outside,
        f"/{outside}",
        "a/b",
        "..",
        ".",
        "",
        ".hidden",
        "a\\..\\x",
    ]
    return [
        *paths,
        "nul\0byte",
        "n" * 300,
        "</style><script>alert(1)</script>",
        "\udcff",
        "--out=x",
    ]


class Tags(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.scripts: list[str] = []
        self.runs = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.runs = tag == "script" and ("type", "application/json") not in attrs

    def handle_data(self, data: str) -> None:
        if self.runs:
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.runs = False


def assert_harmless(page: str) -> None:
    found = Tags(page)
    assert not found.tags & {"iframe", "object", "link", "form"}
    assert len(found.scripts) == 1
    own = base64.b64encode(hashlib.sha256(found.scripts[0].encode()).digest()).decode()
    policy = page.partition('http-equiv="Content-Security-Policy" content="')[2].partition('"')[0]
    rules = html.unescape(policy).split("; ")
    assert "default-src 'none'" in rules
    assert f"script-src 'sha256-{own}'" in rules
    assert not [name for name in found.attributes if name.startswith("on")]


def names_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, tuple[str, ...]]:
    """A run whose classes no folder could be named after, and their names."""
    names = (*beyond(tmp_path), *FOLDERS)
    pixels = torch.randint(
        0, 256, (2 * len(names), 1, 8, 8), generator=torch.Generator().manual_seed(0)
    )
    x, y = from_uint8(pixels.to(torch.uint8)), torch.arange(len(names)).repeat(2)
    half = len(names)
    bundle = DataBundle(
        "odd",
        "all",
        LabelledImages(x[:half], y[:half], names),
        LabelledImages(x[half:], y[half:], names),
        None,
        "",
    )
    for module in (train, synthesize):
        monkeypatch.setattr(module, "load_data", lambda data, seed, **_: bundle)
    (tmp_path / "outside").mkdir()
    train.train_run(small(2), tmp_path / "in" / "run")
    return tmp_path / "in" / "run", names


@pytest.mark.parametrize("form", ["folder", "shards"])
def test_nothing_is_written_outside_of_the_output_folder(
    hostile: tuple[Path, tuple[str, ...]],
    form: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tally: Tally,
) -> None:
    run, names = hostile
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    before = names_below(tmp_path)
    out = ["--out", "set"]
    assert cli.main(["synth", str(run), "--per-class", "1", "--format", form, *out]) == 0, (
        capsys.readouterr().err
    )
    assert cli.main(["edit", "mix-identities", str(run), "--new", "3", "--out", "mixed"]) == 0
    mix = ["--mix", f"{names[0]},{names[1]}", "--mix", "CON,nul.txt"]
    assert (
        cli.main(["edit", "mix-identities", str(run), *mix, "--per-class", "1", "--out", "named"])
        == 0
    )
    escaped = capsys.readouterr().out
    made = names_below(tmp_path) - before
    stray = [name for name in made if not name.startswith(("work/set", "work/mixed", "work/named"))]
    stored = read_set(Path("set"))
    tally(
        len(names),
        len(names) - len(stray) if stored.images.classes == names else 0,
        f"class name, set as {form}",
    )
    assert stray == []
    assert stored.images.classes == names
    assert stored.images.y.tolist() == list(range(len(names)))
    assert not any(character in escaped for character in "\x1b\0\udcff")
    for folder in read_recipe(Path("set")).folders:
        assert Path(folder).parts == (folder,)
        assert folder.isprintable()
    assert SyntheticMix(PlainData(names, (1, 8, 8)), stored).classes == list(names)


@pytest.mark.faults
def test_every_job_on_folders_of_such_names_and_reports_that_escape_them(
    tmp_path: Path,
    make_folder: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tally: Tally,
) -> None:
    make_folder(tmp_path / "data" / "train", dict.fromkeys(FOLDERS, 2), seed=0)
    make_folder(tmp_path / "data" / "test", dict.fromkeys(FOLDERS, 1), seed=1)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    before = names_below(tmp_path)
    quick = [
        "--steps",
        "2",
        "--batch-size",
        "4",
        "--threads",
        "1",
        "--data",
        str(tmp_path / "data"),
    ]
    comparison = ["--replicates", "2", "--classifier-steps", "2", "--arms", "real,synthetic"]
    jobs = [
        ["check", str(tmp_path / "data")],
        ["train", *quick, "--out", "run"],
        ["synth", "run", "--per-class", "1"],
        ["gain", *quick, *comparison, "--out", "gain"],
    ]
    codes = {}
    for job in jobs:
        codes[job[0]] = cli.main(job)
        captured = capsys.readouterr()
        assert codes[job[0]] == 0, captured.err
        assert "\x1b[2J" not in captured.out + captured.err
    short = ClassifierConfig(steps=2, batch_size=16)
    evaluate_run(Path("run"), samples=60, settings=replace(DEFAULTS, judge=short, student=short))
    stray = [
        name
        for name in names_below(tmp_path) - before
        if not name.startswith(("work/run", "work/gain"))
    ]
    page = (tmp_path / "work" / "gain" / "report.html").read_text()
    tally(
        len(FOLDERS),
        len(FOLDERS) - len(stray),
        "class name of a folder: all jobs, nothing outside, report escaped",
    )
    assert stray == []
    assert_harmless(page)
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "{{ 7 * 7 }}" in page
    assert "&amp;<b>" not in page
    recall = json.loads((tmp_path / "work" / "gain" / "gain.json").read_text())["arms"]["real"][
        "per_class_recall"
    ]
    assert set(recall) == set(FOLDERS)


def test_a_hidden_folder_is_no_class(tmp_path: Path, make_folder: Callable[..., Path]) -> None:
    make_folder(tmp_path, {"a": 2, "b": 2, ".ipynb_checkpoints": 2, ".hidden": 2})
    assert cli.main(["check", str(tmp_path)]) == 0
    assert list_tree(tmp_path).classes == ("a", "b")
