import torch

from augmentor.common.types import LabelledImages
from augmentor.training.batches import SemiBatches, in_rounds


def images(n):
    return torch.arange(n, dtype=torch.float32)[:, None, None, None].expand(n, 1, 8, 8)


def test_every_round_shows_every_image_once_whatever_the_size_of_a_batch():
    for size in (3, 7, 20):
        drawn = torch.cat([in_rounds(7, size, step, 0, "a") for step in range(7)])[
            : 7 * size // 7 * 7
        ]
        for one_round in drawn.split(7):
            assert sorted(one_round.tolist()) == list(range(7))


def test_streams_and_seeds_are_independent():
    draws = [
        in_rounds(50, 50, 0, *key).tolist() for key in ((0, "a"), (1, "a"), (0, "b"), (0, "a"))
    ]
    assert draws[0] == draws[3]
    assert len({tuple(draw) for draw in draws}) == 3
    assert in_rounds(50, 50, 1, 0, "a").tolist() != draws[0]


def test_a_batch_is_a_function_of_its_step():
    labelled = LabelledImages(images(4), torch.arange(4), ("a", "b", "c", "d"))
    batches = SemiBatches(labelled, images(9), 6, 5, seed=2)
    x, y, x_unlabelled = batches(3)
    assert (len(x), len(y), len(x_unlabelled)) == (6, 6, 5)
    assert x[:, 0, 0, 0].tolist() == y.tolist()
    for first, second in zip(batches(3), batches(3), strict=True):
        assert torch.equal(first, second)


def test_augmentation_sees_both_kinds_and_draws_anew_for_each():
    labelled = LabelledImages(torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.int64), ("a",))

    def add_noise(x, rng):
        return x + torch.rand(x.shape, generator=rng)

    x, _, x_unlabelled = SemiBatches(labelled, torch.zeros(2, 1, 8, 8), 2, 2, 0, add_noise)(0)
    assert x.min() >= 0 < x.max()
    assert not torch.equal(x, x_unlabelled)
