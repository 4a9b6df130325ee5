"""MNIST under eight looks: a rule that anybody can repeat."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from augmentor.common.types import DataError
from pipelines.check import check_data
from pipelines.conditions.looks import LOOKS, looks_of, with_looks
from pipelines.config import DataConfig
from pipelines.datasets import load_data


def test_the_look_is_drawn_by_the_number_as_the_rule_says() -> None:
    digest = hashlib.sha256(b"mnist-conditions/train/7").digest()
    stated = (int.from_bytes(digest[:8], "little") >> 1) % 8
    assert int(looks_of("train", 8)[7]) == stated
    counts = torch.bincount(looks_of("test", 4000), minlength=8)
    assert int(counts.min()) > 400
    assert LOOKS.categories == tuple(sorted(LOOKS.categories))


def under(name: str, image: torch.Tensor) -> torch.Tensor:
    return with_looks(image[None], torch.tensor([LOOKS.categories.index(name)]))[0]


def test_each_look_does_what_its_name_says() -> None:
    image = torch.zeros(28, 28, dtype=torch.uint8)
    image[4:12, 14] = 255  # a line up from the middle
    assert torch.equal(under("plain", image), image)
    assert torch.equal(under("inverted", image), 255 - image)
    assert torch.equal(under("thick", image)[3:13, 13:16], torch.full((10, 3), 255).byte())
    assert int((under("blurred", image) > 0).sum()) > 8
    assert float(under("rotated +45", image)[:, :14].sum()) > 0  # to the left: counter-clockwise
    assert float(under("rotated +45", image)[:, 15:].sum()) == 0
    assert float(under("rotated -45", image)[:, :13].sum()) == 0
    shadow = under("shadow", image)
    assert int(shadow[20, 0]) < int(shadow[20, 27])
    striped = under("stripes", image)
    assert (int(striped[0, 0]), int(striped[2, 0])) == (0, 255)


def test_an_image_depends_on_itself_alone() -> None:
    images = torch.randint(0, 256, (64, 28, 28), dtype=torch.uint8)
    look = looks_of("train", 64)
    whole = with_looks(images, look)
    assert torch.equal(whole[40:41], with_looks(images[40:41], look[40:41]))


def test_it_loads_by_name_with_and_without_its_condition(real_data: Path) -> None:
    named = DataConfig(data="mnist-conditions", data_root=real_data, condition=("look",))
    bundle = load_data(named.model_copy(update={"per_class": 50}), seed=0)
    assert bundle.train.conditions == bundle.test.conditions == LOOKS
    assert (len(bundle.train), len(bundle.test)) == (500, 10_000)
    plain = load_data(named.model_copy(update={"condition": None}), seed=0)
    assert plain.train.condition is None
    assert torch.equal(plain.test.x, bundle.test.x)
    with pytest.raises(DataError, match="no column 'light'; its columns are look"):
        load_data(named.model_copy(update={"condition": ("light",)}), seed=0)
    assert "\ng = stripes\n" in check_data(named).text()
