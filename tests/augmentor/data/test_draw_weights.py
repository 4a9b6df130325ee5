"""The mixing rule: by hand, and its laws."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from augmentor.data import draw_weights
from augmentor.data.draw_weights import mixed_draw_weights

CLASSES = 4
COUNTS = st.lists(st.integers(0, 9), min_size=CLASSES, max_size=CLASSES)
SHARES = st.floats(0, 1) | st.sampled_from([0.0, 0.25, 1.0])


def labels(*counts: int) -> Tensor:
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


def per_class(weights: Tensor, real: Tensor, synthetic: Tensor) -> tuple[Tensor, Tensor]:
    """Mass of every class by kind, each (K,)."""
    of_real, of_synthetic = weights.split([len(real), len(synthetic)])
    # Of no images at all, bincount gives whole numbers.
    return (
        torch.bincount(real, of_real, CLASSES).double(),
        torch.bincount(synthetic, of_synthetic, CLASSES).double(),
    )


def close(found: Tensor, expected: list[float] | Tensor) -> bool:
    return torch.allclose(
        found, torch.as_tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-15
    )


def test_every_class_equally_often_by_hand() -> None:
    weights = mixed_draw_weights(labels(6, 3, 1), labels(4, 4, 4), 3, 0.25)
    of_real = [0.75 / 18] * 6 + [0.75 / 9] * 3 + [0.75 / 3]
    assert close(weights, of_real + [0.25 / 12] * 12)


def test_a_class_with_one_kind_has_that_one_alone_by_hand() -> None:
    weights = mixed_draw_weights(labels(2, 0, 1, 0), labels(1, 4, 0, 0), CLASSES, 0.1)
    assert close(weights, [0.15, 0.15, 1 / 3, 1 / 30] + [1 / 12] * 4)


def test_real_images_in_their_own_proportions_by_hand() -> None:
    weights = mixed_draw_weights(labels(6, 3, 1), labels(4, 0, 2), 3, 0.4, balanced=False)
    assert close(weights, [0.06] * 10 + [0.05] * 4 + [0.1] * 2)


def test_only_what_a_class_lacks_by_hand() -> None:
    # Real images: all that the largest class has, 3/4, 1/4 and none of that.
    real, synthetic = labels(8, 6, 2, 0), labels(2, 2, 2, 2)
    weights = mixed_draw_weights(real, synthetic, CLASSES, 0.5, short_only=True)
    of_real = [1 / 32] * 8 + [1 / 32] * 6 + [1 / 16] * 2
    assert close(weights, of_real + [0.0] * 2 + [1 / 32] * 2 + [1 / 16] * 2 + [1 / 8] * 2)


def test_the_share_keeps_double_precision() -> None:
    weights = mixed_draw_weights(labels(1), labels(1), 1, 0.1)
    assert weights.tolist() == [0.9, 0.1]


@pytest.mark.parametrize("balanced", [True, False])
def test_nothing_synthetic(balanced: bool) -> None:
    weights = mixed_draw_weights(labels(3, 1), labels(0, 0), 2, 0, balanced=balanced)
    assert close(weights, [1 / 6] * 3 + [1 / 2] if balanced else [1 / 4] * 4)


@pytest.mark.parametrize("balanced", [True, False])
def test_nothing_real(balanced: bool) -> None:
    weights = mixed_draw_weights(labels(0, 0), labels(3, 1), 2, 1, balanced=balanced)
    assert close(weights, [1 / 6] * 3 + [1 / 2])


@given(COUNTS, COUNTS, SHARES, st.booleans())
def test_laws_of_balanced_draws(
    real_counts: list[int], synthetic_counts: list[int], share: float, short_only: bool
) -> None:
    n, m = torch.tensor(real_counts), torch.tensor(synthetic_counts)
    if not int((n + m).sum()):
        return
    real, synthetic = labels(*real_counts), labels(*synthetic_counts)
    weights = mixed_draw_weights(real, synthetic, CLASSES, share, short_only=short_only)
    assert weights.dtype == torch.float64
    assert bool((weights >= 0).all())
    assert math.isclose(float(weights.sum()), 1, rel_tol=1e-12)
    of_real, of_synthetic = per_class(weights, real, synthetic)
    there = n + m > 0
    assert close(of_real + of_synthetic, there.double() / there.sum())
    both = (n > 0) & (m > 0)
    part = torch.full((CLASSES,), share, dtype=torch.float64)
    if short_only and int(n.max()):
        part = torch.minimum(part, 1 - n.double() / n.max())
    assert close((of_synthetic * there.sum())[both], part[both])


@given(COUNTS, COUNTS, SHARES)
def test_laws_of_draws_in_own_proportions(
    real_counts: list[int], synthetic_counts: list[int], share: float
) -> None:
    real, synthetic = labels(*real_counts), labels(*synthetic_counts)
    if (share < 1 and not len(real)) or (share > 0 and not len(synthetic)):
        return
    weights = mixed_draw_weights(real, synthetic, CLASSES, share, balanced=False)
    assert math.isclose(float(weights.sum()), 1, rel_tol=1e-12)
    of_real, of_synthetic = weights.split([len(real), len(synthetic)])
    assert len(of_real.unique()) <= 1
    assert close(of_synthetic.sum(), torch.tensor(share, dtype=torch.float64))
    _, mass = per_class(weights, real, synthetic)
    there = torch.tensor(synthetic_counts) > 0
    assert close(mass, share * there.double() / there.sum().clamp(min=1))


@given(COUNTS, COUNTS, SHARES, st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(
    real_counts: list[int], synthetic_counts: list[int], share: float, short_only: bool, chance
) -> None:
    real, synthetic = labels(*real_counts), labels(*synthetic_counts)
    if not len(real) + len(synthetic):
        return
    order = list(range(len(real)))
    chance.shuffle(order)
    plain = mixed_draw_weights(real, synthetic, CLASSES, share, short_only=short_only)
    moved = mixed_draw_weights(real[order], synthetic, CLASSES, share, short_only=short_only)
    assert torch.equal(moved[: len(real)], plain[: len(real)][order])


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_outside_its_range(share: float) -> None:
    with pytest.raises(ValueError, match=r"share must lie in \[0, 1\], got"):
        mixed_draw_weights(labels(1, 1), labels(1, 1), 2, share)


def test_short_only_needs_balanced_draws() -> None:
    with pytest.raises(ValueError, match="short_only needs balanced=True"):
        mixed_draw_weights(labels(1), labels(1), 1, 0.5, balanced=False, short_only=True)


def test_images_that_are_not_there() -> None:
    some, none = labels(1, 1), labels(0, 0)
    with pytest.raises(ValueError, match="no images to draw"):
        mixed_draw_weights(none, none, 2, 0.5)
    with pytest.raises(ValueError, match=r"synthetic images are to be 0.25 of all draws"):
        mixed_draw_weights(some, none, 2, 0.25, balanced=False)
    with pytest.raises(ValueError, match=r"real images are to be 0.75 of all draws"):
        mixed_draw_weights(none, some, 2, 0.25, balanced=False)


def test_the_example_runs() -> None:
    result = doctest.testmod(draw_weights)
    assert result.attempted
    assert not result.failed
