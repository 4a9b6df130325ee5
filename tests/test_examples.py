import importlib.util
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def example():
    def load(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.main

    return load


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
    assert list(result["methods"]) == ["supervised", "classical", "pseudo_label"]
    assert all(len(found["20"]["errors"]) == 2 for found in result["methods"].values())
    assert [row["baseline"] for row in result["differences"]] == ["supervised", "classical"]


def test_all_examples_are_run_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {
        "plug_into_imblearn",
        "plug_into_torchvision",
        "plug_into_albumentations",
        "semi_supervised",
    }
