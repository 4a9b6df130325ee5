"""Another generator's images for the arms: what of a set a training may draw."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from augmentor.common.types import LabelledImages
from augmentor.quality.near_copies import Check, CopyFinder
from augmentor.sampling.synthesize import Accept
from pipelines.outside.sets import open_set
from pipelines.workbench.synthetic import LARGEST_SET

FEWEST_WITHHELD = 2


@dataclass
class OutsideImages:
    """Reads sets of another generator's images, each once.

    Args:
        folders: Of the sets, by the digest of their images.
        train: The labelled images, whose classes and form the sets get.
        withheld: Training images that a screening scores, (N, C, H, W); their copies are left out.
            None where the test images are scored, which no set may hold.
        check: Called between pieces of work; may raise to stop.
        notes: What a reader should know; added to.
    """

    folders: dict[str, Path]
    train: LabelledImages
    withheld: Tensor | None = None
    check: Check | None = None
    notes: list[str] = field(default_factory=list)
    _read: dict[str, LabelledImages] = field(default_factory=dict)

    def images(self, digest: str, accept: Accept | None) -> LabelledImages:
        """The images of a set that a training may draw, as many as memory allows.

        Args:
            digest: Of the set.
            accept: A classifier's filter, or None.
        """
        if digest not in self._read:
            self._read[digest] = self._without_withheld(digest)
        found = self._read[digest]
        return found if accept is None else self._accepted(found, accept)

    def _without_withheld(self, digest: str) -> LabelledImages:
        """The images of a set without the copies of images that are scored.

        Whoever made the set may have had all training images. Scored in a screening, a copy of a
        withheld one would look like a good synthetic image.
        """
        whole = open_set(self.folders[digest], self.train.classes, self.train.image_shape)
        found = some_of(whole.images(), LARGEST_SET)
        if self.withheld is None or len(self.withheld) < FEWEST_WITHHELD:
            return found
        copies = CopyFinder(self.withheld, self.check).find(found.x)
        kept = torch.ones(len(found), dtype=torch.bool)
        kept[copies.image] = False
        return found.subset(kept.nonzero()[:, 0])

    def _accepted(self, images: LabelledImages, accept: Accept) -> LabelledImages:
        """The images that a classifier is sure of; all of a class it is sure of none of."""
        kept = accept(images.x, images.y).cpu()
        for index, name in enumerate(images.classes):
            own = images.y == index
            if bool(own.any()) and not bool((kept & own).any()):
                self.notes.append(f"filter left out for class {name!r}: it accepts no image of it")
                kept |= own
        return images.subset(kept.nonzero()[:, 0])


def some_of(images: LabelledImages, most_bytes: int) -> LabelledImages:
    """As many images of every class as fit into so much memory, evenly spaced in their order.

    Example:
        >>> images = LabelledImages(torch.zeros(4, 1, 2, 2), torch.tensor([0, 0, 0, 1]), ("a", "b"))
        >>> some_of(images, most_bytes=32).y.tolist()
        [0, 0, 1]
    """
    affordable = most_bytes / (4 * math.prod(images.image_shape))
    if len(images) <= affordable:
        return images
    rows = []
    for index in range(len(images.classes)):
        own = (images.y == index).nonzero()[:, 0]
        count = min(len(own), math.ceil(len(own) * affordable / len(images)))
        rows.append(own[torch.linspace(0, len(own) - 1, count).round().long()])
    return images.subset(torch.cat(rows))
