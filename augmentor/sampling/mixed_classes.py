"""New classes by mixing the labels of old ones (Bao et al. 2017, section 4.5: new identities from
three).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from augmentor.common.types import Record, SampleSource
from augmentor.networks.blocks import MOST_WEIGHT, are_class_weights
from augmentor.sampling.source_wrapper import SourceWrapper


class MixedClasses(SourceWrapper):
    """A source whose classes are mixtures of another source's; itself a ``SampleSource``.

    Args:
        source: The source that renders.
        mixtures: Weights of the source's K classes for each of M new classes, (M, K), not negative.
            A row that sums to one lies between its classes. Sums above one, two at most, lie beyond
            them; how good images there are depends on the source.
        names: Names of the new classes, M different ones.

    Raises:
        ValueError: If shapes disagree, a row isn't one of weights, or a name is given twice.
    """

    def __init__(self, source: SampleSource, mixtures: Tensor, names: tuple[str, ...]) -> None:
        if mixtures.shape != (len(names), len(source.classes)):
            expected = (len(names), len(source.classes))
            raise ValueError(
                f"mixtures must be {expected} for these names and classes, got "
                f"{tuple(mixtures.shape)}"
            )
        if not are_class_weights(mixtures):
            raise ValueError(
                "every row of mixtures must be non-negative, with a sum above 0 and up to "
                f"{MOST_WEIGHT}"
            )
        if len(set(names)) < len(names):
            raise ValueError(f"names of mixed classes must differ, got {names}")
        super().__init__(source)
        self.mixtures, self.names = mixtures.to(torch.float32), tuple(names)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the mixed classes; position is index."""
        return self.names

    @property
    def record(self) -> Record | None:
        """That of what renders, without ``counts``: it saw no image of a mixed class."""
        return None if (record := super().record) is None else replace(record, counts=None)

    def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """See ``types.ConditionalSource.sample``; a mixture of mixed classes is the mixture of
        their mixtures.

        Raises:
            ValueError: If a class index is out of range.
        """
        mixtures = self.mixtures.to(y.device)
        if y.is_floating_point():
            return super().sample(y @ mixtures, z, condition)
        if len(y) and not 0 <= int(y.min()) <= int(y.max()) < len(self.classes):
            raise ValueError(
                f"y must lie in [0, {len(self.classes)}), got {int(y.min())} to {int(y.max())}"
            )
        return super().sample(mixtures[y], z, condition)
