"""The classifier's part in a game of three."""

from __future__ import annotations

from torch import Tensor

from augmentor.losses.adversarial import generator_loss


def classifier_game(class_logits: Tensor, fake_logits: Tensor) -> Tensor:
    r"""What a classifier pays for being told from the truth by a discriminator of pairs (image,
    label).

    .. math:: p(\hat y \mid x) \log (1 - D(x, \hat y)), \qquad \hat y = \arg\max_k p(k \mid x)

    The label cannot be differentiated, its probability can: that is the only way for the gradient.

    Args:
        class_logits: The classifier's, shape (N, K).
        fake_logits: The discriminator's logits of the images with the classifier's likeliest
            labels, shape (N,), large for true pairs; no gradient reaches them.

    Returns:
        Loss per image, shape (N,). Never positive; the surer the classifier, the more a pair
        counts.

    Raises:
        ValueError: If the shapes do not fit.

    Source:
        Li et al. 2017, arXiv:1703.02291, algorithm 1.
    """
    if class_logits.ndim != 2 or fake_logits.shape != class_logits.shape[:1]:
        found = f"{tuple(class_logits.shape)} and {tuple(fake_logits.shape)}"
        raise ValueError(f"need class logits (N, K) and logits (N,), got {found}")
    confidence = class_logits.softmax(dim=1).amax(dim=1)
    return confidence * generator_loss(fake_logits.detach(), "minimax")
