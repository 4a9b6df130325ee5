"""The section ``pool``: labels for images without."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.config.section import MOST_REPEATS, Augmentation, Fraction, Section


class PoolConfig(Section):
    """How unlabelled images get labels."""

    method: Literal["classifier", "graph", "graph_classifier"] = Field(
        default="classifier",
        description="classifier: its confident predictions, in rounds; graph: labels spread over "
        "similar images, the "
        "clearest of every class (threshold, rounds, balanced and loss do not count then); "
        "graph_classifier: the "
        "classifier's, which learns from those of the graph in its first round.",
    )
    threshold: Fraction = Field(
        default=0.7, description="Least probability at which a pseudo-label is kept."
    )
    rounds: int = Field(
        default=2,
        ge=1,
        le=MOST_REPEATS,
        description="Times the pool is labelled; later rounds learn from the earlier.",
    )
    balanced: bool = Field(
        default=True, description="Keep equally many pseudo-labels per class at most."
    )
    loss: Literal["cross_entropy", "logit_adjusted"] = Field(
        default="logit_adjusted",
        description="Of the classifier that labels: logit_adjusted (made for a long tail) on all "
        "images equally "
        "often, or cross_entropy on equally many draws of every class.",
    )
    augment: Augmentation = Field(
        default="classical",
        description="Of the images that those classifiers learn from; a graph always has the "
        "classical one.",
    )
    joint_rounds: int = Field(
        default=2,
        ge=1,
        le=MOST_REPEATS,
        description="Times that the arm joint_label asks classifier and CVAE together.",
    )
    joint_steps: int = Field(
        default=2000, ge=1, description="Training steps of that CVAE in a round."
    )
    joint_options: dict[str, bool | int | float | str] = Field(
        default_factory=lambda: dict[str, bool | int | float | str](sigma=0.3),
        description="Its options that differ from the preset; likelihood: bernoulli suits images "
        "that are nearly black "
        "and white.",
    )
