"""Domain-adversarial training: features that tell the class and not the condition."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from augmentor.common.randomness import seed_for
from downstream.augment import Augment
from downstream.train import TrainSettings, train_classifier

HIDDEN = 100
"""Width of the classifier of conditions, as in the paper's network for digits."""


def train_domain_adversarial(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    settings: TrainSettings,
    *,
    condition: Tensor,
    bins: int,
    seed: int,
    weight: float = 1.0,
    draw_weights: Tensor | None = None,
    augment: Augment | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> nn.Module:
    r"""Train a classifier whose features a second one cannot tell the condition by.

    .. math::
        L = H(y, c(f(x))) + H(b, d(R_{w \lambda_p}(f(x)))), \qquad
        \lambda_p = \frac{2}{1 + e^{-10 p}} - 1

    f are the features before the last layer c, d tells the bin b of the condition, R is
    ``reverse_gradient`` and p is the part of the steps done. The second classifier is trained along
    and dropped.

    Args:
        model: A network with timm's ``get_classifier``, its last layer linear; trained in place.
        x: Images, shape (N, C, H, W), float32 in [-1, 1].
        y: Classes, int64 (N,).
        settings: Steps, rates and so on.
        condition: Bin of every image's condition, int64 (N,), in [0, bins).
        bins: Number of bins.
        seed: Decides order, augmentation, dropout and the second classifier's first weights.
        weight: w, 0 or more; 1 in the paper.
        draw_weights: How often each image is drawn, (N,), any scale; None is equally often.
        augment: Applied to every drawn image.
        on_step: As in ``train_classifier``; hears the sum of both losses.

    Returns:
        The same model in evaluation mode.

    Raises:
        NonFiniteLossError: If the loss or a weight stops being finite.
        ValueError: If shapes do not fit or the network does not end in one linear layer.

    Source:
        Ganin et al. 2016, "Domain-Adversarial Training of Neural Networks", arXiv:1505.07818.

    Example:
        >>> from downstream.classifier import build_classifier
        >>> model, y = build_classifier("auto", 2, (1, 8, 8), seed=0), torch.arange(4) % 2
        >>> settings = TrainSettings(steps=2, batch_size=4)
        >>> x, light = torch.rand(4, 1, 8, 8), torch.tensor([0, 0, 1, 1])
        >>> train_domain_adversarial(
        ...     model, x, y, settings, condition=light, bins=2, seed=0).training
        False
    """
    if condition.shape != (len(x),):
        raise ValueError(f"need the bin of each of {len(x)} images, got {tuple(condition.shape)}")
    both = _WithAdversary(model, condition, bins, seed, weight, settings.steps)
    try:
        train_classifier(
            both,
            x,
            y,
            settings,
            seed=seed,
            draw_weights=draw_weights,
            augment=augment,
            loss=both.loss,
            drawn=both.drawn,
            on_step=on_step,
        )
    finally:
        both.listener.remove()
    return model


def reversal_at(progress: float) -> float:
    r"""How strongly the gradient is reversed, :math:`2 / (1 + e^{-10 p}) - 1`.

    Args:
        progress: p, the part of the steps done, in [0, 1].

    Returns:
        A number in [0, 1), 0 at the start: the condition is not to be forgotten before it is known.

    Example:
        >>> reversal_at(0.0), round(reversal_at(1.0), 4)
        (0.0, 0.9999)
    """
    return 2 / (1 + math.exp(-10 * progress)) - 1


def reverse_gradient(x: Tensor, factor: float) -> Tensor:
    """The same numbers, whose gradient comes back times minus the factor.

    Args:
        x: Any shape.
        factor: 0 or more; at 0 no gradient comes back.

    Returns:
        A tensor equal to ``x``.

    Example:
        >>> x = torch.ones(2, requires_grad=True)
        >>> reverse_gradient(x, 0.5).sum().backward()
        >>> x.grad
        tensor([-0.5000, -0.5000])
    """
    turned: Tensor = _Reversal.apply(x, factor)
    return turned


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradient, None


class _WithAdversary(nn.Module):
    """A network and a classifier of conditions that listens to what its last layer is given."""

    def __init__(
        self,
        model: nn.Module,
        condition: Tensor,
        bins: int,
        seed: int,
        weight: float,
        steps: int,
    ) -> None:
        super().__init__()
        last = cast(Any, model).get_classifier()
        if not isinstance(last, nn.Linear):
            raise ValueError(
                f"the network ends in {type(last).__name__}, not in one linear layer; "
                "domain-adversarial training needs its features"
            )
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed_for("adversary", seed))
            adversary = nn.Sequential(
                nn.Linear(last.in_features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, bins)
            )
        self.model, self.adversary = model, adversary.to(last.weight.device)
        self.listener = last.register_forward_pre_hook(self._hear)
        self._condition, self._weight, self._steps = condition, weight, steps
        self._features = self._guess = torch.empty(0)
        self._seen, self._factor = condition, 0.0

    def _hear(self, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        self._features = given[0]

    def drawn(self, numbers: Tensor, step: int) -> Tensor:
        """Hear whom the next batch shows, and how far the training is."""
        self._seen = self._condition[numbers]
        self._factor = self._weight * reversal_at(step / self._steps)
        return numbers

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        self._guess = self.adversary(reverse_gradient(self._features, self._factor))
        return logits

    def loss(self, logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Both losses of the batch seen last, added."""
        of_class = cross_entropy(logits, target, label_smoothing=label_smoothing)
        return of_class + cross_entropy(self._guess.float(), self._seen.to(logits.device))
