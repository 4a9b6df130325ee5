from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import Generator, Tensor

from downstream import label_graph
from downstream.label_graph import invariant_graph, margins, spread_labels


def path(count: int) -> csr_array:
    """A chain of images, each joined to the next with weight one."""
    dense = np.eye(count, k=1, dtype=np.float32)
    return csr_array(dense + dense.T)


def same(x: Tensor, rng: Generator) -> Tensor:
    return x


def shifted(x: Tensor, rng: Generator) -> Tensor:
    """Every image by one column to the left or to the right."""
    left = torch.rand(len(x), generator=rng) < 0.5
    return torch.where(left.view(-1, 1, 1, 1), x.roll(-1, 3), x.roll(1, 3))


def bars(count: int) -> Tensor:
    """Images (2 * count, 1, 8, 8): bright columns at two places, then bright rows, each with a
    little of its own."""
    rng = torch.Generator().manual_seed(0)
    x = -torch.ones(2 * count, 1, 8, 8)
    for index in range(count):
        x[index, :, :, 3 + index % 2] = 1
        x[count + index, :, 2 + index % 2, :] = 1
    return x + 0.05 * torch.rand(x.shape, generator=rng)


def test_labels_spread_along_a_chain_by_hand() -> None:
    # One step from zero: the source over the degree, at the labelled ends (degree 1) alone.
    scores = spread_labels(path(3), torch.tensor([0, 2]), torch.tensor([0, 1]), 2, steps=1)
    assert scores.tolist() == [[0.5, -0.5], [0.0, 0.0], [-0.5, 0.5]]


def test_the_nearer_label_wins() -> None:
    scores = spread_labels(path(6), torch.tensor([0, 5]), torch.tensor([0, 1]), 2)
    assert scores.argmax(dim=1).tolist() == [0, 0, 0, 1, 1, 1]
    assert scores.sum(dim=1).abs().max() < 1e-4


def test_a_class_with_many_labels_takes_no_more_of_the_graph() -> None:
    # By single labels, image 4 would go to class 0, though the label beside it is of class 1.
    scores = spread_labels(
        path(11), torch.tensor([0, 1, 2, 5, 10]), torch.tensor([0, 0, 0, 1, 2]), 3
    )
    assert scores.argmax(dim=1).tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert scores.sum(dim=1).abs().max() < 1e-4


def test_a_class_without_labels_is_never_the_largest() -> None:
    scores = spread_labels(path(6), torch.tensor([0, 5]), torch.tensor([0, 2]), 3)
    assert scores.argmax(dim=1).tolist() == [0, 0, 0, 2, 2, 2]
    assert scores[:, 1].abs().max() == 0


def test_scores_do_not_depend_on_the_order_of_the_images() -> None:
    graph, order = path(5), [3, 1, 4, 0, 2]
    plain = spread_labels(graph, torch.tensor([0, 4]), torch.tensor([0, 1]), 2)
    moved = spread_labels(
        csr_array(graph[order][:, order]), torch.tensor([3, 2]), torch.tensor([0, 1]), 2
    )  # images 0 and 4 stand at positions 3 and 2 now
    assert torch.allclose(moved, plain[order], atol=1e-5)


@pytest.mark.parametrize(("labelled", "y"), [([], []), ([0, 1], [0])])
def test_labels_must_be_there_and_fit(labelled: list[int], y: list[int]) -> None:
    with pytest.raises(ValueError, match="labels"):
        spread_labels(
            path(3),
            torch.tensor(labelled, dtype=torch.int64),
            torch.tensor(y, dtype=torch.int64),
            2,
        )


def test_margin_by_hand() -> None:
    assert torch.allclose(
        margins(torch.tensor([[0.6, 0.2, 0.2], [0.5, 0.5, 0.0]])), torch.tensor([0.4, 0.0])
    )


