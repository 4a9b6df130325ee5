from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

import augmentor
from augmentor.common.types import DataError, DivergedError
from downstream.train import NonFiniteLossError
from pipelines import cli
from pipelines.cli import exit_codes
from pipelines.cli.output import print_result
from pipelines.cli.settings import config_of, settings_and_folder
from pipelines.config import (
    IMAGE_SIZES,
    Config,
    ConfigError,
    EngineConfig,
    SourceConfig,
    config_from,
    dump_config,
)
from pipelines.gain import budget, tables
from pipelines.interrupt import Interrupted, watch_signals
from pipelines.run_dir import RunLockedError

MakeFolder = Callable[..., Path]
COMMANDS = {name: command for name, command in cli.cli.commands.items() if name != "edit"}
COMMANDS |= {f"edit {name}": command for name, command in cli.edit.commands.items()}


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, Any], list[tuple[Any, ...]]]:
    """Puts a job in the place of a real one: ``calls = job("generators.train", "train_run",
    outcome)``."""

    def put(module: str, name: str, outcome: Any) -> list[tuple[Any, ...]]:
        calls: list[tuple[Any, ...]] = []

        def run(*arguments: Any, **options: Any) -> Any:
            options.pop("progress")
            calls.append((*arguments, options))
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome() if callable(outcome) else outcome

        fake = ModuleType(f"pipelines.{module}")
        setattr(fake, name, run)
        monkeypatch.setitem(sys.modules, f"pipelines.{module}", fake)
        return calls

    return put


def one_line(text: str) -> str:
    assert text.count("\n") == 1, text
    assert text.startswith("augmentor: "), text
    return text


def test_help_needs_no_heavy_import() -> None:
    code = "import sys; from pipelines.cli import main; main(['--help']); print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "pydantic", "yaml", "rich", "timm", "PIL"} & set(
        found.stdout.split()
    )


