"""Choosing the best of several candidates on repeated splits: those clearly behind drop out.

Pure functions of scores; who trains the candidates is the caller's business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

CLEARLY = 2.0
"""Standard errors behind the leader at which a candidate drops out."""
AHEAD = 1.0
"""Standard errors by which a candidate with a generator must be ahead, and behind which it drops
out: it takes long to train and carries the burden of proof."""
NO_MATTER = 0.01
"""A difference too small to race on for: one point."""
FEWEST_ROUNDS = 2
UNKNOWN_SPREAD = 1.5
"""Factor on the error over images where too few rounds tell the spread between trainings."""
DRAWS = 4000


@dataclass(frozen=True)
class Result:
    """How one candidate did on one split.

    Args:
        score: The larger the better.
        contributions: Part of every held-out image in the score, (n,); they sum to it. Empty where
            the metric has none.
        images: Numbers of the held-out images, int64 (n,), equal for the same image in several
            splits. Empty where every split has images of its own.
    """

    score: float
    contributions: Floats
    images: Integers = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class Standing:
    """How a candidate stands against the leader.

    Args:
        name: The candidate.
        rounds: Splits that it was scored on.
        mean: Its mean score over them.
        behind: Mean difference to the leader on the splits that both were scored on; below 0 where
            it was ahead on the few that it had.
        standard_error: Of that difference.
        dropped: Whether it is clearly behind.
    """

    name: str
    rounds: int
    mean: float
    behind: float
    standard_error: float
    dropped: bool


def standings(results: Mapping[str, Sequence[Result]]) -> list[Standing]:
    """All candidates against the leader, in the order given.

    The leader is the candidate with the highest mean among those that were scored on the most
    splits. Candidates are compared on the splits that both were scored on.

    Args:
        results: By candidate, one per split from the first on; a candidate that dropped out has
            fewer.

    Raises:
        ValueError: If candidates are missing, or one was scored on no split.
    """
    if not results or not all(results.values()):
        raise ValueError("every candidate needs the results of one split or more")
    leader = leader_of(results)
    found = []
    for name, own in results.items():
        behind, error = difference(results[leader], own)
        mean = float(np.mean([one.score for one in own]))
        clear = name != leader and len(own) >= FEWEST_ROUNDS and behind > CLEARLY * error
        found.append(Standing(name, len(own), mean, behind, error, clear and behind > 0))
    return found


def leader_of(results: Mapping[str, Sequence[Result]]) -> str:
    """The candidate with the highest mean score among those with the most rounds; the first of
    equals.
    """
    most = max(len(own) for own in results.values())
    best, highest = "", -math.inf
    for name, own in results.items():
        mean = float(np.mean([one.score for one in own]))
        if len(own) == most and mean > highest:
            best, highest = name, mean
    return best


def difference(first: Sequence[Result], second: Sequence[Result]) -> tuple[float, float]:
    r"""Mean difference of two candidates over their common splits, and its standard error.

    .. math:: \max\Big(\frac{s}{\sqrt R},\;
        \frac 1 R \sqrt{\sum_i \big(\sum_r d_{ri}\big)^2}\Big)

    where s is the standard deviation over the R splits and d the difference of the contributions
    of image i in split r: what remains of the difference under a random sign per image. An image
    that several splits held out is still one image: counted as new each time, the error would fall
    with the rounds, however few images there are. Under three splits
    the first is unknown and the second counts half as much again; where the metric has no
    contributions either, the error is infinite: two splits alone tell nothing.

    Args:
        first: Results of one candidate, split by split.
        second: Of another.

    Returns:
        The mean of first - second, and the standard error, 0 if both are right on the same images,
        infinite if nothing tells it.

    Example:
        >>> ones = [Result(0.9, np.array([0.5, 0.4]))] * 3
        >>> difference(ones, ones)
        (0.0, 0.0)
    """
    pairs = list(zip(first, second, strict=False))
    gaps = np.array([one.score - two.score for one, two in pairs])
    over_images = math.sqrt(float(np.square(_by_image(pairs)).sum())) / len(pairs)
    if len(pairs) < 3:
        known = all(len(one.contributions) for pair in pairs for one in pair)
        return float(gaps.mean()), UNKNOWN_SPREAD * over_images if known else math.inf
    over_splits = float(gaps.std(ddof=1)) / math.sqrt(len(pairs))
    return float(gaps.mean()), max(over_splits, over_images)


def _by_image(pairs: Sequence[tuple[Result, Result]]) -> Floats:
    """Sum over splits of the difference of the contributions of every image, (M,)."""
    gaps: list[Floats] = [np.zeros(0)]
    images: list[Integers] = [np.zeros(0, np.int64)]
    new = -1
    for one, two in pairs:
        gap = one.contributions - two.contributions
        gaps.append(gap)
        images.append(one.images if len(one.images) else np.arange(new, new - len(gap), -1))
        new -= len(gap)
    _, place = np.unique(np.concatenate(images), return_inverse=True)
    sums = np.bincount(place, np.concatenate(gaps)).astype(np.float64)
    return sums


def is_decided(results: Mapping[str, Sequence[Result]]) -> bool:
    """Whether no other candidate can be expected to be a point better than the leader: all others
    dropped out, now or in an earlier round, or their upper bound stays below one point.
    """
    most = max(len(own) for own in results.values())
    if most < FEWEST_ROUNDS:
        return len(results) == 1
    leader = leader_of(results)
    for one in standings(results):
        if one.name == leader or one.dropped or one.rounds < most:
            continue
        if CLEARLY * one.standard_error - one.behind > NO_MATTER:
            return False
    return True


def choose(
    results: Mapping[str, Sequence[Result]], record: Mapping[str, float] | None = None
) -> str:
    """The candidate to take: the leader, or of those that are not clearly behind it the one with
    the best record.

    Args:
        results: As in ``standings``.
        record: Points behind the best by candidate, from published runs; a candidate that is
            missing counts as the median of those that are not.
    """
    leader = leader_of(results)
    if not record:
        return leader
    usual = float(np.median(list(record.values())))
    best, least = leader, record.get(leader, usual)
    for one in standings(results):
        if one.dropped or one.rounds < len(results[leader]):
            continue
        own = record.get(one.name, usual)
        if own < least:
            best, least = one.name, own
    return best


def probability_of_a_better_one(
    results: Mapping[str, Sequence[Result]], chosen: str, seed: int = 0
) -> float:
    """Probability that another candidate is better than the chosen one by more than a point.

    Args:
        results: As in ``standings``.
        chosen: The candidate taken.
        seed: Of the draws.

    Returns:
        In [0, 1], by draws from normal distributions around the differences measured; NaN where
        no error of a difference is known.
    """
    rng = np.random.default_rng(seed)
    largest = np.full(DRAWS, -np.inf)
    for name, own in results.items():
        if name == chosen:
            continue
        ahead, error = difference(own, results[chosen])
        if math.isinf(error):
            return math.nan
        drawn = ahead + error * rng.standard_normal(DRAWS)
        largest = np.maximum(largest, drawn)
    return float((largest > NO_MATTER).mean())
