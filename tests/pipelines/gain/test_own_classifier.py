"""Gain with a network of timm's: its weights, its size, its last layer alone, the generator's own
size."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from downstream.classifier import build_classifier
from downstream.frozen_features import FrozenNetwork, store_in
from pipelines import cli
from pipelines.config import Config, ConfigError, config_from
from pipelines.experiment.setting import setting_of
from pipelines.gain.plan import gain_plan
from pipelines.gain.run import gain_run


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of ``test_resnet`` for colour, as another library names them."""
    state = build_classifier("test_resnet", 7, (3, 32, 32), seed=0).state_dict()
    theirs = {
        f"layer_{i}": one for i, (name, one) in enumerate(state.items()) if "num_b" not in name
    }
    path = tmp_path_factory.mktemp("weights") / "theirs.pth"
    torch.save(theirs, path)
    return path


def small(weights: Path | None, *, arms: list[str], **classifier: Any) -> Config:
    usual: dict[str, Any] = {"name": "test_resnet", "size": 32, "steps": 4, "batch_size": 8}
    if weights is not None:
        usual |= {"weights": str(weights), "train": "head", "views": 2}
    whole = {
        "data": {"data": "digits", "size": 16, "per_class": 4},
        "source": {"steps": 2, "batch_size": 8, "size": 8, "options": {"width": 8}},
        "classifier": usual | classifier,
        "gain": {"arms": arms, "candidates": ["real", "classical"], "replicates": 2}
        | {"screening_rounds": 2, "shares": [0.5], "confidences": [0.0]},
        "device": "cpu",
        "threads": 1,
    }
    return config_from(whole)


def test_the_last_layer_alone_beside_a_smaller_generator(tmp_path: Path, weights: Path) -> None:
    arms = ["real", "classical", "mixup", "decoupled", "smote", "synthetic+classical", "auto"]
    result = gain_run(small(weights, arms=arms), tmp_path / "run")
    setup = result["setup"]
    assert list(result["arms"]) == arms
    assert setup["image size"] == "1x16x16"
    assert "32x32" in setup["classifier sees"]
    assert "images of 16x16 scaled up" in setup["classifier sees"]
    assert setup["first weights"] == "theirs.pth, whose names differ: matched by order and shape"
    assert setup["classifier learns"].startswith("the last layer, on frozen features of 2 views")
    assert setup["generator size"] == "8x8; its images are scaled up to 16x16"
    page = (tmp_path / "run/report.html").read_text("utf-8")
    assert "its images are scaled up to 16x16" in page
    assert list((tmp_path / "run/features").glob("*/*.safetensors"))


