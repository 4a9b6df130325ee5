"""How often each image of a mix of real and synthetic images is drawn."""

from __future__ import annotations

import torch
from torch import Tensor


def mixed_draw_weights(
    real: Tensor,
    synthetic: Tensor,
    num_classes: int,
    share: float,
    *,
    balanced: bool = True,
    short_only: bool = False,
) -> Tensor:
    r"""Weights that make ``share`` of the draws from a mix synthetic.

    Let class c have :math:`n_c` real and :math:`m_c` synthetic images. Balanced, every one of the C
    classes that have any images is drawn equally often, and the part :math:`s_c` of its draws is
    synthetic:

    .. math::
        w_\text{real} = \frac{1 - s_c}{C\,n_c}, \qquad w_\text{synthetic} = \frac{s_c}{C\,m_c}

    where :math:`s_c` is ``share`` if the class has both kinds of images, 1 if it has no real ones
    and 0 if it has no synthetic ones.

    Not balanced, all real images are drawn equally often, and so are all classes that have
    synthetic images; ``share`` of all draws are synthetic.

    Args:
        real: Classes of the real images, int64 (N,), in [0, num_classes).
        synthetic: Classes of the synthetic images, int64 (M,), likewise.
        num_classes: Number of classes K.
        share: Part of the draws that are synthetic, in [0, 1].
        balanced: As above.
        short_only: Give a class synthetic images only as far as it has fewer real ones than the
            largest class: :math:`s_c = \min(\text{share}, 1 - n_c / \max_k n_k)`.

    Returns:
        Weights of the real, then of the synthetic images, float64 (N + M,), summing to one; those
        of one class and kind are equal.

    Raises:
        ValueError: If ``share`` is not in [0, 1], if ``short_only`` is asked for without
            ``balanced``, or if images to draw are missing.

    Example:
        >>> import torch
        >>> real, synthetic = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 1])
        >>> weights = mixed_draw_weights(real, synthetic, num_classes=2, share=0.25)
        >>> weights.tolist()
        [0.125, 0.125, 0.125, 0.375, 0.125, 0.0625, 0.0625]
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share}")
    if short_only and not balanced:
        raise ValueError("short_only needs balanced=True: it draws every class equally often")
    if not balanced:
        return _in_their_proportions(real, synthetic, num_classes, share)
    if not len(real) + len(synthetic):
        raise ValueError("found no images to draw")
    n, m = _counts(real, num_classes), _counts(synthetic, num_classes)
    part = _synthetic_part(n, m, share, short_only=short_only)
    of_real, of_synthetic = ((1 - part) / n)[real], (part / m)[synthetic]
    return torch.cat([of_real, of_synthetic]) / (n + m > 0).sum()


def even_combinations(y: Tensor, combination: Tensor) -> Tensor:
    """Weights that draw every class equally often, and within it every combination that has images.

    Args:
        y: Classes, int64 (N,).
        combination: Number of the combination of class and condition, int64 (N,); no combination
            has images of two classes.

    Returns:
        Float64 (N,), summing to one.

    Example:
        >>> even_combinations(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 2])).tolist()
        [0.125, 0.125, 0.25, 0.5]
    """
    _, own, images = torch.unique(combination, return_inverse=True, return_counts=True)
    first = torch.full((len(images),), -1, dtype=torch.int64)
    first[own] = y  # the class of every combination
    combinations = torch.bincount(first, minlength=int(y.max()) + 1).double()
    weights: Tensor = 1 / (images[own].double() * combinations[y])
    return weights / weights.sum().item()


def _synthetic_part(n: Tensor, m: Tensor, share: float, *, short_only: bool) -> Tensor:
    """Which part of the draws of each class is synthetic, float64 (K,)."""
    part = torch.full_like(n, share)
    if short_only:
        part = (1 - n / n.max()).clamp(max=share)
    part[n == 0] = 1
    part[m == 0] = 0
    return part


def _in_their_proportions(
    real: Tensor, synthetic: Tensor, num_classes: int, share: float
) -> Tensor:
    for kind, part, labels in (("real", 1 - share, real), ("synthetic", share, synthetic)):
        if part and not len(labels):
            raise ValueError(f"{kind} images are to be {part:g} of all draws, but there are none")
    m = _counts(synthetic, num_classes)
    of_real = torch.full((len(real),), 1 - share, dtype=torch.float64) / len(real)
    return torch.cat([of_real, share / (m[synthetic] * (m > 0).sum())])


def _counts(labels: Tensor, num_classes: int) -> Tensor:
    return torch.bincount(labels, minlength=num_classes).double()
