"""A batch transform that swaps in synthetic images, for a loader's ``collate_fn`` as torchvision's
``MixUp`` is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from augmentor.data.synthetic_images import Synthetic, draw_from, fit_shape


class SyntheticBatch(nn.Module):
    """Replace every image of a batch, with probability ``p``, by a synthetic one of the same class.

    Chance comes from torch's default generator, as in torchvision's own transforms, so a loader's
    seeds for its workers and ``torch.manual_seed`` govern it. A live source must be on the CPU if
    the loader has workers. Images of a class without synthetic ones stay as they are, and so do
    those with a negative label, which stands for "no label" or "ignore" in many losses.

    Args:
        synthetic: Folder or shards on disk, ``SyntheticSet``, ``LabelledImages`` or a live source.
        classes: Class names of the data, as in ``dataset.classes``; position is label.
        p: Probability per image, in [0, 1].
        to_input: Brings synthetic pixels, uint8 (n, C, H, W), into the form the batch has after the
            dataset's own transforms, such as ``v2.Compose([v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean, std)])``. By default they get the batch's channels and size, and are
            scaled to [0, 1] if the batch is of floats.

    Raises:
        DataError: If the data lack a class of the synthetic images, or a stored set cannot be
            read.
        ValueError: If ``p`` is not in [0, 1].

    Example:
        >>> swap = SyntheticBatch("runs/mine/synthetic", dataset.classes, p=0.3)  # doctest: +SKIP
        >>> def collate(items):  # doctest: +SKIP
        ...     return swap(*default_collate(items))
        >>> loader = DataLoader(dataset, 64, collate_fn=collate)  # doctest: +SKIP
    """

    def __init__(
        self,
        synthetic: Synthetic,
        classes: Sequence[str],
        p: float = 0.5,
        to_input: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p must lie in [0, 1], got {p}")
        self.draw, self.p, self.to_input = draw_from(synthetic, classes), p, to_input

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Swap images of a batch.

        Args:
            images: Shape (N, C, H, W), as the dataset's transforms left them.
            labels: Class indices, int64 (N,); put this before transforms that mix labels. A
                negative label is of no class, and its image stays.

        Returns:
            New images of the same shape and type, and the labels as they were.

        Raises:
            ValueError: If shapes or types differ from the above, or the synthetic images do not get
                the batch's form.
        """
        if images.ndim != 4 or labels.shape != (len(images),) or labels.is_floating_point():
            raise ValueError(
                f"images must be (N, C, H, W) and labels (N,) class indices, "
                f"got {tuple(images.shape)} and {tuple(labels.shape)} {labels.dtype}"
            )
        y = labels.long().cpu()
        # A negative index would count from the end, and find the last class.
        swapped = (torch.rand(len(y)) < self.p) & (y >= 0) & self.draw.has(y.clamp(min=0))
        if not bool(swapped.any()):
            return images, labels
        drawn = self._in_form(self.draw(y[swapped], torch.default_generator), images)
        mixed = images.clone()
        mixed[swapped.to(images.device)] = drawn.to(images.device)
        return mixed, labels

    def _in_form(self, pixels: Tensor, like: Tensor) -> Tensor:
        drawn = _default_form(pixels, like) if self.to_input is None else self.to_input(pixels)
        if drawn.shape[1:] != like.shape[1:] or drawn.dtype != like.dtype:
            raise ValueError(
                f"to_input gives images {tuple(drawn.shape[1:])} {drawn.dtype}, "
                f"the batch has {tuple(like.shape[1:])} {like.dtype}"
            )
        return drawn


def _default_form(pixels: Tensor, like: Tensor) -> Tensor:
    fitted = fit_shape(pixels, (like.shape[1], like.shape[2], like.shape[3]))
    if not like.is_floating_point():
        return fitted.to(like.dtype)
    low, high = float(like.min()), float(like.max())
    if low < 0 or high > 1:
        raise ValueError(
            f"the batch holds numbers from {low:g} to {high:g}, so not in [0, 1]: give to_input"
        )
    return fitted.to(like.dtype) / 255
