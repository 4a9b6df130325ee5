from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from downstream.arms.policy import MixPolicy
from downstream.arms.table import FILL_SPREAD
from pipelines import cli
from pipelines.gain import run as gain
from pipelines.gain.budget import CUT, WHOLE
from pipelines.gain.next_steps import next_steps
from pipelines.report.cards import Step


def test_the_page_of_a_finished_run_is_written_anew_and_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, opened, data = tmp_path / "a run", [], []
    run.mkdir()
    (run / "gain.json").write_text("{}")
    (run / "config.yaml").write_text("data: {data: digits}\n")

    def again(config: Any, out: Path) -> Path:
        data.append(config.data.data)
        return out / "report.html"

    monkeypatch.setattr(gain, "report_again", again)
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert cli.main(["report", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(run / "report.html")}
    assert (data, opened) == (["digits"], [])
    assert cli.main(["report", str(run), "--open"]) == 0
    assert opened == [(run / "report.html").as_uri()]


def test_a_folder_without_a_finished_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", str(tmp_path)]) == 2
    said = "no finished run of gain, semi, compare, verify, evaluate here"
    assert said in capsys.readouterr().err


def told(light: str, **changes: Any) -> list[Step]:
    row = {"arm": "auto", "baseline": "mixup", "outcome": "undecided", "needed": None}
    result = {
        "dataset": "photos",
        "verdict": {"light": light},
        "policy": {},
        "baselines": {"classical": "mixup"},
        "arms": {"mixup": {"mean": 0.9}, "auto": {"mean": 0.9}},
        "comparisons": [row | changes.pop("row", {})],
        "replicates": 5,
        "scored_on": "test",
        "metric": "accuracy",
    }
    return next_steps(result | changes, Path("runs/a b"))


def test_a_screening_leads_to_the_test_images() -> None:
    command = "augmentor gain --data 'my photos' --screening --budget 10m --size 16 --out=runs/look"
    held_out = {"scored_on": "held-out training images", "command": command}
    step = told("amber", **held_out)[0]
    assert step.words == "Ask the test images, which this screening left alone."
    expected = "augmentor gain --data 'my photos' --size 16 --out 'runs/a b-on-test'"
    assert step.command == expected
    rooted = {"command": "augmentor gain --data $AUGMENTOR_DATA/photos --screening"}
    assert told("amber", **held_out | rooted)[0].command == (
        "augmentor gain --data $AUGMENTOR_DATA/photos --out 'runs/a b-on-test'"
    )
    of_code = told("amber", **held_out | {"command": "python study.py"})
    for steps in (of_code, told("amber", command=command)):
        assert not any("test images" in step.words for step in steps)


def test_an_only_rival_is_not_called_the_strongest() -> None:
    words = [step.words for step in told("amber")]
    assert "Train with `mixup`, without synthetic images." in words
    two = {"baselines": {"classical": "mixup", "pseudo_label": "pseudo_label"}}
    words = [step.words for step in told("amber", **two)]
    assert "Train with `mixup`, the strongest arm without a generator." in words


def test_a_rival_that_keeps_the_light_amber_is_the_one_to_decide_on() -> None:
    """The screened arm was beaten, the one with the highest mean was not."""
    screened = {"arm": "auto", "baseline": "mixup", "outcome": "better", "needed": None}
    for needed, first in ((12, "Decide by a fresh run of 12"), (None, "Train with `cutmix`")):
        highest = {"arm": "auto", "baseline": "cutmix", "outcome": "undecided", "needed": needed}
        more = {"mixtures": {}, "highest_means": {"classical": "cutmix"}}
        steps = told("amber", comparisons=[screened, highest], **more)
        assert steps[0].words.startswith(first)


def test_a_gain_leads_to_training_rendering_and_mixing() -> None:
    commands = [step.command for step in told("green", combinations={"train": [[0]]})]
    config, generator = "'runs/a b/config.yaml'", "'runs/a b-generator'"
    assert commands[:2] == [
        f"augmentor train {config} --out {generator}",
        f"augmentor synth {generator} --fill",
    ]
    assert commands[2].endswith('SyntheticMix(train_set, "runs/a b-generator/synthetic")')


def test_a_policy_of_combinations_leads_to_the_images_it_was_measured_with() -> None:
    policy = MixPolicy("trivialaugment", share=0.75, fill=True).to_json()
    assert policy["spread"] == FILL_SPREAD
    seen = {"train": [[9, 0, 3], [2, 9, 1]]}
    steps = told("green", combinations=seen, policy=policy)
    assert steps[1].command.endswith(f"--per-class 27 --spread {FILL_SPREAD}")
    assert 'policy="runs/a b/policy.json"' in steps[2].command


def test_the_steps_are_those_of_the_arm_that_is_advised() -> None:
    """What auto chose is in policy.json, with its filter; another arm has no file."""
    policy = {"base": "classical", "share": 0.5, "confidence": 0.5, "name": "mine"}
    commands = [step.command for step in told("green", policy=policy)]
    assert commands[1].endswith("--class-balance --filter confidence=0.5")
    assert 'policy="runs/a b/policy.json"' in commands[2]
    without = {"base": "classical", "share": 0.0, "confidence": 0.0, "name": "classical"}
    equal = {"training_counts": {"a": 5, "b": 5}}
    commands = [step.command for step in told("green", policy=without, **equal)]
    assert commands[1].endswith("--ratio 1"), "equally large classes need no balance"
    assert commands[2].endswith('/synthetic")'), "all images: no class lacks any by counts"


def test_an_open_comparison_leads_to_the_replicates_that_decide() -> None:
    """A fresh run first: looking again at the same one makes a wrong claim likelier."""
    fresh, extended = told("amber", row={"needed": 12}, setup={"seed": 4})[:2]
    assert fresh.command == (
        "augmentor gain 'runs/a b/config.yaml' --replicates 12 --seed 57475 --out 'runs/a b-again'"
    )
    assert extended.command == "augmentor gain 'runs/a b' --replicates 12"
    assert "second look" in extended.words
    assert "`mixup`" in told("amber")[0].words, "more replicates would not decide"
    few = told("amber", replicates=2)[0]
    assert few.command == "augmentor gain 'runs/a b' --replicates 3", "two could claim nothing"
    assert "look" not in few.words


def test_a_run_that_a_budget_cut_is_to_be_trained_whole() -> None:
    setup = {CUT: "25 %", WHOLE: "--steps 3000 --classifier-steps 600 --replicates 5"}
    first = told("amber", setup=setup)[0]
    asked = "'runs/a b/config.yaml' --steps 3000 --classifier-steps 600 --replicates 5"
    assert first.command == f"augmentor gain {asked} --out 'runs/a b'-whole"


def test_conditions_are_asked_for_where_there_can_be_some() -> None:
    assert any("--condition COLUMN" in step.command for step in told("amber"))
    assert not any("--condition" in step.command for step in told("amber", dataset="digits"))
    for more in ({"outside": [{"name": "a"}]}, {"regime": "9 labels, 20 unlabelled"}):
        step = next(one for one in told("amber", **more) if "--condition" in one.command)
        assert step.command.startswith("augmentor gain --data FOLDER --condition COLUMN")
        assert step.words.endswith("in the place of COLUMN, your folder in that of FOLDER.")


def test_a_run_without_synthetic_arms_is_told_to_add_one_and_a_loss_to_do_without() -> None:
    assert told("amber", comparisons=[])[0].command.endswith(
        "--arms mixup,auto,synthetic+classical"
    )
    pool = {"classical": "mixup", "same_pool": "fixmatch"}
    arms = {"mixup": {"mean": 0.9}, "fixmatch": {"mean": 0.8}}
    assert "`mixup`" in told("red", baselines=pool, arms=arms)[0].words
    assert "`fixmatch`" in told("red", baselines=pool, arms=arms, metric="error")[0].words
    assert told("red")[0].words == "Train with `mixup`, without synthetic images."
