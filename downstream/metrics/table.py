"""The table of all metrics; a new one is a line here."""

from __future__ import annotations

from difflib import get_close_matches

import numpy as np

from augmentor.common.conditions import COVERED, MISSING, THIN
from downstream.metrics.classes import (
    balanced_accuracy,
    balanced_contributions,
    balanced_weights,
    equal_weights,
    missed,
    recognised,
    worst_class_recall,
)
from downstream.metrics.combinations import recall_of, recall_parts, worst_combination
from downstream.metrics.metric import Metric, mean_of, parts_of
from downstream.metrics.pairs import tar_at, verification_accuracy, verification_auc
from downstream.metrics.probabilities import (
    SMALLEST_PROBABILITY,
    auroc,
    auroc_contributions,
    calibration_error,
    surprise,
)
from downstream.metrics.unit import NATS, POINTS

CLASSES, PAIRS = ("y", "class_probs"), ("similarities", "same")
COVERAGE = (*CLASSES, "coverage")

_ALL = (
    Metric("accuracy", "accuracy", True, POINTS, CLASSES, mean_of(recognised),
           parts_of(recognised), weights=equal_weights),
    Metric("balanced_accuracy", "balanced accuracy", True, POINTS, CLASSES, balanced_accuracy,
           balanced_contributions, strata=True, weights=balanced_weights),
    Metric("worst_class_recall", "recall of the worst class", True, POINTS, CLASSES,
           worst_class_recall, strata=True, lowest=True),
    Metric("negative_log_likelihood", "negative log likelihood", False, NATS, CLASSES,
           mean_of(surprise), parts_of(surprise),
           bounds=(0.0, float(-np.log(SMALLEST_PROBABILITY)))),
    Metric("calibration_error", "calibration error", False, POINTS, CLASSES, calibration_error),
    Metric("auroc", "AUROC", True, POINTS, CLASSES, auroc, auroc_contributions, strata=True),
    Metric("missing_combinations", "recall on missing combinations", True, POINTS, COVERAGE,
           recall_of(MISSING), recall_parts(MISSING), strata=True),
    Metric("thin_combinations", "recall on thin combinations", True, POINTS, COVERAGE,
           recall_of(THIN), recall_parts(THIN), strata=True),
    Metric("covered_combinations", "recall on covered combinations", True, POINTS, COVERAGE,
           recall_of(COVERED), recall_parts(COVERED), strata=True),
    Metric("worst_combination", "recall of the worst combination", True, POINTS,
           (*CLASSES, "combination"), worst_combination, strata=True, lowest=True),
    Metric("error", "error", False, POINTS, CLASSES, mean_of(missed), parts_of(missed),
           weights=equal_weights),
    Metric("verification_accuracy", "verification accuracy", True, POINTS, (*PAIRS, "folds"),
           verification_accuracy),
    Metric("verification_auc", "verification AUC", True, POINTS, PAIRS, verification_auc),
    Metric("tar_at_far_1e-2", "TAR at FAR 1e-2", True, POINTS, PAIRS, tar_at(1e-2)),
    Metric("tar_at_far_1e-3", "TAR at FAR 1e-3", True, POINTS, PAIRS, tar_at(1e-3)),
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
