"""Pictures and report of a comparison: one HTML file that needs nothing else, verdict first, then
table and samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from augmentor.common.atomic_files import write_text
from pipelines.compare.rows import shown_counts, shown_images
from pipelines.compare.tables import (
    ORDERS,
    budget_words,
    legend,
    likelihoods,
    paper_order,
    table_rows,
    warnings,
)
from pipelines.datasets import DataBundle
from pipelines.report.page import duration, image_strip, render_page
from pipelines.report.pictures import sample_grid, unpacked
from pipelines.generators.evaluate import COLUMNS

TITLES = {
    "samples": "real test images on top; below, the first samples of every class shown, not picked",
    "reconstructions": "real test images on top; below, each of them encoded and rendered again",
}


def pictures(cells: Sequence[Mapping[str, Any]], bundle: DataBundle) -> dict[str, Image.Image]:
    """``compare`` (a row of samples a family, real images on top) and ``reconstructions``, if a
    family encodes.

    Args:
        cells: Of all rows.
        bundle: The data; its test part gives the real images.
    """
    real = shown_images(bundle.test)
    names = [bundle.test.classes[index] for index in real.y.tolist()]
    above = names if max(map(len, names)) <= 4 else []  # longer names would run into each other
    found = {
        "compare": _strips(cells, "samples"),
        "reconstructions": _strips(cells, "reconstructions"),
    }
    share = max(shown_counts(len(bundle.test.classes)).values())
    group = share if share > 1 else 0  # a gap between two classes
    return {
        name: sample_grid(
            [real.x, *map(unpacked, strips.values())],
            ["real", *strips],
            column_names=above,
            group=group,
        )
        for name, strips in found.items()
        if strips
    }


def write_compare_report(
    path: Path, result: Mapping[str, Any], cells: Sequence[Mapping[str, Any]], bundle: DataBundle
) -> None:
    """Write the report.

    Args:
        path: The HTML file to write.
        result: The contents of compare.json.
        cells: Of all rows.
        bundle: The data; its test part gives the real images.
    """
    write_text(path, render_compare_report(result, cells, bundle))


def render_compare_report(
    result: Mapping[str, Any], cells: Sequence[Mapping[str, Any]], bundle: DataBundle
) -> str:
    """The report as HTML text; see ``write_compare_report``."""
    return render_page(
        "compare_report.html.j2",
        result=result,
        verdict=result["verdict"].partition(": "),
        paper_order=paper_order(result),
        budget=budget_words(result),
        titles=[title for title, _, _ in COLUMNS.values()],
        rows=_rows(result),
        notes=[*legend(result), *likelihoods(result)],
        warnings=warnings(result),
        galleries=_galleries(cells, bundle),
        seconds={name: duration(value) for name, value in result["seconds"].items()},
    )


def _strips(cells: Sequence[Mapping[str, Any]], kind: str) -> dict[str, str]:
    return {cell["row"]: cell["pictures"][kind] for cell in cells if kind in cell["pictures"]}


def _rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The table's rows; the best cell at equal budget of a column is marked."""
    best = {key: order[0] for key, order in result["order"].items() if order}
    keys = list(COLUMNS)
    names = list(result["families"])
    rows = []
    for offset, line in enumerate(reversed(table_rows(result))):
        name = names[-1 - offset] if offset < len(names) else ""
        row = result["families"].get(name, {})
        cells = [
            {"text": text, "best": key in ORDERS and best.get(key) == name}
            for key, text in zip(keys, line[1 : len(keys) + 1], strict=True)
        ]
        kind = "real" if not name else "equal" if row["equal_budget"] else "extra"
        rows.append(
            {
                "name": line[0],
                "kind": kind,
                "note": _note(name, row),
                "cells": cells,
                "costs": line[-5:],
            }
        )
    return rows[::-1]


def _note(name: str, row: Mapping[str, Any]) -> str:
    """What a row is beside its name."""
    if not row:
        return ""
    words = [] if row["family"] == name else [row["family"]]
    words += [] if row["preset"] == "default" else [f"preset {row['preset']}"]
    words += [f"{option} {value}" for option, value in row["options"].items()]
    return ", ".join(words if row["equal_budget"] else [*words, "not at equal budget"])


def _galleries(cells: Sequence[Mapping[str, Any]], bundle: DataBundle) -> list[dict[str, Any]]:
    real = image_strip(shown_images(bundle.test).x)
    return [
        {
            "kind": kind,
            "title": title,
            "rows": [
                ("real", real),
                *((name, image_strip(unpacked(text))) for name, text in strips.items()),
            ],
        }
        for kind, title in TITLES.items()
        if (strips := _strips(cells, kind))
    ]