def test_a_later_run_in_the_folder_computes_no_features_again(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = gain_run(small(weights, arms=["real", "classical"]), tmp_path)
    for part in (tmp_path / "parts").iterdir():
        part.unlink()
    store_in.cache_clear()

    def again(*_: Any) -> Any:
        raise AssertionError("features are computed again")

    monkeypatch.setattr(FrozenNetwork, "_computed", again)
    second = gain_run(small(weights, arms=["real", "classical"]), tmp_path)
    assert second["arms"] == first["arms"]


def test_all_of_a_trained_network_learns_gently(tmp_path: Path, weights: Path) -> None:
    config = small(weights, arms=["real"], train="all", views=4)
    setting = setting_of(config)
    assert setting.trainer.settings.learning_rate == 3e-4
    assert setting_of(small(weights, arms=["real"])).trainer.settings.learning_rate == 5e-3
    result = gain_run(config, tmp_path / "run")
    assert "classifier learns" not in result["setup"]
    assert not (tmp_path / "run/features").exists()


def test_arms_that_change_features_are_refused_or_left_out(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(ConfigError, match=r"'mixstyle' changes the features.*--train all"):
        gain_plan(small(weights, arms=["real", "mixstyle"]), tmp_path)
    config = small(weights, arms=["real"])
    pooled = config.data.model_copy(update={"unlabelled": "rest", "max_pool": 30})
    usual = config.gain.model_copy(update={"arms": None, "candidates": None})
    plan = gain_plan(config.model_copy(update={"data": pooled, "gain": usual}), tmp_path)
    assert "pseudo_label" in plan.arms
    assert "graph_fixmatch" not in plan.arms


def test_what_timm_says_is_in_the_name_of_a_part_and_only_where_it_counts(weights: Path) -> None:
    config = small(weights, arms=["real"])
    found = setting_of(config).classifier_description()
    assert found["data_config"]["input_size"] == [3, 160, 160]
    assert found["part"] == "head"
    assert "cache" not in found
    plain = config.model_copy(update={"classifier": type(config.classifier)()})
    assert setting_of(plain).classifier_description() == {"domain": "digits"}
    assert (
        "data_config"
        not in setting_of(
            config_from({"classifier": {"name": "test_resnet"}})
        ).classifier_description()
    )


def test_data_are_read_as_large_as_the_classifier_sees(weights: Path) -> None:
    def most(**classifier: Any) -> int:
        chosen = config_from({"data": {"data": "somewhere"}, "classifier": classifier})
        return setting_of(chosen).data.max_size

    trained = {"weights": str(weights)}
    assert most(name="tf_efficientnet_lite0", **trained) == 256
    assert most(name="tf_efficientnet_lite0", size=96, **trained) == 128
    assert most(name="tf_efficientnet_lite0") == most() == 128


def called(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = cli.main(["gain", "--data", "digits", "--per-class", "4", *map(str, arguments)])
    text = capsys.readouterr().err
    assert text.count("\n") == 1, text
    return code, text


def test_bad_input_is_one_line_and_says_what_to_do(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", tmp_path / "run")
    other = tmp_path / "other.safetensors"
    save_file(build_classifier("test_vit", 2, (3, 160, 160), seed=0).state_dict(), other)
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"nothing")
    head = ("--train", "head")
    cases = {
        ("--classifier", "test_resnet.r160_in1k"): "give --pretrained or --weights",
        ("--classifier", "test_resnet", "--weights", other): "do not fit: ",
        ("--classifier", "test_resnet", "--weights", broken): "is damaged",
        ("--classifier", "test_resnet", *head): "give pretrained or weights too",
        ("--classifier", "test_vit", "--classifier-size", 100): "its own size is 160",
        ("--classifier", "auto", "--weights", weights): "name a network of timm",
        ("--weights", weights, "--pretrained"): "give one of them",
    }
    for arguments, words in cases.items():
        code, text = called(capsys, *out, *arguments)
        assert code == 2, text
        assert words in text
    assert not (tmp_path / "run/parts").exists()


def test_misfits_are_named_with_both_shapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = build_classifier("test_resnet", 2, (3, 32, 32), seed=0).state_dict()
    name = next(name for name in state if name.startswith("layer1") and state[name].ndim == 4)
    save_file(state | {name: torch.zeros(2, 3, 5, 5)}, tmp_path / "w.safetensors")
    arguments = ("--classifier", "test_resnet", "--weights", tmp_path / "w.safetensors")
    code, text = called(capsys, *arguments, "--out", tmp_path / "run")
    assert code == 2
    assert "classifier.weights" in text
    assert name in text
    assert "(2, 3, 5, 5)" in text
    assert str(tuple(state[name].shape)) in text


@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_generator_alone_makes_images_of_the_size_of_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({"data": {"data": "digits", "size": 224}, "device": "cpu"}))
    assert cli.main([command, str(config), "--out", str(tmp_path / "run")]) == 2
    assert "give --size 128" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ("semi", "semi trains all of a network; leave train: head out"),
        ("verify", "verify compares features, .*; leave train: head out"),
    ],
)
def test_semi_and_verify_train_whole_networks(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str], job: str, words: str
) -> None:
    config = tmp_path / "c.yaml"
    classifier = {"name": "test_resnet", "weights": str(weights), "train": "head"}
    whole = {"data": {"data": "digits"}, "classifier": classifier, "verify": {"pairs": "pairs"}}
    config.write_text(json.dumps(whole))
    assert cli.main([job, str(config), "--out", str(tmp_path / "run")]) == 2
    assert re.search(words, capsys.readouterr().err)


def test_a_dry_run_counts_and_times_the_features_and_leaves_nothing(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = ["real", "oversample", "classical", "mixup", "trivialaugment"]
    plan = gain_plan(small(weights, arms=arms), tmp_path / "run")
    first, second = (group.shared_steps["features"] for group in plan.replicate_groups(None, {}))
    assert second == 40 * (1 + 2 * (2 - 1))  # plain, and one more of two augmentations
    assert first - second == len(plan.bundle.test)
    whole = gain_plan(small(weights, arms=arms, train="all", views=4), tmp_path / "run")
    assert "features" not in whole.replicate_groups(None, {})[0].shared_steps
    options = ["--data", "digits", "--per-class", "4", "--classifier", "test_resnet"]
    options += ["--weights", str(weights), "--train", "head", "--classifier-size", "32"]
    options += ["--arms", "real,classical", "--dry-run", "--json", "--out", str(tmp_path / "run")]
    assert cli.main(["gain", *options]) == 0
    rows = {row["what"]: row for row in json.loads(capsys.readouterr().out)["plan"]}
    assert rows["features"]["seconds"] > 0
    assert not (tmp_path / "run").exists()
