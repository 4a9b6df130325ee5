"""The means and pairs by which the CVAE-GAN's generator learns in the place of cross entropy."""

from __future__ import annotations

import torch
from torch import Tensor

from augmentor.common import ranks


def half_squared_distance(a: Tensor, b: Tensor) -> Tensor:
    r"""Half the squared distance of paired tensors, **summed** over everything but the batch.

    .. math:: \tfrac12 \lVert a_i - b_i \rVert^2

    Args:
        a: Shape (N, ...).
        b: The shape of ``a``.

    Returns:
        Distance per pair, shape (N,). Never negative, symmetric, zero iff the pair is equal.

    Raises:
        ValueError: If the shapes differ.

    Source:
        Bao et al. 2017, arXiv:1703.10155, equation 7.
    """
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {tuple(a.shape)} and {tuple(b.shape)}")
    return 0.5 * (a - b).square().flatten(1).sum(dim=1)


def mean_feature_matching(centre_real: Tensor, centre_fake: Tensor) -> Tensor:
    r"""Half the squared distance of two mean features, summed over features.

    .. math:: \tfrac12 \lVert \mathbb{E} f(x_r) - \mathbb{E} f(x_p) \rVert^2

    Args:
        centre_real: Mean feature of real images, shape (F,).
        centre_fake: Mean feature of generated images, shape (F,).

    Returns:
        A scalar. Never negative; zero iff the means are equal.

    Raises:
        ValueError: If the shapes differ.

    Source:
        Bao et al. 2017, arXiv:1703.10155, equation 5 (Salimans et al. 2016, arXiv:1606.03498,
        section 3.1).
    """
    return half_squared_distance(centre_real[None], centre_fake[None]).squeeze(0)


def class_feature_matching(centres_real: Tensor, centres_fake: Tensor, present: Tensor) -> Tensor:
    r"""Half the squared distances of the classes' mean features, summed over features and classes.

    .. math:: \tfrac12 \sum_c \lVert \mathbb{E} f(x_r \mid c) - \mathbb{E} f(x_p \mid c) \rVert^2

    Args:
        centres_real: Mean feature per class of real images, shape (K, F).
        centres_fake: Mean feature per class of generated images, shape (K, F).
        present: Classes of which both means are known, bool (K,); the others do not count.

    Returns:
        A scalar. Never negative; invariant to a permutation of the classes.

    Raises:
        ValueError: If the shapes differ.

    Source:
        Bao et al. 2017, arXiv:1703.10155, equation 6.
    """
    distances = half_squared_distance(centres_real, centres_fake)
    return torch.where(present, distances, torch.zeros_like(distances)).sum()


def class_means(features: Tensor, class_probs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean feature of every class in a batch.

    Args:
        features: Shape (N, F).
        class_probs: One-hot classes, shape (N, K).

    Returns:
        Means, shape (K, F), zero for absent classes; and which classes are present, bool (K,).
    """
    sizes = ranks.total(class_probs.sum(dim=0))
    return ranks.total(class_probs.t() @ features) / sizes.clamp(min=1)[:, None], sizes > 0
