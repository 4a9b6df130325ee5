"""The setup that all jobs keep and show says the same of the same things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.compare.plan import compare_plan
from pipelines.compare.run import setup_of as of_compare
from pipelines.config import config_from
from pipelines.gain.plan import gain_plan
from pipelines.gain.run import setup_of as of_gain
from pipelines.semi.plan import semi_plan
from pipelines.semi.run import setup_of as of_semi
from pipelines.verify.plan import verify_plan
from pipelines.verify.run import setup_of as of_verify
from tests.pipelines.faces import SIDE, write_pairs, write_people

SMALL: dict[str, Any] = {
    "data": {"data": "digits", "size": 8},
    "source": {"family": "cvae", "steps": 5},
    "classifier": {"steps": 3},
    "device": "cpu",
}
DATA = {"data": "digits", "classes": 10, "image size": "1x8x8", "training images": 901, "seed": 0}
CLASSIFIER = {"classifier": "auto", "first weights": "random", "classifier steps": 3}
GENERATOR = {"generator": "cvae, default preset", "generator steps": 5}


def holds(setup: dict[str, Any], *facts: dict[str, Any]) -> bool:
    return all(setup.items() >= one.items() for one in facts)


def test_gain_tells_the_generator_where_one_is_trained(tmp_path: Path) -> None:
    arms = {"arms": ["real", "classical"]}
    setup = of_gain(gain_plan(config_from(SMALL | {"gain": arms}), tmp_path))
    assert holds(setup, DATA, CLASSIFIER, {"scored images": 896})
    assert "generator" not in setup
    arms = {"arms": ["real", "synthetic"]}
    setup = of_gain(gain_plan(config_from(SMALL | {"gain": arms}), tmp_path))
    assert holds(setup, DATA, CLASSIFIER, GENERATOR)


def test_semi_tells_all_its_training_images(tmp_path: Path) -> None:
    methods = {"labels": [20], "methods": ["supervised", "head_cvae_gan"]}
    setup = of_semi(semi_plan(config_from(SMALL | {"semi": methods}), tmp_path))
    assert holds(setup, DATA, CLASSIFIER, GENERATOR, {"scored images": 896})


def test_compare_tells_its_judge_in_the_place_of_a_classifier(tmp_path: Path) -> None:
    config = SMALL | {"source": {"steps": 5}, "compare": {"families": ["cvae"], "judge_steps": 4}}
    setup = of_compare(compare_plan(config_from(config), tmp_path))
    assert holds(setup, DATA, {"generator steps": 5, "test images": 896})
    assert setup["judge"] == "auto, random first weights, 4 steps of 64"
    assert "classifier" not in setup


def test_verify_tells_its_network_and_no_generator(tmp_path: Path) -> None:
    people, pairs = write_people(tmp_path / "people"), write_pairs(tmp_path / "pairs")
    data = {"data": {"data": str(people), "size": SIDE}, "verify": {"pairs": str(pairs)}}
    setup = of_verify(verify_plan(config_from(SMALL | data), tmp_path / "out"))
    faces = {"data": "people", "classes": 6, "image size": "3x8x8", "training images": 36}
    assert holds(setup, faces, CLASSIFIER, {"head": "softmax"})
    assert not [name for name in setup if "generator" in name or "test" in name]
