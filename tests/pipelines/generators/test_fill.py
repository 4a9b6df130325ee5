"""From a training with conditions to a set that fills what is missing, and its contact sheet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from click.testing import CliRunner

from augmentor.common.conditions import Conditions
from augmentor.common.types import LabelledImages
from augmentor.data.candidates import combination_latents
from augmentor.data.combinations import combinations_of
from augmentor.data.fingerprint import to_uint8
from augmentor.data.synthetic_store import read_set
from augmentor.quality.conditioning import FOLLOWS
from downstream.arms.table import FILL_SPREAD
from pipelines.cli import cli, main
from pipelines.config import ClassifierConfig, Config, ConfigError, config_from
from pipelines.datasets import DataBundle
from pipelines.evaluate import run as evaluate
from pipelines.evaluate.run import evaluate_run
from pipelines.generators import synthesize as job
from pipelines.generators import train as training
from pipelines.generators.contact_sheet import (
    RENDERED,
    Cell,
    draw_matrix,
    matrix_of,
    some_of,
)
from pipelines.generators.load import load_source
from pipelines.generators.quality import EvaluateSettings
from pipelines.generators.synthesize import synthesize_run
from pipelines.generators.train import train_run
from pipelines.progress import Silent

WORDS = Conditions(("font",), ("bold", "light", "thin"))
ANGLES = Conditions(("azimuth",), centre=(0.0,), scale=(90.0,))


def images(conditions: Conditions) -> LabelledImages:
    """Three classes, three conditions; class c lacks two of them."""
    y = torch.tensor([0] * 6 + [1] * 6 + [2])
    place = torch.tensor([0, 1, 2, 0, 1, 2] * 2 + [0])
    x = torch.rand(13, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    condition = (place - 1.0)[:, None] * 60 if conditions.are_numbers else place
    return LabelledImages(x, y, ("a", "b", "c"), condition, conditions)


def config(family: str = "cvae_gan") -> Config:
    options = {"width": 4, "latent_dim": 5}
    source = {"family": family, "steps": 2, "batch_size": 8, "options": options}
    return config_from({"data": {"data": "digits", "size": 8}, "source": source, "threads": 1})


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run on the images of conditions, by family."""

    def train(conditions: Conditions, family: str = "cvae_gan") -> Path:
        data = images(conditions)
        bundle = DataBundle("marks", "all", data, data, None, "")
        for module in (training, job):
            monkeypatch.setattr(module, "load_data", lambda *_: bundle)
        train_run(config(family), tmp_path / "run")
        return tmp_path / "run"

    return train


@pytest.mark.parametrize("family", ["cvae_gan", "vae", "cvae"])
@pytest.mark.parametrize("conditions", [WORDS, ANGLES], ids=["words", "numbers"])
def test_a_run_fills_up_every_combination(
    trained: Any, tmp_path: Path, conditions: Conditions, family: str
) -> None:
    run, real = trained(conditions, family), images(conditions)
    report = synthesize_run(run, tmp_path / "set", fill=0)
    assert report.counts == {"c": 5}
    made = read_set(tmp_path / "set").images
    bins = combinations_of(real).bins
    assert combinations_of(real.joined(made), bins).counts.tolist() == [[2, 2, 2]] * 3
    assert report.contact_sheet.is_file()


