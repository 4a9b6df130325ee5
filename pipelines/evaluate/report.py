"""The cards of an evaluation's report: every measure beside real data, copies, and pictures."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from downstream.metrics import POINTS
from pipelines.evaluate.tables import COLUMNS, legend
from pipelines.evaluate.verdict import LIGHTS
from pipelines.generators.compared import Section
from pipelines.generators.copied import copies_words
from pipelines.generators.findings import membership_words, summary
from pipelines.report.cards import Card, Cell, Pictures, Report, Row, Step, Table
from pipelines.report.document import render_report
from pipelines.report.page import p_value, picture_strip

PICTURES = {
    "samples": (
        "Samples",
        "The first samples of every class, not picked.",
    ),
    "neighbours": (
        "The nearest training images",
        "Samples, each with the image nearest to it that the generator has seen: by pixels, then "
        "by the judge's features. Copies would look the same.",
    ),
}
"""Title of a picture's card, and what it shows."""


def evaluate_report(
    result: Section, pictures: Mapping[str, Image.Image], folder: Path = Path("RUN")
) -> str:
    """The report of one evaluation as HTML text.

    Args:
        result: The contents of evaluate.json.
        pictures: Those of ``PICTURES`` that there are.
        folder: Of the trained run, for the commands to copy.
    """
    cards: list[Card] = [_measures(result), _copies(result)]
    for name, (title, lead) in PICTURES.items():
        if name in pictures:
            strip = picture_strip(pictures[name], lead)
            cards.append(Pictures(title, lead, [("", [("", strip, "")])], zoom=strip["width"]))
    report = Report(
        title=f"Images of {result['dataset']}",
        eyebrow=result["regime"],
        cards=cards,
        footer="The judge learned from the real training images alone. Every number of generated "
        "images stands beside that of as many real ones.",
        lights=LIGHTS,
        steps=_steps(folder),
        warnings=[*result["warnings"], *filter(None, [result.get("conditions", "")])],
    )
    return render_report(result, report)


def _steps(folder: Path) -> list[Step]:
    run = shlex.quote(str(folder))
    config, out = shlex.quote(str(folder / "config.yaml")), shlex.quote(f"{folder}-gain")
    return [
        Step("Measure whether they help a classifier.", f"augmentor gain {config} --out {out}"),
        Step("Render a set.", f"augmentor synth {run} --ratio 1 --out {run}/synthetic"),
    ]


def _measures(result: Section) -> Table:
    made, real = (summary(result["metrics"], row) for row in ("generated", "real"))
    rows = []
    for key, column in COLUMNS.items():
        cells = [Cell(column.better), Cell(column.shown(made[key]), best=True)]
        rows.append(Row(column.title, [*cells, Cell(column.shown(real[key]))], note=column.meaning))
    columns = ["measure", "better", "generated", "real"]
    return Table("Beside real data", columns, rows, notes=legend(result))


def _copies(result: Section) -> Table:
    """Whether samples lie nearer to training images than unseen real images do."""
    found, rows = result["metrics"]["memorisation"], []
    for kind in ("pixels", "features"):
        one = found[kind]
        share = "–" if one["copied_share"] is None else f"{POINTS.shown(one['copied_share'])}"
        cells = [f"{one['median_sample']:.3f}", f"{one['median_holdout']:.3f}", p_value(one["p"])]
        cells += [f"{POINTS.shown(one['near_copies'])}", share]
        rows.append(Row(kind, [Cell(words) for words in cells]))
    lead = (
        f"{found['samples']} samples and {found['unseen']} unseen test images against the "
        f"{found['seen']} images that the generator has seen. Without copying p is not small, 1 % "
        "are near copies, and the copied share is 0."
    )
    notes = [f"{copies_words(found['copies'])}."] if found.get("copies") else []
    if found.get("membership"):
        notes.append(f"Membership inference attack: {membership_words(found['membership'])}.")
    columns = ["distance in", "samples", "unseen", "samples nearer, p", "near copies", "copied"]
    return Table("Does it copy?", columns, rows, lead, notes=notes)
