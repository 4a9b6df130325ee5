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
        description="Methods to run; default: supervised, classical, pseudo_label, fixmatch, "
        "graph_fixmatch, improved_gan, head_cvae_gan. By name: triple_gan, and other arms that "
        "render no images.",
    )
    default_method: str = Field(
        default="graph_fixmatch",
        description="The method that all others are compared with; it does not choose what runs.",
    )
    baseline_labels: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(
        default=None,
        strict=False,
        min_length=1,
        description="Numbers of labels, some of semi.labels, at which methods other than the "
        "default one run; default: all.",
    )
    baseline_subsets: int | None = Field(
        default=None,
        ge=1,
        description="Subsets, from the first on, that methods other than the default one run on; "
        "default: all.",
    )
    consistency_steps: int = Field(
        default=1500, ge=1, description="Steps of fixmatch and graph_fixmatch."
    )
    gan_steps: int = Field(
        default=6000,
        ge=1,
        description="Steps of improved_gan, published with 180,000, and of triple_gan.",
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
