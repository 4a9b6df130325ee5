"""The examples of docstrings, which the pages of reference show, run as they stand."""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUN_ELSEWHERE = {  # beside the tests of these modules, with a folder to write into or other helpers
    "augmentor.data.draw_weights",
    "augmentor.data.synthetic_mix",
    "augmentor.exporting",
    "augmentor.oversampler",
    "augmentor.sharing",
    "augmentor.trained",
    "pipelines.config.start",
    "pipelines.python.jobs",
}


PARSER = doctest.DocTestParser()


def docstrings_with_examples(path: Path) -> Iterator[str]:
    """By the source, since doctest does not look behind decorators such as ``torch.no_grad``."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            if text and PARSER.get_examples(text):
                yield text


def modules_with_examples() -> dict[str, list[str]]:
    found = {}
    for package in ("augmentor", "downstream", "pipelines"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if texts := list(docstrings_with_examples(path)):
                parts = path.relative_to(ROOT).with_suffix("").parts
                found[".".join(parts).removesuffix(".__init__")] = texts
    return found


EXAMPLES = modules_with_examples()


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - RUN_ELSEWHERE))
def test_examples_run(name: str) -> None:
    names = vars(import_module(name))
    for text in EXAMPLES[name]:
        test = PARSER.get_doctest(text, dict(names), name, None, None)
        assert doctest.DocTestRunner().run(test).failed == 0


def test_the_others_are_run_by_tests_of_their_own() -> None:
    assert set(EXAMPLES) >= RUN_ELSEWHERE
    ran = set[str]()
    for path in (ROOT / "tests").rglob("test_*.py"):
        ran |= set(re.findall(r"doctest\.testmod\((\w+)", path.read_text("utf-8")))
    assert {name for name in RUN_ELSEWHERE if name.rpartition(".")[2] not in ran} == set()
