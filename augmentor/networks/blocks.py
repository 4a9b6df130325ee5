"""Pieces that several networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.nn.utils.parametrizations import spectral_norm

from augmentor.common import ranks
from augmentor.common.traced import has_values

MIN_SIZE, MAX_SIZE = 8, 128
MOST_WEIGHT = 2
"""Largest sum of the weights of classes that an image is rendered from; that of one class is 1."""
SLACK = 1e-4
"""Of sums of weights, for rounding."""


def halvings(size: int) -> int:
    """How often an image of ``size`` pixels is halved on its way to a base of 4 to 7 pixels.

    Args:
        size: Side of the square image in pixels: b * 2**k with b from 4 to 7 and k >= 1, within 8
            to 128.

    Returns:
        k, so that ``size >> k`` is the side of the base.

    Raises:
        ValueError: If the size is not of that form.
    """
    for k in range(1, 6):
        if MIN_SIZE <= size <= MAX_SIZE and size % 2**k == 0 and 4 <= size >> k <= 7:
            return k
    raise ValueError(
        f"image size {size} is not b * 2**k with b in 4..7 within 8..128; use 8, 16, 28, 32, 64 "
        "or 128"
    )


def as_class_probs(y: Tensor, num_classes: int) -> Tensor:
    """Labels or mixtures of labels as one row of class probabilities each.

    Args:
        y: int64 (N,) in [0, num_classes), or floating (N, num_classes) with rows summing to one.
        num_classes: Number of classes.

    Returns:
        float32 (N, num_classes); rows sum to one.

    Raises:
        ValueError: If the shape, a label or a row sum is out of range.
    """
    weights = as_class_weights(y, num_classes)
    if (
        y.is_floating_point()
        and has_values(y)
        and not torch.allclose(weights.sum(1), weights.new_ones(()), atol=SLACK)
    ):
        raise ValueError("every row of y must sum to one")
    return weights


def as_class_weights(y: Tensor, num_classes: int) -> Tensor:
    """As ``as_class_probs``, for rendering: a class may weigh more than in training, as in 0.7 of
    one and 0.7 of another.

    Args:
        y: int64 (N,) in [0, num_classes), or floating (N, num_classes), not negative, with sums of
            rows above zero and up to ``MOST_WEIGHT``.
        num_classes: Number of classes.

    Returns:
        float32 (N, num_classes).

    Raises:
        ValueError: If the shape, a label, a weight or a sum is out of range.
    """
    if y.ndim == 1 and not y.is_floating_point():
        if has_values(y) and not 0 <= int(y.min()) <= int(y.max()) < num_classes:
            raise ValueError(
                f"labels must lie in [0, {num_classes}), got {int(y.min())} to {int(y.max())}"
            )
        return one_hot(y.long(), num_classes).float()
    if y.shape[1:] != (num_classes,) or not y.is_floating_point():
        raise ValueError(
            f"y must be int64 (N,) or float (N, {num_classes}), got {y.dtype} {tuple(y.shape)}"
        )
    if has_values(y) and not are_class_weights(y):
        raise ValueError(
            f"every row of y must be non-negative, with a sum above 0 and up to {MOST_WEIGHT}"
        )
    return y.float()


def are_class_weights(rows: Tensor) -> bool:
    """Whether rows (M, K) are weights of classes as ``as_class_weights`` takes them."""
    total = rows.sum(1)
    return bool(((rows >= -SLACK).all(1) & (total > 0) & (total <= MOST_WEIGHT + SLACK)).all())


def maybe_spectral_norm(layer: nn.Module, enabled: bool) -> nn.Module:
    """``layer``, with its weight divided by its largest singular value if ``enabled`` (Miyato et
    al. 2018).
    """
    return spectral_norm(layer) if enabled else layer


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm with the statistics of the whole batch where several processes train together."""

    def forward(self, h: Tensor) -> Tensor:
        """Normalise h (N, C, H, W)."""
        if not self.training or ranks.size() == 1:
            return super().forward(h)
        own = h.float()
        mean = ranks.mean(own.mean(dim=(0, 2, 3)))[:, None, None]
        centred = own - mean
        variance = ranks.mean(centred.square().mean(dim=(0, 2, 3)))[:, None, None]
        self._follow(mean.detach().flatten(), variance.detach().flatten(), own[:, 0].numel())
        found = centred * (variance + self.eps).rsqrt()
        if self.affine:
            found = found * self.weight[:, None, None] + self.bias[:, None, None]
        return found.to(h.dtype)

    def _follow(self, mean: Tensor, variance: Tensor, own_values: int) -> None:
        """Move the running statistics."""
        if self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
        share = self.momentum
        if share is None:
            share = 1 / int(self.num_batches_tracked or 1)
        values = own_values * ranks.size()
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * values / (values - 1), share)


class ConditionalBatchNorm2d(nn.Module):
    """Batch norm whose scale and shift belong to the class (de Vries et al. 2017; Miyato & Koyama
    2018).

    Args:
        channels: Channels of the input.
        num_classes: Classes K; mixtures of classes mix scales and shifts.
        more: Further columns of a row, such as the embedding of a condition; their part is added
            and starts at zero.
    """

    def __init__(self, channels: int, num_classes: int, more: int = 0) -> None:
        super().__init__()
        self.norm = BatchNorm2d(channels, affine=False)
        ones, zeros = torch.ones(num_classes, channels), torch.zeros(more, channels)
        self.scale = nn.Parameter(torch.cat([ones, zeros]))
        self.shift = nn.Parameter(torch.zeros(num_classes + more, channels))

    def forward(self, h: Tensor, given: Tensor) -> Tensor:
        """Normalise h (N, C, H, W) by what is given (N, K + more)."""
        scale, shift = given @ self.scale, given @ self.shift
        normalised: Tensor = self.norm(h)
        return torch.addcmul(shift[:, :, None, None], normalised, scale[:, :, None, None])


class PlainBatchNorm2d(BatchNorm2d):
    """Batch norm that ignores the class, with the conditional one's signature."""

    def forward(self, h: Tensor, given: Tensor) -> Tensor:  # type: ignore[override]
        """Normalise h (N, C, H, W); ``given`` is ignored."""
        return super().forward(h)


def batch_norm(channels: int, num_classes: int, conditional: bool, more: int = 0) -> nn.Module:
    """One of the two, called with (h, given)."""
    if conditional:
        return ConditionalBatchNorm2d(channels, num_classes, more)
    return PlainBatchNorm2d(channels)
