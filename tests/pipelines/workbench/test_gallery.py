from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from augmentor.common.types import LabelledImages
from augmentor.data import lazy_images
from augmentor.data.lazy_images import LazyImages, RowsInMemory
from downstream.arms.policy import recipe_of
from pipelines.experiment.parts import FinishedPart, Part, PartStore
from pipelines.workbench import gallery
from pipelines.workbench.gallery import keep_gallery, nearest_images
from tests.pipelines.workbench.test_workbench import bench, images, trained

__all__ = ["trained"]
IMAGE = 4 * 8 * 8  # bytes
AT_ONCE = 7  # images


def kept(folder: Path, train: LabelledImages) -> FinishedPart:
    """The pictures of a replicate with one arm that renders."""
    own, store, part = bench(pool=False), PartStore(folder), Part("gallery", "replicate 000", {})
    own.train = train
    keep_gallery(part, own, store, [recipe_of("synthetic")])
    return store.read(part)


@pytest.mark.usefixtures("trained")
def test_pictures_of_images_that_stay_on_disk_are_those_of_images_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    class Counted(RowsInMemory):
        def floats(self, rows: Tensor) -> Tensor:
            read.append(len(rows))
            return super().floats(rows)

    monkeypatch.setattr(lazy_images, "AT_ONCE", 1)
    monkeypatch.setattr(gallery, "READ_TOGETHER", AT_ONCE * IMAGE)
    x = LazyImages([Counted(images().x)], most=AT_ONCE * IMAGE)
    found = kept(tmp_path / "disk", replace(images(), x=x))
    wanted = kept(tmp_path / "memory", images())
    assert read
    assert max(read) <= AT_ONCE
    assert found.content == wanted.content
    assert found.tensors.keys() == wanted.tensors.keys()
    for name, tensor in wanted.tensors.items():
        torch.testing.assert_close(found.tensors[name], tensor)


@pytest.mark.parametrize("pieces", [1, 3, 100])
def test_the_nearest_images_are_found_whatever_is_read_at_a_time(
    pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "READ_TOGETHER", pieces * IMAGE)
    rng = torch.Generator().manual_seed(0)
    known = torch.rand(20, 1, 8, 8, generator=rng) * 2 - 1
    numbers, distances = nearest_images(known[[13, 2]], known)
    assert numbers[:, 0].tolist() == [13, 2]
    assert distances[:, 0].tolist() == pytest.approx([0, 0], abs=1e-3)
    for row, image in enumerate(known[[13, 2]]):
        exact = (known - image).square().mean(dim=(1, 2, 3)).sqrt() / 2
        assert numbers[row].tolist() == exact.argsort()[:4].tolist()
        assert distances[row].tolist() == pytest.approx(exact.sort().values[:4].tolist(), abs=1e-3)


def test_few_images_have_few_neighbours() -> None:
    numbers, distances = nearest_images(images().x, images().x[:2])
    assert numbers.shape == distances.shape == (20, 2)
