from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from augmentor.quality.memorisation import memorisation_test, nearer_to_train, nearest


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
    p_values = [memorisation_test(draw(100, s), draw(80, s + 100), draw(80, s + 200)).p for s in range(40)]
    assert 0.25 < np.mean(p_values) < 0.75
    assert np.mean(np.array(p_values) < 0.05) < 0.2


def test_samples_farther_away_give_a_large_p() -> None:
    found = memorisation_test(draw(100, 0), draw(80, 1), draw(80, 2, scale=5.0))
    assert found.p > 0.999
    assert found.statistic > 5
    assert found.near_copies == 0


def test_share_closer_by_hand() -> None:
    # Distances of samples 1 and 3, of unseen images 2 and 4: 3 of 4 pairs have the sample nearer.
    train, holdout, samples = torch.tensor([[0.0]]), torch.tensor([[2.0], [4.0]]), torch.tensor([[1.0], [3.0]])
    found = memorisation_test(train, holdout, samples)
    assert found.share_closer == pytest.approx(0.75)
    assert found.statistic == pytest.approx(-1 / (4 * 5 / 12) ** 0.5)
    assert (found.median_sample, found.median_holdout) == (1.0, 2.0)


def test_nearer_to_train_favours_neither_for_blurred_samples() -> None:
    """Samples near the mean are nearer to everything; only the comparison with unseen images is fair to them."""
    train, holdout, blurred = draw(500, 0), draw(500, 1), draw(400, 2, scale=0.3)
    assert memorisation_test(train, holdout, blurred).p < 1e-6
    share = nearer_to_train(train, holdout, blurred)
    assert 0.4 < share < 0.6
    assert nearer_to_train(holdout, train, blurred) == pytest.approx(1 - share)


def test_nearer_to_train_finds_copies_and_halves_ties() -> None:
    train, holdout = draw(50, 0), draw(50, 1)
    assert nearer_to_train(train, holdout, train[:20] + 0.01) == 1.0
    assert nearer_to_train(train, train, draw(20, 2)) == 0.5


def test_sets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="filled b"):
        nearest(draw(3, 0), draw(0, 1))
    with pytest.raises(ValueError, match="filled b"):
        nearest(torch.zeros(3, 4), torch.zeros(3, 5))
    with pytest.raises(ValueError, match="need unseen images"):
        memorisation_test(draw(3, 0), draw(0, 1), draw(3, 2))
    with pytest.raises(ValueError, match="equal numbers"):
        nearer_to_train(draw(3, 0), draw(4, 1), draw(3, 2))
