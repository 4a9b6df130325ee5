from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import augmentor
from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import fingerprints, to_uint8
from augmentor.data.synthetic_store import read_recipe, trained_on_digest, write_set
from pipelines import cli
from pipelines.config import Config, ConfigError, DataConfig, config_from
from pipelines.datasets import load_data
from pipelines.gain.next_steps import next_steps
from pipelines.gain.outside import COPIES, copy_or, open_outside, outside_notes
from pipelines.gain.plan import gain_plan
from pipelines.gain.run import gain_run
from pipelines.gain.verdict import verdict
from pipelines.outside.sets import OutsideSet, import_recipe, open_set
from pipelines.results import read_result
from pipelines.workbench.outside_images import OutsideImages, some_of
from tests.pipelines.html_page import Page
from tests.pipelines.outside.test_importing import write_images


@pytest.fixture(scope="module")
def digits() -> tuple[LabelledImages, LabelledImages]:
    bundle = load_data(DataConfig(data="digits"), 0)
    return bundle.train, bundle.test


@pytest.fixture
def made(tmp_path: Path, digits: tuple[LabelledImages, LabelledImages]) -> Path:
    """Images of another generator: training images with noise."""
    few = digits[0].subset(torch.arange(200))
    noise = 60 * torch.randn(few.x.shape, generator=torch.Generator().manual_seed(0))
    pixels = (to_uint8(few.x) + noise).clamp(0, 255).to(torch.uint8)
    return write_images(tmp_path / "made", few, pixels)


def tiny(*folders: Path, **gain: Any) -> Config:
    usual = {"arms": ["real", "classical"], "replicates": 2, "screening_rounds": 2}
    usual |= {"shares": [0.5], "confidences": [0.0, 0.5], "synthetic": [str(f) for f in folders]}
    return config_from(
        {
            "data": {"data": "digits", "size": 8, "per_class": 12},
            "classifier": {"steps": 3, "batch_size": 16},
            "gain": {**usual, **gain},
            "device": "cpu",
            "threads": 1,
        }
    )


def test_images_of_the_rare_classes_alone(
    tmp_path: Path, digits: tuple[LabelledImages, LabelledImages]
) -> None:
    rare = digits[0].subset(torch.isin(digits[0].y, torch.tensor([3, 8])).nonzero().flatten()[:40])
    write_images(tmp_path / "rare", rare, to_uint8(rare.x).flip(-1))
    for name in set(rare.classes) - {"3", "8"}:
        (tmp_path / "rare" / name).rmdir()
    result = gain_run(tiny(tmp_path / "rare"), tmp_path / "run")
    (row,) = result["outside"]
    assert {name for name, n in row["images"].items() if n} == {"3", "8"}
    assert any("no images of 8 classes, which get none" in note for note in result["notes"])


def test_a_screening_needs_a_candidate_without_a_generator(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "arms": ["classical", "auto"],
        "policies": {"mine": {"base": "classical", "share": 0.5}},
        "candidates": ["mine"],
        "shares": [0.0],
    }
    with pytest.raises(ConfigError, match="candidates: add an arm without a generator"):
        gain_plan(tiny(**settings), tmp_path)


def test_a_folder_is_an_arm_alone_and_beside_the_augmentation(tmp_path: Path, made: Path) -> None:
    result = gain_run(tiny(made), tmp_path / "run")
    assert list(result["arms"]) == [
        "real",
        "classical",
        "synthetic:made",
        "synthetic:made+classical",
    ]
    (row,) = result["outside"]
    assert (row["name"], row["origin"]) == ("made", "origin unknown")
    assert sum(row["images"].values()) == 200
    assert row["lead"] in row["arms"]
    pairs = {(one["arm"], one["baseline"]) for one in result["comparisons"]}
    assert ("synthetic:made+classical", "classical") in pairs
    assert "generator steps" not in result["setup"]
    assert "made" in result["verdict"]["sets"]
    (copy,) = (tmp_path / "run" / "outside").iterdir()
    assert read_recipe(copy).family == "origin unknown"
    assert read_result(tmp_path / "run" / "gain.json", "gain")["outside"] == [row]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "k-outside" in page
    origins = json.loads(Page(page).scripts[0])["origins"]
    assert [one["name"] for one in origins] == ["real", "made"]
    assert set(origins[1]["y"]) == set(range(10))


