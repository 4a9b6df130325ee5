"""The result of ``augmentor compare``: a table for the terminal, a page of Markdown, and one
sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.generators.evaluate import COLUMNS, quality_cells

Row = Mapping[str, Any]

SHORT = ("top-1 %", "IS", "FID", "KID k", "prec", "recall", "dens", "cover", "divers", "CAS %")
COSTS = ("p of copies", "s / 1000 steps", "images / s", "weights, M", "images")
SHORT_COSTS = ("p copies", "s/1000", "img/s", "weights M", "images")
# Which end of a column is the better one, for the columns that order rows.
ORDERS = {"top1": True, "inception_score": True, "fid": False, "recall": True, "cas": True}
PAPER = (
    "cvae",
    "cgan",
    "fm_cgan",
    "cvae_gan",
)  # Bao et al. 2017, arXiv:1703.10155, table 2, the worst first


def order_of(rows: Mapping[str, Row]) -> dict[str, list[str]]:
    """Rows at equal budget, the best first, by each of ``ORDERS``.

    Args:
        rows: ``families`` of compare.json. Left out are rows at another budget, without numbers, or
            of fewer samples.
    """
    return {
        key: sorted(
            (name for name, row in rows.items() if _comparable(row) and row[key] is not None),
            key=lambda name: float(rows[name][key]),
            reverse=best_is_highest,
        )
        for key, best_is_highest in ORDERS.items()
    }


def _comparable(row: Row) -> bool:
    return bool(row["equal_budget"]) and "real_at_as_few" not in row


def verdict(result: Mapping[str, Any]) -> str:
    """One sentence: who renders what was asked for, who comes nearest, who covers most, at equal
    budget.

    Args:
        result: ``real``, ``families``, ``order`` of compare.json.
    """
    rows, real, order = result["families"], result["real"], result["order"]
    if not order["top1"]:
        return "Nothing to compare: no row at equal budget has numbers."
    best = order["top1"][0]
    told = [f"top-1 {rows[best]['top1']:.2%} (real data {real['top1']:.2%})"]
    for key, words, form in (("fid", "lowest FID", ".3f"), ("recall", "highest recall", ".3f")):
        if order[key] and real[key] is not None:
            first = order[key][0]
            told.append(f"{words} {first} {rows[first][key]:{form}} (real data {real[key]:{form}})")
    told += [
        f"beside them {name}, not at equal budget, top-1 {row['top1']:.2%}"
        for name, row in rows.items()
        if not row["equal_budget"] and row["top1"] is not None
    ]
    return f"At equal budget {best} most often renders the class asked for: {'; '.join(told)}."


def paper_order(result: Mapping[str, Any]) -> str:
    """The paper's four families from the worst top-1 to the best; empty unless all four were
    compared.
    """
    found = [name for name in reversed(result["order"]["top1"]) if name in PAPER]
    if len(found) < len(PAPER):
        return ""
    shown = " < ".join(f"{name} ({result['families'][name]['top1']:.2%})" for name in found)
    same = "as in the paper" if tuple(found) == PAPER else f"the paper: {' < '.join(PAPER)}"
    return f"By top-1 at equal budget: {shown}; {same}."


def compare_table(result: Mapping[str, Any]) -> str:
    """The rows as plain text, for a terminal."""
    lines = [("", *SHORT, *SHORT_COSTS), *table_rows(result)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in lines
    ]
    return "\n".join([*text, "", f"budget: {budget_words(result)}"])


def table_rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Name, quality, costs of every row, real data first; those that are not at equal budget say
    so.
    """
    few = {
        row["samples"]: row["real_at_as_few"]
        for row in result["families"].values()
        if "real_at_as_few" in row
    }
    none = ("–",) * 4
    rows = [("real data", *quality_cells(result["real"]), *none, str(result["samples"]))]
    rows += [
        (f"real data, {n} images", *quality_cells(real), *none, str(n)) for n, real in few.items()
    ]
    return rows + [
        (row_name(name, row), *quality_cells(row), *_costs(row))
        for name, row in result["families"].items()
    ]


def row_name(name: str, row: Row) -> str:
    """A row's name, with its budget where that is its own."""
    return (
        name
        if row["equal_budget"]
        else f"{name} ({_thousands(row['step'])} steps of {row['batch_size']})"
    )


