"""The report of a comparison: one HTML file that needs nothing else, verdict first, then table and
samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from augmentor.common.atomic_files import write_text
from pipelines.compare.pictures import Shown, shown_images, strips_of
from pipelines.compare.tables import (
    COSTS,
    budget_words,
    legend,
    likelihoods,
    row_name,
    table_rows,
    titles,
    warnings,
)
from pipelines.compare.verdict import leaders, paper_order
from pipelines.datasets import DataBundle
from pipelines.generators.evaluate import COLUMNS
from pipelines.report.page import duration, image_strip, render_page
from pipelines.report.pictures import unpacked

TITLES = {
    "samples": "real test images on top; below, the first samples of every class shown, not picked",
    "reconstructions": "real test images on top; below, each of them encoded and rendered again",
}


def write_compare_report(
    path: Path, result: Mapping[str, Any], shown: Shown, bundle: DataBundle
) -> None:
    """Write the report.

    Args:
        path: The HTML file to write.
        result: The contents of compare.json.
        shown: The images of all rows.
        bundle: The data; its test part gives the real images.
    """
    write_text(path, render_compare_report(result, shown, bundle))


def render_compare_report(result: Mapping[str, Any], shown: Shown, bundle: DataBundle) -> str:
    """The report as HTML text; see ``write_compare_report``."""
    return render_page(
        "compare_report.html.j2",
        result=result,
        verdict=result["verdict"],
        paper_order=paper_order(result),
        budget=budget_words(result),
        titles=[*titles(), *COSTS],
        rows=_rows(result),
        notes=[*legend(result), *likelihoods(result)],
        warnings=warnings(result),
        galleries=_galleries(shown, bundle),
        seconds={name: duration(value) for name, value in result["seconds"].items()},
    )


def _rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The table's rows; the best cell of a column among the rows without a grave warning is
    marked.
    """
    best, families = leaders(result), result["families"]
    by_text = {row_name(name, row): name for name, row in families.items()}
    rows = []
    for text, *cells in table_rows(result):
        name = by_text.get(text, "")
        marked = []
        for key, value in zip(COLUMNS, cells, strict=False):
            marked.append({"text": value, "best": bool(name) and best.get(key) == name})
        kind = "real" if not name else "equal" if families[name]["equal_budget"] else "extra"
        note = _note(name, families[name]) if name else ""
        costs = cells[len(COLUMNS) :]
        rows.append({"name": text, "kind": kind, "note": note, "cells": marked, "costs": costs})
    return rows


def _note(name: str, row: Mapping[str, Any]) -> str:
    """What a row is beside its name."""
    words = [] if row["family"] == name else [row["family"]]
    if row["preset"] != "default":
        words.append(f"preset {row['preset']}")
    for option, value in row["options"].items():
        words.append(f"{option} {value}")
    if not row["equal_budget"]:
        words.append("not at equal budget")
    return ", ".join(words)


def _galleries(shown: Shown, bundle: DataBundle) -> list[dict[str, Any]]:
    real = image_strip(shown_images(bundle.test).x)
    found = []
    for kind, title in TITLES.items():
        rows = [("real", real)]
        for name, text in strips_of(shown, kind).items():
            rows.append((name, image_strip(unpacked(text))))
        if len(rows) > 1:
            found.append({"kind": kind, "title": title, "rows": rows})
    return found
