"""The result of ``augmentor semi`` as a table for the terminal and as Markdown, beside what was
published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.report.markdown import escaped
from pipelines.report.page import interval, limit_words, p_value, plain, scored_words
from pipelines.report.terminal import fold, plain_table
from pipelines.semi.scores import ERROR, UNIT

Published = Mapping[str, Mapping[str, tuple[float, float | None]]]
"""Method -> number of labels -> (mean error, sample deviation or None), in percent as printed."""

# The literature's test errors over ten labelled subsets; data set by data set, as its authors
# printed them.
PUBLISHED: dict[str, Published] = {
    "mnist": {
        "Improved GAN, feature matching (Salimans et al. 2016)": {
            "20": (16.77, 4.52),
            "50": (2.21, 1.36),
            "100": (0.93, 0.065),
            "200": (0.90, 0.042),
        },
        "Improved GAN, ensemble of 10 (Salimans et al. 2016)": {
            "100": (0.86, None),
            "200": (0.81, None),
        },
        "Triple-GAN (Li et al. 2017)": {
            "20": (4.81, 4.95),
            "50": (1.56, 0.72),
            "100": (0.91, 0.58),
        },
        "BadGAN (Dai et al. 2017)": {"100": (0.795, 0.098)},
        "Ladder network (Rasmus et al. 2015)": {"50": (1.62, 0.65), "100": (1.06, 0.37)},
        "VAT (Miyato et al. 2017)": {"100": (1.36, None)},
    }
}


def semi_table(result: Mapping[str, Any]) -> str:
    """Errors as plain text: mean ± sample deviation, and the median, by method and number of
    labels.
    """
    counts, methods = label_counts(result), result["methods"]
    rows = []
    for name, found in methods.items():
        rows.append((name, *(_with_median(found.get(labels)) for labels in counts)))
    table = plain_table(("method", *(f"{labels} labels" for labels in counts)), rows)
    words = f"{ERROR.words} in percent: mean ± standard deviation over subsets (median; subsets)"
    return "\n".join([table, "", *fold(words)])


def as_markdown(result: Mapping[str, Any], published: Published | None = None) -> str:
    """The result as a Markdown page.

    Args:
        result: The contents of semi.json.
        published: The rows to set beside; unless given those known for the data set, if test images
            were scored.
    """
    if published is None:  # errors on test images, which those of a screening are not
        on_test = result["scored_on"] == "test"
        published = PUBLISHED.get(result["dataset"], {}) if on_test else {}
    counts, verdict = label_counts(result), result["verdict"]
    parts = [
        f"# {escaped(result['dataset'])}: errors of semi-supervised methods",
        escaped(verdict["advice"]),
        "\n".join(f"- {escaped(line)}" for line in verdict["lines"]),
        f"Error in percent on {scored_on_words(result)}: mean ± standard deviation over labelled "
        "subsets (median; number of subsets).",
        _table(counts, _our_rows(result, counts)),
    ]
    if theirs := _published_rows(published, counts):
        parts += [
            "Published, on other labelled subsets and with other networks:",
            _table(counts, theirs),
        ]
    if result["differences"]:
        parts.append(_differences(result))
    return "\n\n".join([*parts, _origin(result)]) + "\n"


def scored_on_words(result: Mapping[str, Any]) -> str:
    """How many images of which kind the errors are measured on."""
    return f"{result['images']['scored']} {scored_words(result['scored_on'])}"


def label_counts(result: Mapping[str, Any]) -> list[str]:
    """Every number of labels that a method was run with, as semi.json writes it, ascending."""
    found: set[str] = set()
    for by_labels in result["methods"].values():
        found |= set(by_labels)
    return sorted(found, key=int)


def _our_rows(result: Mapping[str, Any], counts: Sequence[str]) -> list[str]:
    rows = []
    for name, found in result["methods"].items():
        rows.append(_row(name, [_with_median(found.get(labels)) for labels in counts]))
    return rows


def _published_rows(published: Published, counts: Sequence[str]) -> list[str]:
    rows = []
    for name, found in published.items():
        if set(found) & set(counts):
            rows.append(_row(name, [_printed(found.get(labels)) for labels in counts]))
    return rows


def _table(counts: Sequence[str], rows: Sequence[str]) -> str:
    titles = " labels | ".join(counts)
    return "\n".join([f"| method | {titles} labels |", f"|---|{'---|' * len(counts)}", *rows])


def _origin(result: Mapping[str, Any]) -> str:
    lines = []
    for name, value in result["setup"].items():
        lines.append(f"- {escaped(name)}: {escaped(plain(value))}")
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines.append(f"- Command: `{result['command']}`")
    lines.append(f"- Device: {escaped(result['device'])}")
    lines.append(f"- Versions: {versions}")
    return "\n".join(lines)


def _differences(result: Mapping[str, Any]) -> str:
    titles = (
        f"difference of {ERROR.words}, {UNIT.name}",
        "labels",
        "pairs",
        "mean",
        "95 % interval",
        "subsets alone",
        "p",
        "Holm p",
        "outcome",
    )
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in result["differences"]:
        cells = [
            str(row["labels"]),
            str(row["pairs"]),
            UNIT.signed(row["delta"]),
            interval(row["ci95"], UNIT.signed),
            interval(row["ci95_replicates"], UNIT.signed),
            p_value(row["p"]),
            p_value(row["p_holm"]),
            outcome_words(row),
        ]
        lines.append(_row(f"{row['method']} - {row['baseline']}", cells))
    return "\n".join(lines)


def outcome_words(row: Mapping[str, Any]) -> str:
    """``better``, ``worse`` or ``undecided``, and what would decide."""
    if row["outcome"] != "undecided":
        return str(row["outcome"])
    if row["needed"]:
        return f"undecided; about {row['needed']} subsets would probably decide"
    if row["limited_by"]:
        return f"undecided; limited by the {limit_words(row).replace('replicates', 'subsets')}"
    return "undecided"


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {escaped(name)} | {' | '.join(cells)} |"


def _with_median(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    spread = "" if found["sd"] is None else f" ± {UNIT.plain(found['sd'])}"
    median = UNIT.plain(found["median"])
    return f"{UNIT.plain(found['mean'])}{spread} ({median}; {len(found['errors'])})"


def _printed(found: tuple[float, float | None] | None) -> str:
    if found is None:
        return "–"
    mean, spread = found
    return f"{mean:g}" if spread is None else f"{mean:g} ± {spread:g}"
