"""The variance of a mean over replicates, of what parts it consists, and the interval it gives."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from downstream.comparison.thresholds import FEWEST_TO_DECIDE, LEVEL
from downstream.metrics import Floats, Integers

Interval = tuple[float, float]

MOST_REPLICATES = 1000
"""Where the search for the number of replicates that would decide ends."""
NO_SPREAD = 1e-12
"""Standard errors below this are rounding errors of equal differences."""
UNKNOWN: Interval = (-math.inf, math.inf)
"""The interval where nothing is known about the variance."""


@dataclass(frozen=True)
class ImageVariance:
    """Variance of a mean over replicates through the choice of test images.

    Args:
        value: The variance, in squared units of the metric; infinite where it cannot be estimated.
        freedom: Degrees of freedom of this estimate.
    """

    value: float
    freedom: float


FIXED_IMAGES = ImageVariance(0.0, 1.0)
"""For scores without outputs of images: the interval then speaks about these test images only."""
UNKNOWN_IMAGES = ImageVariance(math.inf, 1.0)


@dataclass(frozen=True)
class Variance:
    r"""What the variance of a mean over replicates consists of.

    .. math:: V = s^2 \left(\frac 1 R + \frac{\rho}{1 - \rho}\right) + V_{images}

    Training images that two replicates have in common make their scores alike: with variance
    :math:`\sigma^2` and correlation :math:`\rho` of any two, the mean has the variance
    :math:`\sigma^2 (\rho + (1 - \rho) / R)`, and :math:`s^2` estimates :math:`\sigma^2 (1 - \rho)`.
    Where a score is a mean of effects of its training images, :math:`\rho` is the share of images
    in common. The interval is rather too wide: seeds lower the correlation, and the part of
    :math:`s^2` that comes from single test images counts in :math:`V_{images}` too.

    Args:
        replicates: R, 1 or more.
        spread: :math:`s^2`, variance over replicates; infinite for one replicate.
        overlap: :math:`\rho` in [0, 1]. With 1 every replicate has the very same training images:
            the interval is conditional on them, and the second term is left out.
        images: The part of the test images.

    Raises:
        ValueError: If the overlap is out of range.

    Source:
        Nadeau & Bengio 2003, "Inference for the Generalization Error", Machine Learning 52; degrees
        of freedom: Satterthwaite 1946, Biometrics Bulletin 2, 110-114.

    Example:
        >>> Variance(10, 0.0004, 0.5, ImageVariance(0.0001, 290)).total
        0.00054
    """

    replicates: int
    spread: float
    overlap: float
    images: ImageVariance

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= 1:
            raise ValueError(f"overlap must lie in [0, 1], got {self.overlap}")

    @classmethod
    def of(cls, values: Floats, overlap: float, images: ImageVariance) -> Variance:
        """From one value per replicate, (R,)."""
        spread = float(values.var(ddof=1)) if len(values) > 1 else math.inf
        return cls(len(values), spread, overlap, images)

    @property
    def conditional(self) -> bool:
        """Whether the interval cannot speak about other training images."""
        return self.overlap == 1

    @property
    def shared(self) -> float:
        r"""The part through common training images, :math:`s^2 \rho / (1 - \rho)`."""
        factor = 0.0 if self.conditional else self.overlap / (1 - self.overlap)
        return self.spread * factor if factor else 0.0

    @property
    def total(self) -> float:
        """V; infinite where a part is unknown."""
        return self.spread / self.replicates + self.shared + self.images.value

    @property
    def known(self) -> bool:
        """Whether it is estimated at all: equal values do not tell their spread."""
        return NO_SPREAD**2 < self.total < math.inf

    @property
    def freedom(self) -> float:
        """Degrees of freedom of V; V is neither zero nor infinite."""
        return float(self._freedoms(np.array([self.replicates]))[0])

    def half_widths(self, replicates: Integers, level: float = LEVEL) -> Floats:
        """Half the width of the interval for other numbers of replicates, each 2 or more.

        Args:
            replicates: The numbers, (M,).
            level: Probability of an interval that misses.
        """
        total = self.spread / replicates + self.shared + self.images.value
        quantiles = stats.t.ppf(1 - level / 2, self._freedoms(replicates))
        widths: Floats = quantiles * np.sqrt(total)
        return widths

    def _freedoms(self, replicates: Integers) -> Floats:
        """Degrees of freedom for other numbers of replicates, (M,)."""
        own = self.spread / replicates + self.shared
        squares = own**2 / (replicates - 1) + self.images.value**2 / self.images.freedom
        found: Floats = (own + self.images.value) ** 2 / squares
        return found

    def interval(self, mean: float) -> tuple[Interval, float]:
        """The 95 % interval of a mean difference and the two-sided p of a mean of zero.

        Equal differences do not tell their spread, so without any they show nothing: p is 1, and
        the interval reaches from zero to twice their mean. Where the variance is unknown, the
        interval has no ends and p is 1.
        """
        if math.isinf(self.total):
            return UNKNOWN, 1.0
        error = math.sqrt(self.total)
        if error < NO_SPREAD:
            return (min(0.0, 2 * mean), max(0.0, 2 * mean)), 1.0
        half = float(self.half_widths(np.array([self.replicates]))[0])
        return (mean - half, mean + half), float(2 * stats.t.sf(abs(mean) / error, self.freedom))

    def needed(self, delta: float, level: float = LEVEL) -> int | None:
        """The smallest number of replicates, more than there are, whose interval would exclude
        zero.

        Args:
            delta: The mean difference, taken as the true one; this variance is taken as true too.
            level: As in ``half_widths``.

        Returns:
            The number, 3 to 1000; None if none would do.
        """
        fewest = max(FEWEST_TO_DECIDE, self.replicates + 1)
        if not self.known or fewest > MOST_REPLICATES:
            return None
        numbers = np.arange(fewest, MOST_REPLICATES + 1)
        enough = np.flatnonzero(self.half_widths(numbers, level) < abs(delta))
        return int(numbers[enough[0]]) if len(enough) else None

    @property
    def limited_by(self) -> str | None:
        """The largest part of the variance after 1000 replicates: ``replicates``, ``training
        images`` or ``test images``; None without any variance.
        """
        if self.total < NO_SPREAD**2:
            return None
        parts = {
            "replicates": self.spread / MOST_REPLICATES,
            "training images": self.shared,
            "test images": self.images.value,
        }
        return max(parts, key=lambda name: parts[name])
