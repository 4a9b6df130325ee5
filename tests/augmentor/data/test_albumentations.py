"""Swapped images are of the same class; seeded items differ where they should and repeat where they
should."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import augmentor.data.albumentations as own
from augmentor.common.types import DataError
from augmentor.data.albumentations import SeededItems, SyntheticReplace, albumentations
from augmentor.data.numbered_draws import Draw
from augmentor.data.synthetic_store import Recipe, trained_on_digest, write_set

CLASSES = ("a", "b", "c")
GREY = np.full((10, 12), 200, dtype=np.uint8)


def test_the_rest_of_the_room_does_without_albumentations(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("augmentor")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "albumentations", None)  # importing it is an error now
    names = [
        path.stem
        for path in Path(own.__file__).parent.glob("*.py")
        if path.stem != "albumentations"
    ]
    assert "synthetic_mix" in names
    for name in names:
        importlib.import_module(f"augmentor.data.{name}".removesuffix(".__init__"))
    with pytest.raises(ImportError):
        importlib.import_module("augmentor.data.albumentations")


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("given", [str, int])
def test_replaces_by_an_image_of_the_class(images, painter, class_of, live, given):
    source = painter(("b", "a", "c"), (1, 8, 8)) if live else images({"b": 5, "a": 7, "c": 2})
    replace = albumentations.Compose([SyntheticReplace(source, CLASSES, p=1)])
    for label, name in enumerate(CLASSES):
        image = replace(image=GREY, synthetic_metadata=name if given is str else np.int64(label))[
            "image"
        ]
        assert (image.shape, image.dtype) == (GREY.shape, np.uint8)
        assert ("b", "a", "c")[class_of(torch.tensor(image / 127.5 - 1), 3)] == name


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_form_of_the_image(images, channels, dtype):
    image = np.ones((10, 12, channels), dtype=dtype)
    replaced = SyntheticReplace(images({"a": 5, "b": 7}), ("a", "b"), p=1)(
        image=image, synthetic_metadata="b"
    )["image"]
    assert (replaced.shape, replaced.dtype) == (image.shape, dtype)
    white = 255 if dtype == np.uint8 else 1
    assert float(replaced.mean()) / white == pytest.approx(0.5, abs=0.02)


NORMALIZED = np.full((8, 8), 1.7, dtype=np.float32)


@pytest.mark.parametrize("image", [NORMALIZED, -NORMALIZED, GREY.astype(np.uint16), GREY / 255])
def test_images_of_another_range_or_type_are_refused(images, image):
    replace = SyntheticReplace(images({"a": 5, "b": 7}), ("a", "b"), p=1)
    with pytest.raises(ValueError, match=f"got {image.dtype} from .*: place it before Normalize"):
        replace(image=image, synthetic_metadata="b")


def test_probability(images):
    replace = albumentations.Compose(
        [SyntheticReplace(images({"a": 5, "b": 7}), ("a", "b"), p=0.3)], seed=0
    )
    replaced = [
        (replace(image=GREY, synthetic_metadata="a")["image"] != 200).any() for _ in range(300)
    ]
    assert 60 < sum(replaced) < 120


def test_a_class_without_synthetic_images_stays(images):
    replace = SyntheticReplace(images({"a": 5, "b": 0}), ("a", "b"), p=1)
    assert (replace(image=GREY, synthetic_metadata="b")["image"] == GREY).all()


def test_another_metadata_key_and_wrong_use(images):
    replace = SyntheticReplace(images({"a": 5, "b": 1}), ("a", "b"), metadata_key="kind", p=1)
    assert (replace(image=GREY, kind="a")["image"] != 200).any()
    assert "kind" in repr(replace)
    with pytest.raises(ValueError, match="kind"):
        replace(image=GREY)
    for unknown in ("z", 2, -1):
        with pytest.raises(ValueError, match=r"unknown class .*: known are 'a', 'b'"):
            replace(image=GREY, kind=unknown)
    with pytest.raises(ValueError, match="less than or equal to 1"):
        SyntheticReplace(images({"a": 5, "b": 1}), ("a", "b"), p=2)
    with pytest.raises(DataError, match="only in the synthetic images: 'b'"):
        SyntheticReplace(images({"a": 5, "b": 1}), ("a", "z"))


class Ramps:
    """Twelve equal images, so that whatever differs comes from the transforms."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)), index % 2


def seeded(images, seed=0):
    steps = [
        SyntheticReplace(images({"a": 9, "b": 9}), ("a", "b"), p=0.5),
        albumentations.HorizontalFlip(p=0.5),
        albumentations.RandomBrightnessContrast(p=1),
        albumentations.OneOf(
            [albumentations.GaussNoise(p=1), albumentations.Affine(rotate=(-40, 40), p=1)], p=0.9
        ),
    ]
    return SeededItems(Ramps(), albumentations.Compose(steps), seed, label_key="synthetic_metadata")


