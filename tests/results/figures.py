"""Figures in prose, and the result files that hold them.

A figure is a Markdown link to the page of the run that it comes from; the title of the link says
what it is::

    [+3.3 (+2.8 to +3.8)](results/gain_digits_graph/page.md "labelled - logit_adjusted")

=============================================  ====================================================
title                                          numbers in the text
=============================================  ====================================================
``arm - baseline``, ``arm - baseline, metric``  difference in points, or with its interval
``arm``, ``arm, metric``                       mean in percent, or with its interval
``method, 100 labels``                         error in percent, or with its standard deviation
``method - baseline, 100 labels``              difference in points, or with its interval
``metrics.answers.generated.top1``             the value at that place in the file; in percent if
                                               the text says so
=============================================  ====================================================

A link to a JSON file of a benchmark names the place in that file, likewise.

A single number without a sign may be the size of a difference ("3.6 points behind"). A pair may be
named in the other order than in the file: then the signs turn round.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.summary.read import RESULT, read, unit_of

LINK = re.compile(r'\[([^\]]+)\]\(([^()\s]*(?:page\.md|\.json)) "([^"]+)"\)')
NUMBER = re.compile(r"[+−]?\d[\d,]*(?:\.\d+)?")
NOT_PROSE = re.compile(r"```.*?```|`[^`\n]*`|!\[[^\]]*\]\([^)]*\)", flags=re.DOTALL)
BARE = re.compile(r"[+−±] ?\d[\d.]*|(?<![\w./-])-\d+\.\d+|\d+\.\d+ ?%")
ROUNDING = 1e-9


class FigureError(AssertionError):
    """A figure that its result file does not bear out."""


@dataclass(frozen=True)
class Figure:
    """One figure of a page: its text, the page of its run, and what it is."""

    text: str
    page: Path
    what: str


def figures_of(page: Path) -> Iterator[Figure]:
    """The figures of a Markdown page."""
    for found in LINK.finditer(" ".join(page.read_text(encoding="utf-8").split())):
        yield Figure(found[1], page.parent / found[2], found[3])


def bare_figures(text: str) -> list[str]:
    """Differences, intervals and percentages with a decimal that stand in no link to a result."""
    return BARE.findall(LINK.sub("", NOT_PROSE.sub("", text)))


def check(figure: Figure) -> None:
    """Compare a figure with its result file.

    Raises:
        FigureError: If the run, arm or place is not there, or a number differs.
    """
    numbers = NUMBER.findall(figure.text)
    of_benchmark = figure.page.suffix == ".json"
    file = figure.page if of_benchmark else figure.page.parent / RESULT
    if not file.is_file():
        raise FigureError(f"{figure.what!r}: no result file {file}")
    if of_benchmark:
        value = _at(json.loads(file.read_text(encoding="utf-8")), figure)
        values = [100 * value if "%" in figure.text else value]
    else:
        values = _values(read(file), figure)
    if not numbers or len(numbers) > len(values):
        raise FigureError(f"{figure.text!r}: {len(values)} numbers are known of {figure.what!r}")
    if len(numbers) == 1 and numbers[0][0] not in "+−":
        values = [abs(values[0])]
    for number, value in zip(numbers, values, strict=False):
        if not _agrees(number, value):
            raise FigureError(f"{figure.text!r}: {number} is {value:.4f} in {file}")


def _agrees(number: str, value: float) -> bool:
    plain = number.replace("−", "-").replace(",", "")
    digits = len(plain.partition(".")[2])
    return abs(float(plain) - value) <= 0.5 * 10**-digits + ROUNDING


def _values(document: Mapping[str, Any], figure: Figure) -> list[float]:
    name, _, rest = figure.what.partition(", ")
    arm, dash, baseline = name.partition(" - ")
    if dash:
        return _difference(document, arm, baseline, rest, figure)
    if "methods" in document and rest:
        found = document["methods"].get(arm, {}).get(rest.removesuffix(" labels"))
        return _in_unit(_there(found, figure), ("mean", "sd"), 100)
    if arm in document.get("arms", {}):
        metric = rest or document.get("metric", "accuracy")
        own = document["arms"][arm]
        found = _there(own.get("metrics", own).get(metric), figure)
        return _in_unit(found, ("mean", "ci95"), unit_of(metric).factor)
    value = _at(document, figure)
    return [100 * value if "%" in figure.text else value]


def _difference(
    document: Mapping[str, Any], arm: str, baseline: str, rest: str, figure: Figure
) -> list[float]:
    rows = document.get("comparisons") or document.get("differences", [])
    for sign, pair in ((1, (arm, baseline)), (-1, (baseline, arm))):
        for row in rows:
            names = (row.get("arm", row.get("method")), row["baseline"])
            if names == pair and _asked(row, rest, document):
                values = _in_unit(row, ("delta", "ci95"), unit_of(row.get("metric", "")).factor)
                return values if sign == 1 else [-values[0], *(-end for end in values[:0:-1])]
    raise FigureError(f"{figure.what!r} was not compared in {figure.page.parent.name}")


def _asked(row: Mapping[str, Any], rest: str, document: Mapping[str, Any]) -> bool:
    if "labels" in row:
        return rest == f"{row['labels']} labels"
    return bool(row["metric"] == (rest or document.get("metric", "accuracy")))


def _in_unit(found: Mapping[str, Any], keys: tuple[str, str], factor: float) -> list[float]:
    first, second = (found[key] for key in keys)
    more = second if isinstance(second, list | tuple) else [second]
    return [factor * value for value in (first, *more) if value is not None]


def _at(document: Mapping[str, Any], figure: Figure) -> float:
    found: Any = document
    for key in figure.what.split("."):
        index = int(key) if isinstance(found, list) and key.isdigit() else key
        try:
            found = found[index]
        except (KeyError, IndexError, TypeError) as error:
            raise FigureError(f"{figure.what!r} is not in {figure.page.parent.name}") from error
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise FigureError(f"{figure.what!r} of {figure.page.parent.name} is not a number")
    return found


def _there(found: Any, figure: Figure) -> Any:
    if found is None:
        raise FigureError(f"{figure.what!r} is not in {figure.page.parent.name}")
    return found
