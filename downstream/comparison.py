"""Paired comparison of arms: differences of a metric and intervals that hold.

A replicate is one repetition of a whole experiment with its own seeds. All arms run in every
replicate and are scored on the same test images, so arms are compared by their differences within
replicates. An interval lets replicates and test images vary, and allows for training images that
replicates have in common.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations

import numpy as np
import torch
from scipy import stats

from downstream.metrics import Floats, Integers, Metric, Outputs, per_class_recall

Interval = tuple[float, float]
Pair = tuple[str, str]

LEVEL = 0.05
FEWEST_TO_DECIDE = 3
FEWEST_TO_PERMUTE = 8
FEWEST_FOR_A_CLAIM = 10
MOST_REPLICATES = 1000
"""Where the search for the number of replicates that would decide ends."""
EXACT_UP_TO = 16
"""Up to this many replicates all 2^R sign patterns are tried; above, random ones."""
JACKKNIFE_GROUPS = 20
FEWEST_FOLDS = 3
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
        if not NO_SPREAD**2 < self.total < math.inf or fewest > MOST_REPLICATES:
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


@dataclass(frozen=True)
class ArmScores:
    """How one arm did.

    Args:
        scores: One score per replicate, within the metric's bounds.
        mean: Their mean.
        ci95: 95 % interval of the mean over replicates and test images, within the metric's bounds.
        per_class_recall: Mean recall of each class over replicates, NaN for a class without test
            images; empty without class probabilities.
    """

    scores: tuple[float, ...]
    mean: float
    ci95: Interval
    per_class_recall: tuple[float, ...] = ()

    def to_json(self, classes: Sequence[str] = ()) -> dict[str, object]:
        """As JSON holds it, NaN as null.

        Args:
            classes: Names of the classes, position is index; without them ``per_class_recall`` is
                a list.
        """
        recalls = [None if math.isnan(recall) else recall for recall in self.per_class_recall]
        named = dict(zip(classes, recalls, strict=True)) if classes else recalls
        return asdict(self) | {
            "scores": list(self.scores),
            "ci95": _interval_json(self.ci95),
            "per_class_recall": named,
        }


@dataclass(frozen=True)
class Comparison:
    """One arm against one baseline in one metric; 0.01 is one point.

    Args:
        arm: What is tested.
        baseline: What it is tested against.
        metric: Name of the metric.
        delta: Mean over replicates of score(arm) - score(baseline).
        ci95: 95 % interval of ``delta``, over replicates, training and test images.
        ci95_replicates: The plain paired t interval: test images stay the same, and replicates
            count as independent.
        p: Two-sided test of no difference by the statistic of ``ci95``.
        p_permutation: Two-sided sign-flip test over replicates, None under 8 of them.
        p_holm: ``p`` corrected for the number of comparisons.
        outcome: ``better``, ``worse`` or ``undecided``, see ``outcome``.
        needed: Number of replicates that would probably decide, None if decided or if up to 1000
            would not.
        limited_by: What an undecided comparison needs more of: ``replicates``, ``test images`` or
            ``training images``. None if decided, or if there is no variance.
        conditional: Whether the interval is about these training images only.
    """

    arm: str
    baseline: str
    metric: str
    delta: float
    ci95: Interval
    ci95_replicates: Interval
    p: float
    p_permutation: float | None
    p_holm: float
    outcome: str
    needed: int | None
    limited_by: str | None
    conditional: bool

    def to_json(self) -> dict[str, object]:
        """As JSON holds it; an interval without ends is null."""
        intervals = {
            "ci95": _interval_json(self.ci95),
            "ci95_replicates": _interval_json(self.ci95_replicates),
        }
        return asdict(self) | intervals


def compare(
    outputs: Mapping[str, Sequence[Outputs]],
    metric: Metric,
    pairs: Sequence[Pair],
    *,
    overlap: float,
    seed: int = 0,
) -> tuple[dict[str, ArmScores], tuple[Comparison, ...]]:
    """Score all arms and compare the declared pairs.

    Args:
        outputs: Of every arm, one per replicate, in the same order for all arms. All are about the
            same test images (or pairs of images).
        metric: What is compared.
        pairs: Pairs (arm, baseline), declared before looking; their number enters Holm's
            correction.
        overlap: Share of the training images that two replicates have in common, in [0, 1]; see
            ``expected_overlap`` and ``measured_overlap``.
        seed: Decides the groups of the jackknife and, above 16 replicates, the sign patterns.

    Returns:
        Scores by arm, and the comparisons in the order of the pairs. Identical arms give delta 0
        and p 1; a swapped pair gives the negative delta and interval.

    Raises:
        MissingOutputError: If outputs lack what the metric needs.
        NotFiniteError: If they hold NaN or infinite values.
        ValueError: If test images or numbers of replicates differ, or a pair names an unknown arm.

    Example:
        >>> from downstream.metrics import metric_of
        >>> y = torch.arange(200) % 2
        >>> right = Outputs.of_predictions(y, y, 2)
        >>> half = Outputs.of_predictions(y * (torch.arange(200) < 100), y, 2)
        >>> arms = {"right": [right] * 3, "half": [half] * 3}
        >>> metric = metric_of("accuracy")
        >>> _, (found,) = compare(arms, metric, [("right", "half")], overlap=0)
        >>> found.delta, found.outcome
        (0.25, 'better')
    """
    test = _TestImages.of(metric, _shared_test_set(outputs), JACKKNIFE_GROUPS, seed)
    arms: dict[str, ArmScores] = {}
    scores: dict[str, Floats] = {}
    rows: dict[str, Floats] = {}
    for name, own in outputs.items():
        scores[name] = np.array([metric.of(one) for one in own])
        rows[name] = test.row(own)
        variance = test.variance(rows[name])
        arms[name] = score_arm(scores[name], metric, overlap, variance, _mean_recalls(own))
    _require_arms(pairs, scores)
    variances = {(a, b): test.variance(rows[a] - rows[b]) for a, b in pairs}
    return arms, compare_scores(scores, pairs, metric, overlap, variances, seed=seed)


def compare_scores(
    scores: Mapping[str, Floats],
    pairs: Sequence[Pair],
    metric: Metric,
    overlap: float = 0.0,
    image_variances: Mapping[Pair, ImageVariance] | None = None,
    *,
    seed: int = 0,
) -> tuple[Comparison, ...]:
    """Compare declared pairs of arms by their scores.

    Args:
        scores: Of every arm, one per replicate, (R,), in the same order for all arms.
        pairs: As in ``compare``.
        metric: What the scores are.
        overlap: As in ``compare``.
        image_variances: Variance of the mean difference of a pair over test images; a pair that
            is not there counts as scored on the only test images there are.
        seed: Decides the sign patterns above 16 replicates.

    Raises:
        ValueError: If numbers of replicates differ, a score is not finite, or a pair names an
            unknown arm.

    Example:
        >>> from downstream.metrics import metric_of
        >>> scores = {"a": np.array([0.8, 0.9, 0.9]), "b": np.array([0.6, 0.7, 0.8])}
        >>> compare_scores(scores, [("a", "b")], metric_of("accuracy"))[0].outcome
        'better'
    """
    _require_arms(pairs, scores)
    _require_replicates(scores)
    rows: list[Comparison] = []
    variances: list[Variance] = []
    for arm, baseline in pairs:
        differences = np.asarray(scores[arm]) - np.asarray(scores[baseline])
        images = (image_variances or {}).get((arm, baseline), FIXED_IMAGES)
        variances.append(Variance.of(differences, overlap, images))
        rows.append(_compared((arm, baseline), metric, differences, variances[-1], seed))
    return _judged(rows, variances, metric)


def score_arm(
    scores: Floats,
    metric: Metric,
    overlap: float = 0.0,
    images: ImageVariance = FIXED_IMAGES,
    recalls: Floats | None = None,
) -> ArmScores:
    """Mean and interval of one arm.

    Args:
        scores: One per replicate, (R,).
        metric: What they are.
        overlap: As in ``compare``.
        images: Variance of their mean over test images.
        recalls: Mean recall of each class, (K,).

    Example:
        >>> from downstream.metrics import metric_of
        >>> score_arm(np.array([0.99, 0.95]), metric_of("accuracy")).ci95[1]
        1.0
    """
    mean, (lowest, highest) = float(np.mean(scores)), metric.bounds
    low, high = Variance.of(np.asarray(scores), overlap, images).interval(0.0)[0]
    interval = (max(lowest, mean + low), min(highest, mean + high))
    return ArmScores(
        scores=tuple(np.asarray(scores).tolist()),
        mean=mean,
        ci95=interval,
        per_class_recall=() if recalls is None else tuple(recalls.tolist()),
    )


def paired_t(differences: Floats) -> tuple[Interval, float]:
    r"""Student's 95 % interval of the mean difference, and the two-sided p of a mean of zero.

    .. math:: \bar d \pm t_{0.975, R-1}\, s / \sqrt R

    Args:
        differences: One difference per replicate, shape (R,).

    Returns:
        The interval and p, as ``Variance.interval`` gives them: without spread p is 1 and the
        interval reaches from zero to twice the mean; for one replicate it has no ends.

    Example:
        >>> interval, p = paired_t(np.array([1.0, 2.0, 3.0]))
        >>> round(p, 3)
        0.074
    """
    return Variance.of(differences, 0.0, FIXED_IMAGES).interval(float(differences.mean()))


def sign_flip_p(differences: Floats, seed: int = 0, draws: int = 100_000) -> float:
    """Two-sided p of a permutation test: how often random signs give a mean at least as far from
    zero.

    Exact over all 2^R sign patterns up to 16 replicates, else over ``draws`` random ones (counting
    the observed one).

    Args:
        differences: One difference per replicate, shape (R,).
        seed: Decides the random patterns.
        draws: Number of random patterns.

    Returns:
        p in (0, 1]; at least 2 / 2^R, as flipping all signs keeps the distance.

    Example:
        >>> sign_flip_p(np.array([1.0, 2.0, 3.0]))
        0.25
    """
    count = len(differences)
    if count <= EXACT_UP_TO:
        bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
    else:
        bits = np.random.default_rng(seed).integers(0, 2, size=(draws, count))
    sums = np.abs((1 - 2 * bits) @ differences)
    extreme = sums >= abs(differences.sum()) - 1e-12  # rounding must not lose the observed pattern
    if count <= EXACT_UP_TO:
        return float(extreme.mean())
    return float((extreme.sum() + 1) / (draws + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for their number, step down: the chance of any false claim stays under the
    level.

    Args:
        p_values: m values in [0, 1].

    Returns:
        Corrected values in the same order, each between its p and 1, in the same ranking.

    Source:
        Holm 1979, Scandinavian Journal of Statistics 6, 65-70.

    Example:
        >>> holm([0.01, 0.5])
        [0.02, 0.5]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def outcome(
    ci95: Interval,
    p_holm: float,
    *,
    higher_is_better: bool = True,
    replicates: int = FEWEST_TO_DECIDE,
) -> str:
    """``better``, ``worse`` or ``undecided``.

    A difference is decided if its whole 95 % interval lies on one side of zero, the p value
    corrected for the number of comparisons is below 0.05, and there are three replicates or more.

    Args:
        ci95: The interval.
        p_holm: The corrected p value.
        higher_is_better: Direction of the metric.
        replicates: R.

    Example:
        >>> outcome((0.01, 0.02), 0.03, higher_is_better=False)
        'worse'
    """
    low, high = ci95
    if p_holm >= LEVEL or replicates < FEWEST_TO_DECIDE or low <= 0 <= high:
        return "undecided"
    return "better" if (low > 0) == higher_is_better else "worse"


def image_variance(difference_contributions: Floats, y: Integers | None = None) -> ImageVariance:
    r"""Variance over test images of the mean over replicates of a sum of contributions.

    With :math:`m_i` the mean contribution of image i and :math:`u_i = n_k m_i` for class k,

    .. math:: V = \sum_k s_k^2(u) / n_k

    A class with one image takes the pooled variance of the others.

    Args:
        difference_contributions: One row per replicate, (R, N).
        y: Classes, int64 (N,), within which images vary; None lets all vary together.

    Returns:
        The variance, with N - K degrees of freedom; unknown if every class has only one image.

    Example:
        >>> image_variance(np.array([[0.0, 0.25, 0.25, 0.5]])).value
        0.16666666666666666
    """
    means = difference_contributions.mean(axis=0)
    labels = np.zeros(len(means), np.int64) if y is None else y
    _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    freedom = len(means) - len(counts)
    if freedom == 0:
        return UNKNOWN_IMAGES
    values = means * counts[index]
    centres = np.bincount(index, weights=values) / counts
    squares = np.bincount(index, weights=(values - centres[index]) ** 2)
    variances = np.full(len(counts), squares.sum() / freedom)
    np.divide(squares, counts - 1, out=variances, where=counts > 1)
    return ImageVariance(float((variances / counts).sum()), freedom)


def jackknife_groups(
    outputs: Outputs, groups: int = JACKKNIFE_GROUPS, seed: int = 0
) -> Integers | None:
    """Which group of test images the jackknife leaves out with each image, int64 (N,).

    Groups have about the same number of images, of each class too. Pairs of images that come in
    folds are left out fold by fold, since pairs within a fold share people.

    Args:
        outputs: Of one replicate.
        groups: Number of groups, 2 or more; at most one per image.
        seed: Decides who is with whom.

    Returns:
        Group numbers from 0 on; None if there are fewer than three folds or two images.

    Example:
        >>> outputs = Outputs.of_predictions(torch.zeros(4).long(), torch.arange(4) % 2, 2)
        >>> np.bincount(jackknife_groups(outputs, groups=2))
        array([2, 2])
    """
    if outputs.folds is not None:
        folds, index = np.unique(outputs.folds.cpu().numpy(), return_inverse=True)
        return index if len(folds) >= FEWEST_FOLDS else None
    count = len(outputs)
    if count < 2:
        return None
    order = np.random.default_rng(seed).permutation(count)
    kinds = outputs.y if outputs.y is not None else outputs.same
    if kinds is not None:
        order = order[np.argsort(kinds.cpu().numpy()[order], kind="stable")]
    found = np.empty(count, np.int64)
    found[order] = np.arange(count) % min(groups, count)
    return found


def jackknife_variance(
    metric: Metric,
    outputs_a: Sequence[Outputs],
    outputs_b: Sequence[Outputs],
    groups: int = JACKKNIFE_GROUPS,
    seed: int = 0,
) -> ImageVariance:
    r"""Variance over test images of the mean difference of two arms, by leaving out groups of them.

    .. math:: V = \frac{G-1}{G} \sum_g (\theta_{-g} - \bar\theta)^2

    where :math:`\theta_{-g}` is the mean difference over replicates without the images of group g.

    Args:
        metric: Any metric.
        outputs_a: One per replicate.
        outputs_b: Those of the other arm.
        groups: G, as in ``jackknife_groups``.
        seed: As there.

    Returns:
        The variance, with G - 1 degrees of freedom; unknown where there are no groups.

    Source:
        Kott 2001, "The Delete-a-Group Jackknife", Journal of Official Statistics 17, 521-526.

    Example:
        >>> from downstream.metrics import metric_of
        >>> same = [Outputs.of_predictions(torch.arange(40) % 3, torch.arange(40) % 2, 3)]
        >>> jackknife_variance(metric_of("worst_class_recall"), same, same).value
        0.0
    """
    for one in (*outputs_a, *outputs_b):
        metric.require(one)
    leaving_out = replace(metric, contributions=None)
    test = _TestImages.of(leaving_out, outputs_a[0], groups, seed)
    return test.variance(test.row(outputs_a) - test.row(outputs_b))


def expected_overlap(drawn: Sequence[int], available: Sequence[int]) -> float:
    r"""Share of training images that two random draws have in common, mean over classes.

    .. math:: \frac 1 K \sum_k n_k / M_k

    Args:
        drawn: Images :math:`n_k` drawn from each class in every replicate, (K,); a class of which
            none is drawn does not count.
        available: Images :math:`M_k` of each class that they are drawn from, (K,).

    Returns:
        The share in (0, 1]; 1 where every replicate has all images.

    Raises:
        ValueError: If lengths differ, nothing is drawn, or more than there is.

    Example:
        >>> expected_overlap([4, 4], [40, 8])
        0.3
    """
    n, available_counts = np.asarray(drawn, float), np.asarray(available, float)
    if n.shape != available_counts.shape or (n > available_counts).any() or not (n > 0).any():
        raise ValueError(f"cannot draw {list(drawn)} of {list(available)} images")
    return float((n[n > 0] / available_counts[n > 0]).mean())


def measured_overlap(ids: Sequence[Integers], classes: Sequence[Integers]) -> float:
    """Share of training images that two replicates have in common, mean over classes and pairs.

    Args:
        ids: Fingerprints of the training images of each replicate, int64 (n_r,), two replicates or
            more.
        classes: Their classes, int64 (n_r,), from 0 on.

    Returns:
        The share in [0, 1], relative to the mean number of different images of the class in the two
        replicates.

    Raises:
        ValueError: If there are fewer than two replicates, or one has no images.

    Example:
        >>> labels = np.array([0, 0, 1])
        >>> measured_overlap([np.array([1, 2, 3]), np.array([2, 4, 3])], [labels, labels])
        0.75
    """
    if len(ids) < 2 or not all(map(len, ids)):
        raise ValueError("need the training images of two replicates or more")
    count = 1 + max(int(labels.max()) for labels in classes)
    sets: list[tuple[Integers, Integers]] = []
    for own, labels in zip(ids, classes, strict=True):
        unique, where = np.unique(own, return_index=True)
        sets.append((unique, labels[where]))
    shares = [_pair_overlap(one, other, count) for one, other in combinations(sets, 2)]
    return float(np.mean(shares))


def _pair_overlap(
    first: tuple[Integers, Integers], second: tuple[Integers, Integers], count: int
) -> float:
    common = np.isin(first[0], second[0])
    shared = np.bincount(first[1][common], minlength=count)
    sizes = np.bincount(np.concatenate([first[1], second[1]]), minlength=count)
    return float((2 * shared[sizes > 0] / sizes[sizes > 0]).mean())


def _compared(
    pair: Pair, metric: Metric, differences: Floats, variance: Variance, seed: int
) -> Comparison:
    """A comparison that was not judged beside the others yet."""
    delta = float(differences.mean())
    interval, p = variance.interval(delta)
    enough = len(differences) >= FEWEST_TO_PERMUTE
    return Comparison(
        *pair,
        metric=metric.name,
        delta=delta,
        ci95=interval,
        ci95_replicates=paired_t(differences)[0],
        p=p,
        p_permutation=sign_flip_p(differences, seed) if enough else None,
        p_holm=p,
        outcome="undecided",
        needed=None,
        limited_by=None,
        conditional=variance.conditional,
    )


def _judged(
    rows: Sequence[Comparison], variances: Sequence[Variance], metric: Metric
) -> tuple[Comparison, ...]:
    """Comparisons with corrected p values, outcomes and what the undecided ones need."""
    found: list[Comparison] = []
    corrected = holm([row.p for row in rows])
    for row, p, variance in zip(rows, corrected, variances, strict=True):
        word = outcome(
            row.ci95,
            p,
            higher_is_better=metric.higher_is_better,
            replicates=variance.replicates,
        )
        found.append(replace(row, p_holm=p, outcome=word))
    undecided = [row.outcome == "undecided" for row in found]
    # Holm's correction asks this of the first of those that are left.
    level = LEVEL / max(1, sum(undecided))
    for index, variance in enumerate(variances):
        if undecided[index]:
            found[index] = _with_needs(found[index], variance, level)
    return tuple(found)


def _with_needs(row: Comparison, variance: Variance, level: float) -> Comparison:
    needed = variance.needed(row.delta, level)
    limit = variance.limited_by if needed is None else "replicates"
    return replace(row, needed=needed, limited_by=limit)


@dataclass(frozen=True)
class _TestImages:
    """How the test images enter the variance of a metric.

    An arm is summed up by one row: its mean contributions over replicates, (N,), or its mean scores
    without each group, (G,). The row of a difference is the difference of the rows.
    """

    metric: Metric
    y: Integers | None
    groups: Integers | None

    @classmethod
    def of(cls, metric: Metric, outputs: Outputs, groups: int, seed: int) -> _TestImages:
        if not metric.contributions:
            return cls(metric, None, jackknife_groups(outputs, groups, seed))
        y = outputs.y.cpu().numpy() if metric.strata and outputs.y is not None else None
        return cls(metric, y, None)

    def row(self, outputs: Sequence[Outputs]) -> Floats:
        summed_up = self.metric.contributions or self._left_out
        total = summed_up(outputs[0])
        for one in outputs[1:]:
            total = total + summed_up(one)
        mean: Floats = total / len(outputs)
        return mean

    def variance(self, row: Floats) -> ImageVariance:
        if self.metric.contributions:
            return image_variance(row[None], self.y)
        count = len(row)
        if count < 2:
            return UNKNOWN_IMAGES
        squares = float(np.square(row - row.mean()).sum())
        return ImageVariance((count - 1) / count * squares, count - 1)

    def _left_out(self, outputs: Outputs) -> Floats:
        if self.groups is None:
            return np.empty(0)
        scores = np.empty(self.groups.max() + 1)
        for group in range(len(scores)):
            rest = torch.from_numpy(np.flatnonzero(self.groups != group))
            scores[group] = self.metric.function(outputs.subset(rest))
        return scores


def _mean_recalls(outputs: Sequence[Outputs]) -> Floats | None:
    if any(one.y is None or one.class_probs is None for one in outputs):
        return None
    recalls: Floats = np.mean([per_class_recall(one) for one in outputs], axis=0)
    return recalls


def _shared_test_set(outputs: Mapping[str, Sequence[Outputs]]) -> Outputs:
    """Outputs of the first replicate, after making sure that all are about the same test images."""
    if not outputs or not all(outputs.values()):
        raise ValueError("every arm needs the outputs of one replicate or more")
    first = next(iter(outputs.values()))[0]
    for name, own in outputs.items():
        for number, one in enumerate(own):
            if not _about_the_same(one, first):
                raise ValueError(f"replicate {number} of {name} was scored on other test images")
    return first


def _about_the_same(one: Outputs, other: Outputs) -> bool:
    if len(one) != len(other):
        return False
    for name in ("y", "same", "folds"):
        mine, theirs = getattr(one, name), getattr(other, name)
        if (mine is None) != (theirs is None):
            return False
        if mine is not None and not torch.equal(mine.cpu(), theirs.cpu()):
            return False
    return True


def _require_arms(pairs: Sequence[Pair], scores: Mapping[str, Floats]) -> None:
    for pair in pairs:
        for arm in pair:
            if arm not in scores:
                raise ValueError(f"unknown arm {arm!r}; known arms: {', '.join(scores)}")


def _require_replicates(scores: Mapping[str, Floats]) -> None:
    counts = {name: len(own) for name, own in scores.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise ValueError(f"every arm needs the same number of replicates, got {counts}")
    for name, own in scores.items():
        if not np.isfinite(own).all():
            raise ValueError(f"scores of {name} are not finite")


def _interval_json(interval: Interval) -> list[float] | None:
    return list(interval) if all(map(math.isfinite, interval)) else None