def test_a_green_report_names_a_set_that_can_be_mixed_in(
    tmp_path: Path, digits: tuple[LabelledImages, LabelledImages]
) -> None:
    """A folder has no recipe, its copy has; a set is read where it lies. Neither holds images of
    all classes here.
    """
    rare = digits[0].subset((digits[0].y == 3).nonzero().flatten()[:20])
    write_images(tmp_path / "rare", rare, to_uint8(rare.x).flip(-1))
    assert cli.main(["import", str(tmp_path / "rare"), "--out", str(tmp_path / "set")]) == 0
    real = TensorDataset((digits[0].x + 1) / 2, digits[0].y)
    for folder, has_copy in ((tmp_path / "rare", True), (tmp_path / "set", False)):
        run = tmp_path / f"run-{folder.name}"
        result = gain_run(tiny(folder), run)
        step = next_steps(result | {"verdict": {"light": "green"}}, run)[0].command
        assert step.startswith(f'augmentor.SyntheticMix(train_set, "{run if has_copy else folder}')
        named = {"train_set": real, "augmentor": augmentor}
        assert eval(step, named).synthetic_counts["3"] == 20


@pytest.mark.parametrize("name", ["sd", "a[1]"])
def test_a_copy_is_found_by_the_whole_name_of_its_set(tmp_path: Path, name: str) -> None:
    own, other = f"{name}-0123456789abcdef", f"{name}-xl-0123456789abcdef"
    gone, copies = tmp_path / name, tmp_path / COPIES
    (copies / other).mkdir(parents=True)
    assert copy_or(gone, tmp_path) == gone
    (copies / own).mkdir()
    assert copy_or(gone, tmp_path) == copies / own


