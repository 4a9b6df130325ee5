"""The result of ``augmentor semi`` as a table for the terminal and as Markdown, beside what was
published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
    """Errors in percent as plain text: mean ± sample deviation, and the median, by method and
    number of labels.
    """
    counts, methods = label_counts(result), result["methods"]
    width = max(len("method"), *map(len, methods))
    lines = [f"{'method':<{width}}" + "".join(f"  {f'{n} labels':>22}" for n in counts)]
    lines += [
        f"{name:<{width}}" + "".join(f"  {_with_median(found.get(n)):>22}" for n in counts)
        for name, found in methods.items()
    ]
    return "\n".join(
        [*lines, "", "error in percent: mean ± standard deviation over subsets (median)"]
    )


def as_markdown(result: Mapping[str, Any], published: Published | None = None) -> str:
    """The result as a Markdown page.

    Args:
        result: The contents of semi.json.
        published: The rows to set beside; those known for the data set unless given.
    """
    published = PUBLISHED.get(result["dataset"], {}) if published is None else published
    counts = label_counts(result)
    ours = [
        _row(name, [_with_median(found.get(n)) for n in counts])
        for name, found in result["methods"].items()
    ]
    theirs = [
        _row(name, [_printed(found.get(n)) for n in counts])
        for name, found in _shown(published, counts).items()
    ]
    where = "test" if result["scored_on"] == "test" else "held-out training"
    parts = [
        f"# {_escaped(result['dataset'])}: errors of semi-supervised methods",
        _escaped(result["verdict"]),
        f"Error in percent on {result['images']['scored']} {where} images: mean ± standard "
        "deviation over labelled "
        "subsets (median; number of subsets).",
        _table(counts, ours),
    ]
    if theirs:
        parts += [
            "Published, on other labelled subsets and with other networks:",
            _table(counts, theirs),
        ]
    return "\n\n".join([*parts, *_differences(result), _origin(result)]) + "\n"


def _table(counts: Sequence[str], rows: Sequence[str]) -> str:
    titles = " | ".join(f"{n} labels" for n in counts)
    return "\n".join([f"| method | {titles} |", f"|---|{'---|' * len(counts)}", *rows])


def _origin(result: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return f"- Command: `{result['command']}`\n- Device: {_escaped(result['device'])}\n- Versions: {versions}"


def label_counts(result: Mapping[str, Any]) -> list[str]:
    """Every number of labels that a method was run with, as semi.json writes it, ascending."""
    return sorted({n for found in result["methods"].values() for n in found}, key=int)


def _differences(result: Mapping[str, Any]) -> list[str]:
    rows = [
        _row(
            f"{row['method']} - {row['baseline']}",
            [
                str(row["labels"]),
                str(row["pairs"]),
                f"{100 * row['delta']:+.2f}",
                "–"
                if row["ci95"] is None
                else " to ".join(f"{100 * end:+.2f}" for end in row["ci95"]),
                "–" if row["p"] is None else f"{row['p']:.3g}",
                "–" if row["p_holm"] is None else f"{row['p_holm']:.3g}",
            ],
        )
        for row in result["differences"]
    ]
    head = "| difference, points | labels | pairs | mean | 95 % interval | p | Holm p |\n|---|---|---|---|---|---|---|"
    return ["\n".join([head, *rows])] if rows else []


def _shown(published: Published, counts: Sequence[str]) -> Published:
    return {name: found for name, found in published.items() if set(found) & set(counts)}


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {_escaped(name)} | {' | '.join(cells)} |"


def _with_median(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    spread = "" if found["sd"] is None else f" ± {100 * found['sd']:.2f}"
    return (
        f"{100 * found['mean']:.2f}{spread} ({100 * found['median']:.2f}; {len(found['errors'])})"
    )


def _printed(found: tuple[float, float | None] | None) -> str:
    if found is None:
        return "–"
    mean, spread = found
    return f"{mean:g}" if spread is None else f"{mean:g} ± {spread:g}"


def _escaped(text: str) -> str:
    """Names come from folders: none may end a table cell or start a tag."""
    return text.replace("|", "\\|").replace("<", "&lt;")