def test_graph_is_symmetric_without_loops_and_repeatable() -> None:
    graph = invariant_graph(bars(6), shifted, seed=0, neighbours=3, draws=2, components=5)
    dense = graph.toarray()
    assert dense.shape == (12, 12)
    assert (dense == dense.T).all()
    assert (dense.diagonal() == 0).all()
    assert ((dense > 0).sum(axis=1) >= 3).all()
    assert dense.max() <= 1
    again = invariant_graph(bars(6), shifted, seed=0, neighbours=3, draws=2, components=5)
    assert (again != graph).nnz == 0


def test_augmentation_joins_what_it_can_bring_close() -> None:
    # Columns at 3 and at 4 are one class under shifts, but as far from each other as from the rows
    # without.
    x = bars(6)

    def joined(augment: object) -> int:
        dense = invariant_graph(x, augment, seed=0, neighbours=5, draws=8, components=8).toarray()  # type: ignore[arg-type]
        return int((dense[:6:2, 1:6:2] > 0).sum())

    assert joined(same) < joined(shifted) == 9


@pytest.mark.parametrize(("count", "largest"), [(15, 32), (40, 32)])
def test_large_images_give_about_the_same_graph(
    count: int, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 64 numbers an image: by all of the covariance, then by products of 30 images, or by a search
    # among 80.
    x, options = bars(count), {"seed": 0, "neighbours": 5, "draws": 4, "components": 5}
    exact = invariant_graph(x, shifted, **options).toarray()  # type: ignore[arg-type]
    monkeypatch.setattr(label_graph, "LARGEST_SQUARE", largest)
    taken = torch.random.get_rng_state()
    dense = invariant_graph(x, shifted, **options).toarray()  # type: ignore[arg-type]
    assert torch.equal(torch.random.get_rng_state(), taken)
    agreed = ((exact > 0) & (dense > 0)).sum() / ((exact > 0) | (dense > 0)).sum()
    assert agreed > 0.9
    assert np.abs(exact - dense).mean() < 0.01
    again = invariant_graph(x, shifted, **options).toarray()  # type: ignore[arg-type]
    assert (again == dense).all()


def test_components_of_large_images_are_those_of_the_covariance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = torch.Generator().manual_seed(0)
    scales = torch.cat([torch.tensor([9.0, 7.0, 5.0, 3.0]), torch.full((36,), 0.2)])
    for count in (20, 60):
        x = 2 + scales * torch.randn(count, 40, generator=rng)
        exact, mean = label_graph._principal_components(x, 4, 0)
        with monkeypatch.context() as patch:
            patch.setattr(label_graph, "LARGEST_SQUARE", 30)
            found, same_mean = label_graph._principal_components(x, 4, 0)
        assert torch.equal(mean, same_mean)
        assert torch.allclose(found.t() @ found, torch.eye(4), atol=1e-5)
        assert torch.allclose(found @ found.t(), exact @ exact.t(), atol=1e-3)


def test_photos_of_128_pixels_need_no_covariance() -> None:
    # 49,152 numbers an image: their covariance is 9.7 GB, and its eigenvectors take hours.
    x = torch.nn.functional.interpolate(bars(10), size=(128, 128)).expand(-1, 3, -1, -1)
    dense = invariant_graph(x, shifted, seed=0, neighbours=3, draws=2, components=5).toarray()
    assert (dense[:10, 10:] == 0).all()  # columns stay apart from rows
    assert (dense > 0).any(axis=1).all()


def test_images_are_augmented_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def noted(x: Tensor, rng: Generator) -> Tensor:
        seen.append(len(x))
        return x

    monkeypatch.setattr(label_graph, "ROWS", 5)
    some = invariant_graph(bars(6), noted, seed=0, neighbours=3, draws=2, components=5)
    assert seen == [5, 5, 2, *[5, 5], *[5, 5], *[2, 2]]  # for the components, then in two versions
    monkeypatch.undo()
    whole = invariant_graph(bars(6), noted, seed=0, neighbours=3, draws=2, components=5)
    assert np.allclose(some.toarray(), whole.toarray(), atol=1e-3)


def test_more_neighbours_than_images() -> None:
    assert invariant_graph(bars(1), same, seed=0).shape == (2, 2)
