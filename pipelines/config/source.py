"""The section ``source``: the generator."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.config.data import GENERATED_SIZES, GeneratedSize
from pipelines.config.section import Fraction, Section

FAMILY_OF_CONDITIONS, LATENTS_OF_CONDITIONS = "cvae", {"latent_dim": 8}
"""Of data with conditions: it brings back twice as many hidden combinations of digits and looks as
the other default (docs/results/generators_digits.json). Long latents would carry the condition too.
"""


class SourceConfig(Section):
    """The generator and its training."""

    family: str = Field(
        default="cvae_gan",
        description="Which generative model. With data.condition, where neither family nor preset "
        "is named, it is cvae, with latents of 8 numbers.",
    )
    preset: str = Field(
        default="default", description="Named set of its options: default, or paper."
    )
    steps: int = Field(default=3000, ge=1, description="Training steps.")
    batch_size: int = Field(default=64, ge=2, description="Images per step.")
    size: GeneratedSize | None = Field(
        default=None,
        description="Side of the images that the generator learns and makes, where it is another "
        "than the classifier's data have: theirs are scaled down for it, and its up; default: that "
        "of the data, at most 128.",
    )
    class_power: Fraction = Field(
        default=0.5,
        description="A class of n images is drawn with a share like n ** class_power; 0 draws all "
        "alike.",
    )
    source_augment: Literal["none", "classical"] = Field(
        default="none",
        description="classical: real images are augmented before the generator sees them; "
        "declared in tables.",
    )
    options: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="Options of the family that differ from the preset."
    )
    checkpoint_every: int = Field(default=500, ge=1, description="Steps between checkpoints.")
    sample_every: int = Field(default=500, ge=1, description="Steps between sample grids.")

    def side(self, of_data: int) -> int:
        """Side of the images that the generator learns and makes.

        Args:
            of_data: That of the images of the data.
        """
        return self.size or min(of_data, GENERATED_SIZES[-1])
