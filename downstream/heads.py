"""Heads for embeddings: cosines to one direction a class, and the margins that draw the classes
apart in training.

A network with ``with_cosine_head`` gives cosines, so its largest output is still the class; the
margin enters the loss alone, as ``train_classifier(..., margin=...)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize, one_hot

Margin = Callable[[Tensor, Tensor], Tensor]
"""Cosines (N, K) and classes, int64 (N,), to logits (N, K)."""

MARGINS = {"arcface": 0.5, "cosface": 0.35}
"""The heads with a margin and the margins of their papers."""

SCALE = 30.0


class CosineHead(nn.Module):
    r"""Cosines between features and one learned direction a class, :math:`\cos\theta_k = \langle f,
    w_k\rangle`.

    Both are scaled to length one first. Computed in float32, also under autocast: a scale of thirty
    would make the rounding of bfloat16 a tenth of a logit.

    Args:
        num_features: Length F of the features.
        num_classes: Number of classes K.
        rng: Draws the directions.
    """

    def __init__(self, num_features: int, num_classes: int, rng: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_classes, num_features, generator=rng))

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, F) to cosines, float32 (N, K) in [-1, 1]; unchanged by a positive factor on
        a row.
        """
        with torch.autocast(features.device.type, enabled=False):
            return linear(normalize(features.float(), dim=1), normalize(self.weight.float(), dim=1))


def with_cosine_head(model: nn.Module, seed: int) -> nn.Module:
    """Put a ``CosineHead`` in the place of a timm network's last linear layer.

    Args:
        model: A network with timm's ``get_classifier``, such as ``build_classifier`` makes; changed
            in place.
        seed: Decides the directions.

    Returns:
        The same network; ``classifier.features`` and ``evaluate.predict_logits`` work as before.

    Raises:
        ValueError: If its last layer is not one linear layer.
    """
    last = cast(Any, model).get_classifier()
    if not isinstance(last, nn.Linear):
        raise ValueError(
            f"the network ends in {type(last).__name__}, not in one linear layer; use the softmax "
            "head"
        )
    name = next(name for name, module in model.named_modules() if module is last)
    head = CosineHead(last.in_features, last.out_features, torch.Generator().manual_seed(seed))
    *path, leaf = name.split(".")
    setattr(model.get_submodule(".".join(path)), leaf, head.to(last.weight.device))
    return model


def margin_of(head: str, margin: float | None = None, scale: float = SCALE) -> Margin:
    """The margin of a head by its name.

    Args:
        head: ``arcface`` or ``cosface``.
        margin: See the two functions; None is the paper's.
        scale: Factor on the cosines, above 0.

    Raises:
        ValueError: If the head is unknown or a number is out of range.
    """
    functions = {"arcface": arcface_logits, "cosface": cosface_logits}
    if head not in functions:
        raise ValueError(
            f"unknown head {head!r}; known heads with a margin: {', '.join(functions)}"
        )
    function, m = functions[head], MARGINS[head] if margin is None else margin
    _check_numbers(head, m, scale)
    return lambda cosines, y: function(cosines, y, m, scale)


def arcface_logits(cosines: Tensor, y: Tensor, margin: float = 0.5, scale: float = SCALE) -> Tensor:
    r"""Logits of an additive angular margin.

    .. math::

        s \cos(\theta_y + m) \text{ for the class of the image, }
        s \cos\theta_k \text{ for the others}

    Where :math:`\theta_y + m` passes :math:`\pi` the cosine would rise again; there the target is
    :math:`s (\cos\theta_y - m \sin m)`, lower than any before it and still falling in the angle (as
    in the authors' code; the paper leaves it open).

    Args:
        cosines: Shape (N, K), in [-1, 1].
        y: Classes, int64 (N,), in [0, K).
        margin: m in radians, in [0, π/2]; 0 is the normalised softmax.
        scale: s, above 0.

    Returns:
        Logits, shape (N, K); the target's is never above ``scale`` times its cosine, the others are
        that.

    Raises:
        ValueError: If shapes or numbers do not fit.

    Source:
        Deng et al. 2019, arXiv:1801.07698, equation 3.
    """
    _check(cosines, y)
    _check_numbers("arcface", margin, scale)
    target = cosines.gather(1, y[:, None])
    # The sine has no finite slope at a cosine of one.
    sine = (1 - target.square()).clamp(min=torch.finfo(cosines.dtype).eps).sqrt()
    turned = target * math.cos(margin) - sine * math.sin(margin)
    beyond = target <= -math.cos(margin)  # the angle is more than π - m
    if margin > 0:
        turned = torch.where(beyond, target - margin * math.sin(margin), turned)
        return scale * torch.where(_is_target(cosines, y), turned, cosines)
    return scale * cosines


def cosface_logits(
    cosines: Tensor, y: Tensor, margin: float = 0.35, scale: float = SCALE
) -> Tensor:
    r"""Logits of an additive cosine margin.

    .. math::

        s (\cos\theta_y - m) \text{ for the class of the image, }
        s \cos\theta_k \text{ for the others}

    Args:
        cosines: Shape (N, K), in [-1, 1].
        y: Classes, int64 (N,), in [0, K).
        margin: m, in [0, 2]; 0 is the normalised softmax.
        scale: s, above 0.

    Returns:
        Logits, shape (N, K).

    Raises:
        ValueError: If shapes or numbers do not fit.

    Source:
        Wang et al. 2018, arXiv:1801.09414, equation 4.
    """
    _check(cosines, y)
    _check_numbers("cosface", margin, scale)
    return scale * (cosines - margin * _is_target(cosines, y))


def _is_target(cosines: Tensor, y: Tensor) -> Tensor:
    return one_hot(y, cosines.shape[1]).bool()


def _check(cosines: Tensor, y: Tensor) -> None:
    if cosines.ndim != 2 or y.shape != (len(cosines),) or y.dtype != torch.int64:
        raise ValueError(
            f"need cosines (N, K) and classes, int64 (N,): {tuple(cosines.shape)}, {y.dtype} "
            f"{tuple(y.shape)}"
        )


def _check_numbers(head: str, margin: float, scale: float) -> None:
    most = math.pi / 2 if head == "arcface" else 2.0
    if not (0 <= margin <= most and 0 < scale < math.inf):
        raise ValueError(
            f"{head} needs a margin in [0, {most:.3g}] and a scale above 0, got {margin} and "
            f"{scale}"
        )
