"""The section ``classifier``: who is trained on real and synthetic images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.config.section import Section


class ClassifierConfig(Section):
    """The downstream classifier; the same for every arm."""

    name: str = Field(
        default="auto",
        description="auto: a small network that suits the image size; or any timm name.",
    )
    steps: int = Field(default=600, ge=1, description="Training steps.")
    batch_size: int = Field(default=64, ge=2, description="Images per step.")
    learning_rate: float = Field(default=5e-3, gt=0, description="Peak learning rate.")
    weight_decay: float = Field(default=0.05, ge=0, description="Decoupled weight decay.")
    domain: Literal["digits", "natural", "auto"] = Field(
        default="auto",
        description="Which classical augmentation: digits never flips; auto goes by the name of "
        "the data.",
    )
    strength: float = Field(
        default=1.0, ge=0, description="Strength of the classical augmentation; 0 is none."
    )
