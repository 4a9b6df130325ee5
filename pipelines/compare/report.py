"""The cards of a comparison's report: the table of families, and what they rendered."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
from pipelines.evaluate.tables import COLUMNS
from pipelines.report.cards import Card, Cell, Light, Pictures, Report, Row, Step, Table
from pipelines.report.document import render_report
from pipelines.report.page import image_strip
from pipelines.report.pictures import unpacked

TITLES = {
    "samples": "Real test images on top; below, the first samples of every class shown, not picked",
    "reconstructions": "Real test images on top; below, each of them encoded and rendered again",
}
KINDS = {"real": "plain", "equal": "synthetic", "extra": "auto"}
"""Colours of real data, of rows at equal budget, and of those at their own."""


LIGHTS: Mapping[Light, str] = {
    "green": "One family renders classes best",
    "amber": "One family leads, with a warning",
    "red": "No family can be recommended",
}


def compare_report(
    result: Mapping[str, Any], shown: Shown, bundle: DataBundle, folder: Path = Path("RUN")
) -> str:
    """The report of one comparison as HTML text.

    Args:
        result: The contents of compare.json.
        shown: The images of all rows.
        bundle: The data; its test part gives the real images.
        folder: Of the run, for the commands to copy.
    """
    cards: list[Card] = [_table(result)]
    real = image_strip(shown_images(bundle.test).x)
    for kind, lead in TITLES.items():
        rows = [("real", real, "")]
        for name, text in strips_of(shown, kind).items():
            rows.append((name, image_strip(unpacked(text)), ""))
        if len(rows) > 1:
            cards.append(Pictures(kind.capitalize(), lead, [("", rows)], zoom=60))
    report = Report(
        title=f"Families on {result['dataset']}",
        eyebrow=f"{result['regime']} · {budget_words(result)}",
        cards=cards,
        footer="Every family learned from the same batches of the same images. The judge learned "
        "from the real training images alone, once; test images decided nothing.",
        lights=LIGHTS,
        steps=_steps(result, folder),
        warnings=warnings(result),
    )
    return render_report(result, report)


def _steps(result: Mapping[str, Any], folder: Path) -> list[Step]:
    """Measure whether the images help, which this page does not tell; or train for longer."""
    config, leader = shlex.quote(str(folder / "config.yaml")), leaders(result).get("top1")
    if leader is None:
        more = 4 * result["budget"]["steps"]
        command = (
            f"augmentor compare {config} --steps {more} --out {shlex.quote(f'{folder}-longer')}"
        )
        return [Step("Train for longer.", command)]
    row = result["families"][leader]
    named = f"--family {row['family']}"
    if preset := row.get("preset"):
        named += f" --preset {preset}"
    command = f"augmentor gain {config} {named} --out {shlex.quote(f'{folder}-gain')}"
    words = f"Measure whether images of {leader} help a classifier."
    if row.get("options"):
        words += " Write its options into source.options of the configuration first."
    return [Step(words, command)]


def _table(result: Mapping[str, Any]) -> Table:
    """The rows; the best cell of a column among those without a grave warning is marked."""
    best, families = leaders(result), result["families"]
    by_text = {row_name(name, row): name for name, row in families.items()}
    rows = []
    for text, *words in table_rows(result):
        name = by_text.get(text, "")
        kind = "real" if not name else "equal" if families[name]["equal_budget"] else "extra"
        cells = []
        for key, value in zip(COLUMNS, words, strict=False):
            cells.append(Cell(value, best=bool(name) and best.get(key) == name))
        cells += [Cell(value, look="soft") for value in words[len(COLUMNS) :]]
        rows.append(Row(text, cells, KINDS[kind], _note(name, families[name]) if name else ""))
    lead = (
        f"{paper_order(result)} The best value at equal budget of top-1, inception score, FID, "
        "recall and the last quality column is bold; rows of fewer images, and rows that ignore "
        "the label, have collapsed or copy training images, are left out of that."
    )
    columns, notes = ["family", *titles(), *COSTS], [*legend(result), *likelihoods(result)]
    return Table("The table", columns, rows, lead.strip(), notes=notes, look="wide")


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
