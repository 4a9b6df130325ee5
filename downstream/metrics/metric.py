"""What a metric is: a named function of outputs, with direction, unit, and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from augmentor.common.types import DivergedError
from downstream.metrics.outputs import Floats, Outputs
from downstream.metrics.unit import Unit

ROW_SUM_TOLERANCE = 0.02
"""Rows of probabilities in float16 or bfloat16 sum to one within this."""

OF_CONDITIONS = "; it is there where the conditions of the images are known: give --condition"
NEXT_STEP = {"combination": OF_CONDITIONS, "coverage": OF_CONDITIONS}
"""What to do where a field is lacking."""


class MissingOutputError(ValueError):
    """A metric needs outputs that were not kept."""


class NotFiniteError(DivergedError):
    """Outputs hold NaN or infinite values."""


@dataclass(frozen=True)
class Metric:
    """A named function of outputs.

    Args:
        name: Key in JSON and in the configuration.
        words: Name in sentences.
        higher_is_better: Direction.
        unit: How values are shown.
        needs: Fields of ``Outputs`` that it reads.
        function: From outputs that are complete and finite to the score.
        contributions: Part of each image in the score, float64 (N,); they sum to the score. Up to
            first order the score varies with the test images as this sum does. None where the
            metric has no such form.
        strata: Whether every class has its own part in the score whatever its number of images. The
            interval then lets images vary within their classes only.
        bounds: Lowest and highest possible value.
        weights: Of a metric that is a share: what each image adds if it counts, float64 (N,), its
            contribution being that or 0. None for others.
        lowest: Whether it is the lowest of several shares. Measured on few images, the lowest of
            them is lower than it deserves, the more so the more of them are about equally low. It
            describes an arm, without an interval, and compares none.
    """

    name: str
    words: str
    higher_is_better: bool
    unit: Unit
    needs: tuple[str, ...]
    function: Callable[[Outputs], float]
    contributions: Callable[[Outputs], Floats] | None = None
    strata: bool = False
    bounds: tuple[float, float] = (0.0, 1.0)
    weights: Callable[[Outputs], Floats] | None = None
    lowest: bool = False

    def of(self, outputs: Outputs) -> float:
        """The score of outputs, within ``bounds``.

        Raises:
            MissingOutputError: If outputs lack a field that the metric needs.
            NotFiniteError: If a needed field holds NaN or infinite values.
            ValueError: If images are missing, or rows of ``class_probs`` do not sum to one.

        Example:
            >>> from downstream.metrics import METRICS
            >>> METRICS["accuracy"].of(Outputs(y=torch.tensor([0, 0]), class_probs=torch.eye(2)))
            0.5
        """
        self.require(outputs)
        return self.function(outputs)

    def require(self, outputs: Outputs) -> None:
        """Refuse outputs that this metric cannot score; raises as ``of`` does."""
        given = outputs.given()
        for name in self.needs:
            if name not in given:
                raise MissingOutputError(
                    f"{self.name} needs {name}, which these outputs lack{NEXT_STEP.get(name, '')}"
                )
            _require_finite(self.name, name, given[name])
        if not len(outputs):
            raise ValueError(f"{self.name} needs at least one image or pair")
        if "class_probs" in self.needs:
            _require_rows(given["class_probs"])


def mean_of(values: Callable[[Outputs], Floats]) -> Callable[[Outputs], float]:
    """The function of a metric that is the mean of a value of each image, (N,)."""
    return lambda outputs: float(values(outputs).mean())


def parts_of(values: Callable[[Outputs], Floats]) -> Callable[[Outputs], Floats]:
    """Its contributions: the part of each image in the mean of the values."""

    def parts(outputs: Outputs) -> Floats:
        found: Floats = values(outputs) / len(outputs)
        return found

    return parts


def _require_finite(metric: str, field: str, values: Tensor) -> None:
    if values.is_floating_point() and not bool(values.isfinite().all()):
        count = int((~values.isfinite()).sum())
        raise NotFiniteError(f"{metric}: {field} hold {count} NaN or infinite values")


def _require_rows(class_probs: Tensor) -> None:
    sums = class_probs.sum(dim=1, dtype=torch.float32)
    if bool((class_probs < 0).any()) or bool(((sums - 1).abs() > ROW_SUM_TOLERANCE).any()):
        raise ValueError("class_probs must be probabilities: none negative, rows that sum to one")
