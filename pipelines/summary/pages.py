"""The pages of published runs and their index, made from their result files by ``augmentor summary
docs/results --pages``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from augmentor.common.atomic_files import write_text
from augmentor.common.types import DataError
from pipelines.summary.index import front_of, index_of
from pipelines.summary.read import RESULT, read
from pipelines.summary.run import summary_run
from pipelines.summary.run_page import Run, page_of

COMMAND = "augmentor summary docs/results --pages"
PAGE, CONFIG, NOTE, SUMMARY = "page.md", "config.yaml", "note.md", "summary"


def pages_run(folder: Path) -> list[Path]:
    """Write page.md of every run below a folder, README.md and runs.md as their index, and
    summary/.

    A run is a folder with ``result.json``; ``note.md`` beside it is taken into its page. Pages of
    kinds that are not made here stay as they are.

    Args:
        folder: The folder, such as docs/results.

    Returns:
        The files that were written, summary/ left out.

    Raises:
        DataError: If runs are missing, or a result file cannot be read.
    """
    runs = runs_in(folder)
    if not runs:
        raise DataError(f"{folder}: holds no folder with {RESULT}")
    texts = {folder / "README.md": front_of(runs)}
    texts[folder / "runs.md"] = index_of(runs, _pages_alone(folder))
    for run in runs:
        page = page_of(run)
        if page is not None:
            texts[folder / run.path / PAGE] = page
    for path, text in texts.items():
        write_text(path, text)
    _summarise(folder, runs)
    return list(texts)


def runs_in(folder: Path) -> list[Run]:
    """All runs below a folder: by data set, then by name."""
    found = []
    for path in sorted(folder.rglob(RESULT)):
        note = path.parent / NOTE
        found.append(
            Run(
                name=path.parent.name,
                path=path.parent.relative_to(folder).as_posix(),
                document=read(path),
                has_config=(path.parent / CONFIG).is_file(),
                note=note.read_text(encoding="utf-8") if note.is_file() else "",
            )
        )
    return sorted(found, key=lambda run: (run.document["dataset"], _counted(run.name)))


def _counted(name: str) -> str:
    """A name to sort by, in which 5 comes before 10."""
    return re.sub(r"\d+", lambda number: number[0].zfill(9), name)


def _pages_alone(folder: Path) -> list[str]:
    """Folders with a page and no result file."""
    alone = []
    for path in sorted(folder.rglob(PAGE)):
        if not (path.parent / RESULT).is_file():
            alone.append(path.parent.relative_to(folder).as_posix())
    return alone


def _summarise(folder: Path, runs: Sequence[Run]) -> None:
    """One summary of all runs of gain and verify that scored test images."""
    files = []
    for run in runs:
        if run.document["kind"] in ("gain", "verify") and not run.screening:
            files.append(folder / run.path / RESULT)
    if files:
        summary_run(files, folder / SUMMARY, command=COMMAND)
