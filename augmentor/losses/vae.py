"""Losses of variational autoencoders."""

from __future__ import annotations

import torch
from torch import Tensor


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    r"""KL divergence from the encoder's posterior to the standard normal prior.

    .. math:: \tfrac12 \sum_j (\mu_j^2 + e^{\ell_j} - \ell_j - 1), \qquad \ell = \log\sigma^2

    Args:
        mu: Posterior means, shape (N, latent_dim).
        logvar: Posterior log-variances (natural log), shape (N, latent_dim).

    Returns:
        Divergence per sample in nats, shape (N,). Never negative; zero iff the posterior is the prior.

    Raises:
        ValueError: If the two shapes differ.

    Source:
        Kingma & Welling 2014, arXiv:1312.6114, appendix B.
    """
    if mu.shape != logvar.shape:
        raise ValueError(f"mu {tuple(mu.shape)} and logvar {tuple(logvar.shape)} differ in shape")
    return 0.5 * (mu.square() + logvar.exp() - logvar - 1).sum(dim=1)


def reparameterise(mu: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """Draw from the posterior: mu + sigma * noise, all of shape (N, latent_dim), noise from N(0, I).

    Source:
        Kingma & Welling 2014, arXiv:1312.6114, section 2.4.
    """
    return mu + torch.exp(0.5 * logvar) * noise
