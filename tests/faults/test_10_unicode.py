"""Names in all scripts, and such as differ in bytes only: they come back as they were, or an error
shows both."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

import augmentor
from augmentor.common.types import DataError
from augmentor.data.class_counts import resolve_counts
from augmentor.data.class_names import match_classes
from augmentor.data.synthetic_store import folder_names, read_manifest, read_set
from pipelines import cli
from pipelines.edit.mix_identities import even_mixtures
from pipelines.image_folder import list_tree

Tally = Callable[[int, int, str], None]

NAMES = [
    "Zoë",
    "café",
    "雪",
    "мышь",
    "فأر",
    "ネズミ",
    "한국",
    "ß",
    "ﬁn",
    "🐭",
    "👩‍🔬",
    "Ǆ",
    "ı",
    "İ",
    "e\u0323\u0302",
    "Ω",
]
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def composed(names: list[str]) -> set[str]:
    return {unicodedata.normalize("NFC", name) for name in names}


@pytest.mark.faults
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_come_back_from_every_file_as_they_were(
    tmp_path: Path,
    make_folder: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    tally: Tally,
    form: str,
) -> None:
    """However a file system spells them, the class is the composed name."""
    folders = [unicodedata.normalize(form, name) for name in NAMES]
    make_folder(tmp_path / "data" / "train", dict.fromkeys(folders, 2), seed=0)
    make_folder(tmp_path / "data" / "test", dict.fromkeys(folders, 1), seed=1)
    run, quick = str(tmp_path / "run"), ["--steps", "2", "--batch-size", "4", "--threads", "1"]
    data = ["--data", str(tmp_path / "data")]
    assert cli.main(["check", str(tmp_path / "data"), "--json"]) == 0
    checked = json.loads(capsys.readouterr().out)["classes"]
    assert cli.main(["train", *data, *quick, "--out", run]) == 0
    assert cli.main(["synth", run, "--per-class", "1"]) == 0
    comparison = ["--replicates", "2", "--classifier-steps", "2", "--arms", "real,synthetic"]
    assert cli.main(["gain", *data, *quick, *comparison, "--out", run + "-gain"]) == 0
    result = json.loads((tmp_path / "run-gain" / "gain.json").read_text("utf-8"))
    stored = read_set(tmp_path / "run" / "synthetic")
    places = {
        "check": checked,
        "checkpoint": augmentor.load(run).classes,
        "recipe": stored.images.classes,
        "manifest": [shard.class_name for shard in read_manifest(tmp_path / "run" / "synthetic")],
        "gain.json": list(result["arms"]["real"]["per_class_recall"]),
    }
    right = [name for place, names in places.items() for name in names if name in composed(NAMES)]
    expected = len(places) * len(composed(NAMES))
    tally(expected, len(right), f"Unicode names on disk in {form}: the same in every file")
    assert {place: set(names) for place, names in places.items()} == dict.fromkeys(
        places, composed(NAMES)
    )
    # A folder is named after its class but for signs that cannot be seen, such as the joiner in a
    # family of emoji.
    assert list_tree(tmp_path / "run" / "synthetic").classes == tuple(sorted(stored.recipe.folders))
    # One that cannot be shown as it is gives all of them a number, so that they sort as classes do.
    for name, folder in zip(stored.recipe.classes, stored.recipe.folders, strict=True):
        assert not name.isprintable() or re.fullmatch(
            rf"(class_\d{{4}}_)?{re.escape(name)}", folder
        )
    page = (tmp_path / "run-gain" / "report.html").read_text("utf-8")
    assert all(name in page for name in composed(NAMES))


def test_a_class_is_found_in_either_spelling(
    tmp_path: Path,
    make_folder: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    tally: Tally,
) -> None:
    make_folder(tmp_path / "data", {COMPOSED: 4, "tea": 4})
    run = str(tmp_path / "run")
    quick = ["--steps", "2", "--batch-size", "4", "--threads", "1"]
    assert cli.main(["train", "--data", str(tmp_path / "data"), *quick, "--out", run]) == 0
    totals = tmp_path / "balance.json"
    totals.write_text(json.dumps({DECOMPOSED: 5}))
    found = {
        "synth --classes": cli.main(
            ["synth", run, "--per-class", "1", "--classes", DECOMPOSED, "--out", run + "1"]
        ),
        "synth --class-balance": cli.main(
            ["synth", run, "--class-balance", str(totals), "--out", run + "2"]
        ),
        "edit mix-identities": cli.main(
            [
                "edit",
                "mix-identities",
                run,
                "--mix",
                f"{DECOMPOSED},tea",
                "--per-class",
                "1",
                "--out",
                run + "3",
            ]
        ),
        "edit --label": cli.main(
            [
                "edit",
                "reconstruct",
                run,
                str(tmp_path / "data" / "tea" / "0.png"),
                "--label",
                DECOMPOSED,
            ]
        ),
        "load": augmentor.load(run).sample(label=DECOMPOSED, n=1).shape[0] - 1,
    }
    tally(
        len(found),
        list(found.values()).count(0),
        "class asked for in the other Unicode form: found",
    )
    assert found == dict.fromkeys(found, 0), capsys.readouterr().err
    assert read_set(Path(run + "1")).recipe.counts == {COMPOSED: 1}
    assert set(read_set(Path(run + "2")).recipe.counts) == {COMPOSED}
    assert resolve_counts({DECOMPOSED: 3}, {0: 1, 1: 1}, (COMPOSED, "tea")) == {0: 2, 1: 0}


def test_twins_are_refused_and_both_are_named(
    tmp_path: Path, make_folder: Callable[..., Path], tally: Tally
) -> None:
    make_folder(tmp_path, {COMPOSED: 2, DECOMPOSED: 2, "tea": 2})
    twins = (COMPOSED, DECOMPOSED, "tea")
    attempts: dict[str, Callable[[], object]] = {
        "folders": lambda: list_tree(tmp_path),
        "classes of the data": lambda: match_classes(twins, (COMPOSED, "tea")),
        "classes of the synthetic images": lambda: match_classes((COMPOSED, "tea"), twins),
        "totals": lambda: resolve_counts(
            {COMPOSED: 3, DECOMPOSED: 4}, {0: 1, 1: 1}, (COMPOSED, "tea")
        ),
        "mixtures": lambda: even_mixtures((COMPOSED, "tea"), [(COMPOSED, DECOMPOSED)]),
    }
    messages = {}
    for name, attempt in attempts.items():
        with pytest.raises((DataError, ValueError)) as caught:
            attempt()
        messages[name] = str(caught.value)
    both = [
        name
        for name in messages
        if "caf\\xe9" in messages[name] and "cafe\\u0301" in messages[name]
    ]
    tally(
        len(attempts), len(both), "NFC and NFD spelling of one name together: refused, both named"
    )
    assert set(both) == set(attempts), messages


def test_files_of_one_name_in_two_spellings_are_two_images(
    tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    make_folder(tmp_path, {"a": 2, "b": 2})
    for number, name in enumerate((COMPOSED, DECOMPOSED)):
        (tmp_path / "a" / f"{number}.png").rename(tmp_path / "a" / f"{name}.png")
    assert list_tree(tmp_path).counts() == {"a": 2, "b": 2}


def test_folders_of_a_set_differ_where_case_and_form_do_not_count() -> None:
    folders = folder_names([COMPOSED, DECOMPOSED, "Tea", "tea", "STRASSE", "straße"])
    assert len({unicodedata.normalize("NFC", folder).casefold() for folder in folders}) == 6
    assert all(len(Path(folder).parts) == 1 for folder in folders)
