from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from augmentor.common.types import DataError, LabelledImages
from augmentor.data.fingerprint import fingerprints, overlap
from pipelines.config import Config, ConfigError, DataConfig, config_from
from pipelines.crew import Crew
from pipelines.datasets import DataBundle, load_data
from pipelines.gain import arms, cells, recipes
from pipelines.gain import run as gain
from pipelines.gain.arms import predictions
from pipelines.gain.cells import GainJob, make_cell, read_cell
from pipelines.gain.recipes import GENERATOR_FREE
from pipelines.gain.run import declared_pairs, gain_run, gain_table
from pipelines.gain.verdict import verdict
from pipelines.gain.yardsticks import best_baselines, picked_on_scores
from pipelines.interrupt import Interrupted, Watch
from pipelines.results import read_result
from pipelines.run_dir import RunDir, RunLockedError

ARMS = ["real", "classical", "pseudo_label", "synthetic", "auto"]


def tiny(**changes: Any) -> Config:
    """Everything real, but with a few steps only."""
    whole: dict[str, Any] = {
        "data": {
            "data": "digits",
            "size": 8,
            "per_class": 12,
            "imbalance": 3,
            "unlabelled": "rest",
            "max_pool": 60,
        },
        "source": {"steps": 2, "batch_size": 16, "options": {"width": 8}},
        "pool": {"rounds": 1, "threshold": 0.1},
        "classifier": {"steps": 3, "batch_size": 16},
        "gain": {
            "arms": ARMS,
            "replicates": 2,
            "tuning_splits": 1,
            "shares": [0.5],
            "confidences": [0.0],
        },
        "device": "cpu",
        "threads": 1,
    }
    for key, value in changes.items():
        whole[key] = {**whole[key], **value} if isinstance(value, dict) else value
    return config_from(whole)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, int]]:
    """Which cells were made, as (tuning, index)."""
    jobs: list[tuple[bool, int]] = []

    def recording(job: GainJob, on_part: Callable[[str], None], watch: Watch | None) -> None:
        make_cell(job, on_part, watch)
        jobs.append((job.tuning, job.index))

    monkeypatch.setattr(gain, "make_cell", recording)
    return jobs


def without_times(path: Path) -> dict[str, Any]:
    result = read_result(path / "gain.json", "gain")
    return {key: value for key, value in result.items() if key not in ("seconds", "command")}


def test_a_run_writes_result_policy_and_report(tmp_path: Path) -> None:
    result = gain_run(tiny(), tmp_path)
    assert read_result(tmp_path / "gain.json", "gain") == json.loads(
        json.dumps({"schema": 1, **result})
    )
    assert list(result["arms"]) == ARMS
    assert all(len(arm["scores"]) == 2 for arm in result["arms"].values())
    assert set(result["arms"]["real"]["per_class_recall"]) == {str(digit) for digit in range(10)}
    assert result["training_counts"]["0"] == 12
    policy = json.loads((tmp_path / "policy.json").read_text())
    assert policy == json.loads(json.dumps(result["policy"]))
    page = (tmp_path / "report.html").read_text()
    assert "<h1>" in page
    assert page.count("data:image/png") == 2 * 10 + 10 * (1 + cells.NEIGHBOURS)


def test_a_cut_off_run_keeps_its_cells_and_ends_like_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[tuple[bool, int]]
) -> None:
    gain_run(tiny(), tmp_path / "whole")
    recording = gain.make_cell

    def cut(job: GainJob, on_part: Callable[[str], None], watch: Watch | None) -> None:
        if not job.tuning and job.index == 1:
            raise Interrupted(signal.SIGTERM)
        recording(job, on_part, watch)

    monkeypatch.setattr(gain, "make_cell", cut)
    with pytest.raises(Interrupted):
        gain_run(tiny(), tmp_path / "cut")
    assert not (tmp_path / "cut" / "gain.json").exists()
    monkeypatch.setattr(gain, "make_cell", recording)
    made.clear()
    gain_run(tiny(), tmp_path / "cut")
    assert made == [(False, 1)]
    assert without_times(tmp_path / "cut") == without_times(tmp_path / "whole")


