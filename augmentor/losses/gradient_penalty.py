"""The penalty that keeps a critic's slope near one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], x_real: Tensor, x_fake: Tensor, mix: Tensor
) -> Tensor:
    r"""How far the critic's slope is from one between real and generated images.

    .. math:: (\lVert \nabla D(\hat x) \rVert_2 - 1)^2,
        \qquad \hat x = \varepsilon x_r + (1 - \varepsilon) x_g

    Args:
        critic: Images (N, ...) to values (N,); value i must depend on image i only, so no batch
            norm.
        x_real: Real images, shape (N, ...).
        x_fake: Generated images, the shape of ``x_real``.
        mix: The epsilon of every pair, uniform in [0, 1], shape (N,).

    Returns:
        Penalty per pair, shape (N,), differentiable in the critic's weights. Never negative; zero
        iff the slope is one.

    Raises:
        ValueError: If the shapes differ.

    Source:
        Gulrajani et al. 2017, arXiv:1704.00028, equation 3 and algorithm 1.
    """
    if x_real.shape != x_fake.shape or mix.shape != (len(x_real),):
        raise ValueError(
            f"shapes differ: {tuple(x_real.shape)}, {tuple(x_fake.shape)} and mix "
            f"{tuple(mix.shape)}"
        )
    share = mix.view(-1, *[1] * (x_real.ndim - 1))
    x_hat = (share * x_real + (1 - share) * x_fake).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=True)
    # The norm of exactly zero has no gradient: a critic that is flat there must not turn the
    # weights into NaN.
    norm = (slope.flatten(1).square().sum(dim=1) + 1e-12).sqrt()
    return (norm - 1).square()
