"""Paired comparison of arms: differences of a metric and intervals that hold.

A replicate is one repetition of a whole experiment with its own seeds. All arms run in every
replicate and are scored on the same test images, so arms are compared by their differences within
replicates. An interval lets replicates and test images vary, and allows for training images that
replicates have in common.

``of_outputs.compare`` is where to begin: it scores arms, and ``of_scores`` compares their scores by
``variance`` (its part of the test images from ``images``, the share of common training images from
``overlap``) and by the plain tests of ``paired``; an arm that did not vary has its interval from
``shares``; ``verdict`` judges with ``correction`` for the number of comparisons and by the
``thresholds``; ``rows`` are what comes out.
"""

from downstream.comparison.correction import holm
from downstream.comparison.images import (
    FEWEST_FOLDS,
    image_variance,
    jackknife_groups,
    jackknife_variance,
)
from downstream.comparison.of_outputs import compare
from downstream.comparison.of_scores import OF_THE_LOWEST, compare_scores, score_arm
from downstream.comparison.overlap import expected_overlap, measured_overlap
from downstream.comparison.paired import EXACT_UP_TO, paired_t, sign_flip_p
from downstream.comparison.rows import ArmScores, Comparison
from downstream.comparison.thresholds import FEWEST_FOR_A_CLAIM, FEWEST_TO_DECIDE, LEVEL
from downstream.comparison.variance import FIXED_IMAGES, UNKNOWN, ImageVariance, Variance
from downstream.comparison.verdict import outcome

__all__ = [
    "EXACT_UP_TO",
    "FEWEST_FOLDS",
    "FEWEST_FOR_A_CLAIM",
    "FEWEST_TO_DECIDE",
    "FIXED_IMAGES",
    "LEVEL",
    "OF_THE_LOWEST",
    "UNKNOWN",
    "ArmScores",
    "Comparison",
    "ImageVariance",
    "Variance",
    "compare",
    "compare_scores",
    "expected_overlap",
    "holm",
    "image_variance",
    "jackknife_groups",
    "jackknife_variance",
    "measured_overlap",
    "outcome",
    "paired_t",
    "score_arm",
    "sign_flip_p",
]
