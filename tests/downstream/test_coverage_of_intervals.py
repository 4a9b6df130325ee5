"""How often the 95 % interval contains the true difference, where all that varies in life varies.

An experiment draws test images and a universe of training images from a population. Its replicates
draw training images from the universe and have seeds of their own. The true difference is that of
the population, which is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from downstream.comparison import Variance, compare, image_variance, jackknife_variance, paired_t
from downstream.metrics import METRICS, Floats, Outputs

Flags = npt.NDArray[np.bool_]

DIFFICULTY = 2.0
QUIRKS = 1.0
TRAINING = 0.12
SEEDS = 0.05
EASE = (1.5, 1.2)
"""Mean logit of a right answer of the two arms; what stands above are standard deviations of it: of
images for both arms, of images for one arm, of training sets and of seeds."""
DRAWN = 20
"""Training images per replicate."""
CLASSES = 10
EXPERIMENTS = {100: 800, 1000: 600, 10_000: 400}
LEAST = 0.93


@dataclass(frozen=True)
class Setting:
    replicates: int
    images: int
    overlap: float

    @property
    def universe(self) -> int:
        """Training images to draw from: two draws have the share ``overlap`` in common."""
        return round(DRAWN / self.overlap)


def true_difference(shift: float = 0.0) -> float:
    """Mean over the population: the logit of an arm is normal, so one integral gives it."""
    points, weights = np.polynomial.hermite_e.hermegauss(80)
    spread = np.sqrt(DIFFICULTY**2 + QUIRKS**2 + TRAINING**2 + SEEDS**2)
    chances = []
    for ease in EASE:
        logits = ease + shift + spread * points
        chances.append(float((weights / (1 + np.exp(-logits))).sum() / weights.sum()))
    return chances[0] - chances[1]


def training_effects(setting: Setting, rng: np.random.Generator) -> Floats:
    """Mean effect of the training images of each replicate on the logits of both arms, (R, 2)."""
    count = setting.replicates
    if setting.overlap == 0:
        effects = rng.normal(size=(count, DRAWN, 2))
    else:
        universe = rng.normal(size=(setting.universe, 2))
        chosen = rng.random((count, setting.universe)).argsort(axis=1)[:, :DRAWN]
        effects = universe[chosen]
    means: Floats = TRAINING * np.sqrt(DRAWN) * effects.mean(axis=1)
    return means


def experiment(setting: Setting, rng: np.random.Generator, shift: Floats | float = 0.0) -> Flags:
    """Which images each arm recognises in each replicate, (2, R, N); ``shift`` eases images."""
    shape = (setting.replicates, setting.images)
    difficulty = DIFFICULTY * rng.standard_normal(setting.images, np.float32)
    effects = training_effects(setting, rng) + rng.normal(0, SEEDS, (setting.replicates, 2))
    right = np.empty((2, *shape), np.bool_)
    for arm, ease in enumerate(EASE):
        quirk = QUIRKS * rng.standard_normal(setting.images, np.float32)
        odds = np.exp(-effects[:, arm] - ease).astype(np.float32)[:, None]
        # A uniform number below 1 / (1 + odds of a wrong answer).
        wrong = np.exp(difficulty + quirk - np.float32(shift)) * odds
        right[arm] = rng.random(shape, np.float32) * (1 + wrong) < 1
    return right


def experiments(setting: Setting) -> Iterator[Floats]:
    """Differences of the right answers of both arms, (R, N), again and again."""
    rng = np.random.default_rng([setting.replicates, setting.images, round(100 * setting.overlap)])
    for _ in range(EXPERIMENTS[setting.images]):
        first, second = experiment(setting, rng)
        yield first.astype(np.float64) - second


def coverages(setting: Setting) -> tuple[float, float]:
    """Share of experiments whose interval contains the truth: ours, and the plain paired t."""
    truth, labels = true_difference(), np.arange(setting.images) % CLASSES
    ours, plain = [], []
    for right in experiments(setting):
        contributions = right / setting.images
        differences = contributions.sum(axis=1)
        images = image_variance(contributions, labels)
        variance = Variance.of(differences, setting.overlap, images)
        (low, high), _ = variance.interval(float(differences.mean()))
        ours.append(low <= truth <= high)
        low, high = paired_t(differences)[0]
        plain.append(low <= truth <= high)
    return float(np.mean(ours)), float(np.mean(plain))


@pytest.mark.parametrize("overlap", [0.0, 0.4, 0.8])
@pytest.mark.parametrize("images", [100, 1000, 10_000])
@pytest.mark.parametrize("replicates", [5, 10, 20])
def test_the_interval_holds_where_the_plain_one_does_not(
    replicates: int, images: int, overlap: float
) -> None:
    ours, plain = coverages(Setting(replicates, images, overlap))
    assert ours >= LEAST
    if overlap > 0 or images == 100:
        assert plain < 0.91


CHANCES = {"as others": ((0.1, 0.05), (0.1, 0.05)), "harder": ((0.05, 0.02), (0.15, 0.05))}
"""Of a common class and a rare one: that the first arm alone, and the second alone, is right."""


@pytest.mark.parametrize("kind", CHANCES)
def test_the_interval_holds_where_a_class_has_few_images(kind: str) -> None:
    # Four images on which both arms often agree, which says nothing of others of their class.
    labels, rng, hits = np.repeat([0, 1], [500, 4]), np.random.default_rng(0), []
    first, second = np.array(CHANCES[kind])[labels].T
    truth = float(np.mean([a - b for a, b in CHANCES[kind]]))
    for _ in range(1000):
        drawn = rng.random(len(labels))
        right = (drawn < first).astype(float) - (drawn > 1 - second)
        contributions = right / 2 / np.bincount(labels)[labels]
        images = image_variance(contributions[None], labels)
        low, high = Variance(5, 0.0, 0.0, images).interval(float(contributions.sum()))[0]
        hits.append(low <= truth <= high)
    assert np.mean(hits) >= LEAST


def test_a_hard_class_of_few_images_does_not_narrow_the_interval() -> None:
    rng, labels = np.random.default_rng(1), np.repeat([0, 1], [500, 4])
    values = rng.normal(size=504) * np.where(labels == 0, 0.1, 1.0)
    own = values[500:].var(ddof=1) / 4
    contributions = values / np.bincount(labels)[labels]
    found = image_variance(contributions[None], labels)
    assert found.value == pytest.approx(own + values[:500].var(ddof=1) / 500, rel=0.01)
    # Four images decide nearly all of it: a t interval of 502 degrees would be too narrow.
    assert found.freedom < 8


def recognised(right: Flags, y: Tensor) -> list[Outputs]:
    """Outputs of all replicates of an arm; the wrong answers name the next class."""
    found = []
    for row in torch.from_numpy(right):
        guesses = torch.where(row, y, (y + 1) % 3)
        found.append(Outputs.of_predictions(guesses, y, 3))
    return found


def test_the_jackknife_holds_too() -> None:
    metric = replace(METRICS["accuracy"], contributions=None, weights=None)
    y = torch.arange(300) % 3
    setting, rng, hits = Setting(5, 300, 0.4), np.random.default_rng(0), []
    shift = np.where(y == 0, -2.0, 1.0)
    truth = (true_difference(-2.0) + 2 * true_difference(1.0)) / 3
    for number in range(200):
        first, second = experiment(setting, rng, shift)
        arms = {"a": recognised(first, y), "b": recognised(second, y)}
        _, (row,) = compare(arms, metric, [("a", "b")], overlap=setting.overlap, seed=number)
        hits.append(row.ci95[0] <= truth <= row.ci95[1])
    assert np.mean(hits) >= LEAST


def test_the_jackknife_alone_has_the_variance_of_fresh_test_images() -> None:
    # Trained once and for all: the differences of many test sets vary as the jackknife says.
    metric, y, rng = METRICS["auroc"], torch.arange(300) % 3, np.random.default_rng(0)
    differences, variances = [], []
    for number in range(200):
        shared, own = rng.normal(size=(300, 3)), rng.normal(size=(2, 300, 3))
        logits = torch.from_numpy(shared + own + 1.5 * np.eye(3)[y])
        first, second = (Outputs(y=y, class_probs=one.softmax(dim=1)) for one in logits)
        differences.append(metric.of(first) - metric.of(second))
        variances.append(jackknife_variance(metric, [first], [second], seed=number).value)
    assert np.mean(variances) == pytest.approx(np.var(differences, ddof=1), rel=0.2)