def test_it_needs_nothing_but_the_run(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(WORDS)

    def gone(*_: Any) -> None:
        raise ConfigError("data: no such folder")

    monkeypatch.setattr(job, "load_data", gone)
    assert synthesize_run(run, tmp_path / "set", fill=4).counts == {"a": 6, "b": 6, "c": 11}
    seen = load_source(run).seen
    assert seen is not None
    assert seen.condition is not None
    assert seen.condition.tolist() == [0, 1, 2] * 4 + [0]
    assert seen.x.shape == (13, 1, 0, 0)


def test_without_fill_a_class_is_spread_over_the_conditions(trained: Any, tmp_path: Path) -> None:
    synthesize_run(trained(WORDS), tmp_path / "set", per_class=6)
    made = read_set(tmp_path / "set").images
    assert combinations_of(made).counts.tolist() == [[2, 2, 2]] * 3


def test_combinations_are_rendered_as_gain_measured_them(trained: Any, tmp_path: Path) -> None:
    """Latents nearer to the prior's mean than those of other sets, unless said otherwise."""
    run = trained(WORDS)
    synthesize_run(run, tmp_path / "usual", per_class=6)
    synthesize_run(run, tmp_path / "closer", per_class=6, spread=FILL_SPREAD)
    synthesize_run(run, tmp_path / "filled", fill=0)
    usual, closer = read_set(tmp_path / "usual"), read_set(tmp_path / "closer")
    assert (usual.recipe.spread, closer.recipe.spread) == (1.0, FILL_SPREAD)
    assert read_set(tmp_path / "filled").recipe.spread == FILL_SPREAD
    assert not torch.equal(usual.images.x, closer.images.x)
    source = load_source(run).source
    z = FILL_SPREAD * combination_latents(0, 0, [(0, 0)], source.latent_dim)
    expected = source.sample(torch.tensor([0]), z, torch.tensor([0]))
    assert torch.equal(to_uint8(closer.images.x[:1]), to_uint8(expected))
    with pytest.raises(ConfigError, match="--spread must be 0 or more"):
        synthesize_run(run, tmp_path / "wrong", per_class=1, spread=-1.0)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"fill": 1}, None),
        ({"fill": 0, "per_class": 2}, "give one of"),
        ({"fill": -1}, "negative"),
        ({"fill": 0, "classes": ["z"]}, "unknown class"),
        ({"fill": 0, "filter": "confidence=0.5"}, "would drop what is right"),
    ],
)
def test_wishes(trained: Any, tmp_path: Path, wish: dict[str, Any], message: str | None) -> None:
    run = trained(WORDS)
    if message is None:
        assert synthesize_run(run, tmp_path / "set", **wish).counts == {"c": 2}
        return
    with pytest.raises(ConfigError, match=message):
        synthesize_run(run, tmp_path / "set", **wish)


def test_a_source_without_conditions_says_what_it_needs(trained: Any, tmp_path: Path) -> None:
    run = trained(WORDS, "cgan")  # knows classes alone, whatever the images tell
    answer = CliRunner().invoke(cli, ["synth", str(run), "--fill"])
    assert isinstance(answer.exception, SystemExit | ConfigError)
    with pytest.raises(ConfigError, match="train one with --condition"):
        synthesize_run(run, tmp_path / "set", fill=0)


def test_the_command(trained: Any, tmp_path: Path) -> None:
    run = trained(WORDS)
    answer = CliRunner().invoke(cli, ["synth", str(run), "--fill", "--out", str(tmp_path / "s")])
    assert answer.exit_code == 0, answer.output
    assert len(read_set(tmp_path / "s").images) == 5
    both = CliRunner().invoke(cli, ["synth", str(run), "--fill", "3", "--per-class", "2"])
    assert both.exit_code == 2


