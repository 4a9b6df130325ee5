"""What sources that change how another source renders have in common."""

from __future__ import annotations

import torch
from torch import Tensor

from augmentor.common.conditions import Conditions
from augmentor.common.types import Record, SampleSource, conditions_of, device_of, record_of
from augmentor.data.candidates import sample


class SourceWrapper:
    """A source that renders what another one does; a subclass overrides what it changes.

    Args:
        source: The source that renders.
    """

    def __init__(self, source: SampleSource) -> None:
        self.source = source

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; position is index."""
        return self.source.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images rendered."""
        return self.source.image_shape

    @property
    def latent_dim(self) -> int:
        """Length of one latent."""
        return self.source.latent_dim

    @property
    def conditions(self) -> Conditions:
        """What the source knows beside the class; falsy if it knows the class alone."""
        return conditions_of(self.source)

    @property
    def record(self) -> Record | None:
        """What is known of the training of what renders."""
        return record_of(self.source)

    @property
    def device(self) -> torch.device:
        """Where the source renders."""
        return device_of(self.source)

    def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """See ``types.ConditionalSource.sample``."""
        return sample(self.source, y, z, condition)