def budget_words(result: Mapping[str, Any]) -> str:
    """What every training got, in words."""
    b = result["budget"]
    return (
        f"{_thousands(b['steps'])} steps of {b['batch_size']} images, {_thousands(b['images'])} "
        "in all, the same for "
        f"every row that names no other; source augmentation {b['source_augment']}; seed "
        f"{b['seed']}"
    )


def as_markdown(result: Mapping[str, Any]) -> str:
    """The result as a Markdown page."""
    titles = [title for title, _, _ in COLUMNS.values()] + list(COSTS)
    table = [_line(["", *titles]), f"|---|{'---:|' * len(titles)}", *map(_line, table_rows(result))]
    parts = [
        f"# {_escaped(result['dataset'])}: families at equal budget",
        _escaped(result["verdict"]),
        _escaped(paper_order(result)),
        f"Budget: {_escaped(budget_words(result))}.",
        "\n".join(table),
        "\n".join(
            f"- {_escaped(line)}"
            for line in [*legend(result), *likelihoods(result), *warnings(result)]
        ),
        "![A row of samples a family, real images on top](compare.png)",
        _origin(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def legend(result: Mapping[str, Any]) -> list[str]:
    """What the columns mean, in sentences."""
    judge, student, images = result["judge"], result["student"], result["images"]
    return [
        f"One judge for all rows: {judge['name']}, {judge['steps']} steps of "
        f"{judge['batch_size']} on the "
        f"{images['train']} real training images. It recognises {result['real']['top1']:.2%} of "
        f"the {images['test']} "
        f"real test images. Features are its {judge['features']}: numbers in them cannot be "
        "compared with another "
        "judge's.",
        "top-1 and inception score: generated images in equal shares of the classes, from the "
        "whole prior, no filter.",
        f"FID, KID, precision, recall, density, coverage (k = {result['k']}): against as many "
        "real test images; real "
        "data: training against test images. They depend on the number of images, so a row of "
        "fewer images has real "
        "data of as few beside it.",
        "diversity: mean distance in pixels of two images of one class, over that of real test "
        "images.",
        f"trained on it (classification accuracy score): {student['name']}, {student['steps']} "
        "steps of "
        f"{student['batch_size']} on the generated images alone, asked about real test images; "
        "real data: on all real "
        "training images.",
        "p of copies: small where samples lie nearer, in pixels, to training images than unseen "
        "real images do; "
        "blurred images do so too.",
        "s / 1000 steps, images / s: on a CPU processor time; by 20 steps after 3 to warm up, and "
        "by the images of "
        "this table after the first batch.",
        "weights, M: million weights of the generator / of all networks.",
    ]


def likelihoods(result: Mapping[str, Any]) -> list[str]:
    """A sentence a family that knows its likelihood."""
    return [
        f"{name}: {row['bits_per_dimension']:.3f} bits a dimension on the "
        f"{result['images']['test']} test images"
        for name, row in result["families"].items()
        if row.get("bits_per_dimension") is not None
    ]


def warnings(result: Mapping[str, Any]) -> list[str]:
    """What should stop a reader, one sentence a row."""
    rows = result["families"].items()
    return [
        f"Warning, {name}: {'; '.join(row['warnings'])}." for name, row in rows if row["warnings"]
    ]


def _costs(row: Row) -> list[str]:
    weights = row["parameters"]
    sizes = f"{weights.get('generator', weights['all']) / 1e6:.2f} / {weights['all'] / 1e6:.2f}"
    p, seconds, speed = (
        row["memorisation_p"],
        row["train_seconds_per_1000"],
        row["images_per_second"],
    )
    return [
        "–" if p is None else f"{p:.2g}",
        "–" if seconds is None else _three_digits(seconds),
        "–" if speed is None else _three_digits(speed),
        sizes,
        str(row["samples"]),
    ]


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _thousands(number: int) -> str:
    return f"{number:,}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _origin(result: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return f"- Command: `{result['command']}`\n- Device: {_escaped(result['device'])}\n- Versions: {versions}"


def _escaped(text: str) -> str:
    """Names come from folders: none may end a table cell or start a tag."""
    return text.replace("|", "\\|").replace("<", "&lt;")
