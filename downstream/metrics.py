"""Metrics as objects: named functions of what a trained network says, with direction and unit.

A new metric is one function and one line in ``METRICS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from augmentor.common.types import DivergedError
from downstream.verification import fold_accuracies, roc_auc, tar_at_far

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SMALLEST_PROBABILITY = 2.0**-24
"""The smallest positive number that float16 holds: no stored probability counts as less."""
CALIBRATION_BINS = 15
FEWEST_PER_BIN = 10
ROW_SUM_TOLERANCE = 0.02
"""Rows of probabilities in float16 or bfloat16 sum to one within this."""


class MissingOutputError(ValueError):
    """A metric needs outputs that were not kept."""


class NotFiniteError(DivergedError):
    """Outputs hold NaN or infinite values."""


@dataclass(frozen=True)
class Outputs:
    """What one trained network says about the scored images, or about pairs of them.

    Args:
        y: True classes, int64 (N,), in [0, K).
        class_probs: Class probabilities, any float type, (N, K); rows sum to one.
        similarities: Similarity of the two images of each pair, float (P,).
        same: Whether both show the same person, bool (P,).
        folds: Number of the fold of each pair, int64 (P,); no person is in two folds.

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

    def __post_init__(self) -> None:
        lengths = {name: len(value) for name, value in self.given().items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"outputs differ in length: {lengths}")
        if self.class_probs is not None and self.class_probs.ndim != 2:
            raise ValueError(f"class_probs must be (N, K), got {tuple(self.class_probs.shape)}")
        for name in ("y", "folds"):
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


@dataclass(frozen=True)
class Unit:
    """How a value is shown to people.

    Args:
        name: Unit of a difference, such as ``points``.
        factor: What a value is multiplied by.
        digits: Digits behind the decimal point.
        sign: What stands behind a value, such as ``%``.

    Example:
        >>> POINTS.shown(0.8132), POINTS.shown_difference(0.012), NATS.shown(0.5)
        ('81.3 %', '+1.2 points', '0.500 nats')
    """

    name: str
    factor: float
    digits: int
    sign: str

    def number(self, value: float) -> float:
        """The value in this unit, rounded as it is shown; never minus zero."""
        return round(self.factor * value, self.digits) + 0.0

    def plain(self, value: float) -> str:
        """A value as a bare number, for tables whose head names the unit: ``81.3``."""
        return f"{self.number(value):.{self.digits}f}"

    def signed(self, value: float) -> str:
        """A difference as a bare number with a real minus sign: ``+1.2``.

        What would round to zero has one digit more, so that an interval shows on which side of zero
        it ends.
        """
        size = abs(self.factor * value)
        text = f"{size:.{self.digits}f}"
        if not float(text):
            finer = f"{size:.{self.digits + 1}f}"
            text = finer if float(finer) else text
        return text if not float(text) else ("+" if value > 0 else "−") + text

    def shown(self, value: float) -> str:
        """A value with its sign: ``81.3 %``."""
        return f"{self.number(value):.{self.digits}f} {self.sign}"

    def shown_difference(self, value: float) -> str:
        """A difference of two values with its unit, see ``signed``: ``+1.2 points``."""
        return f"{self.signed(value)} {self.name}"


