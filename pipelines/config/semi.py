"""The section ``semi``: semi-supervised methods."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pipelines.config.section import AUTO, MOST_REPEATS, Processes, Section


class SemiConfig(Section):
    """The comparison of semi-supervised methods: error against the number of labels."""

    labels: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(20, 100),
        strict=False,
        min_length=1,
        description="Numbers of labelled images, balanced by class.",
    )
    subsets: int = Field(
        default=5,
        ge=1,
        le=MOST_REPEATS,
        description="Labelled subsets of every size, drawn by seeds.",
    )
    methods: tuple[str, ...] | None = Field(
        default=None,
        strict=False,
        min_length=1,
        description="Methods to run; default: those of the table of semi. Any arm that renders no "
        "images can be named too.",
    )
    default_method: str = Field(
        default="graph_fixmatch", description="The method that is compared with every other one."
    )
    baseline_labels: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(
        default=None,
        strict=False,
        min_length=1,
        description="Those of labels at which the other methods run; all.",
    )
    baseline_subsets: int | None = Field(
        default=None, ge=1, description="How many of the subsets the other methods run on; all."
    )
    consistency_steps: int = Field(
        default=1500, ge=1, description="Steps of fixmatch and graph_fixmatch."
    )
    gan_steps: int = Field(
        default=6000, ge=1, description="Steps of improved_gan; published with 180,000."
    )
    processes: Processes = Field(
        default=1,
        description=f"Trainings that are made at the same time: {AUTO}",
    )
    screening: bool = Field(
        default=False,
        description="Subset seeds of its own, and errors on a sixth of the training images held "
        "out for it; "
        "test images are not read.",
    )

    @model_validator(mode="after")
    def _grid(self) -> SemiConfig:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels names a number twice")
        return self
