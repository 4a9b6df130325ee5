"""Losses of variational autoencoders."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    r"""KL divergence from the encoder's posterior to the standard normal prior.

    .. math:: \tfrac12 \sum_j (\mu_j^2 + e^{\ell_j} - \ell_j - 1), \qquad \ell = \log\sigma^2

    Args:
        mu: Posterior means, shape (N, latent_dim).
        logvar: Posterior log-variances (natural log), shape (N, latent_dim).

    Returns:
        Divergence per sample in nats, shape (N,). Never negative; zero iff the posterior is the
        prior.

    Raises:
        ValueError: If the two shapes differ.

    Source:
        Kingma & Welling 2014, arXiv:1312.6114, appendix B.
    """
    if mu.shape != logvar.shape:
        raise ValueError(f"mu {tuple(mu.shape)} and logvar {tuple(logvar.shape)} differ in shape")
    return 0.5 * (mu.square() + logvar.exp() - logvar - 1).sum(dim=1)


def reparameterise(mu: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """Draw from the posterior: mu + sigma * noise, all of shape (N, latent_dim), noise from N(0,
    I).

    Source:
        Kingma & Welling 2014, arXiv:1312.6114, section 2.4.
    """
    return mu + torch.exp(0.5 * logvar) * noise


def bernoulli_nll(x: Tensor, logits: Tensor) -> Tensor:
    r"""Negative log-likelihood of binary pixels, **summed** over pixels and channels.

    .. math:: -\sum_j \bigl( t_j \log p_j + (1 - t_j) \log (1 - p_j) \bigr),
        \qquad t = \tfrac12 (x + 1),\ p = \sigma(l)

    Grey pixels are taken as probabilities of white, as usual; the value is then a cross entropy.

    Args:
        x: Images, shape (N, C, H, W) in [-1, 1].
        logits: Log-odds of a pixel being 1, the shape of ``x``.

    Returns:
        Loss per image in nats, shape (N,). Never negative; least where p = t, there the entropy of
        t.

    Raises:
        ValueError: If the shapes differ.

    Source:
        Kingma & Welling 2014, arXiv:1312.6114, appendix C.1.
    """
    _require_equal_shapes(x, logits)
    nats = binary_cross_entropy_with_logits(logits, (x + 1) / 2, reduction="none")
    return nats.flatten(1).sum(dim=1)


def gaussian_nll(x: Tensor, mean: Tensor, sigma: float) -> Tensor:
    r"""Negative log-likelihood of pixels with Gaussian noise of one fixed width, **summed** over
    pixels and channels.

    .. math:: \sum_j \Bigl( \frac{(x_j - m_j)^2}{2 \sigma^2}
        + \log \sigma + \tfrac12 \log 2 \pi \Bigr)

    Args:
        x: Images, shape (N, C, H, W) in [-1, 1].
        mean: Means, the shape of ``x``.
        sigma: Standard deviation of a pixel, in units of ``x``; > 0.

    Returns:
        Loss per image in nats, shape (N,); a density's, so it may be negative. Least where the mean
        is ``x``.

    Raises:
        ValueError: If the shapes differ.

    Source:
        Kingma & Welling 2014, arXiv:1312.6114, appendix C.2, with a fixed variance.
    """
    _require_equal_shapes(x, mean)
    constant = math.log(sigma) + 0.5 * math.log(2 * math.pi)
    return ((x - mean).square() / (2 * sigma**2) + constant).flatten(1).sum(dim=1)


def _require_equal_shapes(x: Tensor, other: Tensor) -> None:
    if x.shape != other.shape:
        raise ValueError(f"shapes differ: {tuple(x.shape)} and {tuple(other.shape)}")
