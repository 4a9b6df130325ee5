"""The cards of a gain report: arms, comparisons, metrics, recall, policy, pictures.

Nothing is computed anew but differences of means and coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from downstream.arms.table import ARMS, KINDS
from downstream.metrics import METRICS, Metric
from pipelines.gain.gallery import Gallery
from pipelines.gain.next_steps import next_steps
from pipelines.gain.rehearsal import LISTED
from pipelines.generators.contact_sheet import MOST_COLUMNS, MOST_ROWS, some_of
from pipelines.generators.copied import copies_words
from pipelines.report.cards import (
    Card,
    Cell,
    Column,
    Light,
    Pictures,
    Report,
    Row,
    Table,
    comparison_table,
    strip_cell,
    ticks,
)
from pipelines.report.document import render_report
from pipelines.report.explorer import Explorer, explorer
from pipelines.report.page import interval, limit_words, picture_strip, scale_of, scored_words

SEEN_AUGMENTED = (
    "The generator saw classically augmented images and hands that on: compare with classical, not "
    "with real."
)
LIGHTS: Mapping[Light, str] = {
    "green": "Synthetic images help here",
    "amber": "No gain shown",
    "red": "Another method is better here",
}


def gain_report(
    result: Mapping[str, Any], gallery: Gallery | None = None, folder: Path | None = None
) -> str:
    """The report of one gain run as HTML text.

    Args:
        result: The contents of ``gain.json``.
        gallery: Pictures; without them those cards are left out.
        folder: Of the run, for the commands to copy.
    """
    metric, scored = METRICS[result["metric"]], scored_words(result["scored_on"])
    cards: list[Card] = []
    if gallery is not None and gallery.matrix is not None:
        cards.append(_cells(gallery.matrix))
    cards.append(arms_table(result))
    if result["comparisons"]:
        cards.append(_comparisons(result, metric))
    if gallery is not None:
        cards.append(_images(result, gallery))
    if (result["policy"] or {}).get("rehearsal"):
        cards.append(_photograph(result["policy"]["rehearsal"]))
    if result.get("combinations"):
        cards.append(_combinations(result["combinations"]))
    cards += [_metrics(result, scored), _recall(result)]
    if result["policy"]:
        chosen_by = result["policy"]["screening"].get("metric", result["metric"])
        cards.append(_policy(result["policy"], METRICS[chosen_by]))
    report = Report(
        title=f"Gain on {result['dataset']}",
        eyebrow=f"{result['regime']} · {result['replicates']} replicates",
        cards=cards,
        footer="All arms of a replicate share the classifier, its first weights, its steps and its "
        "schedule; every replicate draws its own labelled images where the regime draws them, and "
        "trains its own generator where an arm needs one.",
        lights=LIGHTS,
        steps=next_steps(result, folder),
        warnings=_warnings(result),
    )
    return render_report(result, report)


def _warnings(result: Mapping[str, Any]) -> list[str]:
    found = [SEEN_AUGMENTED] if result["source_augment"] != "none" else []
    if (copies := result.get("generator_copies")) and copies["certain"]:
        found.append(f"First replicate: {copies_words(copies)}.")
    return found


def _photograph(rehearsal: Mapping[str, Any]) -> Table:
    """What hidden combinations showed, and the combinations to photograph first."""
    rows = []
    for one in rehearsal["photograph"]:
        worth = max(0.0, one["worth"])
        points = Cell(f"{100 * worth:.0f}", best=worth > 0, heat=min(100, round(100 * worth)))
        rows.append(Row(f"{one['class']} × {one['condition']}", [points]))
    lead = (
        f"{rehearsal['images']} photos of {rehearsal['combinations']} combinations of "
        f"{rehearsal['classes']} classes were hidden from training and scored. Recall: "
        f"{_percent(rehearsal['without'])} without a generator "
        f"({rehearsal['best_without_generator']}), {_percent(rehearsal['with'])} with what was "
        f"chosen ({rehearsal['chosen']}), {_percent(rehearsal['ceiling'])} with other real photos "
        "of the same combinations (oracle)."
    )
    if rows:
        lead += f" The table ends after {LISTED}." if len(rows) == LISTED else ""
        lead += (
            " The table says in points of recall what real photos of the missing combinations "
            "would probably be worth beyond what was chosen, judged by their condition."
        )
    return Table("Rehearsal", ["missing combination", "worth of real photos"], rows, lead)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _combinations(combinations: Mapping[str, Any]) -> Table:
    """Training images of every combination; missing ones are tinted."""
    classes, counts = combinations["classes"], combinations["train"]
    numbers = some_of(len(classes), MOST_ROWS)
    columns = some_of(len(combinations["conditions"]), MOST_COLUMNS)
    rows = []
    for number in numbers:
        cells = []
        for column in columns:
            count = counts[number][column]
            cells.append(Cell(str(count), look="" if count else "lack"))
        rows.append(Row(classes[number], cells))
    shown = ""
    if len(numbers) < len(classes) or len(columns) < len(combinations["conditions"]):
        shown = (
            f" Shown are {len(numbers)} of {len(classes)} classes and {len(columns)} of "
            f"{len(combinations['conditions'])} conditions, at even distances."
        )
    lead = (
        "Training images of every class under every condition, of the first replicate; "
        f"combinations without any are tinted.{shown}"
    )
    names = [combinations["conditions"][column] for column in columns]
    return Table("Class × condition", ["class", *names], rows, lead, look="tall")


def arms_table(result: Mapping[str, Any]) -> Table:
    """The arms of ``gain.json`` with their scores on one axis."""
    metric, scored = METRICS[result["metric"]], scored_words(result["scored_on"])
    unit, reference = metric.unit, _reference(result)
    values: list[float] = []
    for arm in result["arms"].values():
        values += [*arm["scores"], arm["mean"], *(arm["ci95"] or ())]
    axis, rows = scale_of(values), []
    beside = result["arms"][reference]["mean"] if reference else None
    arms = sorted(result["arms"].items(), key=lambda one: float(one[1]["mean"]))
    for name, arm in reversed(arms) if metric.higher_is_better else arms:
        cells = [strip_cell(axis, arm["mean"], arm["ci95"], arm["scores"], reference=beside)]
        cells.append(Cell(unit.plain(arm["mean"]), best=True))
        cells.append(Cell(interval(arm["ci95"], unit.plain)))
        if beside is not None:
            cells.append(Cell("–" if name == reference else unit.signed(arm["mean"] - beside)))
        kind, words = _kind_and_words(name, result)
        rows.append(Row(name, cells, kind, meaning=words))
    columns: list[Column] = ["arm", ticks(axis, unit.factor), "mean", "95 % interval"]
    dashed = f"; the dashed line is {reference}" if reference else ""
    lead = (
        f"{metric.words.capitalize()} on {scored}, in "
        f"{'percent' if unit.name == 'points' else unit.name}; "
        f"{'more' if metric.higher_is_better else 'less'} is better. Pale dots are replicates, the "
        f"large dot is their mean, the whisker its 95 % interval over replicates and images{dashed}"
        ". The replicates of one row share their ups and downs with the other rows: to compare two "
        "arms, read the next table."
    )
    if reference:
        columns.append(f"against {reference}")
    kinds = {row.kind for row in rows}
    legend = {str(kind): words for kind, words in KINDS.items() if kind in kinds}
    return Table("Arms", columns, rows, lead, legend=legend)


def _reference(result: Mapping[str, Any]) -> str | None:
    """The arm that all are shown beside: the plainest there is; None without one."""
    return next((name for name in ("real", "classical") if name in result["arms"]), None)


def _kind_and_words(name: str, result: Mapping[str, Any]) -> tuple[str, str]:
    """Of an arm of the table, or of one that the configuration named itself."""
    if name in ARMS:
        return ARMS[name].kind, ARMS[name].words
    if mixture := result["mixtures"].get(name):
        sets = [arm for one in result.get("outside", ()) for arm in one["arms"]]
        return "outside" if name in sets else "synthetic", mixture
    base = ARMS[result["bases"][name]]
    return base.kind, f"a variant of {base.name}: {base.words}"


def _comparisons(result: Mapping[str, Any], metric: Metric) -> Table:
    rows = result["comparisons"]
    keys = ["ci95", "ci95_replicates", "p", "p_permutation", "p_holm"]
    if all(row["p_permutation"] is None for row in rows):
        keys.remove("p_permutation")
    lead = (
        f"Differences within replicates, in {metric.unit.name}. The first interval, which decides, "
        "lets replicates and scored images vary and is corrected for training images that "
        "replicates share; the second lets replicates alone vary. Holm's p allows for the number "
        "of comparisons."
    )
    return comparison_table("Comparisons", rows, metric.unit, _needed, keys=keys, lead=lead)


def _needed(row: Mapping[str, Any]) -> str:
    if row["outcome"] != "undecided":
        return ""
    if row["needed"] is not None:
        return f"about {row['needed']} replicates would decide"
    return f"limited by {limit_words(row)}" if row["limited_by"] else ""


def _metrics(result: Mapping[str, Any], scored: str) -> Table:
    """Every arm by every metric, the best of a metric marked."""
    best, titles, arms = {}, ["arm"], result["arms"].values()
    for name in result["metrics"]:
        more = METRICS[name].higher_is_better
        best[name] = (max if more else min)(arm["metrics"][name]["mean"] for arm in arms)
        titles.append(f"{METRICS[name].words} {'↑' if more else '↓'}")
    rows = []
    for arm, found in result["arms"].items():
        cells = []
        for name in result["metrics"]:
            one, unit = found["metrics"][name], METRICS[name].unit
            marked = one["mean"] == best[name]
            cells.append(Cell(unit.plain(one["mean"]), interval(one["ci95"], unit.plain), marked))
        rows.append(Row(arm, cells))
    lead = (
        f"Mean over replicates with its 95 % interval over replicates and images, on {scored}; the "
        "best of a column in bold. Arrows say which direction is good."
    )
    return Table("All metrics", titles, rows, lead)


def _recall(result: Mapping[str, Any]) -> Table:
    arms, rows = result["arms"].values(), []
    known: list[float] = []
    for arm in arms:
        known += [value for value in arm["per_class_recall"].values() if value is not None]
    low = min(known, default=0.0)
    for name, count in result["training_counts"].items():
        recalls = [arm["per_class_recall"][name] for arm in arms]
        best = max((recall for recall in recalls if recall is not None), default=None)
        cells = [_heat_cell(recall, low, best) for recall in recalls]
        rows.append(Row(name, [Cell(str(count), look="soft"), *cells]))
    lead = (
        "Share of a class's scored images recognised, in percent, mean over replicates; the darker "
        "the better, best of a row in bold."
    )
    return Table(
        "Recall per class", ["class", "labelled", *result["arms"]], rows, lead, look="tall"
    )


def _heat_cell(recall: float | None, low: float, best: float | None) -> Cell:
    if recall is None:
        return Cell("–")
    heat = (recall - low) / max(1 - low, 1e-9)
    return Cell(f"{100 * recall:.1f}", best=recall == best, heat=round(100 * heat))


def _policy(policy: Mapping[str, Any], metric: Metric) -> Table:
    rows, shown = [], metric.unit.plain
    for row in policy["screening"]["candidates"]:
        state = " (chosen)" if row["chosen"] else " (dropped out)" if row["dropped"] else ""
        cells = (
            shown(row["mean"]),
            str(row["rounds"]),
            metric.unit.signed(-row["behind_leader"]),
            "–" if row["standard_error"] is None else shown(row["standard_error"]),
            ", ".join(map(shown, row["scores"])),
        )
        rows.append(Row(f"{row['name']}{state}", tuple(map(Cell, cells))))
    columns = ("candidate", "mean", "rounds", "against the leader", "standard error", "per split")
    lead = f"{policy['words']} {policy['screening']['rule']}"
    folded = f"Screening scores of all {len(rows)} candidates" if rows else ""
    return Table("The policy behind auto", columns, rows, lead, folded=folded)


def _images(result: Mapping[str, Any], gallery: Gallery) -> Explorer:
    """Real and rendered images to look through, with the nearest training images."""
    lead = (
        "Of the first replicate; equally many of every class and condition, the first ones, not "
        "picked."
    )
    if gallery.copies:
        lead += f" One by one: {copies_words(gallery.copies)}."
    photos = (result.get("combinations") or {}).get("train", ())
    return explorer(
        "Real and rendered images", lead, gallery.shown, gallery.classes, gallery.conditions, photos
    )


def _cells(matrix: Image.Image) -> Pictures:
    """The matrix as one picture, which tells photos and rendered images apart itself."""
    strip = picture_strip(matrix, "One image of every combination of class and condition")
    lead = (
        "One image of every combination, first replicate. In a frame: rendered, and training has "
        "no photo of it. Is it the class of its row, under the condition of its column?"
    )
    groups = [("", (("", strip, ""),))]
    return Pictures("Matrix", lead, groups, zoom=matrix.width)
