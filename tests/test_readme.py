"""The README's commands and snippets, run as they stand; only the config they name and evaluate's
judge are smaller."""

import re
import shlex
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from pipelines.cli import main
from pipelines.config import ClassifierConfig
from pipelines.evaluate.run import evaluate_run
from pipelines.generators.quality import EvaluateSettings
from tests.readme_walk import BLOCKS, SMALL_CONFIG, make_photos

pytestmark = pytest.mark.xdist_group("readme")  # groups begin first, and this one is long


def run(language, text, names=None):
    """Run a block of a page: Python with the names that earlier blocks left, if given, or lines of
    the shell."""
    if language == "python":
        exec(compile(text, "README.md", "exec"), {} if names is None else names)
        return
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] == "augmentor":
            with patch.object(sys, "argv", words):  # results keep the command that made them
                assert main(words[1:]) == 0, line


def test_the_walk_through_the_readme(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs" / "start").mkdir(parents=True)
    (tmp_path / "configs" / "start" / "digits.yaml").write_text(SMALL_CONFIG)
    short = ClassifierConfig(steps=4)
    monkeypatch.setitem(
        evaluate_run.__kwdefaults__, "settings", EvaluateSettings(judge=short, student=short)
    )
    make_photos(tmp_path / "photos")
    torch.manual_seed(0)
    greeting, *walk = BLOCKS
    for language, text in [*walk, greeting]:  # the first lines load what the walk trains
        run(language, text)
    assert (tmp_path / "runs" / "digits-gain" / "report.html").exists()
    assert "SyntheticMix(" in capsys.readouterr().out


def test_every_shell_line_is_a_command_that_this_test_or_make_runs():
    lines = [
        line
        for language, text in BLOCKS
        if language == "bash"
        for line in text.splitlines()
        if line.strip()
    ]
    assert lines
    assert {line.split()[0] for line in lines} <= {"augmentor", "make"}


@pytest.mark.parametrize("target", ["setup", "demo", "demo-conditions", "test", "check"])
def test_the_targets_the_readme_names_are_there(target):
    makefile = (Path(__file__).parent.parent / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_every_package_of_the_pipelines_is_on_the_page_of_the_architecture():
    root = Path(__file__).parent.parent
    page = (root / "augmentor" / "README.md").read_text(encoding="utf-8")
    named = page.partition("## The packages of `pipelines`")[2].partition("\n## ")[0]
    packages = {
        path.name for path in (root / "pipelines").iterdir() if (path / "__init__.py").is_file()
    }
    assert {name for name in packages if f"| `{name}/` |" not in named} == set()
    files = {
        path
        for path in (root / "pipelines").rglob("*.py")
        if path.stem not in ("__init__", "__main__", "check")
    }
    assert {
        str(path)
        for path in files
        if not re.search(rf"`{path.stem}`", _row(named, path.parent.name))
    } == set()


def _row(rooms: str, package: str) -> str:
    """The line of the table that lists a room's files; the bottom is told in words behind the
    table."""
    rows = [line for line in rooms.splitlines() if line.startswith(f"| `{package}/`")]
    return rows[0] if rows else rooms.rpartition("|\n")[2]


def test_the_files_that_the_pages_name_are_there():
    root = Path(__file__).parent.parent
    # Pages of runs hold their commands as they were given, with the paths of that time.
    pages = [*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("docs/[!r]*/*.md")]
    pages += [root / "augmentor" / "README.md"]
    pages += [*root.glob("docs/results/*.md"), *root.glob("docs/results/**/note.md")]
    named = re.compile(
        r"\b(?:augmentor|downstream|pipelines|configs|examples|tests|docs)/[\w/]+\.(?:py|yaml|json)\b"
    )
    found = {
        (page.name, name)
        for page in pages
        for name in named.findall(page.read_text(encoding="utf-8"))
    }
    assert len(found) > 40
    assert {(page, name) for page, name in found if not (root / name).is_file()} == set()
