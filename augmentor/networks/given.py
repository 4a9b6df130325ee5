"""What a network is told of an image: the class, and the condition if there is one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

WIDTH = 48


@dataclass(frozen=True)
class ConditionInput:
    """The form in which networks get a condition.

    Args:
        size: Columns D of a condition row: the number of categories, whose rows hold weights that
            sum to one, or of scaled values.
        numbers: The columns are values around [-1, 1], not categories.
    """

    size: int
    numbers: bool = False


NO_CONDITION = ConditionInput(0)


class Given(nn.Module):
    """Class probabilities as they are, followed by an embedding of the condition.

    Whoever multiplies the result by a matrix adds a term of the class and a term of the condition,
    so that a combination that was never seen is composed of what is known of both.

    Args:
        num_classes: Classes K.
        condition: Form of the condition; of size 0 the rows pass through unchanged and there is
            nothing to learn.
    """

    def __init__(self, num_classes: int, condition: ConditionInput) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.embedding: nn.Module | None = None
        if condition.size:
            self.embedding = _numbers(condition.size) if condition.numbers else _words(condition)
        self.num_features = num_classes + (WIDTH if condition.size else 0)

    def forward(self, given: Tensor) -> Tensor:
        """Rows (N, K + D) of class probabilities and condition to (N, num_features)."""
        if self.embedding is None:
            return given
        classes, condition = given[:, : self.num_classes], given[:, self.num_classes :]
        return torch.cat([classes, self.embedding(condition).to(classes.dtype)], dim=1)


class _Harmonics(nn.Module):
    """Values (N, D) with their squares and one period of sine and cosine, (N, 4 D): a small
    network on them bends at scales that values alone would take many layers for.
    """

    def forward(self, values: Tensor) -> Tensor:
        angles = torch.pi * values
        return torch.cat([values, values**2, angles.sin(), angles.cos()], dim=1)


def _numbers(size: int) -> nn.Module:
    return nn.Sequential(
        _Harmonics(), nn.Linear(4 * size, 2 * WIDTH), nn.LeakyReLU(0.2), nn.Linear(2 * WIDTH, WIDTH)
    )


def _words(condition: ConditionInput) -> nn.Module:
    # A table of embeddings as a matrix, so that mixtures of conditions mix them.
    table = nn.Linear(condition.size, WIDTH, bias=False)
    nn.init.normal_(table.weight)
    return table
