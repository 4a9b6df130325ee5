"""Differentiable augmentation of all that the discriminator sees."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from augmentor.common import ranks
from augmentor.common.randomness import uniform

POLICIES = ("colour", "translation", "cutout")


def policies_of(text: str) -> tuple[str, ...]:
    """Policies from their names, joined by commas; the paper's ``color`` is ``colour``.

    Raises:
        ValueError: If one is unknown.

    Example:
        >>> policies_of("color, translation")
        ('colour', 'translation')
    """
    names = [name.strip() for name in text.split(",")]
    policies = tuple("colour" if name == "color" else name for name in names if name)
    if unknown := set(policies) - set(POLICIES):
        raise ValueError(f"unknown policy {sorted(unknown)}; known: {POLICIES}")
    return policies


def diff_augment(
    x: Tensor, policies: tuple[str, ...], rng: torch.Generator, copies: int = 1
) -> Tensor:
    """Augment images so that gradients reach them.

    With ``copies`` = k the batch is k stacked groups of N // k images, and row i of every group
    gets the same draw: the distance of a real image and its reconstruction must not be a difference
    of augmentations.

    Args:
        x: Images, float32 (N, C, H, W) in [-1, 1].
        policies: Any of ``POLICIES``, applied in that order.
        rng: Where the draws come from.
        copies: Number of stacked groups; divides N.

    Returns:
        Images, float32 (N, C, H, W); colour may leave [-1, 1].

    Raises:
        ValueError: If a policy is unknown or ``copies`` does not divide N.

    Source:
        Zhao et al. 2020, arXiv:2006.10738, with their ranges.
    """
    if unknown := set(policies) - set(POLICIES):
        raise ValueError(f"unknown policy {sorted(unknown)}; known: {POLICIES}")
    if len(x) % copies:
        raise ValueError(f"{copies} groups do not divide a batch of {len(x)}")
    for policy in POLICIES:
        if policy in policies:
            rows = len(x) // copies * ranks.size()
            draws = ranks.own_rows(uniform(rows, 4, rng=rng))
            draws = draws.repeat(copies, 1).to(x.device)
            x = {"colour": _colour, "translation": _translate, "cutout": _cut_out}[policy](x, draws)
    return x


def _colour(x: Tensor, draws: Tensor) -> Tensor:
    """Brightness ±0.5, saturation x0 to x2, contrast x0.5 to x1.5."""
    brightness, saturation, contrast = (draws[:, i, None, None, None] for i in range(3))
    x = x + brightness - 0.5
    mean = x.mean(dim=1, keepdim=True)
    x = (x - mean) * (2 * saturation) + mean
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return (x - mean) * (contrast + 0.5) + mean


def _translate(x: Tensor, draws: Tensor, ratio: float = 0.125) -> Tensor:
    """Shift by up to an eighth of the side; what comes in is the darkest value, as an image's
    border would be.
    """
    side = x.shape[2]
    reach = max(1, round(side * ratio))
    shifts = (draws[:, :2] * (2 * reach + 1)).floor().long()
    rows = shifts[:, 0, None] + torch.arange(side, device=x.device)
    columns = shifts[:, 1, None] + torch.arange(side, device=x.device)
    padded = pad(x, (reach, reach, reach, reach), value=-1.0).permute(0, 2, 3, 1)
    index = torch.arange(len(x), device=x.device)[:, None, None]
    return padded[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cut_out(x: Tensor, draws: Tensor, ratio: float = 0.5) -> Tensor:
    """Blank a square of half the side, centred anywhere, to mid grey."""
    side = x.shape[2]
    half = round(side * ratio) / 2
    centre = draws[:, :2] * side
    pixels = torch.arange(side, device=x.device) + 0.5
    inside_rows = (pixels - centre[:, 0, None]).abs() < half
    inside_columns = (pixels - centre[:, 1, None]).abs() < half
    hole = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
    return x.masked_fill(hole, 0.0)
