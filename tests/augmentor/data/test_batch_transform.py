"""Swapped images are of the same class and in the batch's form; the others are untouched."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset, default_collate
from torchvision.transforms import v2

from augmentor.common.types import DataError
from augmentor.data.batch_transform import SyntheticBatch

WHITE = torch.ones(60, 3, 6, 6)
LABELS = torch.arange(60) % 3


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def swapped_rows(images):
    return (images != 1).flatten(1).any(1)


@pytest.mark.parametrize("live", [True, False])
def test_swaps_by_class_and_probability(images, painter, class_of, live):
    source = painter(("b", "a", "c"), (1, 8, 8)) if live else images({"b": 5, "a": 7, "c": 2})
    mixed, labels = SyntheticBatch(source, ("a", "b", "c"), p=0.5)(WHITE, LABELS)
    rows = swapped_rows(mixed)
    assert 15 < int(rows.sum()) < 45
    assert torch.equal(labels, LABELS)
    assert bool((WHITE == 1).all())
    for row in rows.nonzero().flatten().tolist():
        assert ("b", "a", "c")[class_of(mixed[row] * 2 - 1, 3)] == ("a", "b", "c")[LABELS[row]]


def test_never_and_always(images):
    synthetic = images({"a": 5, "b": 7, "c": 2})
    assert SyntheticBatch(synthetic, ("a", "b", "c"), p=0)(WHITE, LABELS)[0] is WHITE
    assert bool(
        swapped_rows(SyntheticBatch(synthetic, ("a", "b", "c"), p=1)(WHITE, LABELS)[0]).all()
    )


def test_a_class_without_synthetic_images_stays(images, painter):
    for synthetic in (
        images({"a": 5, "b": 0, "c": 2}),
        images({"c": 2, "a": 5}),
        painter(("c", "a"), (1, 8, 8)),
    ):
        mixed, _ = SyntheticBatch(synthetic, ("a", "b", "c"), p=1)(WHITE, LABELS)
        assert torch.equal(swapped_rows(mixed), LABELS != 1)


def test_stored_images_are_all_in_use(images):
    synthetic = images({"a": 4, "b": 3})
    mixed, _ = SyntheticBatch(synthetic, ("a", "b"), p=1)(
        torch.ones(80, 1, 8, 8), torch.zeros(80).long()
    )
    assert len(mixed.flatten(1).unique(dim=0)) == 4


def test_chance_follows_the_default_generator(images):
    swap = SyntheticBatch(images({"a": 5, "b": 7, "c": 2}), ("a", "b", "c"))
    torch.manual_seed(3)
    first, second = swap(WHITE, LABELS)[0], swap(WHITE, LABELS)[0]
    torch.manual_seed(3)
    assert torch.equal(swap(WHITE, LABELS)[0], first)
    assert not torch.equal(first, second)


def test_to_input_brings_the_users_normalisation(images):
    normalise = v2.Compose(
        [
            v2.RGB(),
            v2.Resize((6, 6)),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([1] * 3, [2] * 3),
        ]
    )
    synthetic = images({"a": 5, "b": 7, "c": 2})
    mixed, _ = SyntheticBatch(synthetic, ("a", "b", "c"), p=1, to_input=normalise)(-WHITE, LABELS)
    assert float(mixed[LABELS == 0].mean()) == pytest.approx((0.25 - 1) / 2, abs=0.01)


def test_bytes_stay_bytes(images):
    batch = torch.full((4, 1, 8, 8), 255, dtype=torch.uint8)
    mixed, _ = SyntheticBatch(images({"a": 1, "b": 1}), ("a", "b"), p=1)(
        batch, torch.tensor([0, 1, 0, 1])
    )
    assert mixed.dtype == torch.uint8
    assert float(mixed[0].float().mean()) == pytest.approx(64, abs=3)


def test_in_a_loader_before_mixup(images):
    swap = v2.Compose(
        [SyntheticBatch(images({"a": 5, "b": 7, "c": 2}), ("a", "b", "c")), v2.MixUp(num_classes=3)]
    )
    loader = DataLoader(
        TensorDataset(WHITE, LABELS),
        20,
        num_workers=2,
        collate_fn=lambda items: swap(*default_collate(items)),
        multiprocessing_context="fork",
    )
    for x, y in loader:
        assert x.shape == (20, 3, 6, 6)
        assert y.shape == (20, 3)


def test_wrong_use(images):
    synthetic = images({"a": 5, "b": 7, "c": 2})
    swap = SyntheticBatch(synthetic, ("a", "b", "c"), p=1)
    with pytest.raises(ValueError, match="p must lie"):
        SyntheticBatch(synthetic, ("a", "b", "c"), p=1.5)
    with pytest.raises(DataError, match="only in the synthetic images: 'c'"):
        SyntheticBatch(synthetic, ("a", "b", "d"))
    with pytest.raises(ValueError, match="class indices"):
        swap(WHITE, torch.zeros(60, 3))
    with pytest.raises(ValueError, match="give to_input"):
        swap(-WHITE, LABELS)
    with pytest.raises(ValueError, match="to_input gives images"):
        SyntheticBatch(synthetic, ("a", "b", "c"), p=1, to_input=v2.ToDtype(torch.float32))(
            WHITE, LABELS
        )


def test_a_negative_label_means_no_class_and_its_image_stays(images):
    labels = torch.where(LABELS == 1, -1, LABELS)
    labels[0] = -100  # what torch's losses ignore; more than there are classes
    synthetic = images({"a": 5, "b": 7, "c": 2})
    mixed, given = SyntheticBatch(synthetic, ("a", "b", "c"), p=1)(WHITE, labels)
    assert torch.equal(swapped_rows(mixed), labels >= 0)
    assert torch.equal(given, labels)
