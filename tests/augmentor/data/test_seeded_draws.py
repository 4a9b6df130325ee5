"""Items repeat for a seed and differ otherwise, and the global generators are as they were."""

import pickle
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from augmentor.data.numbered_draws import NumberedDraws
from augmentor.data.seeded_draws import SeededDraws


class Noise(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.rand(3), random.random()


def items(seed, epoch):
    noise = SeededDraws(Noise(), seed)
    noise.set_epoch(epoch)
    return [(*x.tolist(), y) for x, y in (noise[i] for i in range(6))]


def test_items_are_a_function_of_seed_epoch_and_index():
    assert items(0, 0) == items(0, 0)
    seen = [item for seed, epoch in ((0, 0), (0, 1), (1, 0)) for item in items(seed, epoch)]
    assert len({item[0] for item in seen}) == len({item[-1] for item in seen}) == 18


def test_order_does_not_matter_and_the_global_generators_stay():
    torch.manual_seed(5)
    random.seed(5)
    expected = torch.rand(1), random.random()
    torch.manual_seed(5)
    random.seed(5)
    noise = SeededDraws(Noise(), 0)
    assert torch.equal(noise[4][0], noise[-2][0])
    assert (torch.rand(1), random.random()) == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_an_item_that_comes_again_has_chance_of_its_own(workers):
    noise, sampler = SeededDraws(Noise(), 0), [4, 1, 4, 4, 1]
    loader = DataLoader(noise, batch_size=None, sampler=sampler, num_workers=workers)
    assert len({x[0].item() for x, _ in loader}) == 2
    draws = NumberedDraws(sampler)
    loader = DataLoader(noise, batch_size=None, sampler=draws, num_workers=workers)
    seen = [x[0].item() for x, _ in loader]
    assert len(set(seen)) == len(draws) == 5
    assert (seen[0], seen[1]) == (noise[4][0][0].item(), noise[1][0][0].item())
    assert seen == [x[0].item() for x, _ in loader], "again the same in the same epoch"


def test_pickles_and_ends():
    noise = SeededDraws(Noise(), 3)
    noise.set_epoch(4)
    again = pickle.loads(pickle.dumps(noise))
    assert again.epoch == 4
    assert torch.equal(again[2][0], noise[2][0])
    assert len(list(noise)) == len(noise) == 6
    with pytest.raises(IndexError):
        noise[6]


def test_transforms_that_draw_from_numpy_repeat_too():
    class Drawing(Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return np.random.rand()

    np.random.seed(5)
    expected = np.random.rand()
    np.random.seed(5)
    draws = SeededDraws(Drawing(), seed=0)
    assert draws[0] == draws[0] != draws[1]
    assert np.random.rand() == expected
