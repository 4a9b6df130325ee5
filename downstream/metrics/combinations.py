"""Metrics of combinations of class and condition: well covered, thin or missing in training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from augmentor.common.conditions import COVERED, MISSING, THIN
from downstream.metrics.classes import recognised
from downstream.metrics.metric import MissingOutputError
from downstream.metrics.outputs import Floats, Integers, Outputs, true_classes

Flags = npt.NDArray[np.bool_]

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
        _, recalls, own = _class_recalls(outputs, coverage)
        return float(recalls[own > 0].mean())

    return recall


def recall_parts(coverage: int) -> Callable[[Outputs], Floats]:
    r"""Part of each image in ``recall_of``, float64 (N,).

    Which images are of such combinations differs from replicate to replicate, and so does their
    number in a class. A recall is then a ratio, and the parts are those of its linear form: with
    :math:`n_k` images of class k, :math:`m_k` of them chosen, and :math:`r_k` their recall,

    .. math:: c_i = \frac 1 {|K_m|} \Big(\frac{r_k}{n_k} + [i \text{ chosen}]\,
        f_k\,\frac{[\hat y_i = k] - r_k}{m_k}\Big), \qquad
        f_k^2 = \frac{m_k (n_k - 1)}{n_k (m_k - 1)}

    Within a class they sum to its part of the score, and their variance over the :math:`n_k` images
    gives that of a recall on :math:`m_k`. Images of other combinations have a part too: with the
    bare hits, whether an image is chosen at all would count as noise. Where one image is chosen
    alone, its hit is its part.

    Args:
        coverage: As in ``recall_of``.

    Source:
        Särndal, Swensson and Wretman 1992, "Model Assisted Survey Sampling", section 5.6 (the
        linear form of a ratio).

    Example:
        >>> import torch
        >>> outputs = Outputs(y=torch.tensor([0, 0, 0, 1]), class_probs=torch.eye(2)[[0, 1, 1, 1]],
        ...                   coverage=torch.tensor([2, 2, 0, 0]))
        >>> round(float(recall_parts(MISSING)(outputs).sum()), 6)
        0.5
    """

    def parts(outputs: Outputs) -> Floats:
        chosen, recalls, own = _class_recalls(outputs, coverage)
        y, hit = true_classes(outputs), recognised(outputs)
        total, several = np.bincount(y, minlength=len(own)), own > 1
        factor = np.zeros(len(own))
        ratio = own * (total - 1) / np.maximum(total * (own - 1), 1)
        np.sqrt(ratio, out=factor, where=several)
        off_mean = factor[y] * chosen * (hit - recalls[y]) / np.maximum(own, 1)[y]
        found: Floats = recalls[y] / total[y] + off_mean
        found = np.where(several[y], found, chosen * hit)
        return found / np.count_nonzero(own)

    return parts


def worst_combination(outputs: Outputs) -> float:
    """The lowest recall of a combination that has images."""
    combination = _field(outputs, "combination")
    total = np.bincount(combination)
    right = np.bincount(combination, recognised(outputs), minlength=len(total))
    return float((right[total > 0] / total[total > 0]).min())


def _class_recalls(outputs: Outputs, coverage: int) -> tuple[Flags, Floats, Integers]:
    """Which images are of combinations of one coverage, (N,); the recall on them and their number
    in every class, (K,) each; recall 0 where there are none.
    """
    y, chosen = true_classes(outputs), _field(outputs, "coverage") == coverage
    count = int(y.max()) + 1
    own = np.bincount(y[chosen], minlength=count)
    if not own.any():
        raise MissingOutputError(
            f"no scored image is of a {WORDS[coverage]} combination; `augmentor check --condition` "
            "shows which there are, choose another metric"
        )
    right = np.bincount(y[chosen], recognised(outputs)[chosen], minlength=count)
    return chosen, right / np.maximum(own, 1), own


def _field(outputs: Outputs, name: str) -> Integers:
    values: Integers = outputs.given()[name].cpu().numpy()
    return values
