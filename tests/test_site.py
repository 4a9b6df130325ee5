"""The site of the documents: its pages are gathered, and docstrings become what it renders."""

from __future__ import annotations

import importlib.util
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

import augmentor
import downstream

ROOT = Path(__file__).parents[1]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "site" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


assemble = script("assemble")


def test_every_link_of_the_documents_leads_to_a_file(tmp_path: Path) -> None:
    assemble.assemble(tmp_path / "pages")
    assert (tmp_path / "pages" / "repository" / "augmentor" / "README.md").is_file()
    for page in (tmp_path / "pages").rglob("*.md"):
        for link in filter(None, assemble.LINK.findall(page.read_text("utf-8"))):
            assert (page.parent / link).is_file(), (page, link)


def test_every_public_module_is_on_a_page_of_reference() -> None:
    text = "\n".join(assemble.api_pages().values())
    found = re.findall(r"^::: (.+)$", text, re.MULTILINE)
    modules = {"pipelines.python.jobs"}
    for package in (augmentor, downstream):
        names = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        modules |= {package.__name__, *(one.name for one in names)}
    assert sorted(found) == sorted(name for name in modules if "._" not in name)


def test_every_page_of_reference_and_of_how_to_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text("utf-8")
    names = [f"api/{name}.md" for name in assemble.api_pages()]
    for folder in ("how-to", "concepts"):
        names += [f"{folder}/{path.name}" for path in (ROOT / "docs" / folder).glob("*.md")]
    assert [name for name in names if f" {name}\n" not in menu] == []


def test_the_page_of_the_configuration_is_the_code_s() -> None:
    page = script("config_page")
    assert page.PAGE.read_text("utf-8") == page.config_page(), "run: " + page.__doc__.split("`")[5]
    assert "| `seed` | whole number from 0 below 2,147,483,648 | `0` |" in page.config_page()
    assert "\n## `gain.policies.NAME`\n" in page.config_page()


@pytest.mark.parametrize(
    ("page", "text", "moved"),
    [
        ("how-to/a.md", "[b](../../SECURITY.md#x)", "[b](../repository/SECURITY.md#x)"),
        ("how-to/a.md", "[b](../files.md)", "[b](../files.md)"),
        ("repository/README.md", "[b](docs/files.md)", "[b](../files.md)"),
        ("index.md", "[b](../configs/start)", "[b](repository/configs/start/README.md)"),
        (
            "index.md",
            "`[b](../x.md)` and [b](https://x.org)",
            "`[b](../x.md)` and [b](https://x.org)",
        ),
    ],
)
def test_links_follow_their_files(page: str, text: str, moved: str) -> None:
    assert assemble.moved(text, page) == moved


def test_formulas_and_examples_of_docstrings_are_rendered() -> None:
    pytest.importorskip("latex2mathml", reason="the packages of the site are not installed")
    docstrings = script("docstrings")
    text = (
        "A law.\n\n.. math:: a^2 +\n    \\arg b\n\nwith :math:`b`.\n\nExample:\n    >>> 1\n    1\n"
    )
    found = docstrings.readable(text)
    assert found.count("<math") == 2
    assert "\nExamples:\n    >>> 1" in found
    assert "math:" not in found
    assert "\\" not in found


def test_the_citation_names_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {augmentor.__version__}\n" in text