def test_a_run_whose_folder_is_gone_reads_its_copy_and_trains_nothing(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = gain_run(tiny(made), tmp_path / "run")
    shutil.rmtree(made)
    parts = sorted(path.name for path in (tmp_path / "run" / "parts").iterdir())
    again = gain_run(tiny(made), tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run" / "parts").iterdir()) == parts
    assert again["arms"] == first["arms"]


def test_the_name_of_a_part_follows_the_pixels_not_the_folder(tmp_path: Path, made: Path) -> None:
    def names(folder: Path) -> set[str]:
        plan = gain_plan(tiny(folder), tmp_path / "run")
        (group, *_) = plan.replicate_groups(None, {})
        return {part.digest for part in group.parts}

    first = names(made)
    other = shutil.copytree(made, tmp_path / "elsewhere")
    assert names(other) == first
    next(iter((other / "3").iterdir())).unlink()
    assert len(names(other) & first) == 2  # of the arms without these images


def test_auto_may_choose_them_and_screening_leaves_copies_of_what_it_scores_out(
    tmp_path: Path, made: Path, digits: tuple[LabelledImages, LabelledImages]
) -> None:
    config = tiny(made, arms=["real", "classical", "auto"], candidates=["oversample", "classical"])
    plan = gain_plan(config, tmp_path / "run")
    names = [policy.name for policy in plan.candidates]
    assert "classical + 50% synthetic of made, confidence 0.5" in names
    assert "oversample + 50% synthetic of made" in names
    assert not any(policy.uses_generator for policy in plan.candidates)
    result = gain_run(config, tmp_path / "run")
    assert list(result["arms"])[-1] == "auto"
    policy = json.loads((tmp_path / "run" / "policy.json").read_text())
    assert policy["screening"]["candidates"]
    assert any("some may be images that screening held out" in one for one in result["notes"])
    train = digits[0].subset(torch.arange(100))
    copies = write_images(tmp_path / "copies", train, to_uint8(train.x).flip(-1))
    reader = OutsideImages({"x": copies}, digits[0], withheld=train.x[:60])
    assert len(reader.images("x", None)) <= 40
    whole = OutsideImages({"x": copies}, digits[0])
    assert len(whole.images("x", None)) == 100
    assert len(whole.images("x", lambda x, y: torch.arange(100) < 50)) >= 50


@pytest.mark.parametrize("way", ["exact", "mirrored"])
def test_test_images_are_refused_by_name_with_exit_code_three(
    tmp_path: Path,
    digits: tuple[LabelledImages, LabelledImages],
    way: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    test = digits[1].subset(torch.arange(300))
    pixels = to_uint8(test.x)
    write_images(tmp_path / "copies", test, pixels.flip(-1) if way == "mirrored" else pixels)
    asked = ["gain", "--data", "digits", "--synthetic", str(tmp_path / "copies")]
    assert cli.main([*asked, "--out", str(tmp_path / "run")]) == 3
    said = capsys.readouterr().err
    assert "300 images are copies of test images" in said
    assert f"{tmp_path}/copies/" in said
    assert len(said.strip().splitlines()) == 1


def test_what_cannot_be_an_arm_is_refused(
    tmp_path: Path, made: Path, digits: tuple[LabelledImages, LabelledImages]
) -> None:
    other = shutil.copytree(made, tmp_path / "other" / "made")
    with pytest.raises(ConfigError, match="two sets are called 'made'"):
        gain_plan(tiny(made, other), tmp_path / "run")
    with pytest.raises(DataError, match="no such folder of synthetic images"):
        gain_plan(tiny(tmp_path / "nothing"), tmp_path / "run")
    with pytest.raises(ConfigError, match="unknown arm 'synthetic:mode'"):
        gain_plan(tiny(made, arms=["real", "synthetic:mode"]), tmp_path / "run")
    shutil.move(other / "9", other / "nine")
    with pytest.raises(DataError, match="the data have no class 'nine'"):
        gain_plan(tiny(other), tmp_path / "run")


def test_named_arms_run_alone_and_the_own_generator_when_asked_for(
    tmp_path: Path, made: Path
) -> None:
    plan = gain_plan(tiny(made, arms=["real", "synthetic:made+mixup", "synthetic"]), tmp_path)
    assert plan.arms == ("real", "synthetic:made+mixup", "synthetic")
    usual = gain_plan(tiny(made, arms=None), tmp_path)
    assert "synthetic" not in usual.arms
    assert usual.arms[-3:] == ("synthetic:made", "synthetic:made+classical", "auto")


def test_advice_is_about_the_images_beside_the_strongest_rival(made: Path, tmp_path: Path) -> None:
    bundle = load_data(DataConfig(data="digits", per_class=12), 0)
    (one,) = open_outside([made], bundle, tmp_path)
    ran = ["real", "classical", "mixup", *one.arms]
    assert one.lead(ran, "mixup") == "synthetic:made+mixup"
    assert one.lead(ran, "real") == "synthetic:made"
    assert one.lead(ran, "logit_adjusted") == "synthetic:made+classical"


def row(arm: str, delta: float, outcome: str) -> dict[str, Any]:
    low, high = delta - 0.01, delta + 0.01
    return {
        "arm": arm,
        "baseline": "classical",
        "delta": delta,
        "ci95": [low, high],
        "outcome": outcome,
        "p_holm": 0.01,
        "needed": None,
        "limited_by": None,
    }


def test_every_set_has_an_advice_of_its_own_and_the_best_one_leads() -> None:
    sets, mixtures = [], {}
    for name in ("bad", "good"):
        arm = f"synthetic:{name}+classical"
        sets.append({"name": name, "arms": [arm], "lead": arm})
        mixtures[arm] = f"classical + 50% synthetic of {name}"
    rows = [row("synthetic:bad+classical", -0.2, "worse")]
    rows.append(row("synthetic:good+classical", 0.1, "better"))
    result = {
        "metric": "balanced_accuracy",
        "comparisons": rows,
        "policy": None,
        "mixtures": mixtures,
        "replicates": 5,
        "scored_on": "test",
        "outside": sets,
    }
    found = verdict(result, ["classical"])
    assert found["advice"].startswith("Use the synthetic images of good (classical + 50%")
    assert found["sets"]["bad"] == (
        "Use `classical`: it is better than the synthetic images of bad."
    )
    assert any(line.startswith("bad: Use `classical`") for line in found["lines"])


def test_memory_bounds_a_set_evenly() -> None:
    y = torch.tensor(np.repeat([0, 1], [30, 10]))
    images = LabelledImages(torch.zeros(40, 1, 2, 2), y, ("a", "b"))
    found = some_of(images, 20 * 16)
    assert torch.bincount(found.y).tolist() == [15, 5]


def test_a_set_whose_source_saw_test_images_is_refused(
    tmp_path: Path, made: Path, digits: tuple[LabelledImages, LabelledImages]
) -> None:
    seen = fingerprints(digits[1].x[:4])
    images = read_images(made, digits[0])
    recipe = replace(
        import_recipe(digits[0].classes, images.counts(), (1, 8, 8), seen),
        family="cvae_gan",
        trained_on=trained_on_digest(seen),
    )

    def render(class_index: int, n: int, start: int) -> tuple[torch.Tensor, torch.Tensor]:
        own = images.images().x[images.stored.y == class_index]
        return own[start : start + n], torch.arange(start, start + n)

    write_set(tmp_path / "set", recipe, seen, render)
    with pytest.raises(DataError, match=r"was trained on 4 of the test images \(number 0, "):
        gain_plan(tiny(tmp_path / "set"), tmp_path / "run")


def test_a_screening_says_that_held_out_training_images_were_seen(
    tmp_path: Path, made: Path, digits: tuple[LabelledImages, LabelledImages]
) -> None:
    bundle = load_data(DataConfig(data="digits"), 0, tuning=True)
    seen = fingerprints(digits[0].x)
    recipe = replace(
        import_recipe(digits[0].classes, read_images(made, digits[0]).counts(), (1, 8, 8), seen),
        family="cvae_gan",
        trained_on=trained_on_digest(seen),
    )
    images = read_images(made, digits[0])

    def render(class_index: int, n: int, start: int) -> tuple[torch.Tensor, torch.Tensor]:
        own = images.images().x[images.stored.y == class_index]
        return own[start : start + n], torch.arange(start, start + n)

    write_set(tmp_path / "set", recipe, seen, render)
    with pytest.raises(DataError, match=r"held out stand in .*: leave out --screening") as error:
        open_outside([tmp_path / "set"], bundle, tmp_path / "run")
    assert "training part only" not in str(error.value)


def read_images(folder: Path, real: LabelledImages) -> OutsideSet:
    return open_set(folder, real.classes, real.image_shape)


def test_a_note_says_what_the_source_learned_beyond_the_labels_of_the_arms(
    made: Path, tmp_path: Path, digits: tuple[LabelledImages, LabelledImages]
) -> None:
    bundle = load_data(DataConfig(data="digits"), 0)
    (one,) = open_outside([made], bundle, tmp_path)
    few = digits[0].subset(torch.arange(50))
    (note,) = outside_notes([one], few, screened=False)
    assert note.startswith("made: what its generator was trained on is not known")
    learned = fingerprints(digits[0].subset(torch.arange(30, 90)).x)
    known = replace(one, images=replace(one.images, trained_on=learned))
    (note,) = outside_notes([known], few, screened=False)
    assert "trained on 40 images that are not among the 50 labelled ones" in note
    assert outside_notes([known], digits[0], screened=False) == []