def test_more_replicates_reuse_cells_and_another_seed_does_not(
    tmp_path: Path, made: list[tuple[bool, int]]
) -> None:
    quick = {"arms": ["real", "classical"], "tuning_splits": 1}
    gain_run(tiny(gain=quick), tmp_path)
    gain_run(tiny(gain={**quick, "replicates": 3}), tmp_path)
    assert made == [(False, 0), (False, 1), (False, 2)]
    gain_run(tiny(gain=quick, seed=1), tmp_path)
    assert made[3:] == [(False, 0), (False, 1)]


def test_one_arm_more_is_the_only_one_that_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []
    monkeypatch.setattr(
        cells,
        "predictions",
        lambda classifier, x: trained.append(len(x)) or predictions(classifier, x),
    )
    before = gain_run(tiny(gain={"arms": ["real", "classical"]}), tmp_path)
    assert len(trained) == 4
    after = gain_run(tiny(gain={"arms": ["oversample", "classical", "synthetic"]}), tmp_path)
    assert len(trained) == 8
    assert len(list((tmp_path / "cells").glob("*.json"))) == 2
    assert after["arms"]["classical"] == before["arms"]["classical"]
    fresh = gain_run(
        tiny(gain={"arms": ["oversample", "classical", "synthetic"]}), tmp_path / "fresh"
    )
    assert after["arms"] == fresh["arms"]
    again = gain_run(tiny(gain={"arms": ["real", "classical"]}), tmp_path)
    assert again["arms"] == before["arms"]
    assert len(trained) == 8 + 6


def test_a_replicate_that_is_stopped_keeps_its_finished_trainings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def stopping(bench: arms.Bench, recipe: recipes.Recipe) -> Any:
        if len(trained) == 1:
            trained.append("stopped")
            raise Interrupted(signal.SIGTERM)
        trained.append(recipe.images)
        return classifier(bench, recipe)

    classifier = arms.Bench.classifier
    monkeypatch.setattr(arms.Bench, "classifier", stopping)
    options = {"arms": ["real", "smote"]}
    with pytest.raises(Interrupted):
        gain_run(tiny(gain=options), tmp_path)
    gain_run(tiny(gain=options), tmp_path)
    assert trained == ["labelled", "stopped", "smote", "labelled", "smote"]


