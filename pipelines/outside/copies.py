"""Copies of test images, found and named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from augmentor.common.types import DataError
from augmentor.data.fingerprint import fingerprints, overlap
from augmentor.quality.near_copies import CHANGES, Check, CopyFinder, NearCopies

SHOWN = 5  # copies that a message names


@dataclass(frozen=True)
class KnownImages:
    """Test images to look for, prepared once for several sets.

    Args:
        images: The test images, float32 in [-1, 1] or uint8 (N, C, H, W).
        names: Their files, or words for them.
        check: Called between pieces of work; may raise to stop.
    """

    images: Tensor
    names: Sequence[str]
    check: Check | None = None

    @cached_property
    def finder(self) -> CopyFinder | None:
        """Looks for near copies; None with fewer than two images."""
        return CopyFinder(self.images, self.check) if len(self.images) > 1 else None

    def look(self, images: Tensor, names: Sequence[str]) -> Copies:
        """The copies among other images of the same (C, H, W).

        Args:
            images: Float32 in [-1, 1] or uint8, (M, C, H, W).
            names: Their files.
        """
        own, others = fingerprints(self.images), fingerprints(images)
        number = {int(one): place for place, one in enumerate(own)}
        same = overlap(others, own).tolist()
        exact = [(names[i], self.names[number[int(others[i])]]) for i in same]
        if self.finder is None:
            return Copies(tuple(exact), (), None)
        left = np.setdiff1d(np.arange(len(images)), same).tolist()
        near = self.finder.find(images[torch.tensor(left, dtype=torch.int64)])
        return Copies(tuple(exact), _named(near, [names[i] for i in left], self.names), near)


@dataclass(frozen=True)
class Copies:
    """The copies of test images among others.

    Args:
        exact: (file, test file) of images with the pixels of a test image.
        near: (file, test file, change) of the others.
        found: What was measured of the others; None with fewer than two test images.
    """

    exact: tuple[tuple[str, str], ...]
    near: tuple[tuple[str, str, str], ...]
    found: NearCopies | None

    @property
    def certain(self) -> bool:
        """Whether false alarms cannot explain them."""
        return bool(self.exact) or self.near_certain

    @property
    def near_certain(self) -> bool:
        """Whether false alarms cannot explain those that are not exact."""
        return self.found is not None and self.found.certain

    @property
    def rate(self) -> str:
        """How often an image that is not a copy would be named, in words."""
        if self.found is None:
            return ""
        return (
            f"about {100 * self.found.false_alarm_rate:.1f} % of images that are not copies would "
            "be named too"
        )

    def lines(self, most: int = SHOWN) -> list[str]:
        """A few words for each, the exact ones first, with how many are not shown."""
        verb = "is" if self.certain else "looks like"
        found = [f"{name} {verb} test image {known}" for name, known in self.exact]
        for name, known, change in self.near:
            found.append(f"{name} {verb} test image {known}, {change}")
        more = [f"and {len(found) - most} more"] if len(found) > most else []
        return found[:most] + more

    def remark(self, what: str) -> str | None:
        """One sentence for a report; None where nothing was found."""
        count = len(self.exact) + len(self.near)
        if not count:
            return None
        return f"{what}: {count} may be copies of test images ({self.rate}): " + "; ".join(
            self.lines()
        )

    def refuse(self, what: str, step: str) -> None:
        """Refuse images among which are copies of test images, naming them.

        Args:
            what: Where they lie.
            step: What the user can do.

        Raises:
            DataError: If there are, and false alarms cannot explain them.
        """
        if not self.certain:
            return
        count = len(self.exact) + len(self.near)
        rate = f"; {self.rate}" if self.near else ""
        raise DataError(
            f"{what}: {count} images are copies of test images: {'; '.join(self.lines())}; "
            f"{step}{rate}"
        )


def _named(
    near: NearCopies, names: Sequence[str], known: Sequence[str]
) -> tuple[tuple[str, str, str], ...]:
    found = []
    rows = zip(near.image.tolist(), near.known.tolist(), near.change, strict=True)
    for image, number, change in rows:
        words = "slightly changed" if change == CHANGES[0] else change
        found.append((names[image], known[number], words))
    return tuple(found)


def names_of_test(paths: Sequence[object] | None, count: int) -> list[str]:
    """Names of test images: their files, or their numbers."""
    if paths is not None:
        return [str(path) for path in paths]
    return [f"number {number}" for number in range(count)]
