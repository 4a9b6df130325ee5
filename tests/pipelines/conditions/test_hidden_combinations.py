"""The regime ``rare``: what it hides, and that it hides it for good and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from augmentor.common.conditions import Conditions
from augmentor.common.types import DataError, LabelledImages
from pipelines.conditions.hide import hide
from pipelines.config import DataConfig, config_from, dump_config, parse_config
from pipelines.config.data import RareConfig
from pipelines.datasets import load_data

CLASSES = tuple("ABCDEF")
WORDS = Conditions(("font",), ("bold", "italic", "light", "wide"))


def words() -> LabelledImages:
    """Six classes, each with five images of each of four fonts."""
    number = torch.arange(120)
    return LabelledImages(torch.zeros(120, 1, 8, 8), number % 6, CLASSES, number // 6 % 4, WORDS)


def numbers() -> LabelledImages:
    """Six classes, each with twenty images from 0 to 19 degrees."""
    number = torch.arange(120)
    angle = (number // 6).float()[:, None]
    conditions = Conditions(("angle",), centre=(9.5,), scale=(9.5,))
    return LabelledImages(torch.zeros(120, 1, 8, 8), number % 6, CLASSES, angle, conditions)


def rare(**settings: Any) -> RareConfig:
    return RareConfig(**{"classes": 3, **settings})


def rare_ones(images: LabelledImages, kept: torch.Tensor) -> list[int]:
    return [label for label, count in images.subset(kept).counts.items() if count < 20]


def test_together_all_images_and_the_seed_decides() -> None:
    images = words()
    kept, hidden = hide(rare(images=4, conditions=2), images, seed=0)
    assert torch.cat([kept, hidden]).sort().values.tolist() == list(range(120))
    assert sorted(images.subset(kept).counts.values()) == [4, 4, 4, 20, 20, 20]
    again, _ = hide(rare(images=4, conditions=2), images, seed=0)
    other, _ = hide(rare(images=4, conditions=2), images, seed=1)
    assert torch.equal(kept, again)
    assert not torch.equal(kept, other)


def test_a_rare_class_shows_as_many_conditions_as_drawn_and_all_of_them() -> None:
    images = words()
    kept, _ = hide(rare(images=4, conditions=3), images, seed=2)
    found = []
    for label in rare_ones(images, kept):
        own = images.subset(kept[images.y[kept] == label])
        found.append(set(own.condition.tolist()))  # type: ignore[union-attr]
        assert len(found[-1]) == 3
    kept, _ = hide(rare(conditions=3), images, seed=2)
    assert sorted(images.subset(kept).counts.values())[:3] == [15, 15, 15]


def test_numbers_stay_within_the_ranges() -> None:
    images = numbers()
    kept, _ = hide(rare(images=2, within={"angle": (5, 8)}), images, seed=0)
    ones = rare_ones(images, kept)
    assert len(ones) == 3
    for label in ones:
        own = images.subset(kept[images.y[kept] == label]).condition
        assert own is not None
        assert 5 <= float(own.min()) <= float(own.max()) <= 8
        assert len(own) == 2


def test_less_is_among_more() -> None:
    images = words()
    few, _ = hide(rare(images=3, conditions=3), images, seed=4)
    more, _ = hide(rare(images=7, conditions=3), images, seed=4)
    assert set(few.tolist()) < set(more.tolist())
    classes = [
        set(rare_ones(images, hide(rare(classes=n, images=3), images, 4)[0])) for n in (2, 5)
    ]
    assert classes[0] < classes[1]


def test_a_part_of_the_classes() -> None:
    for part, count in ((0.5, 3), (0.01, 1), (0.75, 5)):
        kept, _ = hide(rare(classes=part, images=3), words(), seed=0)
        assert len(rare_ones(words(), kept)) == count


@pytest.mark.parametrize(
    ("images", "regime", "sentence"),
    [
        (words(), {"classes": 6, "images": 3}, "6 of 6 classes are to be rare"),
        (words(), {"within": {"font": (0, 1)}}, "rare.within needs numbers"),
        (words(), {"images": 99}, "rare hides no image"),
        (numbers(), {"conditions": 2}, "rare.conditions needs words"),
        (numbers(), {"within": {"angle": (90, 99)}}, "has no training image with angle 90 to 99"),
        (words().without_conditions(), {"images": 2}, "name data.condition too"),
    ],
)
def test_what_does_not_fit_is_refused(
    images: LabelledImages, regime: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        hide(rare(**regime), images, seed=0)


@pytest.mark.parametrize(
    "keys",
    [
        {"rare": {"classes": 3, "images": 4}},
        {"condition": ["look"], "rare": {"classes": 3}},
        {"condition": ["look"], "rare": {"classes": 0, "images": 4}},
        {"condition": ["look"], "rare": {"classes": 1.5, "images": 4}},
        {
            "condition": ["look"],
            "rare": {"classes": 3, "conditions": 2, "within": {"look": [0, 1]}},
        },
        {"condition": ["look"], "rare": {"classes": 3, "within": {"angle": [0, 1]}}},
        {"condition": ["look"], "rare": {"classes": 3, "within": {"look": [2, 1]}}},
        {"condition": ["look"], "labels": 100, "rare": {"classes": 3, "images": 4}},
    ],
)
def test_configs_that_contradict_themselves(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DataConfig(**keys)


def test_the_config_is_written_and_read_and_hashed() -> None:
    keys = {"classes": 0.5, "images": 4, "within": {"azimuth": [-25, 25]}}
    config = config_from({"data": {"condition": ["azimuth"], "rare": keys}}, where="test")
    again = parse_config(dump_config(config), where="test")
    assert again == config
    assert hash(again.data) == hash(config.data)


def test_the_bundle_keeps_what_is_hidden_and_the_test_part(real_data: Path) -> None:
    light = {"data": "yaleb19_64", "data_root": real_data, "condition": ("azimuth", "elevation")}
    front = {"azimuth": (-25, 25), "elevation": (-25, 25)}
    whole = load_data(DataConfig(**light), seed=0)
    data = DataConfig(**light, rare=rare(classes=9, images=4, within=front))
    bundle = load_data(data, seed=0)
    assert whole.hidden is None
    assert bundle.hidden is not None
    assert len(bundle.train) + len(bundle.hidden) == len(whole.train) == 908
    assert torch.equal(bundle.test.x, whole.test.x)
    assert sorted(bundle.train.counts.values())[:10] == [4] * 9 + [45]
    assert bundle.train.conditions == whole.train.conditions
    assert bundle.regime == (
        "all 908 labels; 9 of 19 classes keep 4 images, azimuth -25 to 25, elevation -25 to 25 "
        f"({len(bundle.hidden)} hidden)"
    )
    rows = whole.train.conditions.rows(whole.train.condition)  # type: ignore[arg-type]
    assert float(rows.abs().max()) <= 1 + 1e-6
    tuned = load_data(data, seed=0, tuning=True)
    assert tuned.hidden is not None
    assert len(tuned.train) + len(tuned.hidden) + len(tuned.test) == 908


def test_letters_in_fonts_load_as_they_are(real_data: Path) -> None:
    data = DataConfig(data="fonts_32", data_root=real_data, condition=("font",))
    bundle = load_data(data.model_copy(update={"rare": rare(classes=13, conditions=3)}), seed=0)
    assert sorted(bundle.train.counts.values())[:13] == [3] * 13
    assert len(bundle.train.conditions.categories) == 482
    assert "left out" in bundle.note
