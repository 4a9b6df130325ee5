"""Gather the pages of the site in ``build/pages``: ``python docs/site/assemble.py``.

The documents link to each other and to files of the repository, as they lie in a checkout. The site
holds ``docs/`` alone, so what lies outside of it is copied to ``repository/``, and links follow.
The pages of reference are made from the list of modules; mkdocstrings fills them with docstrings.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELF = "repository"
"""Folder of the site for what lies outside of ``docs/``."""
PAGES = ("README.md", "augmentor/README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
PACKAGES = ("augmentor", "downstream")
JOBS = "pipelines.python.jobs"
CODE = r"```.*?```|`[^`\n]*`"
LINK = re.compile(rf"{CODE}|(?<=\]\()(?!\w+:|#|/)([^)\s#]+)", re.DOTALL)
"""Code, which is left alone, or the path of a link."""


class BrokenLinkError(Exception):
    """A page links to what is not there."""


def main() -> int:
    """Write ``build/pages`` anew."""
    try:
        assemble(ROOT / "build" / "pages")
    except BrokenLinkError as error:
        print(f"assemble: {error}", file=sys.stderr)
        return 1
    return 0


def assemble(out: Path) -> None:
    """Write the pages of the site into ``out``, which is emptied first.

    Raises:
        BrokenLinkError: If a page links to what is not there.
    """
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(ROOT / "docs", out, ignore=lambda *_: ["site"])
    for name in (*PAGES, *outside()):
        copy(ROOT / name, out / address_of(name))
    for page in sorted(out.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        page.write_text(moved(text, page.relative_to(out).as_posix()), encoding="utf-8")
    (out / "api").mkdir()
    for name, text in api_pages().items():
        (out / "api" / f"{name}.md").write_text(text, encoding="utf-8")


def outside() -> list[str]:
    """Files and folders outside of ``docs/`` that a page links to, as paths in the repository."""
    found = set()
    for page in (*(ROOT / name for name in PAGES), *(ROOT / "docs").rglob("*.md")):
        place = page.relative_to(ROOT).as_posix()
        for link in filter(None, LINK.findall(page.read_text(encoding="utf-8"))):
            name = target_of(place, link)
            if not (ROOT / name).exists():
                raise BrokenLinkError(f"{place} links to {link}, which does not exist")
            found.add(name)
    return sorted(name for name in found if not name.startswith("docs/"))


def copy(path: Path, target: Path) -> None:
    """Copy a file, or the files of a folder with a page that lists them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        shutil.copyfile(path, target)
        return
    names = sorted(file.name for file in path.iterdir() if file.is_file())
    for name in names:
        copy(path / name, target / name)
    listed = "".join(f"- [{name}]({name})\n" for name in names)
    (target / "README.md").write_text(f"# {path.relative_to(ROOT)}\n\n{listed}", encoding="utf-8")


def moved(text: str, page: str) -> str:
    """The text of a page of the site, its links pointed at the copies."""
    place = page.removeprefix(f"{SHELF}/") if page.startswith(f"{SHELF}/") else f"docs/{page}"

    def link(found: re.Match[str]) -> str:
        if not found[1]:
            return found[0]
        name = target_of(place, found[1])
        address = address_of(f"{name}/README.md" if (ROOT / name).is_dir() else name)
        return posixpath.relpath(address, posixpath.dirname(page) or ".")

    return LINK.sub(link, text)


def target_of(page: str, link: str) -> str:
    """Path in the repository that a link of a page means."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def address_of(name: str) -> str:
    """Path in the site of a path in the repository."""
    return name.removeprefix("docs/") if name.startswith("docs/") else f"{SHELF}/{name}"


def api_pages() -> dict[str, str]:
    """The pages of reference by name: one per package, with its public modules."""
    pages = {"pipelines": page_of("pipelines", [JOBS])}
    for package in PACKAGES:
        for folder in sorted({path.parent for path in (ROOT / package).rglob("*.py")}):
            name = ".".join(folder.relative_to(ROOT).parts)
            pages[name] = page_of(name, [name, *modules_of(folder, name)])
    return pages


def modules_of(folder: Path, package: str) -> Iterator[str]:
    """Names of the public modules of a package."""
    for path in sorted(folder.glob("*.py")):
        if not path.stem.startswith("_"):
            yield f"{package}.{path.stem}"


def page_of(title: str, modules: list[str]) -> str:
    """A page of reference: mkdocstrings' line for every module."""
    return "\n\n".join([f"# {title}", *(f"::: {module}" for module in modules)]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
