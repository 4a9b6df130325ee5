"""How close a set of synthetic images comes to a set of real ones, in the features of a judge.

Every function is a pure function of features or logits and draws no random number. The numbers
depend on the judge whose features they are: name it with every number, and never compare numbers of
two judges.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_CHUNK = 1024


def inception_score(logits: Tensor) -> float:
    r"""Inception score with a judge of one's own: confident on each image, varied over all of them.

    .. math:: \exp \mathbb E_x\, KL\big(p(y|x) \,\|\, p(y)\big), \qquad p(y) = \mathbb E_x\, p(y|x)

    Args:
        logits: The judge's logits, shape (N, K), N >= 1.

    Returns:
        A number in [1, K]; 1 if all images get the same answer, K if every image is certain and
        classes are equal.

    Raises:
        ValueError: If the logits are not a filled matrix of finite numbers.

    Source:
        Salimans et al. 2016, arXiv:1606.03498, section 4, without its splits.
    """
    _require_matrix("logits", logits, least=1)
    log_p = functional.log_softmax(logits.double(), dim=1)
    log_marginal = torch.logsumexp(log_p, dim=0) - math.log(len(log_p))
    divergence = (log_p.exp() * (log_p - log_marginal)).sum(dim=1)
    return float(divergence.mean().clamp_min(0.0).exp())


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    r"""Fréchet distance of two Gaussians fitted to features (FID, with the features of one's own
    judge).

    .. math:: \|\mu_r - \mu_f\|^2 +
        \operatorname{tr}\big(\Sigma_r + \Sigma_f - 2 (\Sigma_r \Sigma_f)^{1/2}\big)

    Biased upwards for few images: compare only numbers made with as many.

    Args:
        real: Features of real images, shape (N, D), N >= 2.
        fake: Features of synthetic images, shape (M, D), M >= 2.

    Returns:
        The squared distance in squared units of the features; not negative, 0 for equal sets,
        symmetric.

    Raises:
        ValueError: If the shapes do not fit, or a value is not finite.

    Source:
        Heusel et al. 2017, arXiv:1706.08500, equation 6.
    """
    _require_pair(real, fake)
    real, fake = real.double(), fake.double()
    covariance_real, covariance_fake = (
        torch.cov(features.T).reshape(2 * features.shape[1:]) for features in (real, fake)
    )
    shift = (real.mean(dim=0) - fake.mean(dim=0)).square().sum()
    # The eigenvalues of the product are those of the symmetric root_r · cov_f · root_r, which eigh
    # finds stably.
    values, vectors = torch.linalg.eigh(covariance_real)
    root = vectors * values.clamp_min(0.0).sqrt() @ vectors.T
    overlap = torch.linalg.eigvalsh(root @ covariance_fake @ root).clamp_min(0.0).sqrt().sum()
    distance = shift + covariance_real.trace() + covariance_fake.trace() - 2 * overlap
    return float(distance.clamp_min(0.0))


def kernel_distance(real: Tensor, fake: Tensor) -> float:
    r"""Squared maximum mean discrepancy with a cubic kernel (KID), the unbiased estimate from all
    pairs.

    .. math:: k(a, b) = (a^\top b / D + 1)^3

    Args:
        real: Features of real images, shape (N, D), N >= 2.
        fake: Features of synthetic images, shape (M, D), M >= 2.

    Returns:
        The estimate; 0 on average if both come from one distribution, so it may be slightly
        negative.

    Raises:
        ValueError: If the shapes do not fit, or a value is not finite.

    Source:
        Bińkowski et al. 2018, arXiv:1801.01401, equation 4, on all images instead of random
        subsets.
    """
    _require_pair(real, fake)
    n, m = len(real), len(fake)
    within_real = (_kernel_sum(real, real) - _kernel_diagonal(real)) / (n * (n - 1))
    within_fake = (_kernel_sum(fake, fake) - _kernel_diagonal(fake)) / (m * (m - 1))
    return within_real + within_fake - 2 * _kernel_sum(real, fake) / (n * m)


def precision_recall_density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> dict[str, float]:
    """Precision, recall, density and coverage from balls around every image that reach its k-th
    neighbour.

    ``precision``: share of synthetic images inside a real ball; ``recall``: share of real images
    inside a synthetic ball; ``density``: how many real balls hold a synthetic image, over k;
    ``coverage``: share of real balls that hold a synthetic image. They depend on the numbers of
    images: compare only numbers made with as many.

    Args:
        real: Features of real images, shape (N, D), N > k.
        fake: Features of synthetic images, shape (M, D), M > k.
        k: Which neighbour sets the radius, at least 1; the image itself does not count.

    Returns:
        The four by name; all in [0, 1] but ``density``, which may exceed 1.

    Raises:
        ValueError: If the shapes do not fit, a value is not finite or a set has no k-th neighbour.

    Source:
        Kynkäänniemi et al. 2019, arXiv:1904.06991 (precision, recall); Naeem et al. 2020,
        arXiv:2002.09797, equations 4 and 5 (density, coverage).
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    _require_pair(real, fake, least=k + 1)
    real_radii, fake_radii = _neighbour_radii(real, k), _neighbour_radii(fake, k)
    real_balls_holding = torch.zeros(len(fake), dtype=torch.int64, device=fake.device)
    recalled, covered = 0, 0
    for rows, radii in zip(torch.split(real, _CHUNK), torch.split(real_radii, _CHUNK), strict=True):
        distances = torch.cdist(rows, fake)
        inside_real = distances < radii[:, None]
        real_balls_holding += inside_real.sum(dim=0)
        covered += int(inside_real.any(dim=1).sum())
        recalled += int((distances < fake_radii).any(dim=1).sum())
    return {
        "precision": float((real_balls_holding > 0).double().mean()),
        "recall": recalled / len(real),
        "density": float(real_balls_holding.double().mean()) / k,
        "coverage": covered / len(real),
    }