def test_cells_are_made_anew_for_an_image_of_another_replicate_and_not_for_what_they_do_not_read(
    tmp_path: Path, made: list[tuple[bool, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick: dict[str, Any] = {
        "gain": {"arms": ["real", "classical"]},
        "data": {"per_class": 2, "imbalance": 1.0},
    }
    gain_run(tiny(**quick), tmp_path)
    gain_run(tiny(**quick, source={"checkpoint_every": 7, "sample_every": 9}), tmp_path)
    assert len(made) == 2
    first = load_data(tiny(**quick).data, 0).train.x
    whole = cells.load_data

    def corrected(data: DataConfig, seed: int, **options: bool) -> DataBundle:
        """As if one training picture that the first replicate does not draw had been replaced by
        another."""
        bundle = whole(data, seed, **options)
        other = next(image for image in everything if not (first == image).flatten(1).all(1).any())
        x = torch.where(
            (bundle.train.x == other).flatten(1).all(1)[:, None, None, None], -1.0, bundle.train.x
        )
        return replace(bundle, train=replace(bundle.train, x=x))

    everything = whole(
        tiny(data={"per_class": None, "imbalance": 1.0, "unlabelled": None}).data, 0
    ).train.x
    monkeypatch.setattr(cells, "load_data", corrected)
    gain_run(tiny(**quick), tmp_path)
    assert len(made) == 4


def test_the_yardsticks_and_strengths_of_a_run_are_told_as_they_were_used(tmp_path: Path) -> None:
    options = {"arms": ["classical", "synthetic+classical"], "strengths": [0.5]}
    result = gain_run(tiny(gain=options), tmp_path)
    assert result["mixtures"] == {
        "synthetic+classical": "classical at strength 0.5 + 50% synthetic"
    }
    assert result["yardsticks"] == best_baselines(result) == {"classical": "classical"}
    assert best_baselines(result | {"yardsticks": {"classical": "real"}}) == {"classical": "real"}


def test_without_auto_nothing_is_tuned_and_without_a_source_there_is_no_gallery(
    tmp_path: Path,
) -> None:
    result = gain_run(tiny(gain={"arms": ["real", "smote"]}), tmp_path)
    assert result["policy"] is None
    assert not (tmp_path / "policy.json").exists()
    assert "data:image/png" not in (tmp_path / "report.html").read_text()


def test_strengths_are_tuned_without_auto_and_used_by_the_arms(tmp_path: Path) -> None:
    options = {
        "arms": ["classical", "half", "fixmatch", "decoupled"],
        "candidates": ["classical"],
        "strengths": [0.5],
        "policies": {"half": {"share": 0.0, "strength": 0.5}},
        "comparisons": [["fixmatch", "classical"]],
    }
    result = gain_run(tiny(gain=options), tmp_path / "one")
    assert result["strengths"] == {"classical": 0.5}  # nothing to tune
    assert result["arms"]["classical"]["scores"] == result["arms"]["half"]["scores"]
    result = gain_run(
        tiny(
            gain={
                **options,
                "strengths": [0.0, 3.0],
                "arms": ["classical", "half"],
                "comparisons": [],
            }
        ),
        tmp_path / "two",
    )
    assert set(result["strengths"]) == {"classical"}
    assert result["policy"] is None
    document = json.loads((tmp_path / "two" / "policy.json").read_text())
    assert [row["name"] for row in document["tuning"]["candidates"]] == [
        "classical at strength 0",
        "classical at strength 3",
    ]


@pytest.mark.parametrize(
    ("family", "own"), [("gan", {"latents": "encoded"}), ("vae", {"realism": 0.3})]
)
def test_a_policy_that_needs_what_a_family_has_not_is_refused(
    family: str, own: dict[str, Any], tmp_path: Path, made: list[tuple[bool, int]]
) -> None:
    options = {"arms": ["real", "own"], "policies": {"own": own}}
    with pytest.raises(ConfigError, match=f"'own'.*{family} has none"):
        gain_run(tiny(gain=options, source={"family": family}), tmp_path)
    assert made == []


def test_two_processes_give_the_cells_of_one_and_pass_on_what_a_job_raises(tmp_path: Path) -> None:
    config = tiny(gain={"arms": ["real", "synthetic"]})
    missing = tiny(
        data={
            "data": str(tmp_path / "nowhere"),
            "per_class": None,
            "imbalance": 1.0,
            "unlabelled": None,
        }
    )
    asked = (GENERATOR_FREE["real"], recipes.recipe_of("synthetic", 0.5, None))
    good = [GainJob(config, index, tmp_path / f"{index}.json", recipes=asked) for index in range(2)]
    bad = GainJob(missing, 0, tmp_path / "bad.json")
    told: list[tuple[int, str]] = []
    with Crew(make_cell, 2, 1, Watch()) as crew:
        crew.run(good, lambda index, part: told.append((index, part)))
        with pytest.raises(DataError, match="nowhere"):
            crew.run([bad], lambda index, part: None)
    assert sorted(index for index, part in told if part == "") == [0, 1]
    assert (0, "source") in told
    make_cell(GainJob(config, 1, tmp_path / "here.json", recipes=asked), lambda part: None, None)
    there, here = (read_cell(tmp_path / name) for name in ("1.json", "here.json"))
    assert there["trainings"] == here["trainings"]


def test_neither_source_nor_labelling_sees_a_test_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(gain={"replicates": 3})
    test = fingerprints(load_data(config.data, 0).test.x)
    seen: list[Tensor] = []
    train_source, label_pool = arms.train_source, arms.label_pool

    def watch_source(train: LabelledImages, pool: LabelledImages | None, *rest: Any) -> Any:
        seen.extend([train.x] + ([] if pool is None else [pool.x]))
        return train_source(train, pool, *rest)

    def watch_pool(train: LabelledImages, pool: Tensor, *rest: Any) -> LabelledImages:
        seen.extend([train.x, pool])
        return label_pool(train, pool, *rest)

    monkeypatch.setattr(arms, "train_source", watch_source)
    monkeypatch.setattr(arms, "label_pool", watch_pool)
    gain_run(config, tmp_path)
    assert len(seen) == 4 * 4  # a tuning split and three replicates
    assert len(overlap(fingerprints(torch.cat(seen)), test)) == 0


def test_screening_looks_at_no_test_image_and_draws_by_seeds_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[Tensor] = []
    monkeypatch.setattr(
        cells, "predictions", lambda classifier, x: scored.append(x) or predictions(classifier, x)
    )
    config = tiny(gain={"arms": ["real", "classical"], "tuning": True})
    result = gain_run(config, tmp_path)
    usual, other = load_data(config.data, 0), load_data(config.data, 100, tuning=True)
    assert result["scored_on"] == "held-out training images"
    assert torch.equal(scored[0], other.test.x)
    assert len(overlap(fingerprints(scored[0]), fingerprints(usual.test.x))) == 0
    assert result["training_counts"] == {
        other.train.classes[index]: n for index, n in other.train.counts.items()
    }


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with RunDir(tmp_path).lock(), pytest.raises(RunLockedError):
        gain_run(tiny(), tmp_path)


def test_impossible_arms_and_comparisons_are_refused_before_the_work(
    tmp_path: Path, made: list[tuple[bool, int]]
) -> None:
    with pytest.raises(ConfigError, match="unknown arm 'magic'"):
        gain_run(tiny(gain={"arms": ["magic"]}), tmp_path)
    with pytest.raises(ConfigError, match="'smote' is not run"):
        gain_run(tiny(gain={"comparisons": [("real", "smote")]}), tmp_path)
    assert made == []


def test_the_comparisons_are_those_whose_arms_run() -> None:
    everything = recipes.ARMS
    assert declared_pairs(tiny(), everything, "classical") == [
        ("synthetic", "real"),
        ("synthetic", "smote"),
        ("synthetic+classical", "classical"),
        ("auto", "classical"),
        ("synthetic+classical", "pseudo_label"),
        ("auto", "pseudo_label"),
        ("pseudo_label", "classical"),
    ]
    pairs = declared_pairs(tiny(), everything, "classical", "fixmatch")
    assert {("auto", "pseudo_label"), ("auto", "fixmatch"), ("fixmatch", "classical")} < set(pairs)
    assert ("auto", "smote+classical") in declared_pairs(tiny(), everything, "smote+classical")
    assert declared_pairs(tiny(), ["real", "synthetic"], "classical") == [("synthetic", "real")]
    asked = tiny(gain={"comparisons": [("real", "classical")]})
    assert declared_pairs(asked, everything, "classical") == [("real", "classical")]


def row(arm: str, baseline: str, low: float, high: float) -> dict[str, Any]:
    return {
        "arm": arm,
        "baseline": baseline,
        "delta": (low + high) / 2,
        "ci95": [low, high],
        "p_holm": 0.01,
    }


def told(*rows: dict[str, Any], share: float = 0.0, pool: bool = True, **more: Any) -> str:
    mixtures = {
        "synthetic+classical": "classical + 50% synthetic",
        "own": "classical + 20% synthetic",
    }
    policy = {"share": share, "name": "chosen"}
    result = {
        "comparisons": rows,
        "policy": policy,
        "mixtures": mixtures,
        "replicates": 6,
        "scored_on": "test",
    }
    return verdict(result | more, ["classical", "pseudo_label"] if pool else ["classical"])


def test_the_advice_is_to_do_without_what_is_behind_a_yardstick() -> None:
    classical = row("synthetic+classical", "classical", -0.01, 0.02)
    labels = row("synthetic+classical", "pseudo_label", -0.03, -0.01)
    sentence = told(classical, labels, row("auto", "classical", 0.0, 0.0))
    assert "auto is as good as classical in every replicate" in sentence
    assert sentence.startswith(
        "Do without synthetic images and use pseudo_label, which is better: "
    )
    assert "against classical +0.5 points (95 % interval -1.0 to +2.0, not decided)" in sentence
    assert "against pseudo_label -2.0 points (95 % interval -3.0 to -1.0, loss)" in sentence
    assert sentence.endswith("auto is chosen; 6 replicates, preliminary.")


def test_being_behind_a_yardstick_that_the_scored_images_picked_is_no_loss() -> None:
    best = {"classical": "mixup", "same_pool": "pseudo_label"}
    assert picked_on_scores(best, None) == {"mixup", "pseudo_label"}
    assert picked_on_scores(best, {"best_classical": "mixup", "best_with_pool": "fixmatch"}) == {
        "pseudo_label"
    }
    behind, ahead = (
        row("synthetic+classical", "classical", low, low + 0.01) for low in (-0.03, 0.01)
    )
    result = {"policy": None, "replicates": 10, "scored_on": "test"}
    result["mixtures"] = {"synthetic+classical": "classical + 50% synthetic"}
    sentence = verdict(result | {"comparisons": [behind]}, ["classical"], {"classical"})
    assert sentence.startswith(
        "Do without synthetic images, for which no gain is shown, and use classical: "
    )
    assert "-3.0 to -2.0, behind the best seen)" in sentence
    assert verdict(result | {"comparisons": [ahead]}, ["classical"], {"classical"}).startswith(
        "Use synthetic images"
    )


def test_the_advice_is_to_use_them_where_both_yardsticks_are_beaten() -> None:
    classical = row("synthetic+classical", "classical", 0.01, 0.02)
    labels = row("synthetic+classical", "pseudo_label", -0.03, 0.01)
    assert told(classical, labels).startswith(
        "Do without synthetic images, for which no gain is shown, and use pseudo_label: "
    )
    labels = row("synthetic+classical", "pseudo_label", 0.005, 0.015)
    use = "Use synthetic images (classical + 50% synthetic) for "
    assert told(classical, labels).startswith(
        f"{use}+1.0 points (95 % interval +0.5 to +1.5) over pseudo_label: synthetic+classical "
        "against classical"
    )
    assert told(classical, pool=False).startswith(
        f"{use}+1.5 points (95 % interval +1.0 to +2.0) over classical: "
    )
    assert told(classical).startswith(
        "Undecided, since synthetic+classical was not compared with pseudo_label: "
    )


def test_the_advice_goes_by_auto_only_if_its_policy_mixes_synthetic_images_in() -> None:
    rows = (
        row("auto", "classical", 0.01, 0.02),
        row("synthetic+classical", "classical", -0.02, 0.01),
    )
    assert told(*rows, share=0.5, pool=False).startswith(
        "Use synthetic images (chosen) for +1.5 points"
    )
    # A gain of pseudo-labels under the name of auto is no gain of synthetic images.
    assert told(*rows, share=0.0, pool=False).startswith(
        "Do without synthetic images, for which no gain is shown, "
    )


def test_the_advice_may_be_about_a_policy_of_ones_own_or_about_nothing() -> None:
    own = row("own", "classical", 0.01, 0.02)
    assert told(own, pool=False).startswith("Use synthetic images (classical + 20% synthetic) for ")
    nothing = told(row("real", "classical", 0.01, 0.02), scored_on="held-out training images")
    assert nothing.startswith(
        "No advice on synthetic images: no arm with synthetic images was compared with classical"
    )
    assert nothing.endswith("preliminary, on held-out training images.")


def test_the_table_shows_every_arm_and_comparison() -> None:
    arm = {"mean": 0.912, "ci95": [0.9, 0.924]}
    text = gain_table(
        {
            "arms": {"real": arm, "synthetic": arm},
            "comparisons": [row("synthetic", "real", 0.01, 0.02)],
        }
    )
    assert "synthetic   91.2   90.0 to 92.4" in text
    assert "+1.5    +1.0 to  +2.0   0.010" in text
