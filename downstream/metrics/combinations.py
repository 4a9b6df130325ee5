"""Metrics of combinations of class and condition: well covered, thin or missing in training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from downstream.metrics.classes import recognised
from downstream.metrics.metric import MissingOutputError
from downstream.metrics.outputs import Floats, Integers, Outputs, true_classes

COVERED, THIN, MISSING = 0, 1, 2
"""Values of ``Outputs.coverage``."""
WORDS = {COVERED: "covered", THIN: "thin", MISSING: "missing"}


def recall_of(coverage: int) -> Callable[[Outputs], float]:
    r"""Mean over classes of the recall on the images of combinations of one coverage.

    .. math:: \frac{1}{|K_m|} \sum_{k \in K_m} \frac{1}{n_k} \sum_i [\hat y_i = k]

    where the inner sum runs over the :math:`n_k` images of class k in such combinations, and
    :math:`K_m` are the classes that have such images.

    Args:
        coverage: ``COVERED``, ``THIN`` or ``MISSING``.

    Example:
        >>> import torch
        >>> outputs = Outputs(y=torch.tensor([0, 0, 1]), class_probs=torch.eye(2)[[0, 1, 1]],
        ...                   coverage=torch.tensor([0, 2, 0]))
        >>> recall_of(MISSING)(outputs), recall_of(COVERED)(outputs)
        (0.0, 1.0)
    """

    def recall(outputs: Outputs) -> float:
        return float(_parts(outputs, coverage).sum())

    return recall


def recall_parts(coverage: int) -> Callable[[Outputs], Floats]:
    """Part of each image in ``recall_of``, float64 (N,); 0 for images of other combinations."""
    return lambda outputs: _parts(outputs, coverage)


def worst_combination(outputs: Outputs) -> float:
    """The lowest recall of a combination that has images."""
    combination = _field(outputs, "combination")
    total = np.bincount(combination)
    right = np.bincount(combination, recognised(outputs), minlength=len(total))
    return float((right[total > 0] / total[total > 0]).min())


def _parts(outputs: Outputs, coverage: int) -> Floats:
    y, chosen = true_classes(outputs), _field(outputs, "coverage") == coverage
    counts = np.bincount(y[chosen], minlength=int(y.max()) + 1)
    if not counts.any():
        raise MissingOutputError(
            f"no scored image is of a {WORDS[coverage]} combination; `augmentor check --condition` "
            "shows which there are, choose another metric"
        )
    parts: Floats = chosen * recognised(outputs) / np.maximum(counts, 1)[y]
    return parts / np.count_nonzero(counts)


def _field(outputs: Outputs, name: str) -> Integers:
    values: Integers = outputs.given()[name].cpu().numpy()
    return values
