"""What a machine can hold of the English: patterns that sound translated, and long sentences on the
pages that people read first."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FIRST_PAGES = [ROOT / "README.md", ROOT / "docs" / "tutorial.md"]
LONGEST = 25  # words of a sentence there
UNITS = (
    "class|step|row|run|replicate|fold|image|batch|epoch|shard|training|pixel|dimension|second|"
    "minute|sample|combination|condition|person|operation|generator|update"
)
COUNTED = (
    "images|photos|labels|samples|rows?|lines?|steps|seconds|minutes|hours|points|classifiers|"
    "files?|parts|draws|copies|updates|pass|passes|things?|columns?|folders?|faces|digits|pixels|"
    "nats|bits|overview|training|value|number"
)
PATTERNS = {
    "say “is not a …”, “has no …” or “without …”": r"\b(?:is|are|was|were) no(?!t\b)\b [a-z]+",
    "say “per”": rf"\b(?:{COUNTED}) an? (?:{UNITS})\b",
    "say “resume”": r"\b(?:go|goes|going|gone|went) on with\b",
    "say “corrupted” or “damaged”": r"\bspoil(?:ed|s)?\b",
    "say what it is": r"\bwho is told\b|\bdeaf to\b|\byardsticks?\b",
}
EXCEPTIONS = {("CHANGELOG.md", "yardstick"): "it tells what the old word was"}
"""Page and words that are right as they are, each with the reason; five at most."""
IN_CODE = {
    "deaf to the label": "the warning of version 0.1, as its results hold it",
    "yardsticks": "a key of results of version 0.1",
    "yardstick": "a key of gain_summary.json, which keeps its form",
}
"""Texts in code that are right as they are, each with the reason."""


def prose_pages() -> list[Path]:
    """All pages that a person writes; those of the runs are made, or tell of their time."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "augmentor" / "README.md"]
    pages += [*(ROOT / "docs").glob("*/*.md"), *(ROOT / ".github").rglob("*.md")]
    return sorted(pages)


def plain(text: str) -> str:
    """The prose of a page: code, tables, addresses and marks are taken out."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    text = re.sub(r"`[^`\n]*`", "CODE", text)
    text = re.sub(r"^\|.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"[*_>]|<br>", "", text)


def sentences(text: str) -> list[str]:
    """Of a page's prose; a heading, an item of a list and a paragraph end one too."""
    found = []
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-#]|\d+\.) )", plain(text)):
        found += re.split(r"(?<=[.!?:])\s+(?=\W*[A-Z0-9])", " ".join(block.split()))
    return [one for one in found if one]


def hits(found: list[str]) -> list[tuple[str, str]]:
    """The words that a pattern refuses, and what to do."""
    told = []
    for sentence in found:
        for advice, pattern in PATTERNS.items():
            told += [(hit[0], advice) for hit in re.finditer(pattern, sentence, re.IGNORECASE)]
    return told


@pytest.mark.parametrize("page", prose_pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_read_like_english(page: Path) -> None:
    name = page.relative_to(ROOT).as_posix()
    found = hits(sentences(page.read_text(encoding="utf-8")))
    assert [(words, advice) for words, advice in found if (name, words) not in EXCEPTIONS] == []


@pytest.mark.parametrize("page", FIRST_PAGES, ids=lambda page: page.name)
def test_sentences_of_the_first_pages_are_short(page: Path) -> None:
    found = sentences(page.read_text(encoding="utf-8"))
    assert [one for one in found if len(one.split()) > LONGEST] == []


def test_exceptions_are_few_and_used() -> None:
    assert len(EXCEPTIONS) <= 5
    for name, words in EXCEPTIONS:
        assert words in (ROOT / name).read_text(encoding="utf-8")


def test_docstrings_and_messages() -> None:
    found = []
    for package in ("augmentor", "downstream", "pipelines"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                    continue
                text = " ".join(node.value.split())
                if text not in IN_CODE:
                    found += hits([text])
    assert found == []
    assert len(EXCEPTIONS) + len(IN_CODE) <= 5


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("There is no pool.", 1),
        ("It has no pool, and is not decided.", 0),
        ("80 images a class, in ten minutes a step", 2),
        ("80 images per class; it trains a generator per fold", 0),
        ("The run goes on with a spoiled file.", 2),
    ],
)
def test_the_patterns_find_what_they_are_for(words: str, count: int) -> None:
    assert len(hits([words])) == count


def test_prose_is_told_from_code_and_tables() -> None:
    page = "# Head\n\nOne [link](a.md) here. Two\nlines.\n\n```\nis no\n```\n"
    page += "\n| is no |\n- item\n- item two\n"
    assert sentences(page) == ["# Head", "One link here.", "Two lines.", "- item", "- item two"]
