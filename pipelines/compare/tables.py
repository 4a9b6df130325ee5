"""The result of ``augmentor compare`` as a table for the terminal and as a page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from downstream.metrics import POINTS
from pipelines.compare.verdict import paper_order
from pipelines.evaluate.tables import COLUMNS, quality_cells
from pipelines.report.markdown import escaped
from pipelines.report.terminal import fold, plain_table

Row = Mapping[str, Any]

COSTS = ("p of copies ↑", "s / 1000 steps ↓", "images / s ↑", "weights, M", "images")
SHORT_COSTS = ("p copy ↑", "s/1000 ↓", "img/s ↑", "weights M", "images")


def titles() -> list[str]:
    """Of the quality columns, each with its better direction."""
    return [f"{column.title} {column.better}" for column in COLUMNS.values()]


def compare_table(result: Mapping[str, Any]) -> str:
    """The rows as plain text, for a terminal."""
    short = [f"{column.short} {column.better}" for column in COLUMNS.values()]
    table = plain_table(("", *short, *SHORT_COSTS), table_rows(result))
    return "\n".join([table, "", *fold(f"budget: {budget_words(result)}")])


def table_rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Name, quality, costs of every row, real data first; those that are not at equal budget say
    so.
    """
    none = ("–",) * 4
    rows = [("real data", *quality_cells(result["real"]), *none, str(result["samples"]))]
    for samples, real in _real_at_as_few(result).items():
        name = f"real data, {samples} images"
        rows.append((name, *quality_cells(dict(real)), *none, str(samples)))
    for name, row in result["families"].items():
        rows.append((row_name(name, row), *quality_cells(row), *_costs(row)))
    return rows


def row_name(name: str, row: Row) -> str:
    """A row's name, with its budget where that is its own."""
    if row["equal_budget"]:
        return name
    return f"{name} ({_thousands(row['step'])} steps of {row['batch_size']})"


def budget_words(result: Mapping[str, Any]) -> str:
    """What every training got, in words."""
    b = result["budget"]
    return (
        f"{_thousands(b['steps'])} steps of {b['batch_size']} images, {_thousands(b['images'])} "
        "in all, the same for every row that names no other; source augmentation "
        f"{b['source_augment']}; seed {b['seed']}"
    )


def as_markdown(result: Mapping[str, Any]) -> str:
    """The result as a Markdown page."""
    heads = [*titles(), *COSTS]
    table = [_line(["", *heads]), f"|---|{'---:|' * len(heads)}", *map(_line, table_rows(result))]
    parts = [
        f"# {escaped(result['dataset'])}: families at equal budget",
        escaped(result["verdict"]["advice"]),
        _list_of(result["verdict"]["lines"]),
        escaped(paper_order(result)),
        f"Budget: {escaped(budget_words(result))}.",
        "\n".join(table),
        _list_of([*legend(result), *likelihoods(result), *warnings(result)]),
        "![One row of samples per family, real images on top](compare.png)",
        _origin(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def legend(result: Mapping[str, Any]) -> list[str]:
    """What the columns mean, in sentences."""
    student = result["student"]
    return [
        "↑ more is better, ↓ less is better, →1 as varied, or as dense, as real data is best.",
        _about_judge(result),
        "top-1 and inception score: generated images in equal shares of the classes, from the "
        "whole prior, no filter.",
        f"FID, KID, precision, recall, density, coverage (k = {result['k']}): against as many "
        "real test images; real data: training against test images. They depend on the number of "
        "images, so a row of fewer images has real data of as few beside it.",
        "diversity: mean distance in pixels of two images of one class, over that of real test "
        "images.",
        f"trained on it (classification accuracy score): {student['name']}, {student['steps']} "
        f"steps of {student['batch_size']} on the generated images alone, scored on real test "
        "images; real data: on all real training images.",
        "p of copies: small where samples lie nearer, in pixels, to training images than unseen "
        "real images do; blurred images do so too.",
        "s / 1000 steps, images / s: on a CPU processor time; by 20 steps after 3 to warm up, and "
        "by the images of this table after the first batch.",
        "weights, M: million weights of the generator / of all networks.",
    ]


def likelihoods(result: Mapping[str, Any]) -> list[str]:
    """One sentence per family that knows its likelihood."""
    lines = []
    for name, row in result["families"].items():
        bits = row.get("bits_per_dimension")
        if bits is not None:
            images = f"the {result['images']['test']} test images"
            lines.append(f"{name}: {bits:.3f} bits per dimension on {images}")
    return lines


def warnings(result: Mapping[str, Any]) -> list[str]:
    """What should stop a reader, one sentence per row."""
    lines = []
    for name, row in result["families"].items():
        if row["warnings"]:
            lines.append(f"Warning, {name}: {'; '.join(row['warnings'])}.")
    return lines


def _about_judge(result: Mapping[str, Any]) -> str:
    judge, images = result["judge"], result["images"]
    return (
        f"One judge for all rows: {judge['name']}, begun with random weights, {judge['steps']} "
        f"steps of {judge['batch_size']} on the {images['train']} real training images. It "
        f"recognises {POINTS.shown(result['real']['top1'])} of the {images['test']} real test "
        f"images. Features are its {judge['features']}: numbers in them cannot be compared with "
        "those of another judge."
    )


def _real_at_as_few(result: Mapping[str, Any]) -> dict[int, Row]:
    """What real data score with as few images as a slow row has, by the number of images."""
    found = {}
    for row in result["families"].values():
        if "real_at_as_few" in row:
            found[row["samples"]] = row["real_at_as_few"]
    return found


def _costs(row: Row) -> list[str]:
    weights, p = row["parameters"], row["memorisation_p"]
    sizes = f"{weights.get('generator', weights['all']) / 1e6:.2f} / {weights['all'] / 1e6:.2f}"
    return [
        "–" if p is None else f"{p:.2g}",
        _three_digits(row["train_seconds_per_1000"]),
        _three_digits(row["images_per_second"]),
        sizes,
        str(row["samples"]),
    ]


def _three_digits(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _thousands(number: int) -> str:
    return f"{number:,}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(escaped, cells))} |"


def _list_of(lines: Sequence[str]) -> str:
    return "\n".join(f"- {escaped(line)}" for line in lines)


def _origin(result: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [f"- Command: `{result['command']}`", f"- Device: {escaped(result['device'])}"]
    return "\n".join([*lines, f"- Versions: {versions}"])