def test_a_pool_without_conditions_is_refused(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(WORDS)
    data = images(WORDS)
    bundle = DataBundle("marks", "all", data, data, torch.zeros(4, 1, 8, 8), "")
    monkeypatch.setattr(training, "load_data", lambda *_: bundle)
    monkeypatch.setattr(
        training,
        "pool_labels",
        lambda *_: (torch.tensor([0]), torch.tensor([1])),
    )
    with pytest.raises(ConfigError, match="leave out --unlabelled"):
        train_run(config(), tmp_path / "other")


def test_rendered_cells_have_a_frame_and_photos_none() -> None:
    tile = torch.zeros(1, 8, 8)
    cells = [[Cell(tile, True, False), Cell(tile, False, True), Cell(None, True, False)]]
    picture = draw_matrix(cells, ["a"], ["one", "two", "three"], "")
    colours = [
        picture.getpixel((x, y)) for x in range(picture.width) for y in range(picture.height)
    ]
    orange = colours.count(RENDERED)
    assert orange == 40**2 - 32**2  # one frame, 4 pixels wide


def test_a_large_matrix_is_shortened_at_even_distances() -> None:
    shown = some_of(60, 24)
    assert (shown[0], shown[-1], len(set(shown))) == (0, 59, 24)
    assert some_of(3, 24) == [0, 1, 2]


@pytest.mark.parametrize(
    ("conditions", "names"),
    [(WORDS, ["bold", "light", "thin"]), (ANGLES, ["azimuth -60", "azimuth 0", "azimuth 60"])],
    ids=["words", "numbers"],
)
def test_the_sheet_tells_words_and_numbers(conditions: Conditions, names: list[str]) -> None:
    picture = matrix_of(combinations_of(images(conditions)), {}, {})
    photo, lack = Cell(None, True, False), Cell(None, False, False)
    cells, note = (
        [[photo] * 3, [photo] * 3, [photo, lack, lack]],
        "3 of 3 classes, 3 of 3 conditions",
    )
    assert picture == draw_matrix(cells, ["a", "b", "c"], names, note)
    assert picture != draw_matrix(cells, ["a", "b", "c"], names[::-1], note), "names are drawn"
    assert picture != draw_matrix(cells, ["c", "b", "a"], names, note), "classes too"


def test_a_family_that_knows_classes_alone_says_that_the_condition_is_not_used(
    trained: Any, tmp_path: Path
) -> None:
    class Said(Silent):
        lines: ClassVar[list[str]] = []

        def say(self, line: str) -> None:
            self.lines.append(line)

    trained(WORDS)
    train_run(config("cgan"), tmp_path / "gan", progress=Said())
    assert Said.lines == [
        "the family cgan knows classes alone, so the condition font is not used; families that use "
        "it: cvae_gan, vae, cvae"
    ]


@pytest.mark.parametrize(
    ("family", "option", "notes"), [("cgan", "--class-balance", 1), ("vae", "--fill", 0)]
)
def test_the_command_leads_to_what_the_family_can_render(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], family: str, option: str, notes: int
) -> None:
    asked = ["train", "--data", "digits-conditions", "--condition", "look", "--family", family]
    asked += ["--steps", "1", "--batch-size", "4", "--out", str(tmp_path / "run")]
    assert main([*asked, "--dry-run"]) == 0
    told = capsys.readouterr()
    assert told.err.count("knows classes alone, so the condition look is not used") == notes
    assert {"data:", "source:"} < set(told.out.split("\n"))
    assert not {"gain:", "semi:", "compare:", "verify:", "engine:"} & set(told.out.split("\n"))
    assert main(asked) == 0
    assert f"next: augmentor synth {tmp_path / 'run'} {option}\n" in capsys.readouterr().err


@pytest.mark.parametrize("conditions", [WORDS, ANGLES], ids=["words", "numbers"])
def test_a_run_with_conditions_is_evaluated_under_all_that_occur(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conditions: Conditions
) -> None:
    run, data = trained(conditions), images(conditions)
    test = replace(data, x=-data.x)
    bundle = DataBundle("marks", "all", data, test, None, "")
    monkeypatch.setattr(evaluate, "load_data", lambda *_: bundle)
    short = ClassifierConfig(steps=2)
    settings = EvaluateSettings(judge=short, student=short)
    result = evaluate_run(run, tmp_path / "page", samples=30, settings=settings)
    assert "every class was rendered under all 3 that occur" in result["conditions"]
    assert result["conditions"] in (tmp_path / "page" / "evaluate.md").read_text()
    warned = any(words.startswith("ignores the condition") for words in result["warnings"])
    assert warned == (result["condition_agreement"] < FOLLOWS)
    assert result["metrics"]["answers"]["generated"]["images"] == 30
