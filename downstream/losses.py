"""Losses for long-tailed classes; each is called like torch's ``cross_entropy`` once its other
numbers are bound.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

Loss = Callable[..., Tensor]
"""Logits (N, K), targets (classes (N,) or probabilities (N, K)) and ``label_smoothing`` to the mean
loss, a scalar."""


def effective_number_weights(counts: Tensor, beta: float = 0.999) -> Tensor:
    r"""Weights of the classes by the effective number of their images.

    .. math:: w_k \propto \frac{1 - \beta}{1 - \beta^{n_k}}, \qquad \sum_k w_k = K

    Args:
        counts: Images of every class n, shape (K,), not negative.
        beta: In [0, 1): 0 weighs all classes alike, towards 1 the weights come near those of the
            inverse frequency.

    Returns:
        Weights, float32 (K,); 0 for a class without images, and K is then the number of the others.
        Fewer images never weigh less.

    Raises:
        ValueError: If beta is out of range or no class has an image.

    Source:
        Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples",
        arXiv:1901.05555, equation 2 on.
    """
    if not 0 <= beta < 1 or counts.ndim != 1 or not bool(counts.min() >= 0 < counts.sum()):
        raise ValueError(
            f"need beta in [0, 1) and counts (K,), some of them positive: {beta}, {counts.tolist()}"
        )
    present = counts > 0
    inverse = (1 - beta) / (1 - torch.pow(torch.tensor(beta, dtype=torch.float64), counts.double()))
    weights = torch.where(present, inverse, torch.zeros_like(inverse))
    return (weights * present.sum() / weights.sum()).float()


def class_balanced_cross_entropy(
    logits: Tensor, target: Tensor, *, weights: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """Cross entropy in which every image counts by the weight of its class; the mean is over
    images, not weights.

    Args:
        logits: Shape (N, K).
        target: Classes, int64 (N,), or probabilities, float (N, K); a mixed image has the mean
            weight of its classes.
        weights: Of the classes, shape (K,), not negative (``effective_number_weights``).
        label_smoothing: Probability taken from the target and spread over all classes, in [0, 1).

    Returns:
        The loss, a scalar; torch's own ``cross_entropy`` where all weights are 1, and proportional
        to the weights.

    Raises:
        ValueError: If the shapes do not fit.

    Source:
        Cui et al. 2019, arXiv:1901.05555, equation 5.
    """
    _check(logits, target, weights)
    weights = weights.to(logits)
    losses = cross_entropy(logits, target, reduction="none", label_smoothing=label_smoothing)
    own = target.to(logits) @ weights if target.is_floating_point() else weights[target]
    return (own * losses).mean()


def logit_adjusted_cross_entropy(
    logits: Tensor, target: Tensor, *, prior: Tensor, tau: float = 1.0, label_smoothing: float = 0.0
) -> Tensor:
    r"""Cross entropy of logits to which the classes' log frequencies were added, so that the bare
    ones are balanced.

    .. math:: \ell = H(y, \mathrm{softmax}(f(x) + \tau \log \pi))

    A network that fits the adjusted logits to the long tail has in :math:`f` itself what is best
    for equal classes: nothing is added when it predicts.

    Args:
        logits: Shape (N, K).
        target: Classes, int64 (N,), or probabilities, float (N, K).
        prior: How often each class is drawn, shape (K,), above 0 for every class that is a target;
            any scale.
        tau: Strength; 0 is torch's own ``cross_entropy``.
        label_smoothing: Probability taken from the target and spread over all classes, in [0, 1).

    Returns:
        The loss, a scalar; unchanged by a factor on ``prior``.

    Raises:
        ValueError: If the shapes do not fit.

    Source:
        Menon et al. 2021, "Long-tail learning via logit adjustment", arXiv:2007.07314, equation 10.
    """
    _check(logits, target, prior)
    # A class without images would have an infinite logit; smoothing would then make the loss
    # infinite.
    shares = (prior / prior.sum()).to(logits).clamp(min=1e-6)
    return cross_entropy(logits + tau * shares.log(), target, label_smoothing=label_smoothing)


def _check(logits: Tensor, target: Tensor, of_classes: Tensor) -> None:
    fits = target.shape == (logits.shape if target.is_floating_point() else logits.shape[:1])
    if logits.ndim != 2 or not fits or of_classes.shape != logits.shape[1:]:
        shapes = [tuple(tensor.shape) for tensor in (logits, target, of_classes)]
        raise ValueError(
            f"need logits (N, K), targets (N,) or (N, K), and a number per class (K,), got {shapes}"
        )
