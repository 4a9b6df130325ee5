"""What synthetic images betray of their source's training images."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from augmentor.quality.membership import membership_attack


def drawn(seed: int, *sizes: int) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(size, 6, generator=draw) for size in sizes]


def zeros(*sets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    a, b, c = (torch.zeros(len(one), dtype=torch.int64) for one in sets)
    return a, b, c


def test_it_is_the_area_under_the_curve_of_the_distances() -> None:
    members, others, samples = drawn(0, 40, 30, 50)
    found = membership_attack(members, others, samples, zeros(members, others, samples))
    distance = torch.cdist(torch.cat([members, others]), samples).amin(dim=1)
    truth = [1] * 40 + [0] * 30
    assert found.auroc == pytest.approx(roc_auc_score(truth, -distance), abs=1e-6)
    u = mannwhitneyu(-distance[:40], -distance[40:]).statistic
    assert found.auroc == pytest.approx(u / 1200, abs=1e-6)
    assert (found.members, found.non_members, found.samples) == (40, 30, 50)


def test_equal_distances_are_a_guess() -> None:
    same = torch.ones(5, 6)
    assert membership_attack(same, same, same, zeros(same, same, same)).auroc == 0.5


def test_a_source_that_learned_the_distribution_betrays_nobody() -> None:
    """The interval covers one half in about 95 of 100 draws, as the stated error says."""
    covered = 0
    for seed in range(100):
        members, others, samples = drawn(seed, 200, 200, 300)
        found = membership_attack(members, others, samples, zeros(members, others, samples))
        covered += abs(found.auroc - 0.5) < 1.96 * found.error
    assert covered >= 90


@pytest.mark.parametrize("size", [1, 2, 4])
def test_few_images_of_many_classes_raise_no_alarm(size: int) -> None:
    """Of one image on either side the attack is right or wrong; by chance it is often right."""
    alarms = 0
    for seed in range(200):
        members, others, samples = drawn(seed, 10 * size, 10 * size, 50)
        labels = [torch.arange(len(x)) % 10 for x in (members, others, samples)]
        found = membership_attack(members, others, samples, (labels[0], labels[1], labels[2]))
        alarms += found.at_least > 0.5
    assert alarms <= 10


def test_a_source_that_shows_half_of_its_training_images_betrays_them() -> None:
    members, others, fresh = drawn(1, 400, 400, 400)
    samples = torch.cat([fresh[:200], members[:200] + 0.01 * fresh[200:]])
    found = membership_attack(members, others, samples, zeros(members, others, samples))
    assert found.at_least > 0.55


def test_neighbours_are_of_the_same_class() -> None:
    """Images of the other class lie nearer, and do not count."""
    members, others = torch.tensor([[0.0], [10.0]]), torch.tensor([[2.0], [12.0]])
    samples, labels = torch.tensor([[0.0], [10.0], [2.0], [12.0]]), torch.tensor([0, 1])
    kinds = torch.tensor([0, 1, 1, 0])
    found = membership_attack(members, others, samples, (labels, labels, kinds))
    assert found.auroc == 1.0


def test_without_a_common_class_there_is_nothing_to_say() -> None:
    one, labels = torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match="no class"):
        membership_attack(one, one, one, (labels, labels + 1, labels))
