"""A source with conditions as one that knows classes alone: every class under all conditions that
occur.
"""

from __future__ import annotations

import torch
from torch import Tensor

from augmentor.common.types import (
    LabelledImages,
    Record,
    SampleSource,
    conditions_of,
    device_of,
    record_of,
)
from augmentor.data.candidates import sample
from augmentor.data.combinations import bins_of


class OccurringConditions:
    """A source that renders every class under the conditions of given images, all equally often.

    The last of its latents, one more than the other's, says by its quantile which condition; so a
    sample is still a function of class and latent. Numbers are drawn bin by bin: a bin that holds
    many images comes up as often as one that holds few.

    Args:
        source: The source that renders; it knows conditions.
        seen: Images whose conditions occur, of the same meaning.

    Raises:
        ValueError: If the source knows classes alone, or the meanings differ.
    """

    def __init__(self, source: SampleSource, seen: LabelledImages) -> None:
        conditions = conditions_of(source)
        if not conditions or seen.condition is None or seen.conditions != conditions:
            raise ValueError(f"the conditions differ: {conditions} and {seen.conditions}")
        self.source = source
        self.classes, self.image_shape = source.classes, source.image_shape
        self.latent_dim = source.latent_dim + 1
        place = bins_of(conditions, seen.condition).of(seen.condition)
        order = place.argsort(stable=True)
        _, self._counts = torch.unique(place, return_counts=True)
        self._starts = self._counts.cumsum(0) - self._counts
        self._condition = seen.condition[order]

    @property
    def record(self) -> Record | None:
        """What is known of the training of what renders."""
        return record_of(self.source)

    @property
    def device(self) -> torch.device:
        """Where the source renders."""
        return device_of(self.source)

    def __len__(self) -> int:
        """How many conditions occur, numbers in bins."""
        return len(self._counts)

    def sample(self, y: Tensor, z: Tensor) -> Tensor:
        """See ``types.SampleSource.sample``."""
        quantile = torch.special.ndtr(z[:, -1].cpu().double()) * len(self)
        place = quantile.long().clamp(max=len(self) - 1)
        counts = self._counts[place]
        inside = torch.minimum(((quantile - place) * counts).long(), counts - 1)
        condition = self._condition[self._starts[place] + inside].to(z.device)
        return sample(self.source, y, z[:, :-1], condition)
