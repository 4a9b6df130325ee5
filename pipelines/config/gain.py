"""The section ``gain``: which arms are compared, and how ``auto`` chooses."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from downstream.arms.table import arms_help
from pipelines.config.policy import PolicyConfig
from pipelines.config.section import (
    AUTO,
    MOST_REPEATS,
    FilePath,
    Fraction,
    Processes,
    RowName,
    Section,
)


class GainConfig(Section):
    """The comparison of the arms."""

    arms: tuple[str, ...] | None = Field(
        default=None,
        strict=False,
        min_length=1,
        description=arms_help(),
    )
    synthetic: tuple[FilePath, ...] = Field(
        default=(),
        strict=False,
        description="Synthetic images that another generator made, or a set of augmentor: each "
        "folder is an arm alone and beside every augmentation that runs, and is offered to auto. "
        "The run then has no generator of its own, unless gain.arms names an arm with one.",
    )
    candidates: tuple[str, ...] | None = Field(
        default=None,
        strict=False,
        min_length=1,
        description="Arms without a generator, and policies of your own, that auto may choose; "
        "default: those arms that run by default, whatever gain.arms names. Images of the run's "
        "own generator are offered beside classical and pseudo_label, as far as these are "
        "candidates; with conditions, beside classical and trivialaugment. Sets of gain.synthetic "
        "are also offered alone where oversample is a candidate.",
    )
    strengths: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        default=(1.0,),
        strict=False,
        min_length=1,
        description="Factors on classifier.strength: with more than one, every arm with classical "
        "augmentation has "
        "the one that was best in screening (an arm that is not a candidate: the one of "
        "classical).",
    )
    policies: dict[RowName, PolicyConfig] = Field(
        default_factory=dict,
        description="{name: {base: …, share: …, latents: …}}: policies to run as arms.",
    )
    replicates: int = Field(
        default=5, ge=2, le=MOST_REPEATS, description="Paired repetitions, each with its own seeds."
    )
    processes: Processes = Field(
        default=1,
        description=f"Replicates that are made at the same time: {AUTO}",
    )
    synthetic_share: Fraction = Field(
        default=0.5, description="Synthetic part of a batch in the synthetic arms."
    )
    shares: tuple[Fraction, ...] = Field(
        default=(0.25, 0.5, 0.75),
        strict=False,
        min_length=1,
        description="Shares that auto may choose, beside none at all.",
    )
    confidences: tuple[Fraction, ...] = Field(
        default=(0.0, 0.5),
        strict=False,
        min_length=1,
        description="Filter thresholds that auto may choose; 0 filters nothing.",
    )
    screening_rounds: int = Field(
        default=8,
        ge=2,
        le=MOST_REPEATS,
        description="Most splits of the training part on which auto races its candidates; those "
        "clearly behind drop out, and it stops when no other can be a point better. In a long "
        "tail every other common class stands in for a rare one, by turns.",
    )
    screening_fraction: float = Field(
        default=0.25,
        gt=0,
        lt=1,
        description="Part of a class that a screening split holds out; in a long tail rare classes "
        "stay whole.",
    )
    rehearse: bool = Field(
        default=False,
        description="Choose by rehearsal: hide combinations of class and condition that are there, "
        "like the missing ones, train every candidate without them, and score on them.",
    )
    rehearsal_folds: int = Field(
        default=3,
        ge=1,
        le=MOST_REPEATS,
        description="Most folds of a rehearsal; three hide combinations of every well covered "
        "class once.",
    )
    metric: str = Field(
        default="balanced_accuracy",
        description="What the comparisons go by, and auto without rehearse; with rehearse auto "
        "goes by the recall of hidden combinations. balanced_accuracy, accuracy, error, "
        "negative_log_likelihood, calibration_error, auroc; with conditions also "
        "missing_combinations, thin_combinations, covered_combinations.",
    )
    metrics: tuple[str, ...] = Field(
        default=(
            "balanced_accuracy",
            "accuracy",
            "worst_class_recall",
            "negative_log_likelihood",
            "calibration_error",
        ),
        strict=False,
        description="Metrics that are shown beside it: those of metric, worst_class_recall, and "
        "with conditions worst_combination. The last two are biased down, so they cannot decide.",
    )
    comparisons: tuple[Annotated[tuple[str, str], Field(strict=False)], ...] | None = Field(
        default=None,
        strict=False,
        description="Pairs [arm, baseline] to test; default: those the verdict needs.",
    )
    screening: bool = Field(
        default=False,
        description="Screen arms before they are declared: seeds of their own, scores on a sixth "
        "of the training images held out for it; test images are not read.",
    )
