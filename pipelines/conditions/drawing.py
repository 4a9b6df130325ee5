"""Combinations of class and condition as a drawing for a terminal of 80 columns."""

from __future__ import annotations

from string import ascii_letters

import torch
from torch import Tensor

from augmentor.common.conditions import MISSING, THIN
from augmentor.data.combinations import Combinations
from pipelines.image_folder import printable

WIDTH = 80
NAME_WIDTH = 16
MOST_CLASSES = 25
MOST_COUNTED = 16
"""Conditions up to which counts are written; of more, a character stands for a combination."""
SHADES = "░▒▓█"
UNSEEN, ASKED, FEW = "·", "!", "~"
KEY = f"{UNSEEN} none, {ASKED} none but the test part has some"


def draw(train: Combinations, test: Tensor) -> list[str]:
    """Draw classes as rows and conditions as columns; of many, those with the largest gaps.

    Args:
        train: Combinations of the training part.
        test: Test images of every combination, int64 (K, B).

    Returns:
        Lines of at most 80 characters.
    """
    counted = len(train.bins) <= MOST_COUNTED
    gaps = _gaps(train, test)
    rows = _largest(gaps.sum(dim=1), MOST_CLASSES)
    columns = _largest(gaps.sum(dim=0), MOST_COUNTED if counted else WIDTH - NAME_WIDTH)
    lines = []
    if len(columns) < len(train.bins) or len(rows) < len(train.classes):
        lines.append(
            f"with the largest gaps: {len(rows)} of {len(train.classes)} classes, "
            f"{len(columns)} of {len(train.bins)} conditions"
        )
    if counted:
        letters = [f"{ascii_letters[place]:>4}" for place in range(len(columns))]
        lines.append(" " * NAME_WIDTH + "".join(letters))
    write = _count if counted else _shade
    thin, most = train.coverage == THIN, int(train.counts.max())
    for row in rows:
        cells = []
        for column in columns:
            count, asked = int(train.counts[row, column]), bool(test[row, column])
            cells.append(write(count, most, bool(thin[row, column]), asked))
        name = cut(printable(train.classes[row]), NAME_WIDTH - 1)
        lines.append(f"{name:<{NAME_WIDTH}}{''.join(cells)}".rstrip())
    return [*lines, *_legend(train, columns if counted else [])]


def cut(text: str, width: int = WIDTH) -> str:
    """The text, shortened at its end if it is longer.

    Example:
        >>> cut("a long name", 6)
        'a lon…'
    """
    return text if len(text) <= width else text[: width - 1] + "…"


def _legend(train: Combinations, columns: list[int]) -> list[str]:
    if not columns:
        return [f"{SHADES} few to many training images, {KEY}"]
    lines = [f"training images; {FEW} thin, {KEY}"]
    for place, column in enumerate(columns):
        lines.append(cut(f"{ascii_letters[place]} = {printable(train.bins.names[column])}"))
    return lines


def _gaps(train: Combinations, test: Tensor) -> Tensor:
    """How bad a combination is, float64 (K, B): asked for and missing, missing, thin, or fine.

    Conditions that no training image has count only where the test part asks for them.
    """
    coverage = train.coverage
    missing = coverage == MISSING
    gaps = (missing & (test > 0)) * 100.0 + (missing & train.occurring) * 10.0
    return gaps + (coverage == THIN).double()


def _largest(values: Tensor, most: int) -> list[int]:
    """Places of the largest values, in their own order."""
    order = values.argsort(descending=True, stable=True)[:most]
    places: list[int] = torch.sort(order).values.tolist()
    return places


def _count(count: int, most: int, thin: bool, asked: bool) -> str:
    """A count in four characters."""
    if not count:
        return f"{ASKED if asked else UNSEEN:>4}"
    number = str(count) if count < 1000 else f"{min(count // 1000, 99)}k"
    return f"{FEW + number if thin and len(number) < 3 else number:>4}"


def _shade(count: int, most: int, thin: bool, asked: bool) -> str:
    """A count as one character."""
    if not count:
        return ASKED if asked else UNSEEN
    return SHADES[min(len(SHADES) * count // (most + 1), len(SHADES) - 1)]
