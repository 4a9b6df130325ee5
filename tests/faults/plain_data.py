"""A data set that looks like torchvision's and holds one black image a class."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class PlainData(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """One image of every class, in their order.

    Args:
        classes: Names of the classes.
        image_shape: (C, H, W) of the images.
    """

    def __init__(
        self, classes: Sequence[str], image_shape: tuple[int, int, int] = (3, 8, 8)
    ) -> None:
        self.classes, self.targets, self.image_shape = (
            list(classes),
            list(range(len(classes))),
            image_shape,
        )

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.zeros(self.image_shape), self.targets[index]
