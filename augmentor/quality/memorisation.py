"""Whether synthetic images are copies of training images: a test on distances to the nearest
neighbour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

CLOSEST = 5  # candidates for the nearest whose distances are computed without rounding


@dataclass(frozen=True)
class Memorisation:
    """How near samples lie to training images, against how near unseen real images do.

    Args:
        p: One-sided p of the Mann-Whitney test: small if samples are nearer to training images than
            unseen real images are. With thousands of images tiny effects are significant too: read
            the shares.
        statistic: Its z: negative if samples are nearer.
        share_closer: Share of pairs (sample, unseen image) whose sample is the nearer one, in [0,
            1]; 0.5 if alike.
        near_copies: Share of samples nearer to a training image than all but the nearest 1 % of
            unseen images are, in [0, 1]; about 0.01 if alike.
        median_sample: Median distance of a sample to its nearest training image.
        median_holdout: Median distance of an unseen real image to its nearest training image.
    """

    p: float
    statistic: float
    share_closer: float
    near_copies: float
    median_sample: float
    median_holdout: float


def nearest(a: Tensor, b: Tensor, chunk: int = 512) -> tuple[Tensor, Tensor]:
    """The nearest neighbour in ``b`` of every row of ``a``.

    Args:
        a: Images or features, shape (N, ...).
        b: Images or features, shape (M, ...), M >= 1, of the same size.
        chunk: Rows of ``a`` looked at in one go; memory is ``chunk`` times M numbers.

    Returns:
        Euclidean distances (N,), exactly 0 for an exact copy (unless more than ``CLOSEST`` images
        are as near to it as float32 can tell), and indices into ``b``, int64 (N,).
        Both do not depend on ``chunk``.

    Raises:
        ValueError: If ``b`` is empty, the sizes differ or a value is not finite.
    """
    if len(b) == 0 or a.shape[1:] != b.shape[1:]:
        raise ValueError(
            f"need a filled b of the size of a, got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    if not bool(a.isfinite().all() and b.isfinite().all()):
        raise ValueError("a or b holds NaN or infinite values")
    a, b = a.flatten(1), b.flatten(1)
    found = [_nearest_of(rows, b) for rows in torch.split(a, chunk)]
    distances, indices = zip(*found, strict=True)
    return torch.cat(distances), torch.cat(indices)


def _nearest_of(rows: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The matrix product rounds, so that of images that hardly differ it may name another than the
    nearest: the distances to the best few are computed anew.
    """
    few = min(CLOSEST, len(b))
    candidates = _squared_distances(rows, b).topk(few, largest=False).indices.unbind(dim=1)
    exact = torch.stack([(rows - b[some]).norm(dim=1) for some in candidates], dim=1)
    distances, place = exact.min(dim=1)
    return distances, torch.stack(candidates, dim=1).gather(1, place[:, None])[:, 0]


def memorisation_test(train: Tensor, holdout: Tensor, samples: Tensor) -> Memorisation:
    """Test whether samples are nearer to the training images than unseen real images are.

    The unseen images should come from the same classes in the same shares as the samples. Blurred
    samples lie nearer to everything, training images too: read it beside ``copied_share``, which
    blur does not change.

    Args:
        train: All images (or features) the source has seen, shape (N, ...), N >= 1.
        holdout: Unseen real images, shape (H, ...), H >= 1.
        samples: Synthetic images, shape (M, ...), M >= 1.

    Returns:
        The test and its effect sizes.

    Raises:
        ValueError: If a set is empty or the sizes differ.

    Source:
        Meehan, Chaudhuri, Dasgupta 2020, arXiv:2004.05675, section 3, with a single cell.
    """
    from scipy import stats

    if len(holdout) == 0 or len(samples) == 0:
        raise ValueError(f"need unseen images and samples, got {len(holdout)} and {len(samples)}")
    from_holdout, from_samples = nearest(holdout, train)[0], nearest(samples, train)[0]
    pairs, both = len(samples) * len(holdout), len(samples) + len(holdout)
    u, p = stats.mannwhitneyu(
        from_samples.cpu().numpy(), from_holdout.cpu().numpy(), alternative="less"
    )
    return Memorisation(
        p=float(p),
        statistic=float((u - pairs / 2) / (pairs * (both + 1) / 12) ** 0.5),
        share_closer=1 - float(u) / pairs,
        near_copies=float((from_samples < from_holdout.quantile(0.01)).double().mean()),
        median_sample=float(from_samples.median()),
        median_holdout=float(from_holdout.median()),
    )


def copied_share(
    train: Tensor,
    holdout: Tensor,
    samples: Tensor,
    classes: tuple[Tensor, Tensor, Tensor] | None = None,
) -> tuple[float, float]:
    r"""Estimated share of samples that are copies, from how often the nearest real image is a
    training image.

    Of n training and m unseen images of one distribution, the one nearest to a fresh sample is a
    training image with probability e = n / (n + m), however blurred the sample is; the one nearest
    to a copy always is. So, with s the share observed,

    .. math:: \frac{s - e}{1 - e}, \qquad \text{standard error} \;
        \frac{\sqrt{e (1 - e) \sum_i c_i^2}}{(1 - e) \sum_i c_i}

    where real image i is the nearest of c_i samples: samples that share a neighbour count as one
    witness.

    Args:
        train: Training images (or features), shape (N, ...).
        holdout: Unseen real images, shape (M, ...).
        samples: Synthetic images, shape (S, ...).
        classes: Class indices of the three, int64; neighbours are then looked for within a sample's
            class, so that class shares of training and unseen images may differ. Samples of a class
            that one of them lacks are left out.

    Returns:
        The share, at most 1 and about 0 without copies (it may be negative), and its standard
        error; NaN if no sample is left.
    """
    labels = classes or tuple(
        torch.zeros(len(x), dtype=torch.int64) for x in (train, holdout, samples)
    )
    nearer, expected, counted, variance = 0, 0.0, 0, 0.0
    for index in sorted(set(labels[2].tolist())):
        seen, unseen, drawn = (
            x[y == index] for x, y in zip((train, holdout, samples), labels, strict=True)
        )
        if len(seen) and len(unseen):
            witnesses = torch.bincount(
                nearest(drawn, torch.cat([seen, unseen]))[1], minlength=len(seen)
            )
            chance = len(seen) / (len(seen) + len(unseen))
            nearer += int(witnesses[: len(seen)].sum())
            expected += chance * len(drawn)
            counted += len(drawn)
            variance += chance * (1 - chance) * float(witnesses.square().sum())
    if not counted:
        return math.nan, math.nan
    return (nearer - expected) / (counted - expected), math.sqrt(variance) / (counted - expected)


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    return b.square().sum(dim=1) - 2 * a @ b.T  # without |a|², which is the same for all of b
