from __future__ import annotations

import json
import pickle
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from augmentor.common.types import DataError, LabelledImages, Predict
from augmentor.data.fingerprint import fingerprints, overlap
from pipelines import cli, datasets
from pipelines.config import Config, ConfigError, config_from
from pipelines.crew import Crew
from pipelines.datasets import DataBundle, load_data
from pipelines.interrupt import Interrupted, Watch
from pipelines.results import read_result
from pipelines.run_dir import RunDir, RunLockedError
from pipelines.semi import run as semi_supervised
from pipelines.semi.methods import SemiTask
from pipelines.semi.run import (
    METHODS,
    POINTS,
    READS,
    TUNING_SEED,
    Curve,
    SemiJob,
    make_cell,
    semi_run,
)

TINY: dict[str, Any] = {
    "data": {"data": "digits", "size": 8},
    "source": {"steps": 2, "batch_size": 16, "options": {"width": 8}},
    "pool": {"rounds": 1, "threshold": 0.1},
    "classifier": {"steps": 3, "batch_size": 16},
    "semi": {
        "labels": [20, 40],
        "subsets": 2,
        "methods": ["supervised", "classical"],
        "default_method": "classical",
        "gan_steps": 2,
        "consistency_steps": 3,
    },
    "device": "cpu",
    "threads": 1,
}


