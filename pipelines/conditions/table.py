"""The table class × condition: how often each combination occurs, and which are thin or missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import torch
from torch import Tensor

from augmentor.common.conditions import THIN, Conditions
from augmentor.common.types import LabelledImages
from augmentor.data.combinations import Combinations, combinations_of
from pipelines.conditions.attach import FoundConditions
from pipelines.conditions.drawing import WIDTH, cut, draw
from pipelines.image_folder import printable

MOST_CELLS = 20_000
"""JSON holds the counts of all combinations up to here."""
MOST_LISTED = 200


@dataclass(frozen=True)
class CombinationTable:
    """Combinations of class and condition in the training and the test part.

    Args:
        names: Of the conditions' columns.
        train: Combinations of the training part.
        test: Test images of every combination, int64 (K, B).
        note: What the conditions are, in words.
    """

    names: tuple[str, ...]
    train: Combinations
    test: Tensor
    note: str

    @property
    def missing_in_test(self) -> list[int]:
        """Combinations that the test part has and the training part lacks, the most asked for
        first.
        """
        asked = (self.train.counts == 0) * self.test
        return _largest_first(asked)

    @property
    def missing(self) -> list[int]:
        """Other missing combinations, of conditions that some class was seen in."""
        lost = (self.train.counts == 0) & (self.test == 0) & self.train.occurring
        return _largest_first(lost.long())

    @property
    def thin(self) -> list[int]:
        """Thin combinations, the thinnest first."""
        thin = self.train.coverage == THIN
        return _largest_first((int(self.train.counts.max()) + 1 - self.train.counts) * thin)

    def to_json(self) -> dict[str, Any]:
        """The table as JSON values; lists are cut at ``MOST_LISTED``, the worst first."""
        counts, test = self.train.counts, self.test
        whole = counts.numel() <= MOST_CELLS
        return {
            "condition": list(self.names),
            "note": self.note,
            "conditions": list(self.train.bins.names) if whole else None,
            "train": counts.tolist() if whole else None,
            "test": test.tolist() if whole else None,
            "combinations": self._totals(),
            "missing_in_test": self._listed(self.missing_in_test),
            "missing": self._listed(self.missing),
            "thin": self._listed(self.thin),
        }

    def lines(self) -> list[str]:
        """The table for a terminal of 80 columns: totals, the worst combinations, a drawing."""
        total = self._totals()
        lines = [
            *wrap(self.note, WIDTH, subsequent_indent="  "),
            f"combinations with training images: {total['occurring']} of {total['possible']}",
            f"missing in training, present in the test part: {total['missing_in_test']}",
            *self._examples(self.missing_in_test),
            f"missing in training and in the test part: {total['missing']}",
            *self._examples(self.missing),
            f"thin, below a quarter of the median of those that occur: {total['thin']}",
            *self._examples(self.thin),
        ]
        if total["conditions_in_test_alone"]:
            lines.append(
                f"conditions in the test part alone, which nothing can be learned of: "
                f"{total['conditions_in_test_alone']}"
            )
        if total["classes_with_one_condition"]:
            lines.append(
                f"classes seen in one condition only: {total['classes_with_one_condition']}"
            )
        if (groups := total["groups"]) > 1:
            lines += wrap(
                f"classes and conditions fall into {groups} groups without a combination in "
                "common: between them nothing tells what is of the class and what of the "
                "condition, so that no generator can render one group's classes under another's "
                "conditions",
                WIDTH,
                subsequent_indent="  ",
            )
        return [*lines, "", *draw(self.train, self.test)]

    def _totals(self) -> dict[str, int]:
        counts, test = self.train.counts, self.test
        unseen = ~self.train.occurring & (test.sum(dim=0) > 0)
        return {
            "possible": counts.numel(),
            "occurring": int((counts > 0).sum()),
            "missing_in_test": len(self.missing_in_test),
            "missing": len(self.missing),
            "thin": len(self.thin),
            "conditions_in_test_alone": int(unseen.sum()),
            "classes_with_one_condition": int(((counts > 0).sum(dim=1) == 1).sum()),
            "groups": _groups(counts > 0),
        }

    def _listed(self, combinations: list[int]) -> list[dict[str, Any]]:
        found = []
        for one in combinations[:MOST_LISTED]:
            label, place = divmod(one, len(self.train.bins))
            found.append(
                {
                    "class": self.train.classes[label],
                    "condition": self.train.bins.names[place],
                    "train": int(self.train.counts[label, place]),
                    "test": int(self.test[label, place]),
                }
            )
        return found

    def _examples(self, combinations: list[int], most: int = 5) -> Iterator[str]:
        for one in combinations[:most]:
            label, place = divmod(one, len(self.train.bins))
            train, test = int(self.train.counts[label, place]), int(self.test[label, place])
            tail = f"  {train} training, {test} test"
            yield cut(f"  {printable(self.train.name(one))}", WIDTH - len(tail)) + tail
        if len(combinations) > most:
            yield f"  … and {len(combinations) - most} more"


def _groups(occurring: Tensor) -> int:
    """Sets of classes and conditions that combinations (K, B) link with each other."""
    label, place = occurring.nonzero().T
    # Every class takes the least number among those that share a condition with it, until none
    # changes.
    group, before = torch.arange(len(occurring)), None
    while before is None or not torch.equal(group, before):
        before = group
        least = torch.full((occurring.shape[1],), len(occurring))
        least = least.scatter_reduce(0, place, group[label], "amin")
        group = group.scatter_reduce(0, label, least[place], "amin")
    return len(torch.unique(group[label]))


def combination_table(
    train: LabelledImages, test: LabelledImages, found: FoundConditions
) -> CombinationTable:
    """Count the combinations.

    Args:
        train: Training images with conditions; the pixels do not matter.
        test: Test images of the same classes.
        found: What the conditions are.

    Example:
        >>> table = combination_table(train, test, found)  # doctest: +SKIP
        >>> table.missing_in_test  # doctest: +SKIP
        [17, 3]
    """
    counted = combinations_of(train)
    asked = combinations_of(test, counted.bins).counts
    return CombinationTable(found.conditions.names, counted, asked, found.note())


def without_pixels(
    y: Tensor, classes: tuple[str, ...], condition: Tensor, conditions: Conditions
) -> LabelledImages:
    """Labels and conditions in the form of images, where nobody looks at pixels.

    Args:
        y: Classes, int64 (N,).
        classes: Their names.
        condition: Conditions, int64 (N,) or float32 (N, D).
        conditions: What they mean.
    """
    nothing = torch.zeros(1, 1, 1, 1).expand(len(y), 1, 1, 1)
    return LabelledImages(nothing, y, classes, condition, conditions)


def _largest_first(values: Tensor) -> list[int]:
    """Numbers of the combinations above 0, the largest value first; of equals the first one."""
    order = values.flatten().argsort(descending=True, stable=True)
    numbers: list[int] = order[: int((values > 0).sum())].tolist()
    return numbers
