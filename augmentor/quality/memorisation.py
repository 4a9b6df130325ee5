"""Whether synthetic images are copies of training images: a test on distances to the nearest neighbour."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor


@dataclass(frozen=True)
class Memorisation:
    """How near samples lie to training images, against how near unseen real images do.

    Args:
        p: One-sided p of the Mann-Whitney test: small if samples are nearer to training images than unseen real
            images are. With thousands of images tiny effects are significant too: read the shares.
        statistic: Its z: negative if samples are nearer.
        share_closer: Share of pairs (sample, unseen image) whose sample is the nearer one, in [0, 1]; 0.5 if alike.
        near_copies: Share of samples nearer to a training image than all but the nearest 1 % of unseen images are,
            in [0, 1]; about 0.01 if alike.
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
        Euclidean distances (N,), exactly 0 for an exact copy, and indices into ``b``, int64 (N,). Both do not depend
        on ``chunk``.

    Raises:
        ValueError: If ``b`` is empty or the sizes differ.
    """
    if len(b) == 0 or a.shape[1:] != b.shape[1:]:
        raise ValueError(f"need a filled b of the size of a, got {tuple(a.shape)} and {tuple(b.shape)}")
    a, b = a.flatten(1), b.flatten(1)
    found = [_squared_distances(rows, b).argmin(dim=1) for rows in torch.split(a, chunk)]
    indices = torch.cat(found) if found else torch.zeros(0, dtype=torch.int64, device=a.device)
    # The matrix product above rounds; the distance to the one found is computed anew, so that a copy gives 0.
    distances = torch.cat(
        [(rows - b[i]).norm(dim=1) for rows, i in zip(torch.split(a, chunk), torch.split(indices, chunk), strict=True)]
    )
    return distances, indices


def memorisation_test(train: Tensor, holdout: Tensor, samples: Tensor) -> Memorisation:
    """Test whether samples are nearer to the training images than unseen real images are.

    The unseen images should come from the same classes in the same shares as the samples. Blurred samples lie nearer
    to everything: read it beside ``nearer_to_train``, which asks the same of training and unseen images.

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
    if len(holdout) == 0 or len(samples) == 0:
        raise ValueError(f"need unseen images and samples, got {len(holdout)} and {len(samples)}")
    from_holdout, from_samples = nearest(holdout, train)[0], nearest(samples, train)[0]
    pairs, both = len(samples) * len(holdout), len(samples) + len(holdout)
    u, p = stats.mannwhitneyu(from_samples.cpu().numpy(), from_holdout.cpu().numpy(), alternative="less")
    return Memorisation(
        p=float(p),
        statistic=float((u - pairs / 2) / (pairs * (both + 1) / 12) ** 0.5),
        share_closer=1 - float(u) / pairs,
        near_copies=float((from_samples < from_holdout.quantile(0.01)).double().mean()),
        median_sample=float(from_samples.median()),
        median_holdout=float(from_holdout.median()),
    )


def nearer_to_train(train: Tensor, holdout: Tensor, samples: Tensor) -> float:
    """Share of samples whose nearest real image is a training image rather than an unseen one.

    Training and unseen images come in equal numbers here, so a source that has learnt the distribution and not the
    images gives 0.5, however blurred its samples; ties count half.

    Args:
        train: Training images (or features), shape (N, ...), N >= 1.
        holdout: As many unseen real images of the same classes, shape (N, ...).
        samples: Synthetic images, shape (M, ...), M >= 1.

    Returns:
        A share in [0, 1]; 0.5 if training images are not favoured. With ``train`` and ``holdout`` exchanged it is
        one minus the former.

    Raises:
        ValueError: If the numbers of training and unseen images differ or a set is empty.
    """
    if len(train) != len(holdout) or len(samples) == 0:
        raise ValueError(f"need equal numbers and samples, got {len(train)}, {len(holdout)} and {len(samples)}")
    to_train, to_holdout = nearest(samples, train)[0], nearest(samples, holdout)[0]
    wins = (to_train < to_holdout).double() + 0.5 * (to_train == to_holdout).double()
    return float(wins.mean())


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    return b.square().sum(dim=1) - 2 * a @ b.T  # without |a|², which is the same for all of b
