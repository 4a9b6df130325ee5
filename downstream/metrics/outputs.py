"""What a trained network says, which metrics score, and its fields as metrics read them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Outputs:
    """What one trained network says about the scored images, or about pairs of them.

    Args:
        y: True classes, int64 (N,), in [0, K).
        class_probs: Class probabilities, any float type, (N, K); rows sum to one.
        similarities: Similarity of the two images of each pair, float (P,).
        same: Whether both show the same person, bool (P,).
        folds: Number of the fold of each pair, int64 (P,); no person is in two folds.
        combination: Number of the combination of class and condition of each image, int64 (N,).
        coverage: Whether training has that combination: 0 covered, 1 thin, 2 missing, int64 (N,).

    Raises:
        ValueError: If the fields that are there differ in length, or a type or shape is wrong.

    Example:
        >>> outputs = Outputs(y=torch.tensor([0, 1]), class_probs=torch.eye(2))
        >>> len(outputs), outputs.subset(torch.tensor([1])).y
        (2, tensor([1]))
    """

    y: Tensor | None = None
    class_probs: Tensor | None = None
    similarities: Tensor | None = None
    same: Tensor | None = None
    folds: Tensor | None = None
    combination: Tensor | None = None
    coverage: Tensor | None = None

    def __post_init__(self) -> None:
        lengths = {name: len(value) for name, value in self.given().items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"outputs differ in length: {lengths}")
        if self.class_probs is not None and self.class_probs.ndim != 2:
            raise ValueError(f"class_probs must be (N, K), got {tuple(self.class_probs.shape)}")
        for name in ("y", "folds", "combination", "coverage"):
            numbers = self.given().get(name)
            if numbers is not None and (numbers.ndim != 1 or numbers.dtype != torch.int64):
                shape = tuple(numbers.shape)
                raise ValueError(f"{name} must be int64 (N,), got {numbers.dtype} {shape}")
        self._require_known_classes()

    def __len__(self) -> int:
        """Number of images or pairs; 0 without any field."""
        for value in self.given().values():
            return len(value)
        return 0

    @classmethod
    def of_predictions(cls, predictions: Tensor, y: Tensor, num_classes: int) -> Outputs:
        """Outputs of a classifier that names a class and no probabilities: all on that class.

        Args:
            predictions: Predicted classes, int64 (N,), in [0, num_classes).
            y: True classes, int64 (N,).
            num_classes: Number of classes K.

        Example:
            >>> from downstream.metrics import METRICS
            >>> y = torch.tensor([0, 0, 0, 1])
            >>> outputs = Outputs.of_predictions(torch.tensor([0, 0, 1, 1]), y, 2)
            >>> METRICS["accuracy"].of(outputs)
            0.75
        """
        rows = torch.nn.functional.one_hot(predictions.cpu(), num_classes)
        return cls(y=y.cpu(), class_probs=rows.to(torch.float16))

    def given(self) -> dict[str, Tensor]:
        """The fields that are there, by name."""
        found: dict[str, Tensor] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None:
                found[one.name] = value
        return found

    def subset(self, indices: Tensor) -> Outputs:
        """Outputs of some images or pairs only, in the given order.

        Args:
            indices: Row numbers, int64 (M,), or which rows to keep, bool (N,).
        """
        return Outputs(**{name: value[indices] for name, value in self.given().items()})

    def _require_known_classes(self) -> None:
        if self.y is None or self.class_probs is None or not len(self.y):
            return
        low, high, count = int(self.y.min()), int(self.y.max()), self.class_probs.shape[1]
        if not 0 <= low <= high < count:
            raise ValueError(f"y must lie in [0, {count}), got {low} to {high}")


def true_classes(outputs: Outputs) -> Integers:
    """The field ``y``, int64 (N,)."""
    assert outputs.y is not None
    labels: Integers = outputs.y.cpu().numpy()
    return labels


def probabilities(outputs: Outputs) -> Tensor:
    """The field ``class_probs``, (N, K)."""
    assert outputs.class_probs is not None
    return outputs.class_probs


def most_probable(outputs: Outputs) -> tuple[Floats, Integers]:
    """The highest probability of each image and the first class that has it, each (N,)."""
    highest = probabilities(outputs).max(dim=1)
    return as_floats(highest.values), highest.indices.cpu().numpy()


def as_floats(values: Tensor) -> Floats:
    """Numbers of any float type as float64, in the same shape."""
    numbers: Floats = values.detach().double().cpu().numpy()
    return numbers
