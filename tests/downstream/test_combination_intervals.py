"""Recall on missing combinations where every replicate misses others: parts of single images, and
how often the interval holds the true difference.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import recall_score

from downstream.comparison import compare, image_variance
from downstream.metrics import METRICS, Floats, MissingOutputError, Outputs

MISSING, CLASSES, BINS = METRICS["missing_combinations"], 6, 5
CHANCES = (0.75, 0.6)
"""Mean chance that each of the two arms recognises an image of a missing combination."""


def outputs_of(y: torch.Tensor, hit: torch.Tensor, missing: torch.Tensor) -> Outputs:
    guess = torch.where(hit, y, (y + 1) % CLASSES)
    probs = torch.eye(CLASSES)[guess]
    return Outputs(y=y, class_probs=probs, coverage=torch.where(missing, 2, 0))


def random_outputs(seed: int, share: float = 0.4, count: int = 300) -> Outputs:
    rng = torch.Generator().manual_seed(seed)
    hit, missing = torch.rand(2, count, generator=rng)
    return outputs_of(torch.arange(count) % CLASSES, hit < 0.7, missing < share)


@pytest.mark.parametrize("seed", range(5))
def test_the_parts_of_images_sum_to_the_score(seed: int) -> None:
    outputs = random_outputs(seed, share=(0.01, 0.1, 0.4, 0.9, 1.0)[seed])
    assert MISSING.contributions is not None
    assert MISSING.contributions(outputs).sum() == pytest.approx(MISSING.of(outputs))


def test_where_all_images_are_of_missing_combinations_the_score_is_balanced_accuracy() -> None:
    outputs, balanced = random_outputs(0, share=1.1), METRICS["balanced_accuracy"]
    assert MISSING.of(outputs) == pytest.approx(balanced.of(outputs))
    assert MISSING.contributions is not None
    assert balanced.contributions is not None
    parts = MISSING.contributions(outputs)
    np.testing.assert_allclose(parts, balanced.contributions(outputs), atol=1e-12)


def test_the_variance_is_that_of_the_chosen_images_alone() -> None:
    outputs = random_outputs(1)
    assert MISSING.contributions is not None
    assert outputs.y is not None
    assert outputs.coverage is not None
    assert outputs.class_probs is not None
    y, chosen = outputs.y.numpy(), (outputs.coverage == 2).numpy()
    hit = (outputs.class_probs.argmax(dim=1) == outputs.y).numpy()
    parts = MISSING.contributions(outputs)[None]
    for label in range(CLASSES):
        mine = y == label
        own = hit[chosen & mine].astype(float)
        found = image_variance(parts[:, mine], y[mine])
        assert found.value == pytest.approx(own.var(ddof=1) / len(own) / CLASSES**2)


def test_an_arm_that_recognises_all_has_no_variance_whatever_is_missing() -> None:
    y = torch.arange(60) % CLASSES
    rows = []
    for seed in range(3):
        missing = torch.rand(60, generator=torch.Generator().manual_seed(seed)) < 0.5
        outputs = outputs_of(y, torch.ones(60, dtype=torch.bool), missing)
        assert MISSING.contributions is not None
        rows.append(MISSING.contributions(outputs))
    assert image_variance(np.array(rows), y.numpy()).value == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", ["missing_combinations", "worst_combination"])
def test_outputs_without_conditions_are_refused_with_the_next_step(name: str) -> None:
    outputs = replace(random_outputs(0), coverage=None)
    with pytest.raises(MissingOutputError, match=r"which these outputs lack; .* --condition"):
        METRICS[name].of(outputs)


def test_the_worst_combination_is_the_lowest_recall_of_scikit_learn() -> None:
    outputs = random_outputs(2)
    assert outputs.y is not None
    assert outputs.class_probs is not None
    place = torch.arange(len(outputs)) // CLASSES % BINS
    guess, recalls = outputs.class_probs.argmax(dim=1), []
    for bin_index in range(BINS):
        own = place == bin_index
        recalls.extend(recall_score(outputs.y[own], guess[own], average=None))
    outputs = replace(outputs, combination=outputs.y * BINS + place)
    assert METRICS["worst_combination"].of(outputs) == pytest.approx(min(recalls))


def experiment(replicates: int, images: int, rng: np.random.Generator) -> bool:
    """Whether the interval of one experiment holds the true difference.

    Test images are drawn once. Every replicate draws three rare classes and the conditions that
    they keep; its networks have chances of their own for every class and condition.
    """
    y = torch.arange(images) % CLASSES
    place = torch.from_numpy(rng.integers(BINS, size=images))
    ease: Floats = rng.normal(0, 0.08, images)  # of an image, for both arms
    arms: tuple[list[Outputs], list[Outputs]] = ([], [])
    for _ in range(replicates):
        rare = torch.from_numpy(rng.permutation(CLASSES)[:3])
        kept = torch.from_numpy(rng.integers(BINS, size=CLASSES))
        missing = torch.isin(y, rare) & (place != kept[y])
        for own, chance in zip(arms, CHANCES, strict=True):
            of_training = rng.normal(0, 0.03)
            chances = np.clip(chance + of_training + ease, 0, 1)
            hit = torch.from_numpy(rng.random(images) < chances)
            own.append(outputs_of(y, hit, missing))
    found = compare({"a": arms[0], "b": arms[1]}, MISSING, [("a", "b")], overlap=0)[1][0]
    low, high = found.ci95
    return bool(low <= CHANCES[0] - CHANCES[1] <= high)


@pytest.mark.parametrize(("replicates", "images"), [(5, 300), (10, 600)])
def test_the_interval_holds_the_true_difference_where_replicates_miss_others(
    replicates: int, images: int
) -> None:
    rng = np.random.default_rng(replicates)
    held = np.mean([experiment(replicates, images, rng) for _ in range(200)])
    assert held >= 0.93
