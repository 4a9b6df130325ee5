"""Losses of a classifier of K classes that also tells real images from generated ones.

The classifier has K logits l; the generated images are a class of their own, the (K+1)-th, whose
logit is fixed at 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, softplus

from augmentor.losses.feature_matching import mean_feature_matching


def labelled_loss(class_logits: Tensor, y: Tensor) -> Tensor:
    r"""What the classifier pays for labelled images: cross entropy over the K classes, given that
    the image is real.

    .. math:: -l_y + \log \sum_k e^{l_k}

    Args:
        class_logits: Shape (N, K).
        y: Classes, int64 (N,), in [0, K).

    Returns:
        Loss per sample in nats, shape (N,). Never negative; unchanged by a number added to all
        logits of a row.

    Raises:
        ValueError: If the shapes do not fit.

    Source:
        Salimans et al. 2016, arXiv:1606.03498, section 5.
    """
    if class_logits.ndim != 2 or y.shape != class_logits.shape[:1]:
        raise ValueError(
            f"need logits (N, K) and y (N,), got {tuple(class_logits.shape)} and {tuple(y.shape)}"
        )
    return cross_entropy(class_logits, y, reduction="none")


def unlabelled_loss(class_logits: Tensor) -> Tensor:
    r"""What the classifier pays for real images without labels: they belong to any class but the
    (K+1)-th.

    .. math:: -\log p(\mathrm{real} \mid x) = -s + \log(1 + e^s), \qquad s = \log \sum_k e^{l_k}

    Args:
        class_logits: Shape (N, K).

    Returns:
        Loss per sample in nats, shape (N,). Never negative, falling in every logit.

    Raises:
        ValueError: If the shape is not (N, K).

    Source:
        Salimans et al. 2016, arXiv:1606.03498, section 5.
    """
    return softplus(-real_logit(class_logits))


def fake_loss(class_logits: Tensor) -> Tensor:
    r"""What the classifier pays for generated images: they belong to the (K+1)-th class.

    .. math:: -\log (1 - p(\mathrm{real} \mid x)) = \log(1 + e^s), \qquad s = \log \sum_k e^{l_k}

    Args:
        class_logits: Shape (N, K).

    Returns:
        Loss per sample in nats, shape (N,). Never negative, rising in every logit.

    Raises:
        ValueError: If the shape is not (N, K).

    Source:
        Salimans et al. 2016, arXiv:1606.03498, section 5.
    """
    return softplus(real_logit(class_logits))


def real_logit(class_logits: Tensor) -> Tensor:
    r"""The logit of p(real | x), :math:`\log \sum_k e^{l_k}`, when the (K+1)-th logit is fixed at
    0.

    Args:
        class_logits: Shape (N, K).

    Returns:
        Shape (N,); its sigmoid is p(real | x).

    Raises:
        ValueError: If the shape is not (N, K).
    """
    if class_logits.ndim != 2:
        raise ValueError(f"logits must be (N, K), got {tuple(class_logits.shape)}")
    return class_logits.logsumexp(dim=1)


def feature_matching(features_real: Tensor, features_fake: Tensor) -> Tensor:
    r"""What the generator pays: the squared difference of two mean features, averaged over
    features.

    .. math:: \tfrac1F \lVert \mathbb{E} f(x) - \mathbb{E} f(G(z)) \rVert^2

    This is ``mean_feature_matching`` under the published reduction.

    Args:
        features_real: Features of real images, shape (N, F).
        features_fake: Features of generated images, shape (M, F).

    Returns:
        A scalar. Never negative; zero iff the means are equal.

    Raises:
        ValueError: If F differs.

    Source:
        Salimans et al. 2016, arXiv:1606.03498, section 3.1, with the mean over features of the
        authors' code.
    """
    loss = mean_feature_matching(features_real.mean(dim=0), features_fake.mean(dim=0))
    return 2 * loss / features_real.shape[1]


def pull_away(features: Tensor) -> Tensor:
    r"""What a generator pays for samples that resemble each other; it stands for the entropy of the
    samples.

    .. math:: \frac{1}{N (N - 1)} \sum_{i \ne j} \cos^2(f_i, f_j)

    Args:
        features: Features of generated images, shape (N, F), N at least 2.

    Returns:
        A scalar in [0, 1]. Zero iff the features are orthogonal in pairs, one iff they lie on one
        line; unchanged by the length of a feature.

    Raises:
        ValueError: If the shape is not (N, F) with N at least 2.

    Source:
        Zhao et al. 2017, arXiv:1609.03126, section 2.4; for semi-supervised learning Dai et al.
        2017, arXiv:1705.09783, section 4.
    """
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features must be (N, F) with N >= 2, got {tuple(features.shape)}")
    n = len(features)
    directions = normalize(features, dim=1)
    squared_cosines = (directions @ directions.t()).square()
    return (squared_cosines.sum() - squared_cosines.diagonal().sum()) / (n * (n - 1))


def conditional_entropy(class_logits: Tensor) -> Tensor:
    r"""What the classifier pays for being unsure of the class of an unlabelled image.

    .. math:: -\sum_k p_k \log p_k, \qquad p = \mathrm{softmax}(l)

    Args:
        class_logits: Shape (N, K).

    Returns:
        Entropy per sample in nats, shape (N,), in [0, log K]; log K iff the logits of the row are
        equal.

    Raises:
        ValueError: If the shape is not (N, K).

    Source:
        Grandvalet & Bengio 2004; for semi-supervised GANs Dai et al. 2017, arXiv:1705.09783,
        equation 5.
    """
    if class_logits.ndim != 2:
        raise ValueError(f"logits must be (N, K), got {tuple(class_logits.shape)}")
    log_p = class_logits.log_softmax(dim=1)
    return -torch.sum(log_p.exp() * log_p, dim=1)


def class_balance(class_logits: Tensor) -> Tensor:
    r"""What the classifier pays for giving some classes more unlabelled images than others.

    .. math:: -\tfrac1K \sum_k \log \bar p_k, \qquad \bar p = \tfrac1N \sum_i \mathrm{softmax}(l_i)

    It suits images that hold about equally many of every class.

    Args:
        class_logits: Shape (N, K), N at least 1.

    Returns:
        A scalar in nats, at least log K; log K iff the mean probabilities are equal.

    Raises:
        ValueError: If the shape is not (N, K) with N at least 1.

    Source:
        The authors' code of Triple-GAN (Li et al. 2017, arXiv:1703.02291), after Springenberg 2016,
        arXiv:1511.06390, who asks for the highest entropy of the mean probabilities.
    """
    if class_logits.ndim != 2 or not len(class_logits):
        raise ValueError(f"logits must be (N, K) with N >= 1, got {tuple(class_logits.shape)}")
    log_p = class_logits.log_softmax(dim=1).logsumexp(dim=0) - math.log(len(class_logits))
    return -log_p.mean()
