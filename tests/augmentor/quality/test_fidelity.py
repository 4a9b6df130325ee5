from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from augmentor.quality.fidelity import (
    class_spread,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall_density_coverage,
)


class Identity(nn.Module):
    """Hands features through torchmetrics, which wants a network."""

    num_features = 6

    def forward(self, x: Tensor) -> Tensor:
        return x


def draw(n: int, seed: int, shift: float = 0.0, scale: float = 1.0, dim: int = 6) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=rng) * scale + shift


def test_inception_score_of_certain_equal_classes_is_their_number() -> None:
    logits = 100.0 * torch.eye(4).repeat(5, 1)
    assert inception_score(logits) == pytest.approx(4.0, abs=1e-9)


def test_inception_score_by_hand() -> None:
    p = torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    by_hand = math.exp(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert inception_score(p.log()) == pytest.approx(by_hand, abs=1e-6)


def test_inception_score_is_one_if_all_get_the_same_answer() -> None:
    assert inception_score(torch.tensor([[3.0, -1.0, 0.5]]).repeat(7, 1)) == pytest.approx(
        1.0, abs=1e-9
    )


def test_frechet_distance_by_hand_in_one_dimension() -> None:
    # Means 1 and 5, variances 2 and 8: 16 + 2 + 8 - 2 * 4
    real, fake = torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [7.0]])
    assert frechet_distance(real, fake) == pytest.approx(18.0, abs=1e-9)


def test_frechet_distance_agrees_with_torchmetrics() -> None:
    real, fake = draw(200, 0), draw(150, 1, shift=0.3, scale=1.4) @ draw(6, 2)
    metric = FrechetInceptionDistance(feature=Identity())
    metric.set_dtype(torch.float64)
    metric.update(real.double(), real=True)
    metric.update(fake.double(), real=False)
    assert frechet_distance(real, fake) == pytest.approx(float(metric.compute()), rel=1e-6)


def test_frechet_distance_laws() -> None:
    a, b = draw(50, 0), draw(60, 1, shift=1.0)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-6)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(a.flip(0), b.flip(0)), rel=1e-9)


def test_frechet_distance_with_fewer_images_than_features() -> None:
    a, b = draw(4, 0, dim=30), draw(5, 1, dim=30)
    assert math.isfinite(frechet_distance(a, b))
    assert frechet_distance(a, b) > 0


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save all:UserWarning")
def test_kernel_distance_agrees_with_torchmetrics() -> None:
    real, fake = draw(80, 0), draw(80, 1, shift=0.5)
    metric = KernelInceptionDistance(feature=Identity(), subsets=1, subset_size=80)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    assert kernel_distance(real, fake) == pytest.approx(float(metric.compute()[0]), rel=1e-4)


def test_kernel_distance_by_hand() -> None:
    # D = 1, k(a, b) = (ab + 1)^3: within real k(0, 1) = 1, within fake k(2, 3) = 343, across 1, 1,
    # 27, 64
    real, fake = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [3.0]])
    assert kernel_distance(real, fake) == pytest.approx(
        1 + 343 - 2 * (1 + 1 + 27 + 64) / 4, abs=1e-9
    )


def test_kernel_distance_is_unbiased() -> None:
    values = [kernel_distance(draw(20, 2 * seed), draw(20, 2 * seed + 1)) for seed in range(60)]
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(len(values))
    assert min(values) < 0


def brute_force(real: np.ndarray, fake: np.ndarray, k: int) -> dict[str, float]:
    """The definitions, pair by pair."""

    def radius(rows: np.ndarray, i: int) -> float:
        return float(
            sorted(np.linalg.norm(rows[i] - rows[j]) for j in range(len(rows)) if j != i)[k - 1]
        )

    real_radii, fake_radii = ([radius(rows, i) for i in range(len(rows))] for rows in (real, fake))
    distances = np.array([[np.linalg.norm(a - b) for b in fake] for a in real])
    in_real = distances < np.array(real_radii)[:, None]
    in_fake = distances < np.array(fake_radii)[None, :]
    return {
        "precision": in_real.any(axis=0).mean(),
        "recall": in_fake.any(axis=1).mean(),
        "density": in_real.sum(axis=0).mean() / k,
        "coverage": in_real.any(axis=1).mean(),
    }


@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_recall_density_coverage_are_their_definitions(k: int) -> None:
    real, fake = draw(30, 0, dim=2), draw(25, 1, shift=0.8, scale=0.6, dim=2)
    found = precision_recall_density_coverage(real, fake, k)
    assert found == pytest.approx(brute_force(real.numpy(), fake.numpy(), k), abs=1e-12)
    assert 0 < found["coverage"] < 1


def test_precision_and_recall_tell_collapse_from_noise() -> None:
    real = draw(2000, 0, dim=2)
    collapsed = precision_recall_density_coverage(real, draw(2000, 1, scale=0.05, dim=2))
    noisy = precision_recall_density_coverage(real, draw(2000, 2, scale=4.0, dim=2))
    alike = precision_recall_density_coverage(real, draw(2000, 3, dim=2))
    assert collapsed["precision"] > 0.99
    assert collapsed["recall"] < 0.05
    assert collapsed["coverage"] < 0.1
    assert noisy["precision"] < 0.6
    assert noisy["recall"] > 0.9
    assert min(alike["precision"], alike["recall"], alike["coverage"]) > 0.9
    assert alike["density"] == pytest.approx(1.0, abs=0.1)


def test_class_spread_by_hand() -> None:
    x = torch.tensor([[0.0, 0.0], [9.0, 9.0], [3.0, 4.0], [0.0, 8.0]])
    spread = class_spread(x, torch.tensor([0, 1, 0, 0]), num_classes=3)
    assert float(spread[0]) == pytest.approx((5 + 8 + 5) / 3, abs=1e-6)
    assert spread[1:].isnan().all()


def test_class_spread_of_one_repeated_image_is_nothing() -> None:
    x = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0)).repeat(50, 1, 1, 1)
    assert float(class_spread(x, torch.zeros(50, dtype=torch.int64), 1)) < 0.02


@pytest.mark.parametrize(
    "metric", [frechet_distance, kernel_distance, precision_recall_density_coverage]
)
def test_sets_that_do_not_fit_are_refused(metric) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="7 features, fake 5"):
        metric(torch.zeros(9, 7), torch.zeros(9, 5))
    with pytest.raises(ValueError, match=r"real must be \(N, D\)"):
        metric(torch.zeros(1, 7), torch.zeros(9, 7))
    with pytest.raises(ValueError, match=r"fake must be \(N, D\)"):
        metric(torch.zeros(9, 7), torch.zeros(9, 7, 1))


def test_too_small_k_and_empty_logits_are_refused() -> None:
    with pytest.raises(ValueError, match="k must be at least 1"):
        precision_recall_density_coverage(torch.zeros(9, 2), torch.zeros(9, 2), k=0)
    with pytest.raises(ValueError, match="logits must be"):
        inception_score(torch.zeros(0, 3))
