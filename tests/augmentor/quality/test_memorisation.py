from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from augmentor.quality.memorisation import copied_share, memorisation_test, nearest


def draw(n: int, seed: int, scale: float = 1.0) -> Tensor:
    return torch.randn(n, 1, 3, 3, generator=torch.Generator().manual_seed(seed)) * scale


@pytest.mark.parametrize("chunk", [1, 7, 512])
def test_nearest_is_the_nearest(chunk: int) -> None:
    a, b = draw(20, 0), draw(31, 1)
    distances, indices = nearest(a, b, chunk)
    table = np.linalg.norm(a.flatten(1).numpy()[:, None] - b.flatten(1).numpy()[None], axis=2)
    assert indices.tolist() == table.argmin(axis=1).tolist()
    np.testing.assert_allclose(distances.numpy(), table.min(axis=1), rtol=1e-5)


def test_a_copy_is_at_distance_zero() -> None:
    train = draw(40, 0, scale=100.0)
    distances, indices = nearest(train[[7, 3]], train)
    assert distances.tolist() == [0.0, 0.0]
    assert indices.tolist() == [7, 3]


def test_copies_are_found() -> None:
    train, holdout = draw(200, 0), draw(150, 1)
    found = memorisation_test(train, holdout, train[:100] + 0.05 * draw(100, 2))
    assert found.p < 1e-20
    assert found.statistic < -8
    assert found.share_closer > 0.99
    assert found.near_copies > 0.95
    assert found.median_sample < 0.5 * found.median_holdout


def test_fresh_draws_are_not_called_copies() -> None:
    p_values = [
        memorisation_test(draw(100, s), draw(80, s + 100), draw(80, s + 200)).p for s in range(40)
    ]
    assert 0.25 < np.mean(p_values) < 0.75
    assert np.mean(np.array(p_values) < 0.05) < 0.2


def test_samples_farther_away_give_a_large_p() -> None:
    found = memorisation_test(draw(100, 0), draw(80, 1), draw(80, 2, scale=5.0))
    assert found.p > 0.999
    assert found.statistic > 5
    assert found.near_copies == 0


def test_share_closer_by_hand() -> None:
    # Distances of samples 1 and 3, of unseen images 2 and 4: 3 of 4 pairs have the sample nearer.
    train, holdout, samples = (
        torch.tensor([[0.0]]),
        torch.tensor([[2.0], [4.0]]),
        torch.tensor([[1.0], [3.0]]),
    )
    found = memorisation_test(train, holdout, samples)
    assert found.share_closer == pytest.approx(0.75)
    assert found.statistic == pytest.approx(-1 / (4 * 5 / 12) ** 0.5)
    assert (found.median_sample, found.median_holdout) == (1.0, 2.0)


def test_copied_share_stays_within_its_error_without_copies() -> None:
    """Samples near the mean are nearer to everything; only the comparison with unseen images is
    fair to them."""
    off = []
    for seed in range(30):
        train, holdout, blurred = (
            draw(600, seed),
            draw(200, seed + 100),
            draw(400, seed + 200, scale=0.3),
        )
        assert memorisation_test(train, holdout, blurred).p < 1e-6
        share, error = copied_share(train, holdout, blurred)
        off.append(share / error)
    assert abs(np.mean(off)) < 0.6
    assert 0.6 < np.std(off) < 1.4


@pytest.mark.parametrize("copies", [0, 100, 200])
def test_copied_share_is_the_share_of_copies(copies: int) -> None:
    train, holdout = draw(600, 0), draw(400, 1)
    samples = torch.cat([train[:copies] + 0.01, draw(200 - copies, 2)])
    share, error = copied_share(train, holdout, samples)
    assert share == pytest.approx(copies / 200, abs=0.15)
    assert error < 0.15


def test_copied_share_by_hand() -> None:
    # Class 0: one of two samples nearer to training, 2 of 3 expected; class 1: none of one, 1 of 2
    # expected. Class 2 has no unseen image.
    train, holdout = torch.tensor([[0.0], [9.0], [20.0], [5.0]]), torch.tensor([[1.0], [22.0]])
    samples = torch.tensor([[0.2], [0.9], [21.5], [5.0]])
    classes = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1]), torch.tensor([0, 0, 1, 2])
    expected = 2 * 2 / 3 + 0.5
    share, error = copied_share(train, holdout, samples, classes)
    assert share == pytest.approx((1 - expected) / (3 - expected))
    assert error == pytest.approx((2 * 2 / 9 + 1 / 4) ** 0.5 / (3 - expected))


def test_copied_share_with_classes_forgives_other_class_shares() -> None:
    """Training images nearly all of class 0, samples all of class 1: without classes that looks
    like the opposite."""
    y, test_y = (torch.arange(600) % 20 == 0).long(), (torch.arange(400) % 2).long()
    train, holdout = (
        draw(600, 0) + 9 * y[:, None, None, None],
        draw(400, 1) + 9 * test_y[:, None, None, None],
    )
    samples, samples_y = draw(300, 2) + 9, torch.ones(300, dtype=torch.int64)
    assert copied_share(train, holdout, samples)[0] < -0.5
    share, error = copied_share(train, holdout, samples, (y, test_y, samples_y))
    assert abs(share) < 3 * error < 0.3


def test_copied_share_of_nothing_is_not_a_number() -> None:
    assert math.isnan(copied_share(draw(3, 0), draw(0, 1), draw(3, 2))[0])


def test_sets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="filled b"):
        nearest(draw(3, 0), draw(0, 1))
    with pytest.raises(ValueError, match="filled b"):
        nearest(torch.zeros(3, 4), torch.zeros(3, 5))
    with pytest.raises(ValueError, match="need unseen images"):
        memorisation_test(draw(3, 0), draw(0, 1), draw(3, 2))


def test_a_copy_among_images_that_hardly_differ_is_at_distance_zero() -> None:
    pixels = torch.full((100, 28 * 28), 200.0)
    pixels[torch.arange(100), torch.arange(100)] += 1
    x = pixels / 127.5 - 1
    distances, _ = nearest(x, x[:4])
    assert distances[:4].tolist() == [0.0] * 4
    assert float(distances[4:].min()) > 0