POINTS = Unit("points", 100, 1, "%")
NATS = Unit("nats", 1, 3, "nats")


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

    def of(self, outputs: Outputs) -> float:
        """The score of outputs, within ``bounds``.

        Raises:
            MissingOutputError: If outputs lack a field that the metric needs.
            NotFiniteError: If a needed field holds NaN or infinite values.
            ValueError: If there are no images, or rows of ``class_probs`` do not sum to one.

        Example:
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
                raise MissingOutputError(f"{self.name} needs {name}, which these outputs lack")
            _require_finite(self.name, name, given[name])
        if not len(outputs):
            raise ValueError(f"{self.name} needs at least one image or pair")
        if "class_probs" in self.needs:
            _require_rows(given["class_probs"])


def decisions(outputs: Outputs) -> Integers:
    """The class with the highest probability for each image, int64 (N,); the first of equals."""
    return _top(outputs)[1]


def per_class_recall(outputs: Outputs) -> Floats:
    r"""Share of the images of each class that are recognised.

    .. math:: r_k = \frac{1}{n_k} \sum_{i: y_i = k} [\hat y_i = k]

    Args:
        outputs: With ``y`` and ``class_probs``.

    Returns:
        Recalls, float64 (K,), in [0, 1]; NaN for a class without images.

    Example:
        >>> outputs = Outputs(y=torch.tensor([0, 0]), class_probs=torch.eye(2))
        >>> per_class_recall(outputs)
        array([0.5, nan])
    """
    y, count = _labels(outputs), _probs(outputs).shape[1]
    total = np.bincount(y, minlength=count)
    right = np.bincount(y[decisions(outputs) == y], minlength=count)
    recalls = np.full(count, np.nan)
    np.divide(right, total, out=recalls, where=total > 0)
    return recalls


def calibration_error(outputs: Outputs) -> float:
    r"""Expected calibration error: how far confidence and accuracy lie apart.

    .. math:: \sum_b \frac{n_b}{N} \lvert \mathrm{accuracy}_b - \mathrm{confidence}_b \rvert

    Confidence is the highest probability of an image. Images are sorted by it and cut into 15 bins
    of equal size, fewer where a bin would hold less than ten images. Images of equal confidence
    share their mean accuracy before the cut, so their order does not matter.

    Args:
        outputs: With ``y`` and ``class_probs``.

    Returns:
        The error in [0, 1]; 0 where every bin is as accurate as it is confident.

    Source:
        Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2; bins of equal size:
        Nixon et al. 2019, "Measuring Calibration in Deep Learning".
    """
    confidence, decided = _top(outputs)
    right, order = (decided == _labels(outputs)).astype(np.float64), np.argsort(confidence)
    gaps = _mean_of_ties(right[order], confidence[order]) - confidence[order]
    bins = max(1, min(CALIBRATION_BINS, len(gaps) // FEWEST_PER_BIN))
    starts = np.arange(bins) * len(gaps) // bins
    return float(np.abs(np.add.reduceat(gaps, starts)).sum() / len(gaps))


def auroc(outputs: Outputs) -> float:
    """Area under the ROC curve of each class against the rest, mean over classes.

    For one class it is the probability that one of its images gets a higher probability of the
    class than an image of another class; ties count half.

    Args:
        outputs: With ``y`` and ``class_probs``. Only classes count that have images and do not
            have all of them.

    Returns:
        The mean area in [0, 1]; 1/2 for constant probabilities.

    Raises:
        ValueError: If all images are of the same class.

    Source:
        Hand & Till 2001, Machine Learning 45, 171-186; one against rest as in scikit-learn's
        ``roc_auc_score(multi_class="ovr")``.
    """
    y, probs = _labels(outputs), _as_floats(_probs(outputs))
    areas = []
    for label in _ranked_classes(y):
        own, others = probs[y == label, label], probs[y != label, label]
        areas.append(_share_below(own, others).mean())
    return float(np.mean(areas))


def auroc_contributions(outputs: Outputs) -> Floats:
    """Part of each image in ``auroc``, float64 (N,); the variance of their sum is DeLong's.

    Of the area of one class its own images carry half and the others half.

    Source:
        DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44, 837-845.
    """
    y, probs = _labels(outputs), _as_floats(_probs(outputs))
    parts, labels = np.zeros(len(y)), _ranked_classes(y)
    for label in labels:
        mine = y == label
        own, others = probs[mine, label], probs[~mine, label]
        above = _share_below(own, others)
        half = above.mean() / 2
        parts[mine] += (above - half) / len(own)
        parts[~mine] += (_share_below(-others, -own) - half) / len(others)
    parts /= len(labels)
    return parts


def _balanced_accuracy(outputs: Outputs) -> float:
    return float(np.nanmean(per_class_recall(outputs)))


def _balanced_contributions(outputs: Outputs) -> Floats:
    counts = np.bincount(_labels(outputs))
    parts: Floats = _right(outputs) / counts[_labels(outputs)] / np.count_nonzero(counts)
    return parts


def _worst_class_recall(outputs: Outputs) -> float:
    return float(np.nanmin(per_class_recall(outputs)))


def _surprise(outputs: Outputs) -> Floats:
    """Negative logarithm of the probability of the true class, (N,)."""
    y = _labels(outputs)
    found = _as_floats(_probs(outputs))[np.arange(len(y)), y]
    surprise: Floats = -np.log(np.maximum(found, SMALLEST_PROBABILITY))
    return surprise


def _mean(values: Callable[[Outputs], Floats]) -> Callable[[Outputs], float]:
    return lambda outputs: float(values(outputs).mean())


def _parts(values: Callable[[Outputs], Floats]) -> Callable[[Outputs], Floats]:
    """Contributions to the mean of the values."""

    def parts(outputs: Outputs) -> Floats:
        found: Floats = values(outputs) / len(outputs)
        return found

    return parts


def _right(outputs: Outputs) -> Floats:
    """1 for each image that is recognised and 0 for the others, (N,)."""
    right: Floats = (decisions(outputs) == _labels(outputs)).astype(np.float64)
    return right


def _wrong(outputs: Outputs) -> Floats:
    return 1 - _right(outputs)


def _verification_accuracy(outputs: Outputs) -> float:
    similarities, same = _pairs(outputs)
    assert outputs.folds is not None
    return float(fold_accuracies(similarities, same, outputs.folds).mean())


def _verification_auc(outputs: Outputs) -> float:
    return roc_auc(*_pairs(outputs))


def _tar_at(far: float) -> Callable[[Outputs], float]:
    return lambda outputs: tar_at_far(*_pairs(outputs), far)


CLASSES, PAIRS = ("y", "class_probs"), ("similarities", "same")

_ALL = (
    Metric("accuracy", "accuracy", True, POINTS, CLASSES, _mean(_right), _parts(_right)),
    Metric("balanced_accuracy", "balanced accuracy", True, POINTS, CLASSES, _balanced_accuracy,
           _balanced_contributions, strata=True),
    Metric("worst_class_recall", "recall of the worst class", True, POINTS, CLASSES,
           _worst_class_recall, strata=True),
    Metric("negative_log_likelihood", "negative log likelihood", False, NATS, CLASSES,
           _mean(_surprise), _parts(_surprise), bounds=(0.0, float(-np.log(SMALLEST_PROBABILITY)))),
    Metric("calibration_error", "calibration error", False, POINTS, CLASSES, calibration_error),
    Metric("auroc", "AUROC", True, POINTS, CLASSES, auroc, auroc_contributions, strata=True),
    Metric("error", "error", False, POINTS, CLASSES, _mean(_wrong), _parts(_wrong)),
    Metric("verification_accuracy", "verification accuracy", True, POINTS, (*PAIRS, "folds"),
           _verification_accuracy),
    Metric("verification_auc", "verification AUC", True, POINTS, PAIRS, _verification_auc),
    Metric("tar_at_far_1e-2", "TAR at FAR 1e-2", True, POINTS, PAIRS, _tar_at(1e-2)),
    Metric("tar_at_far_1e-3", "TAR at FAR 1e-3", True, POINTS, PAIRS, _tar_at(1e-3)),
)  # fmt: skip

METRICS = {metric.name: metric for metric in _ALL}
"""All metrics by name."""


def metric_of(name: str) -> Metric:
    """The metric of a name.

    Raises:
        ValueError: If there is none; the message lists all names and the nearest one.

    Example:
        >>> metric_of("auroc").words
        'AUROC'
    """
    if name in METRICS:
        return METRICS[name]
    near = get_close_matches(name, METRICS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"unknown metric {name!r}; {hint}known metrics: {', '.join(METRICS)}")


def _labels(outputs: Outputs) -> Integers:
    assert outputs.y is not None
    labels: Integers = outputs.y.cpu().numpy()
    return labels


def _probs(outputs: Outputs) -> Tensor:
    assert outputs.class_probs is not None
    return outputs.class_probs


def _top(outputs: Outputs) -> tuple[Floats, Integers]:
    """The highest probability of each image and the first class that has it, each (N,)."""
    highest = _probs(outputs).max(dim=1)
    return _as_floats(highest.values), highest.indices.cpu().numpy()


def _pairs(outputs: Outputs) -> tuple[Tensor, Tensor]:
    assert outputs.similarities is not None
    assert outputs.same is not None
    return outputs.similarities, outputs.same


def _as_floats(values: Tensor) -> Floats:
    numbers: Floats = values.detach().double().cpu().numpy()
    return numbers


def _ranked_classes(y: Integers) -> Integers:
    labels: Integers = np.unique(y)
    if len(labels) < 2:
        raise ValueError("AUROC needs images of two classes or more")
    return labels


def _share_below(values: Floats, others: Floats) -> Floats:
    """Share of the others that lie below each value, ties half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    share: Floats = below / (2 * len(others))
    return share


def _mean_of_ties(values: Floats, keys: Floats) -> Floats:
    """Each value replaced by the mean over all with its key; keys ascend."""
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    sizes = np.diff(starts, append=len(keys))
    means: Floats = np.repeat(np.add.reduceat(values, starts) / sizes, sizes)
    return means


def _require_finite(metric: str, field: str, values: Tensor) -> None:
    if values.is_floating_point() and not bool(values.isfinite().all()):
        count = int((~values.isfinite()).sum())
        raise NotFiniteError(f"{metric}: {field} hold {count} NaN or infinite values")


def _require_rows(class_probs: Tensor) -> None:
    sums = class_probs.sum(dim=1, dtype=torch.float32)
    if bool((class_probs < 0).any()) or bool(((sums - 1).abs() > ROW_SUM_TOLERANCE).any()):
        raise ValueError("class_probs must be probabilities: none negative, rows that sum to one")