def test_help_lists_the_commands_in_the_order_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    bare = capsys.readouterr().out
    assert cli.main(["--help"]) == 0
    assert capsys.readouterr().out == bare
    lines = bare.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    listed = [line.split()[0] for line in lines]
    assert listed == list(cli.cli.commands)
    walk = ["demo", "check", "train", "synth", "gain", "report", "summary"]
    assert [name for name in listed if name in walk] == walk
    assert "Exit codes" in bare


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_help_and_every_command_has_json(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert "--json" in text
    context = click.Context(COMMANDS[command])
    for option in COMMANDS[command].params:
        if isinstance(option, click.Option):
            record = option.get_help_record(context)
            assert record is not None
            assert record[1], option.name
            assert option.opts[0] in text


def test_options_are_grouped_and_show_the_defaults_of_the_config(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["gain", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert (
        text.index(" Data:")
        < text.index(" Generator:")
        < text.index(" Classifier:")
        < text.index(" Comparison:")
    )
    assert f"--steps N Training steps. [default: {Config().source.steps}]" in text


def test_the_sizes_offered_are_the_sizes_known() -> None:
    for option in cli.cli.commands["train"].params:
        if option.name == "data__size":
            assert isinstance(option.type, click.Choice)
            assert tuple(map(int, option.type.choices)) == IMAGE_SIZES
            return
    pytest.fail("no --size")


def test_options_override_the_file(
    tmp_path: Path, job: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    class Result:
        step, seconds, run = 7, 1.0, "there"

    calls = job("generators.train", "train_run", Result())
    path = tmp_path / "mine.yaml"
    path.write_text("data: {data: mnist, size: 28}\nsource: {steps: 5, batch_size: 8}\nseed: 3\n")
    arguments = [
        "train",
        str(path),
        "--size",
        "32",
        "--steps",
        "7",
        "--grey",
        "--resume",
        "--threads",
        "1",
    ]
    assert (
        cli.main([*arguments, "--imbalance", "10", "--per-class", "40", "--unlabelled", "rest"])
        == 0
    )
    (config, out, options) = calls[0]
    assert (config.data.data, config.data.size, config.data.grey) == ("mnist", 32, True)
    assert (config.data.imbalance, config.data.per_class, config.data.unlabelled) == (
        10,
        40,
        "rest",
    )
    assert (config.source.steps, config.source.batch_size, config.seed, config.threads) == (
        7,
        8,
        3,
        1,
    )
    assert (out, options) == (Path("runs/mine"), {"resume": True})
    assert capsys.readouterr().out == "7 steps in 1 s: there\n"


OPTIONS: dict[str, dict[str, tuple[str, str, Any]]] = {
    "gain": {
        "--labels": ("50", "data.labels", 50),
        "--condition": ("font,light", "data.condition", ("font", "light")),
        "--family": ("vae", "source.family", "vae"),
        "--source-augment": ("classical", "source.source_augment", "classical"),
        "--source-size": ("16", "source.size", 16),
        "--classifier-steps": ("7", "classifier.steps", 7),
        "--arms": ("real,mixup", "gain.arms", ("real", "mixup")),
        "--metrics": ("error,accuracy", "gain.metrics", ("error", "accuracy")),
        "--processes": ("2", "gain.processes", 2),
        "--engine": ("ray", "engine.name", "ray"),
    },
    "semi": {
        "--labels": ("20,40", "semi.labels", (20, 40)),
        "--methods": ("supervised,classical", "semi.methods", ("supervised", "classical")),
        "--baseline-labels": ("20", "semi.baseline_labels", (20,)),
        "--gan-steps": ("9", "semi.gan_steps", 9),
        "--domain": ("signs", "classifier.domain", "signs"),
    },
    "compare": {
        "--samples": ("50", "compare.samples", 50),
        "--judge-steps": ("8", "compare.judge_steps", 8),
        "--student-steps": ("6", "compare.student_steps", 6),
        "--batch-size": ("16", "source.batch_size", 16),
    },
    "verify": {
        "--pairs": ("people", "verify.pairs", "people"),
        "--train-folds": ("1,2", "verify.train_folds", (1, 2)),
        "--head": ("arcface", "verify.head", "arcface"),
        "--replicates": ("4", "verify.replicates", 4),
    },
}
"""By command: options with a value, the key that each sets, and to what."""


@pytest.mark.parametrize("command", OPTIONS)
def test_options_reach_their_keys(command: str, job: Callable[..., list[Any]]) -> None:
    calls = job(f"{command}.run", f"{command}_run", DataError("stop here"))
    line = [word for option, (value, *_) in OPTIONS[command].items() for word in (option, value)]
    assert cli.main([command, "--data", "digits", *line]) == 3
    config = calls[0][0]
    for option, (_, key, expected) in OPTIONS[command].items():
        assert attrgetter(key)(config) == expected, option


def test_the_folder_of_a_run_is_named_after_the_data_without_a_file(
    job: Callable[..., list[Any]],
) -> None:
    calls = job("gain.run", "gain_run", ConfigError("stop here"))
    assert (
        cli.main(
            ["gain", "--data", "/some/where/pets", "--arms", "real, smote", "--replicates", "3"]
        )
        == 2
    )
    assert cli.main(["gain", "--data", "digits", "--out", "mine"]) == 2
    assert [call[1] for call in calls] == [Path("runs/pets-gain"), Path("mine")]
    assert calls[0][0].gain.arms == ("real", "smote")
    assert calls[0][0].gain.replicates == 3


def test_resume_without_a_file_takes_the_config_of_the_run(
    tmp_path: Path, job: Callable[..., list[Any]]
) -> None:
    calls = job("generators.train", "train_run", ConfigError("stop here"))
    (tmp_path / "config.yaml").write_text("source: {steps: 11}\n")
    assert cli.main(["train", "--resume", "--out", str(tmp_path)]) == 2
    assert (calls[0][0].source.steps, calls[0][1]) == (11, tmp_path)


def test_resume_without_a_file_takes_the_config_of_a_run_of_an_earlier_version(
    job: Callable[..., list[Any]],
) -> None:
    calls = job("generators.train", "train_run", ConfigError("stop here"))
    run = Path(__file__).parents[1] / "golden" / "0.1.0" / "run"
    assert cli.main(["train", "--resume", "--out", str(run), "--steps", "9"]) == 2
    config = calls[0][0]
    assert (config.source.family, config.source.steps, config.out) == ("cgan", 9, run)


def test_synth_hands_everything_on(tmp_path: Path, job: Callable[..., list[Any]]) -> None:
    calls = job("generators.synthesize", "synthesize_run", {"images": 3})
    run = str(tmp_path)
    assert cli.main(["synth", run, "--class-balance", "--out", "there", "--classes", "a, b"]) == 0
    assert (
        cli.main(
            ["synth", run, "--class-balance=minority", "--filter", "confidence=0.5", "--seed", "2"]
        )
        == 0
    )
    assert (
        cli.main(["synth", run, "--per-class", "5", "--format", "shards", "--device", "cpu"]) == 0
    )
    nothing = {
        "per_class": None,
        "ratio": None,
        "fill": None,
        "classes": None,
        "filter": None,
        "spread": None,
        "seed": 0,
        "format": "folder",
    }
    nothing |= {"device": None, "processes": 1, "engine": EngineConfig()}
    assert calls[0] == (
        tmp_path,
        Path("there"),
        nothing | {"strategy": "auto", "classes": ("a", "b")},
    )
    filtered = {"strategy": "minority", "filter": "confidence=0.5", "seed": 2}
    assert calls[1] == (tmp_path, tmp_path / "synthetic", nothing | filtered)
    assert calls[2][2] == nothing | {
        "strategy": None,
        "per_class": 5,
        "format": "shards",
        "device": "cpu",
    }


def test_the_run_may_follow_an_option_whose_value_is_left_out(
    tmp_path: Path, job: Callable[..., list[Any]]
) -> None:
    calls = job("generators.synthesize", "synthesize_run", {"images": 3})
    assert cli.main(["synth", "--class-balance", str(tmp_path), "--seed", "2"]) == 0
    assert cli.main(["synth", "--fill", str(tmp_path)]) == 0
    assert cli.main(["synth", "--class-balance", "minority", str(tmp_path)]) == 0
    found = [(run, said["strategy"], said["fill"]) for run, _, said in calls]
    assert found == [(tmp_path, "auto", None), (tmp_path, None, 0), (tmp_path, "minority", None)]


def test_a_class_with_a_comma_stands_in_quotes(
    tmp_path: Path, job: Callable[..., list[Any]]
) -> None:
    calls = job("generators.synthesize", "synthesize_run", {"images": 3})
    assert cli.main(["synth", str(tmp_path), "--classes", '"hyena, spotted", cat,5"']) == 0
    assert calls[0][2]["classes"] == ("hyena, spotted", "cat", '5"')


def test_a_config_without_data_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], job: Callable[..., list[Any]]
) -> None:
    calls = job("gain.run", "gain_run", {})
    file = tmp_path / "mine.yaml"
    file.write_text("data: {size: 28}\nseed: 3\n")
    assert cli.main(["gain", str(file)]) == 2
    assert f"{file} does not name the data; write data: {{data: NAME" in capsys.readouterr().err
    assert calls == []
    assert cli.main(["gain", "--help"]) == 0
    assert "digits]" not in capsys.readouterr().out.partition("Classifier:")[0]


def test_a_folder_with_the_name_of_a_data_set_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = "mnist means the data set of this name; write ./mnist for the folder of it"
    config_of(None, {"data__data": "mnist"})
    assert words not in capsys.readouterr().err
    Path("mnist").mkdir()
    config_of(None, {"data__data": "mnist"})
    assert words in capsys.readouterr().err
    config_of(None, {"data__data": "./mnist"})
    assert capsys.readouterr().err == ""


def test_every_command_on_a_trained_run_can_be_told_where(
    capsys: pytest.CaptureFixture[str],
) -> None:
    edits = [
        "reconstruct",
        "morph",
        "transfer",
        "mix-identities",
        "inpaint",
        "frontalize",
        "identity-quality",
    ]
    for command in (["synth"], ["evaluate"], *(["edit", name] for name in edits)):
        assert cli.main([*command, "--help"]) == 0
        assert "--device DEVICE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trainn"], ["No such command", "train"]),
        (["train"], ["CONFIG file or --data", "augmentor train --help"]),
        (["train", "--stepz", "3"], ["--stepz", "--steps"]),
        (["train", "missing.yaml"], ["missing.yaml"]),
        (["train", "--data", "digits", "--size", "33"], ["--size", "33"]),
        (
            ["train", "--data", "digits", "--steps", "0"],
            ["source.steps", "greater than or equal to 1"],
        ),
        (["train", "--data", "digits", "--labels", "5", "--per-class", "5"], ["two regimes"]),
        (["train", "--resume"], ["--resume needs --out"]),
        (["train", "--resume", "--out", "nowhere"], ["nowhere/config.yaml", "cannot be read"]),
        (["synth", ".", "--per-class", "3", "--ratio", "1"], ["exclude each other"]),
        (["gain", "--data", "digits", "--views", "2"], ["--views has no effect without --train"]),
        (["train", "--data", "digits", "--max-pool", "9"], ["--max-pool has no effect without"]),
        (["import", "x", "--out", "y", "--data-root", "z"], ["--data-root has no effect without"]),
        (["edit", "mix-identities", ".", "--mix", "a,b", "--of", "2"], ["--of has no effect"]),
        (["evaluate", "nowhere"], ["nowhere"]),
        (["evaluate", ".", "--samples", "0"], ["--samples"]),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    for word in words:
        assert word in one_line(captured.err)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("f.yaml: unknown key"), 2, "f.yaml: unknown key"),
        (ValueError("bad word"), 2, "bad word (-v shows where)"),
        (DataError("class 'a'\nis empty"), 3, "class 'a' is empty"),
        (DivergedError("loss is nan at step 3"), 4, "loss is nan at step 3"),
        (NonFiniteLossError("the classifier's loss is nan"), 4, "the classifier's loss is nan"),
        (RunLockedError("in use by process 7"), 1, "in use by process 7"),
        (OSError(28, "No space left on device", "x"), 1, "[Errno 28] No space left on device: 'x'"),
        (Interrupted(signal.SIGINT), 130, "stopped by SIGINT"),
        (Interrupted(signal.SIGTERM), 143, "stopped by SIGTERM"),
        (KeyboardInterrupt(), 130, "stopped by SIGINT"),
        (MemoryError(), 1, "not enough memory; try a smaller --size or --batch-size"),
        (KeyError("x"), 1, "KeyError: 'x' (-v shows where)"),
    ],
)
def test_what_a_job_raises_becomes_one_line_and_its_exit_code(
    error: BaseException,
    code: int,
    line: str,
    job: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    job("gain.demo", "demo_run", error)
    assert cli.main(["demo"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert one_line(captured.err.lstrip("\n")) == f"augmentor: {line}\n"


def test_a_signal_in_the_middle_of_an_import_is_told_as_one(
    job: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Python 3.11 wraps what is raised while a class is made; found by the soak."""

    class Field:
        def __set_name__(self, owner: type, name: str) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    def imported() -> None:
        type("Made", (), {"field": Field()})

    job("gain.demo", "demo_run", imported)
    assert cli.main(["demo"]) == 143
    assert capsys.readouterr().err == "augmentor: stopped by SIGTERM\n"


@pytest.mark.parametrize("watched", [False, True])
def test_a_second_signal_does_not_cut_off_the_line_of_the_first(
    watched: bool,
    job: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def terminate() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def terminated_again(error: BaseException) -> tuple[int, str]:
        terminate()
        return verdict(error)

    def terminated_under_watch() -> None:
        with watch_signals() as watch:
            terminate()
            watch.check()

    verdict = exit_codes._verdict
    monkeypatch.setattr(exit_codes, "_verdict", terminated_again)
    job("gain.demo", "demo_run", terminated_under_watch if watched else terminate)
    assert cli.main(["demo"]) == 143
    assert capsys.readouterr().err == "augmentor: stopped by SIGTERM\n"


@pytest.mark.parametrize("arguments", [["-v", "demo"], ["demo", "--verbose"]])
def test_verbose_shows_where(
    arguments: list[str],
    job: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUGMENTOR_DEBUG", "")  # so that what the option sets is undone
    job("gain.demo", "demo_run", DataError("empty"))
    assert cli.main(arguments) == 3
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.endswith("\naugmentor: empty\n")


def test_json_is_one_document_and_nothing_else(
    job: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    job(
        "gain.demo", "demo_run", {"verdict": "No gain – 猫", "path": Path("a/b"), "pair": (1, None)}
    )
    assert cli.main(["demo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "verdict": "No gain – 猫",
        "path": "a/b",
        "pair": [1, None],
    }


def test_gain_prints_the_table_and_the_verdict(
    job: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verdict = {"advice": "Use `mixup`.", "lines": ["one", "two"]}
    job("gain.run", "gain_run", {"verdict": verdict})
    monkeypatch.setattr(tables, "gain_table", lambda result: "the table")
    assert cli.main(["gain", "--data", "digits"]) == 0
    files = "runs/digits-gain/report.html  runs/digits-gain/gain.json"
    said = "Use `mixup`.\n- one\n- two"
    following = "next: augmentor report runs/digits-gain --open\n"
    assert capsys.readouterr() == (f"the table\n\n{said}\n\n{files}\n", following)
    monkeypatch.setenv("AUGMENTOR_QUIET", "")  # so that what the option sets is undone
    assert cli.main(["gain", "--data", "digits", "--quiet"]) == 0
    assert capsys.readouterr() == (f"the table\n\n{said}\n\n{files}\n", "")
    monkeypatch.setenv("AUGMENTOR_QUIET", "")
    assert cli.main(["gain", "--data", "digits", "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_plain_results_are_indented_lines(
    tmp_path: Path, job: Callable[..., list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    job(
        "generators.synthesize",
        "synthesize_run",
        {"samples": 10, "judge": {"top1": 0.98765}, "classes": ["a", "b"]},
    )
    assert cli.main(["synth", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "samples: 10\njudge:\n  top1: 0.9877\nclasses: a, b\n"


def test_check_reads_a_real_folder(
    tmp_path: Path, make_folder: MakeFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder(tmp_path, {"cat": 4, "dog": 4})
    assert cli.main(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("ok\n")
    (tmp_path / "dog" / "bad.png").write_text("x")
    assert cli.main(["check", str(tmp_path), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], [Path(one["path"]).name for one in found["bad"]]) == (False, ["bad.png"])
    assert cli.main(["check", str(tmp_path / "nowhere")]) == 3


QUICK = ["--steps", "2", "--batch-size", "4", "--classifier-steps", "3", "--threads", "1"]


def test_a_dry_run_of_a_training_shows_config_and_data(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["train", "--data", "digits", "--labels", "50", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("# digits: 50 labels, ")
    assert "labels: 50" in out


def test_a_dry_run_of_gain_shows_what_would_be_trained_and_how_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["gain", "--data", "digits", "--labels", "50", "--arms", "real,synthetic", *QUICK]
    arguments += ["--replicates", "3", "--out", str(tmp_path / "out"), "--dry-run"]
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out
    assert "arms: real, synthetic" in out
    assert re.search(r"training +6 +0 ", out)
    assert re.search(r"generator +3 +0 ", out)
    assert "--processes 1" in out
    assert not (tmp_path / "out").exists()
    assert cli.main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = {row["what"]: row for row in document["plan"]}
    assert (rows["training"]["count"], rows["training"]["finished"]) == (6, 0)
    assert document["seconds"] > 0


def test_a_dry_run_names_no_generator_where_none_would_be_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", "digits", *QUICK[:2], *QUICK[4:], "--out", str(tmp_path), "--dry-run"]
    few = ["--labels", "20", "--subsets", "1"]
    assert cli.main(["gain", "--labels", "50", "--arms", "real,classical", *arguments]) == 0
    assert cli.main(["semi", *few, "--methods", "supervised,classical", *arguments]) == 0
    out = capsys.readouterr().out
    assert out.count("classifier: auto, 3 steps") == 2
    assert "generator" not in out
    assert cli.main(["semi", *few, "--methods", "head_cvae_gan", *arguments]) == 0
    assert "generator: cvae_gan, 2 steps" in capsys.readouterr().out


def test_a_dry_run_of_compare_tells_the_budget_the_judge_and_the_time_of_the_generators(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", "--data", "digits", "--families", "cvae,fm_cgan", *QUICK[:4]]
    arguments += ["--judge-steps", "3", "--student-steps", "4", "--samples", "40"]
    assert cli.main([*arguments, "--out", str(tmp_path), "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["scored"] == "40 samples of each row, beside 896 test images"
    assert (told["judge"], told["student"]) == ("auto, 3 steps", "auto, 4 steps")
    assert told["budget of a row"] == "2 steps of 4 images"
    assert "classifier" not in told
    assert "generator" not in told


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (["--family", "magic"], "unknown family 'magic'"),
        (["--arms", "real,magic"], "unknown arm 'magic'"),
        (["--metric", "acuracy"], "did you mean 'accuracy'"),
        (["--classifier", "resnet-18"], "timm has no network"),
    ],
)
def test_a_dry_run_refuses_every_wrong_name(
    wrong: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["gain", "--data", "digits", "--labels", "50", "--dry-run", *wrong]) == 2
    assert word in capsys.readouterr().err


@pytest.mark.parametrize(
    ("job", "options"), [("gain", []), ("semi", []), ("compare", []), ("verify", ["--pairs", "p"])]
)
def test_a_job_does_not_write_into_the_run_of_a_generator(
    job: str,
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`train --data photos` owns runs/photos and its config.yaml."""
    monkeypatch.chdir(tmp_path)

    def run(config: Config, out: Path, **_: object) -> None:
        raise DataError(f"would write to {out}")

    monkeypatch.setattr(importlib.import_module(f"pipelines.{job}.run"), f"{job}_run", run)
    assert cli.main([job, "--data", "photos", *options]) == 3
    assert f"would write to runs/photos-{job}" in capsys.readouterr().err


def test_a_run_lists_its_parts_and_answers_another_metric(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    arguments = ["gain", "--data", "digits", "--labels", "50", "--arms", "real,classical", *QUICK]
    assert cli.main([*arguments, "--replicates", "2", "--out", out]) == 0
    capsys.readouterr()
    assert cli.main(["parts", out]) == 0
    assert capsys.readouterr().out.count("finished") == 4
    part = next((tmp_path / "out" / "parts").glob("training-*"))
    part.write_bytes(b"damaged")
    assert cli.main(["parts", out, "--json"]) == 0
    statuses = [row["status"] for row in json.loads(capsys.readouterr().out)["parts"]]
    assert sorted(statuses) == ["damaged", "finished", "finished", "finished"]
    assert cli.main(["gain", out, "--metric", "auroc", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["metric"], result["replicates"]) == ("auroc", 2)
    assert cli.main(["parts", str(tmp_path)]) == 2
    assert "no run with parts here" in capsys.readouterr().err


def test_a_budget_says_what_it_took_or_what_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["gain", "--data", "digits", "--labels", "50", "--arms", "real,classical", *QUICK]
    arguments += ["--dry-run", "--replicates", "4", "--out", str(tmp_path / "out")]
    assert cli.main([*arguments, "--budget", "1h"]) == 0
    assert "4 of 4 replicates with 100 % of the steps" in capsys.readouterr().err
    assert cli.main([*arguments, "--classifier-steps", "1000000", "--budget", "1s"]) == 2
    told = capsys.readouterr().err
    assert "too short; 3 replicates with a quarter of the steps take about" in told
    smaller = told.partition("make the run smaller: ")[2]
    assert smaller.split(" (see")[0].strip() == "--size 16"
    arguments += ["--size", "16"]
    assert cli.main([*arguments, "--classifier-steps", "1000000", "--budget", "1s"]) == 2
    smaller = capsys.readouterr().err.partition("make the run smaller: ")[2]
    asked = re.search(r"--steps 1 --classifier-steps (\d+) --replicates 3", smaller)
    assert asked is not None
    assert int(asked[1]) < 1_000_000 / 100
    assert cli.main([*arguments, "--budget", "soon"]) == 2
    assert "'soon' is not a time" in capsys.readouterr().err
    assert cli.main([*arguments, "--budget", "1h", "--engine", "ray"]) == 2
    assert "add --processes N" in capsys.readouterr().err


def test_steps_that_a_budget_cut_stand_in_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["gain", "--data", "digits", "--labels", "50", "--arms", "real,classical", *QUICK]
    arguments += ["--replicates", "3", "--classifier-steps", "8", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(budget, "fit_budget", lambda *_: (3, 0.5))
    assert cli.main([*arguments, "--budget", "1h"]) == 0
    assert "trained with 50 % of the steps to fit the budget" in " ".join(
        capsys.readouterr().out.split()
    )
    setup = json.loads((tmp_path / "out" / "gain.json").read_text())["setup"]
    assert setup["classifier steps"] == 4
    assert setup[budget.WHOLE] == "--steps 2 --classifier-steps 8 --replicates 3"
    # The run remembers it when it answers for another metric, and after an interruption.
    (tmp_path / "out" / "gain.json").unlink()
    assert cli.main(["gain", str(tmp_path / "out"), "--metric", "accuracy"]) == 0
    page = (tmp_path / "out" / "report.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "trained with 50 %" in page


def test_a_budget_resumes_with_the_steps_that_the_folder_was_begun_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["gain", "--data", "digits", "--labels", "50", "--arms", "real,classical", *QUICK]
    arguments += ["--replicates", "3", "--classifier-steps", "8", "--out", str(tmp_path / "out")]
    with monkeypatch.context() as first:
        first.setattr(budget, "fit_budget", lambda *_: (3, 0.5))
        assert cli.main([*arguments, "--budget", "1h"]) == 0
    parts = {path.name for path in (tmp_path / "out" / "parts").iterdir()}
    capsys.readouterr()
    # This time all steps would fit, yet those of the finished trainings are taken.
    assert cli.main([*arguments, "--budget", "1h"]) == 0
    assert "3 of 3 replicates with 50 % of the steps" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out" / "parts").iterdir()} == parts
    slower = ["--replicates", "3", "--classifier-steps", "8000000", "--budget", "1s"]
    assert cli.main([*arguments[:-4], *slower, "--out", str(tmp_path / "out")]) == 2
    assert "with a quarter of the steps take about" in capsys.readouterr().err


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"augmentor {augmentor.__version__}\n"


def test_a_reader_that_leaves_early_is_no_error() -> None:
    code = "import sys; from pipelines.cli import main; sys.exit(main(['--help']))"
    reading, writing = os.pipe()
    os.close(reading)
    child = subprocess.run(
        [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (child.returncode, child.stderr) == (1, "")


def test_a_check_leads_to_a_plan_of_what_was_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make_folder: MakeFolder
) -> None:
    assert cli.main(["check", "digits-conditions", "--size", "16", "--condition", "look"]) == 0
    said = "next: augmentor gain --data digits-conditions --size 16 --condition look --dry-run"
    assert said in capsys.readouterr().err
    form = [
        "--size",
        "8",
        "--test-fraction",
        "0.5",
        "--grey",
        "--data-root",
        str(tmp_path / "my data"),
    ]
    make_folder(tmp_path / "my data" / "pets", {"cat": 20, "dog": 20})
    assert cli.main(["check", "pets", *form]) == 0
    said = capsys.readouterr().err.replace("\n", " ")
    root = f"--data-root '{tmp_path / 'my data'}' --size 8 --test-fraction 0.5 --grey --dry-run"
    assert root in " ".join(said.split())


def test_conditions_that_are_new_to_a_run_bring_the_generator_that_suits_them(
    tmp_path: Path,
) -> None:
    """A run writes all keys down, which is not to choose them."""

    def family(**source: Any) -> str:
        config = config_from({"data": {"data": "digits-conditions"}, "source": source})
        (tmp_path / "config.yaml").write_text(dump_config(config))
        found, _ = settings_and_folder(tmp_path, {"data__condition": ("look",), "out": None})
        return found.with_family().source.family

    assert family() == "cvae"
    assert family(family="vae_gan") == "vae_gan"
    assert family(options={"width": 8}) == "cvae_gan"
    config = config_from({"data": {"data": "digits-conditions", "condition": ["look"]}})
    chosen = config.model_copy(update={"source": SourceConfig(family="cvae_gan")})
    (tmp_path / "config.yaml").write_text(dump_config(chosen))
    again, _ = settings_and_folder(tmp_path, {"data__condition": ("look",), "out": None})
    assert again.with_family().source.family == "cvae_gan", "that run has known conditions before"


def test_names_that_steer_a_terminal_are_valid_json(capsys: pytest.CaptureFixture[str]) -> None:
    name = "do\xadg\U000e0067\x7f"
    print_result({"class": name, "minus": "−1"}, as_json=True, text=str)
    out = capsys.readouterr().out
    assert json.loads(out) == {"class": name, "minus": "−1"}
    assert all(c.isprintable() or c == "\n" for c in out)


def test_an_output_that_is_not_utf8_gets_plain_signs() -> None:
    shown = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from pipelines.cli import main; main(['--version']); "
            "print('\u22122.5 \u00b1 1 \u732b')",
        ],
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=True,
    )
    assert shown.stdout.decode("cp1252").splitlines()[-1] == "-2.5 ± 1 ?"


@pytest.mark.parametrize("name", [".", ".."])
def test_a_folder_that_is_named_by_dots_gives_its_own_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "photos" if name == "." else tmp_path / "photos" / "train"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    assert settings_and_folder(None, {"data__data": name}, suffix="-gain")[1] == Path(
        "runs/photos-gain"
    )


def test_a_job_on_a_generators_folder_has_a_folder_of_its_own(tmp_path: Path) -> None:
    run = tmp_path / "digits"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("data: {data: digits}\n")
    assert settings_and_folder(run, {}, suffix="-gain")[1] == tmp_path / "digits-gain"
    assert settings_and_folder(run, {"out": run}, suffix="-gain")[1] == run
    assert settings_and_folder(run, {})[1] == run


def test_windows_is_told_what_the_jobs_need() -> None:
    program = "import sys; sys.platform = 'win32'; import pipelines"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "on Windows run them in WSL" in run.stderr