def epochs(dataset, workers, number=2):
    """The items of some epochs as bytes, in order."""
    loader = DataLoader(
        dataset,
        batch_size=3,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="fork" if workers else None,
    )
    found = []
    for epoch in range(number):
        dataset.set_epoch(epoch)
        found.append([row.numpy().tobytes() for x, _ in loader for row in x])
    return found


def test_items_differ_between_items_workers_and_epochs_and_repeat_for_a_seed(images):
    alone, shared = epochs(seeded(images), 0), epochs(seeded(images), 2)
    assert alone == shared
    assert len({item for epoch in alone for item in epoch}) >= 23
    assert epochs(seeded(images, seed=1), 0, 1)[0] != alone[0]


def test_order_of_reading_does_not_matter(images):
    dataset = seeded(images)
    backwards = [dataset[i][0] for i in reversed(range(12))][::-1]
    assert all((dataset[i][0] == backwards[i]).all() for i in range(12))
    assert (dataset[-1][0] == dataset[11][0]).all()
    assert (dataset[Draw(3, 0)][0] == dataset[3][0]).all()
    assert (dataset[Draw(3, 1)][0] != dataset[3][0]).any(), "drawn again, with chance of its own"


def test_transforms_of_one_item_are_independent():
    steps = [albumentations.HorizontalFlip(p=0.5), albumentations.VerticalFlip(p=0.5)]
    dataset = SeededItems(Ramps(), albumentations.Compose(steps), seed=0)
    corners = Counter()
    for epoch in range(30):
        dataset.set_epoch(epoch)
        corners.update(int(dataset[i][0][0, 0]) for i in range(12))
    assert set(corners) == {0, 7, 56, 63}
    assert min(corners.values()) > 60


def test_dicts_are_refused_and_where_to_augment_them_is_said():
    rows = [{"image": np.zeros((8, 8), dtype=np.uint8), "label": 1}]
    with pytest.raises(TypeError, match=r"dicts of image, label, .* Hugging Face by set_transform"):
        SeededItems(rows, albumentations.HorizontalFlip(), seed=0)[0]


def test_pickles_and_ends(images):
    dataset = seeded(images)
    dataset.set_epoch(4)
    again = pickle.loads(pickle.dumps(dataset))
    assert again.epoch == 4
    assert all((again[i][0] == dataset[i][0]).all() for i in range(12))
    assert len(list(dataset)) == len(dataset) == 12
    with pytest.raises(ValueError, match="seed"):
        SeededItems(Ramps(), albumentations.HorizontalFlip(), seed=-1)


@pytest.fixture
def stored(images, tmp_path):
    """A set on disk: three images of "a", two of "b"."""
    made = images({"a": 3, "b": 2})
    seen = np.array([1], dtype=np.int64)
    recipe = Recipe(
        "cvae_gan",
        "0" * 64,
        ("a", "b"),
        (1, 8, 8),
        {"a": 3, "b": 2},
        0,
        "none",
        trained_on_digest(seen),
    )

    def render(label, number, first):
        x = made.x[made.y == label][first : first + number]
        return x, torch.arange(first, first + number)

    write_set(tmp_path / "set", recipe, seen, render)
    return tmp_path / "set"


@pytest.mark.parametrize("form", ["json", "yaml"])
@pytest.mark.parametrize("composed", [True, False])
def test_a_saved_pipeline_loads_and_draws_the_same(stored, tmp_path, monkeypatch, form, composed):
    monkeypatch.chdir(stored.parent)
    replace = SyntheticReplace(stored.name, ("a", "b"), metadata_key="kind", p=1)
    flip = albumentations.HorizontalFlip(p=0.5)
    pipeline = albumentations.Compose([replace, flip]) if composed else replace
    albumentations.save(pipeline, tmp_path / "saved", data_format=form)
    monkeypatch.chdir("/")
    again = albumentations.load(tmp_path / "saved", data_format=form)
    assert again.to_dict() == pipeline.to_dict()
    for one in (pipeline, again):
        one.set_random_seed(3)
    first, second = (one(image=GREY, kind="b")["image"] for one in (pipeline, again))
    assert (first == second).all()
    assert (first != GREY).any()


def test_images_from_memory_cannot_be_saved(images):
    replace = SyntheticReplace(images({"a": 5, "b": 7}), ("a", "b"))
    with pytest.raises(NotImplementedError, match="give that folder as `synthetic`"):
        albumentations.to_dict(albumentations.Compose([replace]))
