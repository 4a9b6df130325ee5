"""The section ``compare``: families side by side."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator, model_validator

from pipelines.config.section import AUTO, MOST_SAMPLES, Processes, RowName, Section


class VariantConfig(Section):
    """One row of a comparison of families."""

    family: str | None = Field(
        default=None, description="Which generative model; default: the row's name is one."
    )
    preset: str = Field(default="default", description="Named set of its options.")
    options: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="Options of the family that differ from the preset."
    )


class CompareConfig(Section):
    """The comparison of families: one budget (source.steps, source.batch_size), one judge."""

    families: dict[RowName, VariantConfig] | None = Field(
        default=None,
        min_length=1,
        description="Families to train, a list, or {name: {family: …, preset: …, options: {…}}}; "
        "default: all there are, which takes hours.",
    )
    extra: dict[RowName, str] = Field(
        default_factory=dict,
        description="{name: folder of a finished run}: measured too, at its own budget.",
    )
    samples: int = Field(
        default=5000,
        ge=2,
        le=MOST_SAMPLES,
        description="Generated images that each row rests on; a PixelCNN makes at most 500.",
    )
    judge_steps: int = Field(
        default=1500, ge=1, description="Training steps of the judge, who is the same for all."
    )
    student_steps: int = Field(
        default=1500,
        ge=1,
        description="Training steps of the classifiers that learn from generated images alone.",
    )
    processes: Processes = Field(
        default=1,
        description=f"Families that are trained at the same time: {AUTO}",
    )

    @field_validator("families", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """A list of names, or of mappings of one name each, as one mapping."""
        if not isinstance(value, list | tuple):
            return value
        entries = [entry if isinstance(entry, dict) else {str(entry): {}} for entry in value]
        names = [name for entry in entries for name in entry]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{sorted(twice)[0]!r} is named twice")
        return {name: variant for entry in entries for name, variant in entry.items()}

    @model_validator(mode="after")
    def _distinct(self) -> CompareConfig:
        names = {*(self.families or ()), *self.extra}
        if both := set(self.families or ()) & set(self.extra):
            raise ValueError(f"{sorted(both)[0]!r} names a family and an extra row")
        if taken := names & {"parts", "lock"}:
            raise ValueError(
                f"{sorted(taken)[0]!r} cannot name a row: the run keeps its own files there"
            )
        return self
