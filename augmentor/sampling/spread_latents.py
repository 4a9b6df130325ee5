"""Sources whose latents are not drawn from the prior alone: scaled, or scattered around those of
given images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from augmentor.common.types import SampleSource
from augmentor.sampling.source_wrapper import SourceWrapper


class ScaledLatents(SourceWrapper):
    """A source whose latents come from N(0, scale²): wider than the prior above one, nearer to its
    mean below.

    Args:
        source: The source that renders.
        scale: Factor on the latents, 0 or more; 1 renders what the source renders.

    Raises:
        ValueError: If the scale is negative or not finite.
    """

    def __init__(self, source: SampleSource, scale: float) -> None:
        if not 0 <= scale < math.inf:
            raise ValueError(f"scale must be 0 or more, got {scale}")
        super().__init__(source)
        self.scale = scale

    def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """See ``types.ConditionalSource.sample``."""
        return super().sample(y, self.scale * z, condition)


class DonatedLatents(SourceWrapper):
    """A source that renders from the latents of given images, donors, with a little noise on them.

    A donor's latent holds what is not its class: rendered under another class, that is carried over
    to it. The last of the latents of this source, one more than the other's, says by its quantile
    which donor it is; so a sample is still a function of class and latent, and all donors of a
    class come up equally often.

    Args:
        source: The source that renders.
        donors: For every class of the source the latents of its donors, (n, source.latent_dim) with
            n > 0.
        noise: Standard deviation of what is added to a donor's latent, 0 or more.

    Raises:
        ValueError: If a class has no donors, shapes do not fit, or the noise is out of range.
    """

    def __init__(self, source: SampleSource, donors: Sequence[Tensor], noise: float) -> None:
        if not 0 <= noise < math.inf:
            raise ValueError(f"noise must be 0 or more, got {noise}")
        shapes = [tuple(latents.shape) for latents in donors]
        if len(donors) != len(source.classes) or any(
            0 in shape or shape[1:] != (source.latent_dim,) for shape in shapes
        ):
            raise ValueError(
                f"need latents (n, {source.latent_dim}), n > 0, for {len(source.classes)} "
                f"classes: {shapes}"
            )
        super().__init__(source)
        self.noise = noise
        self._donors = torch.cat(list(donors))
        self._counts = torch.tensor([len(latents) for latents in donors])
        self._starts = self._counts.cumsum(0) - self._counts

    @property
    def latent_dim(self) -> int:
        """Length of one latent: the last of its numbers chooses the donor."""
        return self.source.latent_dim + 1

    def sample(self, y: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """See ``types.ConditionalSource.sample``; a mixture has the donors of its largest class."""
        of = (y.argmax(dim=1) if y.is_floating_point() else y).to(self._counts.device)
        last = z[:, -1].to(self._counts.device)  # before it becomes float64, which MPS has not
        quantile = torch.special.ndtr(last.double())
        numbers = torch.minimum((quantile * self._counts[of]).long(), self._counts[of] - 1)
        donated = self._donors[self._starts[of] + numbers].to(z)
        return super().sample(y, donated + self.noise * z[:, :-1], condition)