def tiny(**changes: Any) -> Config:
    """Everything real, but with a few steps only."""
    whole = dict(TINY)
    for key, value in changes.items():
        whole[key] = {**whole[key], **value} if isinstance(value, dict) else value
    return config_from(whole)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which cells were made, by the beginning of their names."""
    cells: list[str] = []

    def recording(job: SemiJob, on_part: Callable[[str], None], watch: Watch | None) -> None:
        make_cell(job, on_part, watch)
        cells.append(job.path.name.rpartition("-")[0])

    monkeypatch.setattr(semi_supervised, "make_cell", recording)
    return cells


def without_times(path: Path) -> dict[str, Any]:
    result = read_result(path / "semi.json", "semi")
    return {key: value for key, value in result.items() if key not in ("seconds", "command")}


def task(config: Config, labels: int, seed: int) -> tuple[SemiTask, DataBundle]:
    data = config.data.model_copy(update={"labels": labels})
    bundle = load_data(data, seed)
    assert bundle.pool is not None
    one = config.model_copy(update={"data": data, "seed": seed})
    return SemiTask(bundle.train, bundle.pool, one, seed, lambda step, steps, values: None), bundle


def test_a_run_writes_result_tables_and_report(tmp_path: Path, made: list[str]) -> None:
    result = semi_run(tiny(), tmp_path)
    assert read_result(tmp_path / "semi.json", "semi") == json.loads(
        json.dumps({"schema": 1, **result})
    )
    assert made == [
        f"{m}-{n}-{s}" for s in (0, 1) for n in (20, 40) for m in ("supervised", "classical")
    ]
    for found in result["methods"].values():
        assert list(found) == ["20", "40"]
        assert all(len(one["errors"]) == 2 for one in found.values())
    rows = result["differences"]
    assert [(row["method"], row["baseline"], row["labels"]) for row in rows] == [
        ("classical", "supervised", 20),
        ("classical", "supervised", 40),
    ]
    first = {name: found["20"]["errors"] for name, found in result["methods"].items()}
    pairs = zip(first["classical"], first["supervised"], strict=True)
    assert rows[0]["delta"] == pytest.approx(sum(a - b for a, b in pairs) / 2)
    assert result["scored_on"] == "test"
    assert result["images"] == {"training": 901, "scored": 896}
    assert (tmp_path / "semi.md").read_text().startswith("# digits")
    assert "<h1>" in (tmp_path / "report.html").read_text()


def test_a_cell_holds_the_error_of_its_method_and_stays_small(tmp_path: Path) -> None:
    semi_run(tiny(semi={"labels": [20], "subsets": 1, "methods": ["classical"]}), tmp_path)
    (path,) = (tmp_path / "cells").iterdir()
    cell = json.loads(path.read_text())
    one, bundle = task(tiny(), 20, 0)
    guesses = METHODS["classical"](one)(bundle.test.x).argmax(dim=1)
    assert cell["error"] == pytest.approx(
        float((guesses != bundle.test.y).double().mean()), abs=1e-7
    )
    assert (cell["method"], cell["labels"], cell["seed"]) == ("classical", 20, 0)
    assert [point["step"] for point in cell["curve"]] == [1, 2, 3]
    assert path.stat().st_size < 10_000


def test_subsets_are_balanced_apart_from_the_test_images_and_equal_for_equal_seeds() -> None:
    (one, bundle), (again, _), (other, _) = (task(tiny(), 20, seed) for seed in (0, 0, 1))
    assert set(one.train.counts.values()) == {2}
    assert torch.equal(one.train.x, again.train.x)
    assert torch.equal(one.pool, again.pool)
    assert not torch.equal(one.train.x, other.train.x)
    assert len(one.train) + len(one.pool) == 901
    parts = [fingerprints(x) for x in (one.train.x, one.pool, bundle.test.x)]
    assert [len(overlap(a, b)) for a, b in [(parts[0], parts[2]), (parts[1], parts[2])]] == [0, 0]


@pytest.mark.parametrize("method", METHODS)
def test_the_true_labels_of_unlabelled_images_change_nothing(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny()
    full = datasets._load_named(config.data)
    chosen = datasets.few_labels(full.train.y, 20, 3)
    honest, bundle = task(config, 20, 3)
    predicted = METHODS[method](honest)(bundle.test.x)

    poisoned = full.train.y.clone()
    hidden = torch.ones(len(poisoned), dtype=torch.bool)
    hidden[chosen] = False
    poisoned[hidden] = (
        poisoned[hidden] + 1 + torch.arange(int(hidden.sum())) % 9
    ) % 10  # every one is wrong
    train = LabelledImages(full.train.x, poisoned, full.train.classes)
    monkeypatch.setattr(datasets, "_load_named", lambda data: replace(full, train=train))
    monkeypatch.setattr(datasets, "few_labels", lambda *_: chosen)  # the same images keep theirs
    assert torch.equal(METHODS[method](task(config, 20, 3)[0])(bundle.test.x), predicted)


def test_one_deleted_cell_is_made_again_and_nothing_else(tmp_path: Path, made: list[str]) -> None:
    semi_run(tiny(), tmp_path)
    before = without_times(tmp_path)
    (lost,) = (tmp_path / "cells").glob("classical-40-1-*.json")
    lost.unlink()
    made.clear()
    semi_run(tiny(), tmp_path)
    assert made == ["classical-40-1"]
    assert without_times(tmp_path) == before


def test_a_run_cut_off_in_a_training_goes_on_with_the_next_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[str]
) -> None:
    semi_run(tiny(), tmp_path / "whole")
    recording = semi_supervised.make_cell

    def told_to_stop(job: SemiJob, on_part: Callable[[str], None], watch: Watch | None) -> None:
        assert watch is not None
        if job.method == "classical" and job.config.data.labels == 40:
            watch.signum = signal.SIGTERM
        recording(job, on_part, watch)

    monkeypatch.setattr(semi_supervised, "make_cell", told_to_stop)
    made.clear()
    with pytest.raises(Interrupted):
        semi_run(tiny(), tmp_path / "cut")
    assert made == ["supervised-20-0", "classical-20-0", "supervised-40-0"]
    assert not (tmp_path / "cut" / "semi.json").exists()
    monkeypatch.setattr(semi_supervised, "make_cell", recording)
    made.clear()
    semi_run(tiny(), tmp_path / "cut")
    assert made[0] == "classical-40-0"
    assert len(made) == 5
    assert without_times(tmp_path / "cut") == without_times(tmp_path / "whole")


def test_more_methods_subsets_and_labels_keep_the_cells_and_other_steps_do_not(
    tmp_path: Path, made: list[str]
) -> None:
    few = {"labels": [20], "subsets": 1, "methods": ["classical"]}
    semi_run(tiny(semi=few), tmp_path)
    semi_run(
        tiny(semi={"methods": ["pseudo_label", "classical"], "labels": [20, 40], "subsets": 2}),
        tmp_path,
    )
    assert made.count("classical-20-0") == 1
    assert len(made) == 2 * 2 * 2
    made.clear()
    semi_run(tiny(semi=few, classifier={"steps": 2}), tmp_path)
    semi_run(tiny(semi=few | {"tuning": True}), tmp_path)
    semi_run(tiny(semi=few, seed=1), tmp_path)  # the second subset, which is there
    assert made == ["classical-20-0", f"classical-20-{TUNING_SEED}"]


def test_the_other_methods_can_be_run_on_less(tmp_path: Path, made: list[str]) -> None:
    result = semi_run(tiny(semi={"baseline_labels": [40], "baseline_subsets": 1}), tmp_path)
    assert made == [
        "classical-20-0",
        "supervised-40-0",
        "classical-40-0",
        "classical-20-1",
        "classical-40-1",
    ]
    assert result["methods"]["supervised"].keys() == {"40"}
    (row,) = result["differences"]
    assert (row["labels"], row["pairs"], row["ci95"], row["p"]) == (40, 1, None, None)


def test_a_method_that_runs_on_none_of_the_labels_is_left_out(
    tmp_path: Path, made: list[str]
) -> None:
    result = semi_run(tiny(semi={"labels": [20], "subsets": 1, "baseline_labels": [40]}), tmp_path)
    assert made == ["classical-20-0"]
    assert list(result["methods"]) == ["classical"]


def test_tuning_never_looks_at_a_test_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    config = tiny(semi={"tuning": True, "methods": ["watched"], "default_method": "watched"})
    test, full = load_data(config.data, 0).test.x, load_data(config.data, 0).train

    def watched(one: SemiTask) -> Predict:
        assert one.seed >= TUNING_SEED
        seen.extend([one.train.x, one.pool])

        def predict(x: Tensor) -> Tensor:
            seen.append(x)
            return torch.zeros(len(x), 10)

        return predict

    monkeypatch.setitem(METHODS, "watched", watched)
    monkeypatch.setitem(READS, "watched", {})
    result = semi_run(config, tmp_path)
    assert len(seen) == 2 * 2 * 3
    assert len(overlap(fingerprints(torch.cat(seen)), fingerprints(test))) == 0
    scored, used = fingerprints(seen[2]), fingerprints(torch.cat(seen[:2]))
    assert len(overlap(scored, used)) == 0
    assert all((fingerprints(x) == scored).all() for x in seen[2::3])  # the same for all subsets
    assert len(scored) + len(used) == len(full)
    assert result["scored_on"] == "held-out training images"
    assert result["images"]["scored"] == len(scored) == pytest.approx(901 / 6, abs=10)
    assert "held out instead of the test images" in result["notes"][0]
    assert "held-out training images, not the test images" in (tmp_path / "report.html").read_text()


def test_a_folder_of_images_works_too(tmp_path: Path, make_folder: Callable[..., Path]) -> None:
    make_folder(tmp_path / "pets", {"cat": 12, "dog": 12}, mode="L")
    data = {"data": str(tmp_path / "pets"), "size": 8}
    quick = {"labels": [4], "subsets": 1, "tuning": True}
    result = semi_run(tiny(data=data, semi=quick), tmp_path / "out")
    assert (result["dataset"], result["images"]) == ("pets", {"training": 16, "scored": 2})


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        (
            {"semi": {"methods": ["magic"]}},
            "unknown method 'magic'; known: supervised, classical, pseudo_label",
        ),
        ({"semi": {"methods": ["classical", "classical"]}}, "named twice"),
        ({"semi": {"default_method": "magic"}}, "semi.default_method: unknown method 'magic'"),
        ({"semi": {"labels": [9]}}, "at least the number of classes"),
        ({"data": {"labels": 20}}, "semi draws its own subsets"),
        ({"data": {"per_class": 20}}, "semi draws its own subsets"),
    ],
)
def test_what_cannot_be_run_is_refused_before_the_work(
    changes: dict[str, Any], word: str, tmp_path: Path, made: list[str]
) -> None:
    with pytest.raises(ConfigError, match=word):
        semi_run(tiny(**changes), tmp_path)
    assert made == []


def test_too_many_labels_are_bad_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ask for fewer"):
        semi_run(tiny(semi={"labels": [20, 900]}), tmp_path)


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with RunDir(tmp_path).lock(), pytest.raises(RunLockedError):
        semi_run(tiny(), tmp_path)


def test_a_job_travels_to_a_worker_and_tells_of_its_steps(tmp_path: Path) -> None:
    told: list[str] = []
    data = tiny().data.model_copy(update={"labels": 20})
    job = SemiJob(
        tiny().model_copy(update={"data": data, "seed": 5}), "supervised", tmp_path / "cell.json"
    )
    assert pickle.loads(pickle.dumps((make_cell, job))) == (make_cell, job)
    with Crew(make_cell, 1, 1, Watch()) as crew:
        crew.run([job], lambda index, part: told.append(part))
    assert told == [f"supervised, 20 labels, seed 5: step {step} of 3" for step in (1, 2, 3)] + [""]


@pytest.mark.parametrize("steps", [1, 7, 49, 50, 51, 1234])
def test_a_curve_has_at_most_fifty_points_and_the_last_step(steps: int) -> None:
    curve = Curve()
    added = [curve.add(step, steps, {"loss": 1 / step}) for step in range(1, steps + 1)]
    assert sum(added) == len(curve.values) == min(steps, POINTS)
    assert curve.values[-1] == {"step": steps, "loss": float(f"{1 / steps:.5g}")}


def test_a_curve_keeps_no_infinity() -> None:
    curve = Curve()
    curve.add(1, 1, {"loss": float("inf"), "share": 0.123456789})
    assert curve.values == [{"step": 1, "loss": None, "share": 0.12346}]


def test_the_command_prints_one_json_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--labels 20 --subsets 1 --methods supervised,pseudo_label --classifier-steps 2 --threads 1 --tuning"
    arguments = [
        "semi",
        "--data",
        "digits",
        "--device",
        "cpu",
        *options.split(),
        "--out",
        str(tmp_path),
    ]
    assert cli.main([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {
        k: v for k, v in read_result(tmp_path / "semi.json", "semi").items() if k != "schema"
    }
    assert list(printed["methods"]) == ["supervised", "pseudo_label"]
    assert printed["scored_on"] == "held-out training images"
    assert cli.main(arguments) == 0
    text = capsys.readouterr().out
    assert text.startswith("method")
    assert printed["verdict"] in text
    assert cli.main(["semi", "--data", "digits", "--labels", "20,many"]) == 2
    assert "whole numbers such as 20,100" in capsys.readouterr().err