def class_spread(x: Tensor, y: Tensor, num_classes: int) -> Tensor:
    """Mean distance of two different images of one class: how varied a class is.

    Args:
        x: Images or features, shape (N, ...).
        y: Class indices, int64 (N,).
        num_classes: Number of classes K.

    Returns:
        Mean Euclidean distance of all pairs of a class, float64 (K,); NaN for a class of fewer than
        two images. It does not depend on the order of the images.

    Raises:
        ValueError: If a value is not finite.
    """
    flat = x.flatten(1)
    if not bool(flat.isfinite().all()):
        raise ValueError("x holds NaN or infinite values")
    spreads = [_mean_distance(flat[y == index]) for index in range(num_classes)]
    return torch.tensor(spreads, dtype=torch.float64)


def _mean_distance(rows: Tensor) -> float:
    pairs = len(rows) * (len(rows) - 1)
    if pairs == 0:
        return math.nan
    # The fast way through a matrix product leaves a small distance of an image to itself: it is
    # taken off.
    total = 0.0
    for start in range(0, len(rows), _CHUNK):
        distances = torch.cdist(rows[start : start + _CHUNK], rows).double()
        total += float(distances.sum() - distances.diagonal(start).sum())
    return total / pairs


def _neighbour_radii(features: Tensor, k: int) -> Tensor:
    # The smallest of the k + 1 is the image itself.
    nearest = [
        torch.cdist(rows, features).topk(k + 1, largest=False).values[:, -1]
        for rows in torch.split(features, _CHUNK)
    ]
    return torch.cat(nearest)


def _kernel_sum(a: Tensor, b: Tensor) -> float:
    b = b.double()
    return sum(
        float((rows.double() @ b.T / b.shape[1] + 1).pow(3).sum())
        for rows in torch.split(a, _CHUNK)
    )


def _kernel_diagonal(a: Tensor) -> float:
    return float((a.double().square().sum(dim=1) / a.shape[1] + 1).pow(3).sum())


def _require_pair(real: Tensor, fake: Tensor, least: int = 2) -> None:
    _require_matrix("real", real, least)
    _require_matrix("fake", fake, least)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"real has {real.shape[1]} features, fake {fake.shape[1]}")


def _require_matrix(name: str, values: Tensor, least: int) -> None:
    if values.ndim != 2 or len(values) < least or values.shape[1] == 0:
        raise ValueError(
            f"{name} must be (N, D) with N >= {least} and D >= 1, got {tuple(values.shape)}"
        )
    if not bool(values.isfinite().all()):
        raise ValueError(f"{name} holds NaN or infinite values")
