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

from augmentor.common.tensor_files import mapped_tensors
from augmentor.common.types import DivergedError, LabelledImages
from augmentor.data.fingerprint import fingerprints, overlap
from downstream import trainer
from downstream.metrics import METRICS, POINTS, Metric, Outputs
from downstream.train import NonFiniteLossError
from pipelines.config import Config, ConfigError, config_from, load_config
from pipelines.experiment.parts import PartStore
from pipelines.gain import run as gain
from pipelines.gain.plan import gain_plan
from pipelines.gain.run import gain_run
from pipelines.gain.tables import gain_table
from pipelines.interrupt import Interrupted, Watch
from pipelines.results import read_result
from pipelines.run_dir import RunDir, RunLockedError
from pipelines.workbench import training_parts, workbench
from pipelines.workbench.training_parts import TrainingTask, make_trainings

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
            "candidates": ["real", "classical"],
            "replicates": 2,
            "screening_rounds": 2,
            "shares": [0.5],
            "confidences": [0.0],
        },
        "device": "cpu",
        "threads": 1,
    }
    for key, value in changes.items():
        whole[key] = {**whole[key], **value} if isinstance(value, dict) else value
    return config_from(whole)


QUICK = {"arms": ["real", "classical"]}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Labels of the trainings that were made, in order."""
    labels: list[str] = []
    write = PartStore.write

    def recording(store: PartStore, part: Any, *rest: Any, **options: Any) -> None:
        write(store, part, *rest, **options)
        if part.kind == "training":
            labels.append(part.label)

    monkeypatch.setattr(PartStore, "write", recording)
    return labels


def without_times(path: Path) -> dict[str, Any]:
    result = read_result(path / "gain.json", "gain")
    return {key: value for key, value in result.items() if key not in ("seconds", "command")}


def test_a_run_writes_result_policy_report_and_config(tmp_path: Path) -> None:
    result = gain_run(tiny(), tmp_path)
    written = read_result(tmp_path / "gain.json", "gain")
    assert written == json.loads(json.dumps({"schema": 2, **result}))
    assert list(result["arms"]) == ARMS
    for arm in result["arms"].values():
        assert len(arm["scores"]) == 2
        assert set(arm["metrics"]) == set(result["metrics"])
    assert set(result["arms"]["real"]["per_class_recall"]) == {str(digit) for digit in range(10)}
    assert result["training_counts"]["0"] == 12
    assert 0 < result["overlap"] < 0.2
    assert result["setup"]["first weights"] == "random"
    assert json.loads((tmp_path / "policy.json").read_text()) == written["policy"]
    assert load_config(tmp_path / "config.yaml") == tiny()
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png") == len(("real", "synthetic", "generated"))  # a sheet each
    assert gain.report_again(load_config(tmp_path / "config.yaml"), tmp_path).read_text() == page
    table = gain_table(result)
    assert all(name in table for name in (*ARMS, "balanced accuracy", "Holm p"))
    assert max(map(len, table.split("\n"))) <= 80


def test_a_cut_off_run_keeps_its_parts_and_ends_like_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[str]
) -> None:
    gain_run(tiny(), tmp_path / "whole")
    everything = len(trained)

    def cut(task: TrainingTask, on_part: Callable[[str], None], watch: Watch | None) -> None:
        if "replicate 001" in task.parts[0].label:
            raise Interrupted(signal.SIGTERM)
        make_trainings(task, on_part, watch)

    monkeypatch.setattr(gain, "make_trainings", cut)
    kept = "stopped by SIGTERM; finished trainings are kept, and the same command resumes"
    with pytest.raises(Interrupted, match=kept) as stopped:
        gain_run(tiny(), tmp_path / "cut")
    assert str(pickle.loads(pickle.dumps(stopped.value))) == kept
    assert not (tmp_path / "cut" / "gain.json").exists()
    monkeypatch.setattr(gain, "make_trainings", make_trainings)
    before = len(trained)
    gain_run(tiny(), tmp_path / "cut")
    resumed = trained[before:]
    assert resumed
    assert all("replicate 001" in label for label in resumed)
    assert len(trained) - everything == everything
    assert without_times(tmp_path / "cut") == without_times(tmp_path / "whole")


@pytest.mark.parametrize("stop", ["gallery-replicate-000", "training-replicate-000-classical"])
def test_pictures_are_made_when_a_run_is_resumed_and_are_those_of_a_whole_one(
    stop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"arms": ["synthetic", "classical"]}
    config = tiny(data={"unlabelled": None, "max_pool": None}, gain=asked)
    gain_run(config, tmp_path / "whole")
    write = PartStore.write

    def cut(store: PartStore, part: Any, *rest: Any, **options: Any) -> None:
        if part.stem == stop:
            raise Interrupted(signal.SIGINT)
        write(store, part, *rest, **options)

    monkeypatch.setattr(PartStore, "write", cut)
    with pytest.raises(Interrupted):
        gain_run(config, tmp_path / "cut")
    monkeypatch.setattr(PartStore, "write", write)
    gain_run(config, tmp_path / "cut")
    found, wanted = (
        [mapped_tensors(path)[1] for path in (tmp_path / name / "parts").glob("gallery-*")]
        for name in ("cut", "whole")
    )
    assert len(wanted) == 1
    assert found == wanted, "the header holds a checksum of the pictures"


def test_more_replicates_and_arms_reuse_parts_and_another_seed_does_not(
    tmp_path: Path, trained: list[str]
) -> None:
    before = gain_run(tiny(gain=QUICK), tmp_path)
    assert len(trained) == 4
    gain_run(tiny(gain={**QUICK, "replicates": 3}), tmp_path)
    assert trained[4:] == ["replicate 002, real", "replicate 002, classical"]
    trained.clear()
    after = gain_run(tiny(gain={"arms": ["oversample", "classical", "synthetic"]}), tmp_path)
    assert [label.split(", ")[1] for label in trained] == ["oversample", "synthetic"] * 2
    assert after["arms"]["classical"]["scores"] == before["arms"]["classical"]["scores"]
    trained.clear()
    gain_run(tiny(gain=QUICK, seed=1), tmp_path)
    assert len(trained) == 4


def test_a_run_with_a_pool_says_that_its_intervals_speak_of_this_pool(
    tmp_path: Path, trained: list[str]
) -> None:
    said = "replicates share unlabelled images"
    notes = gain_run(tiny(gain=QUICK), tmp_path / "pool")["notes"]
    assert any(note.startswith(said) for note in notes)
    alone = tiny(gain=QUICK, data={"unlabelled": None})
    assert not any(said in note for note in gain_run(alone, tmp_path / "alone")["notes"])


def test_a_run_answers_another_metric_without_training(
    tmp_path: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gain_run(tiny(gain=QUICK), tmp_path)
    trained.clear()

    def mean_confidence(outputs: Outputs) -> float:
        assert outputs.class_probs is not None
        return float(outputs.class_probs.float().max(dim=1).values.mean())

    added = Metric("mean_confidence", "mean confidence", True, POINTS, ("y", "class_probs"),
                   mean_confidence)  # fmt: skip
    monkeypatch.setitem(METRICS, "mean_confidence", added)
    asked = {**QUICK, "metric": "mean_confidence", "metrics": ["auroc", "calibration_error"]}
    result = gain_run(tiny(gain=asked), tmp_path)
    assert trained == []
    assert result["metrics"] == ["mean_confidence", "auroc", "calibration_error"]
    assert 0.1 <= result["arms"]["real"]["mean"] <= 1
    assert "mean confidence" in gain_table(result)
    assert "mean confidence ↑" in (tmp_path / "report.html").read_text()


def test_a_damaged_part_is_named_and_made_again(tmp_path: Path, trained: list[str]) -> None:
    class Said:
        def __init__(self) -> None:
            self.lines, self.tasks = list[str](), set[str]()

        def step(self, task: str, *told: Any) -> None:
            self.tasks.add(task)

        def say(self, line: str) -> None:
            self.lines.append(line)

    first = gain_run(tiny(gain=QUICK), tmp_path)
    path = sorted((tmp_path / "parts").glob("training-*classical*"))[0]
    path.write_bytes(path.read_bytes()[:-5])
    trained.clear()
    said = Said()
    second = gain_run(tiny(gain=QUICK), tmp_path, progress=said)
    assert trained == ["replicate 000, classical"]
    assert any(path.name in line and "damaged" in line for line in said.lines)
    assert "trainings" in said.tasks, "what is counted"
    assert "replicates" not in said.tasks
    assert second["arms"] == first["arms"]


def test_not_a_number_stops_with_the_name_of_the_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        training_parts, "predict_logits", lambda model, x: torch.full((len(x), 10), torch.nan)
    )
    with pytest.raises(DivergedError, match="replicate 000, real: class probabilities"):
        gain_run(tiny(gain=QUICK), tmp_path)


def test_a_loss_that_stops_being_finite_names_the_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(*_: Any, **options: Any) -> Any:
        raise NonFiniteLossError("the loss is nan")

    monkeypatch.setattr(workbench, "train_arms", diverging)
    with pytest.raises(DivergedError, match="replicate 000, real: the loss is nan"):
        gain_run(tiny(gain=QUICK), tmp_path)


def test_two_processes_give_the_parts_of_one(tmp_path: Path) -> None:
    asked = {"arms": ["real", "synthetic"]}
    gain_run(tiny(gain=asked), tmp_path / "one")
    gain_run(tiny(gain={**asked, "processes": 2}), tmp_path / "two")
    first, second = (without_times(tmp_path / name) for name in ("one", "two"))
    assert first["arms"] == second["arms"]


def test_arms_side_by_side_are_the_parts_of_those_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[str]
) -> None:
    """The same arms, with a judge among them that must be trained before another one."""
    arms = ["real", "classical", "mixup", "decoupled", "synthetic", "auto"]
    settings = {"arms": arms, "replicates": 2, "confidences": [0.05]}
    alone = gain_run(tiny(gain=settings), tmp_path / "alone")
    one_by_one, lots = list(trained), list[int]()
    trained.clear()
    together = trainer.train_side_by_side

    def counted(singles: Any, *rest: Any) -> Any:
        lots.append(len(singles))
        return together(singles, *rest)

    monkeypatch.setattr(trainer, "train_side_by_side", counted)
    beside = gain_run(
        tiny(gain=settings, classifier={"side_by_side": 3}), tmp_path / "side-by-side"
    )
    assert sorted(trained) == sorted(one_by_one)
    assert {2, 3} <= set(lots) <= {1, 2, 3}
    for name, arm in alone["arms"].items():
        assert beside["arms"][name]["scores"] == pytest.approx(arm["scores"], abs=0.01)
    # Neither decides more than rounding: a run goes on with the parts of the other.
    trained.clear()
    gain_run(tiny(gain=settings, classifier={"side_by_side": 3}), tmp_path / "alone")
    assert trained == []


def test_strengths_are_screened_without_auto_and_used_by_the_arms(tmp_path: Path) -> None:
    options = {
        "arms": ["classical", "half", "fixmatch", "decoupled"],
        "candidates": ["classical"],
        "strengths": [0.5],
        "policies": {"half": {"share": 0.0, "strength": 0.5}},
        "comparisons": [["fixmatch", "classical"]],
    }
    result = gain_run(tiny(gain=options), tmp_path / "one")
    assert result["strengths"] == {"classical": 0.5}  # nothing to screen
    assert result["arms"]["classical"]["scores"] == result["arms"]["half"]["scores"]
    assert result["bases"] == {"half": "classical"}
    more = {**options, "strengths": [0.0, 3.0], "arms": ["classical", "half"], "comparisons": []}
    result = gain_run(tiny(gain=more), tmp_path / "two")
    assert set(result["strengths"]) == {"classical"}
    assert result["policy"] is None
    document = json.loads((tmp_path / "two" / "policy.json").read_text())
    assert [row["name"] for row in document["screening"]["candidates"]] == [
        "classical at strength 0",
        "classical at strength 3",
    ]


def test_neither_generator_nor_labelling_sees_a_test_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny()
    test = fingerprints(gain_plan(config, tmp_path).bundle.test.x)
    seen: list[Tensor] = []
    train_generator, label_pool = workbench.train_generator, workbench.label_pool

    def watch_generator(images: LabelledImages, *rest: Any, **options: Any) -> Any:
        seen.append(images.x)
        return train_generator(images, *rest, **options)

    def watch_pool(train: LabelledImages, pool: Tensor, *rest: Any) -> LabelledImages:
        seen.extend([train.x, pool])
        return label_pool(train, pool, *rest)

    monkeypatch.setattr(workbench, "train_generator", watch_generator)
    monkeypatch.setattr(workbench, "label_pool", watch_pool)
    gain_run(config, tmp_path)
    assert len(seen) >= 3 * 3  # a screening split or more, and two replicates
    assert len(overlap(fingerprints(torch.cat(seen)), test)) == 0


def test_screening_reads_no_test_image_and_draws_by_seeds_of_its_own(tmp_path: Path) -> None:
    config = tiny(gain={**QUICK, "screening": True})
    usual, screened = gain_plan(tiny(gain=QUICK), tmp_path), gain_plan(config, tmp_path)
    scored, test = (fingerprints(plan.bundle.test.x) for plan in (screened, usual))
    assert len(overlap(scored, test)) == 0
    assert usual.setting.replicate_seed(0) != screened.setting.replicate_seed(0)
    result = gain_run(config, tmp_path)
    assert result["scored_on"] == "held-out training images"
    assert "This is a screening" in (tmp_path / "report.html").read_text()


def test_no_two_replicates_or_stages_share_a_seed(tmp_path: Path) -> None:
    seeds = []
    for run_seed in range(3):
        setting = gain_plan(tiny(gain=QUICK, seed=run_seed), tmp_path).setting
        for one in (setting, replace(setting, screening=True)):
            seeds += [one.replicate_seed(index) for index in range(50)]
    assert len(set(seeds)) == len(seeds)


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with RunDir(tmp_path).lock(), pytest.raises(RunLockedError):
        gain_run(tiny(gain=QUICK), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gain": {"arms": ["magic"]}}, "unknown arm 'magic'"),
        ({"gain": {"arms": ["real", "real"]}}, "named twice"),
        ({"gain": {"candidates": ["magic"]}}, "unknown candidate 'magic'"),
        ({"gain": {"comparisons": [("real", "smote")]}}, "'smote' is not run"),
        ({"gain": {"metric": "acuracy"}}, "unknown metric 'acuracy'; did you mean 'accuracy'"),
        ({"gain": {"metrics": ["verification_auc"]}}, "metric of pairs"),
        ({"gain": {"metric": "worst_class_recall"}}, "cannot decide.*use balanced_accuracy"),
        ({"gain": {"policies": {"real": {}}}}, "'real' is the name of an arm"),
        ({"gain": {"policies": {"own": {"base": "magic"}}}}, "policies.own: unknown base"),
        ({"classifier": {"name": "resnet-18"}}, "classifier.name: timm has no network"),
        ({"source": {"family": "magic"}}, "unknown family 'magic'"),
        (
            {
                "source": {"family": "gan", "options": {}},
                "gain": {"arms": ["real", "own"], "policies": {"own": {"latents": "encoded"}}},
            },
            "'own' needs an encoder; family 'gan' has none",
        ),
        (
            {
                "source": {"family": "vae", "options": {}},
                "gain": {"arms": ["real", "own"], "policies": {"own": {"realism": 0.3}}},
            },
            "family 'vae' has no image discriminator",
        ),
    ],
)
def test_wrong_names_are_refused_by_the_plan(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        gain_plan(tiny(**changes), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_arms_of_a_pool_need_one(tmp_path: Path) -> None:
    no_pool = {"data": "digits", "size": 8, "per_class": 12, "unlabelled": None}
    with pytest.raises(ConfigError, match="'fixmatch' needs unlabelled images"):
        gain_plan(tiny(data=no_pool, gain={"arms": ["fixmatch"]}), tmp_path)
    with pytest.raises(ConfigError, match="'pseudo_label' needs unlabelled images"):
        gain_plan(
            tiny(data=no_pool, gain={"arms": ["auto"], "candidates": ["pseudo_label"]}), tmp_path
        )
