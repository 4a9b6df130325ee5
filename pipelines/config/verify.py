"""The section ``verify``: verification of faces."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipelines.config.section import AUTO, MOST_REPEATS, FilePath, Fraction, Processes, Section


class VerifyConfig(Section):
    """Verification of faces: a network learns people, then says of pairs of others whether they
    show one person.
    """

    pairs: str | None = Field(
        default=None,
        min_length=1,
        description="Folder with pairs.csv (fold,same,first,second) and the images, a folder per "
        "person; looked for "
        "under data_root too.",
    )
    train_folds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(),
        strict=False,
        description="Folds whose real photos, with names, form the control arm real_people; only "
        "the other folds are "
        "scored, for every arm.",
    )
    synthetic: tuple[FilePath, ...] = Field(
        default=(),
        strict=False,
        description="Synthetic sets, each an arm: more images of people of the data (by name), or "
        "new people.",
    )
    synthetic_share: Fraction = Field(
        default=0.25,
        description="Part of a batch that is synthetic, or of real_people, in these arms.",
    )
    head: Literal["softmax", "arcface", "cosface"] = Field(
        default="softmax",
        description="What the people are learned with; the features are compared by their cosine.",
    )
    margin: float | None = Field(
        default=None, ge=0, description="Of arcface or cosface; default: their papers'."
    )
    scale: float = Field(
        default=30.0, gt=0, description="Factor on the cosines of arcface and cosface."
    )
    weights: FilePath | None = Field(
        default=None,
        description="File with weights of the timm network (classifier.name) to start from.",
    )
    replicates: int = Field(
        default=3, ge=1, le=MOST_REPEATS, description="Paired repetitions, each with its own seeds."
    )
    processes: Processes = Field(
        default=1,
        description=f"Replicates that are made at the same time: {AUTO}",
    )
