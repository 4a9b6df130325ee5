import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from augmentor.common.types import DataError
from pipelines.config import DataConfig
from pipelines.datasets import load_data
from pipelines.gain.outside import open_outside

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def example_module():
    def load(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def example(example_module):
    return lambda name: example_module(name).main


def test_imblearn(example):
    plain, oversampled = example("plug_into_imblearn")(steps=5)
    assert 0.5 < plain < 1
    assert 0.5 < oversampled < 1


def test_torchvision(example):
    shapes = example("plug_into_torchvision")(steps=5)
    assert {shape[1] for shape in shapes} == {10}
    assert sum(shape[0] for shape in shapes) == 901  # the training half


def test_albumentations(example):
    run = example("plug_into_albumentations")
    first, second = run(steps=5)
    assert all(image.shape == (8, 8, 1) and image.dtype == np.uint8 for image in first + second)
    assert any((a != b).any() for a, b in zip(first, second, strict=True))
    again, _ = run(steps=5)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))


def test_semi_supervised(example):
    result = example("semi_supervised")(steps=3)
    assert list(result["methods"]) == [
        "supervised",
        "classical",
        "pseudo_label",
        "fixmatch",
        "graph_fixmatch",
    ]
    assert all(len(found["20"]["errors"]) == 2 for found in result["methods"].values())
    assert [row["baseline"] for row in result["differences"]] == [
        "supervised",
        "classical",
        "pseudo_label",
        "fixmatch",
    ]


def test_toy_ring(example, tmp_path):
    results = example("toy_ring")(steps=20, seeds=(1, 2), picture=tmp_path / "ring.png")
    assert list(results) == ["GAN", "WGAN", "WGAN-GP", "FM-GAN", "VAE+FM"]
    assert all(
        0 <= modes <= 8 and 0 <= good <= 1 for found in results.values() for modes, good in found
    )
    assert all(len(found) == 2 for found in results.values())
    assert (tmp_path / "ring.png").stat().st_size > 10_000


def test_edit_digits(example, tmp_path):
    rows = example("edit_digits")(steps=3, folder=tmp_path)
    assert {path.stem for path in tmp_path.glob("*.png")} == set(rows)
    assert list(rows) == [
        "reconstruct",
        "morph",
        "transfer",
        "inpaint",
        "mix-identities",
        "frontalize",
    ]
    assert torch.equal(rows["morph"][:, 0], rows["reconstruct"][:, 1])
    own = rows["transfer"][torch.arange(10), 1 + torch.arange(10)]
    assert torch.allclose(own, rows["reconstruct"][:, 1], atol=1e-5)


def test_images_of_another_generator(example, tmp_path):
    folders = {path.name: path for path in example("images_of_another_generator")(tmp_path, 20)}
    data = load_data(DataConfig(data=str(folders.pop("digits"))), 0)
    assert set(data.train.counts.values()) == {10}
    copies = folders.pop("copies_of_test")
    with pytest.raises(DataError, match=f"{len(data.test)} images are copies of test images"):
        open_outside([copies], data, tmp_path)
    names = ["copies_of_training", "kernel_density", "shuffled_labels"]
    opened = open_outside([folders[name] for name in names], data, tmp_path)
    assert [len(one.images) for one in opened] == [100, 200, 200]
    assert "100 of 100 images are training images" in opened[0].remarks[0]
    assert not any("may be copies" in words for one in opened[1:] for words in one.remarks)


def test_the_ring_scores_itself_as_good_and_one_mode_as_one(example_module):
    ring = example_module("toy_ring")
    points = ring.real_points(4000, torch.Generator().manual_seed(0))
    modes, good = ring.score(points)
    assert modes == 8
    assert good == pytest.approx(
        1 - math.exp(-4.5), abs=0.005
    )  # three sigma of a normal in the plane
    assert ring.score(ring.CENTRES[:1].expand(100, 2)) == (1, 1.0)
    assert ring.score(torch.zeros(100, 2)) == (0, 0.0)
    assert ring.table({"GAN": [(8, 1.0), (5, 0.25)]}).splitlines()[2] == "| GAN | 8 5 | 100% 25% |"


def test_all_examples_are_run_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {
        "edit_digits",
        "images_of_another_generator",
        "plug_into_imblearn",
        "plug_into_torchvision",
        "plug_into_albumentations",
        "semi_supervised",
        "toy_ring",
    }
