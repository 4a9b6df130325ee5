"""The committed pages of runs are those that their result files give."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from pipelines import cli
from pipelines.summary.pages import pages_run, runs_in
from pipelines.summary.record import RECORD, record_of

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
LINK = re.compile(r"\]\(([^)#\s]+)")
PAGES = sorted(RESULTS.rglob("*.md"))


@pytest.fixture(scope="module")
def made_again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the results whose pages were made anew."""
    copy = tmp_path_factory.mktemp("results") / "results"
    shutil.copytree(RESULTS, copy)
    for path in [copy / "README.md", copy / "runs.md", *(copy / "summary").iterdir()]:
        path.write_text("old")
    pages_run(copy)
    return copy


def test_the_index_pages_and_summary_are_made_from_the_result_files(made_again: Path) -> None:
    """Where this fails: augmentor summary docs/results --pages."""
    old = {path.relative_to(RESULTS): path for path in RESULTS.rglob("*") if path.is_file()}
    new = {path.relative_to(made_again): path for path in made_again.rglob("*") if path.is_file()}
    assert set(old) == set(new)
    differ = [str(name) for name in old if old[name].read_bytes() != new[name].read_bytes()]
    assert differ == []


def test_the_record_that_auto_goes_by_is_made_from_the_result_files() -> None:
    """Where this fails: python -m pipelines.summary.record docs/results."""
    assert json.loads(RECORD.read_text("utf-8")) == record_of(RESULTS)


def test_the_front_page_is_one_screen_and_links_every_result() -> None:
    front = (RESULTS / "README.md").read_text(encoding="utf-8")
    assert len(front.splitlines()) < 45
    for run in runs_in(RESULTS):
        assert (f"[{run.name}]({run.path}/page.md)" in front) != run.screening, run.name
    assert "▲\u00a0[conditions_faces]" in front
    assert "▼\u00a0[gain_mnist_full]" in front
    assert "_[demo]" in front, "few replicates are marked"


def test_every_run_has_a_page_and_a_config() -> None:
    runs = runs_in(RESULTS)
    assert len(runs) > 40
    for run in runs:
        assert (RESULTS / run.path / "page.md").is_file(), run.name
        assert run.has_config or run.name == "editing", run.name


def test_what_is_kept_from_version_0_1_says_so() -> None:
    for run in runs_in(RESULTS):
        if run.document["versions"]["augmentor"].startswith("0.1."):
            text = (RESULTS / run.path / "page.md").read_text(encoding="utf-8")
            assert re.search(r"[Mm]ade by version 0\.1", text), run.name


def test_screenings_are_apart_and_marked() -> None:
    for run in runs_in(RESULTS):
        assert run.screening == run.path.startswith("screening/"), run.name
        text = (RESULTS / run.path / "page.md").read_text(encoding="utf-8")
        assert ("**Screening, not a result**" in text) == run.screening, run.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(RESULTS).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    there = [link for link in links if not link.startswith("http")]
    assert [link for link in there if not (page.parent / link).exists()] == []


def test_the_command_needs_a_folder_with_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["summary", "--pages"]) == 2
    assert cli.main(["summary", str(tmp_path)]) == 2
    assert "give --out" in capsys.readouterr().err
    for more in (["--out", str(tmp_path)], [str(tmp_path)]):
        assert cli.main(["summary", str(tmp_path), "--pages", *more]) == 2
        assert "--pages takes one folder of runs and no --out" in capsys.readouterr().err
    assert cli.main(["summary", str(tmp_path), "--pages"]) == 3
    assert "holds no folder with result.json" in capsys.readouterr().err


def test_the_command_writes_pages_beside_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(RESULTS / "demo", tmp_path / "demo")
    (tmp_path / "demo" / "page.md").unlink()
    assert cli.main(["summary", str(tmp_path), "--pages"]) == 0
    assert capsys.readouterr().out == f"3 pages in {tmp_path}\n"
    made = (tmp_path / "demo" / "page.md").read_text("utf-8")
    assert made == (RESULTS / "demo" / "page.md").read_text("utf-8")
