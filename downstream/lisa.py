"""LISA: mixes of two images that share the class and not the condition, or the reverse."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from augmentor.common.randomness import rng_for
from downstream.augment import Augment, beta_draws
from downstream.train import TrainSettings, train_classifier

WITHIN_CLASS, ALPHA = 0.5, 2.0
"""How often two images of one class are mixed, and the shape of the Beta distribution."""


def train_lisa(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    settings: TrainSettings,
    *,
    condition: Tensor,
    seed: int,
    within_class: float = WITHIN_CLASS,
    draw_weights: Tensor | None = None,
    augment: Augment | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> nn.Module:
    r"""Train a classifier on mixes alone.

    .. math::
        \tilde x = \lambda x + (1 - \lambda) x', \quad \tilde y = \lambda y + (1 - \lambda) y',
        \quad \lambda \sim \mathrm{B}(2, 2)

    Each image is mixed with a partner of ``Partners``, drawn from all training images, since a
    batch need not hold one; both are augmented by themselves.

    Args:
        model: Network from images to logits (N, K); trained in place.
        x: Images, shape (N, C, H, W), float32 in [-1, 1].
        y: Classes, int64 (N,).
        settings: Steps, rates and so on.
        condition: Condition of every image, int64 (N,).
        seed: Decides order, partners, shares, augmentation and dropout.
        within_class: As in ``Partners``.
        draw_weights: How often each image is drawn, (N,), any scale; partners too. None is equally
            often.
        augment: Applied to every image before it is mixed.
        on_step: As in ``train_classifier``.

    Returns:
        The same model in evaluation mode.

    Raises:
        NonFiniteLossError: If the loss or a weight stops being finite.
        ValueError: If shapes do not fit, or ``within_class`` is not in [0, 1].

    Source:
        Yao et al. 2022, "Improving Out-of-Distribution Robustness via Selective Augmentation",
        arXiv:2201.00299, algorithm 1.

    Example:
        >>> from downstream.classifier import build_classifier
        >>> model, y = build_classifier("auto", 2, (1, 8, 8), seed=0), torch.arange(4) % 2
        >>> settings = TrainSettings(steps=2, batch_size=4)
        >>> x, light = torch.rand(4, 1, 8, 8), torch.tensor([0, 0, 1, 1])
        >>> train_lisa(model, x, y, settings, condition=light, seed=0).training
        False
    """
    if condition.shape != (len(x),):
        raise ValueError(f"need a condition for each of {len(x)} images: {tuple(condition.shape)}")
    partners = Partners(y, condition, rng_for("lisa", seed), draw_weights, within_class)
    return train_classifier(
        model,
        x,
        y,
        settings,
        seed=seed,
        draw_weights=draw_weights,
        augment=augment,
        mix=mixed_halves,
        drawn=lambda numbers, step: torch.cat([numbers, partners.of(numbers)]),
        on_step=on_step,
    )


class Partners:
    """Draws whom each image is mixed with: one of the same class under another condition, or one of
    another class under the same condition.

    Where there is none of the one kind it is one of the other; where there is none of either, the
    image itself.

    Args:
        y: Classes of the training images, int64 (N,).
        condition: Their conditions, int64 (N,).
        rng: CPU generator.
        draw_weights: How often each is drawn among those that may be, (N,), any scale; None is
            equally often.
        within_class: How often it is one of the same class, in [0, 1].

    Raises:
        ValueError: If ``within_class`` is not in [0, 1].

    Source:
        Yao et al. 2022, arXiv:2201.00299.

    Example:
        >>> y, light = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2])
        >>> Partners(y, light, torch.Generator()).of(torch.tensor([0, 1, 2]))
        tensor([1, 0, 2])
    """

    def __init__(
        self,
        y: Tensor,
        condition: Tensor,
        rng: Generator,
        draw_weights: Tensor | None = None,
        within_class: float = WITHIN_CLASS,
    ) -> None:
        if not 0 <= within_class <= 1:
            raise ValueError(f"within_class must be in [0, 1], got {within_class:g}")
        self.within_class = within_class
        self.y, self.condition, self.rng = y.cpu(), condition.cpu(), rng
        even = torch.ones(len(y), dtype=torch.float64)
        self.weights = even if draw_weights is None else draw_weights.cpu().double()

    def of(self, numbers: Tensor) -> Tensor:
        """A partner for each of these images, int64 (B,)."""
        class_too = self.y[numbers, None] == self.y
        condition_too = self.condition[numbers, None] == self.condition
        within = (class_too & ~condition_too) * self.weights
        across = (~class_too & condition_too) * self.weights
        coin = torch.rand(len(numbers), generator=self.rng) < self.within_class
        wanted = torch.where(coin[:, None], within, across)
        other = torch.where(coin[:, None], across, within)
        usable = torch.where(_any(wanted)[:, None], wanted, other)
        found = _any(usable)
        usable[~found] = self.weights + 1  # a draw needs a positive sum; it is not used
        drawn = torch.multinomial(usable, 1, generator=self.rng)[:, 0]
        return torch.where(found, drawn, numbers)


def mixed_halves(x: Tensor, y: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
    """Blend the first half of a batch with the second, image by image.

    Args:
        x: Images, shape (2B, C, H, W).
        y: Class probabilities, float, shape (2B, K).
        rng: Source of the shares, Beta(2, 2).

    Returns:
        Mixed images (B, C, H, W) and probabilities (B, K), whose rows still sum to one.

    Example:
        >>> x, y = mixed_halves(torch.zeros(6, 1, 2, 2), torch.eye(6), torch.Generator())
        >>> x.shape, y.shape
        (torch.Size([3, 1, 2, 2]), torch.Size([3, 6]))
    """
    half = len(x) // 2
    share = beta_draws(half, ALPHA, rng).to(x)
    mixed = torch.lerp(x[half:], x[:half], share.view(-1, 1, 1, 1))
    return mixed, torch.lerp(y[half:], y[:half], share.view(-1, 1))


def _any(weights: Tensor) -> Tensor:
    return weights.sum(dim=1) > 0
