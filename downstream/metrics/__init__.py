"""Metrics as objects: named functions of what a trained network says, with direction and unit.

A new metric is one function, in the file of its kind, and one line in ``table``. The kinds:
``classes`` goes by the class a network decides for, ``probabilities`` by all it says of an image,
``pairs`` by similarities of two images. A kind of its own, such as recall over combinations of
class and condition, is a file beside these; all read ``outputs.Outputs``.
"""

from downstream.metrics.classes import decisions, per_class_recall
from downstream.metrics.metric import Metric, MissingOutputError, NotFiniteError
from downstream.metrics.outputs import Floats, Integers, Outputs
from downstream.metrics.table import METRICS, metric_of
from downstream.metrics.unit import NATS, POINTS, Unit

__all__ = [
    "METRICS",
    "NATS",
    "POINTS",
    "Floats",
    "Integers",
    "Metric",
    "MissingOutputError",
    "NotFiniteError",
    "Outputs",
    "Unit",
    "decisions",
    "metric_of",
    "per_class_recall",
]
