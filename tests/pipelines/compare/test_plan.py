from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from augmentor.common.types import DataError
from pipelines import cli
from pipelines.compare.parts import settings_for
from pipelines.compare.plan import ComparePlan, compare_plan
from pipelines.compare.timing import step_seconds
from pipelines.config import CompareConfig, ConfigError, dump_config, parse_config
from pipelines.experiment.plan import plan_rows
from pipelines.generators.train import train_run
from tests.pipelines.compare.made_up import SMALL, TINY, tiny


def digests(plan: ComparePlan) -> dict[str, str]:
    parts = [group.parts[0] for group in plan.groups]
    return {part.label: part.digest for part in parts}


def test_a_plan_lists_the_judge_and_then_every_row(tmp_path: Path) -> None:
    plan = compare_plan(tiny(), tmp_path / "run")
    assert [group.parts[0].kind for group in plan.groups] == ["judge", "row", "row"]
    assert [row.source.family for row in plan.rows] == ["cvae", "cgan"]
    assert all(row.equal_budget for row in plan.rows)
    rows = plan_rows(plan.groups, plan.store, step_seconds(plan))
    assert [(row.what, row.count, row.finished) for row in rows] == [("judge", 1, 0), ("row", 2, 0)]
    assert all(row.seconds for row in rows)
    assert not (tmp_path / "run").exists(), "planning leaves nothing behind"


def test_all_families_are_compared_unless_some_are_named(tmp_path: Path) -> None:
    plan = compare_plan(tiny(compare={"families": None}), tmp_path)
    assert len(plan.rows) == len(plan.row_groups) > 10


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"compare": {"families": ["cvae", "magic"]}},
            "compare.families.magic: unknown family 'magic'; known: cvae_gan",
        ),
        (
            {"data": {"data": "digits-conditions", "size": 16, "condition": ["look"]}},
            "data.condition: a comparison is of families that know classes alone",
        ),
        (
            {"compare": {"families": {"a": {"family": "cvae", "options": {"widht": 3}}}}},
            "families.a: unknown options",
        ),
        (
            {"compare": {"families": {"a": {"family": "cvae", "preset": "x"}}}},
            "families.a: unknown preset 'x'",
        ),
        (
            {"compare": {"families": {"cvae": {"options": {"width": -1}}}}},
            "families.cvae: option width must be",
        ),
        (
            {"source": {"family": "cvae"}},
            "source.family: a comparison takes it from compare.families",
        ),
        (
            {"source": {"family": "cvae_gan"}},
            "source.family: .*; name the families there, and leave source.family out",
        ),
        ({"source": {"options": {"width": 4}}}, "source.options: a comparison takes it"),
    ],
)
def test_what_is_unknown_is_refused_before_any_training(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        compare_plan(tiny(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_config_that_a_run_wrote_down_is_no_refusal_of_its_own_defaults(tmp_path: Path) -> None:
    kept = parse_config(dump_config(tiny()), "config.yaml")
    assert "family" in kept.source.model_fields_set
    assert digests(compare_plan(kept, tmp_path)) == digests(compare_plan(tiny(), tmp_path))


@pytest.mark.parametrize("name", ["parts", "lock"])
def test_a_row_cannot_have_the_name_of_a_file_of_the_run(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' cannot name a row"):
        tiny(compare={"families": {name: {"family": "cvae"}}})


def test_the_command_line_refuses_with_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    words = f"compare --data digits --families cvae,magic --out {out}".split()
    assert cli.main(words) == 2
    assert "compare.families.magic" in capsys.readouterr().err
    assert not out.exists()


def test_an_extra_row_that_is_not_a_run_or_is_of_other_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"compare\.extra\.full: .*no run here"):
        compare_plan(tiny(compare={"extra": {"full": str(tmp_path)}}), tmp_path / "run")
    train_run(tiny(source={"options": SMALL}), tmp_path / "full")
    other = tiny(data={"size": 16}, compare={"extra": {"full": str(tmp_path / "full")}})
    with pytest.raises(DataError, match=r"compare\.extra\.full: .*image shape"):
        compare_plan(other, tmp_path / "run")


def test_a_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    config = tiny(compare={"families": [TINY["compare"]["families"][0]]})
    training = compare_plan(config, tmp_path).rows[0].training
    assert training is not None
    train_run(training, tmp_path / "cvae")
    wider = {**SMALL, "width": 5}
    other = tiny(compare={"families": [{"cvae": {"options": wider}}]})
    with pytest.raises(ConfigError, match="differs from the config given"):
        compare_plan(other, tmp_path)
    shorter = tiny(source={"steps": 2}, compare={"families": [TINY["compare"]["families"][0]]})
    with pytest.raises(ConfigError, match="was trained for 3 already"):
        compare_plan(shorter, tmp_path)


def test_a_pixel_cnn_makes_five_hundred_samples_at_most() -> None:
    settings = CompareConfig()
    assert settings_for(settings, "digits", "pixel_cnn").samples == 500
    assert settings_for(settings, "digits", "cvae").samples == 5000
    assert settings_for(CompareConfig(samples=40), "digits", "pixel_cnn").samples == 40


@pytest.mark.parametrize(
    "changes",
    [
        {"compare": {"processes": 2}},
        {"threads": 2},
        {"source": {"checkpoint_every": 2, "sample_every": 7}},
        {"classifier": {"steps": 7}},
    ],
)
def test_what_decides_no_number_renames_no_part(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert digests(compare_plan(tiny(**changes), tmp_path)) == digests(
        compare_plan(tiny(), tmp_path)
    )


@pytest.mark.parametrize(
    ("changes", "renamed"),
    [
        ({"seed": 1}, {"all rows", "cvae", "narrow"}),
        ({"compare": {"judge_steps": 6}}, {"all rows", "cvae", "narrow"}),
        ({"compare": {"student_steps": 6}}, {"all rows", "cvae", "narrow"}),
        ({"compare": {"samples": 30}}, {"cvae", "narrow"}),
        ({"source": {"steps": 4}}, {"cvae", "narrow"}),
        (
            {
                "compare": {
                    "families": {
                        "cvae": {"options": {**SMALL, "width": 5}},
                        "narrow": {"family": "cgan", "options": SMALL},
                    }
                }
            },
            {"cvae"},
        ),
    ],
)
def test_what_decides_a_number_renames_the_parts_it_decides(
    tmp_path: Path, changes: dict[str, Any], renamed: set[str]
) -> None:
    before = digests(compare_plan(tiny(), tmp_path))
    after = digests(compare_plan(tiny(**changes), tmp_path))
    assert {label for label in before if before[label] != after[label]} == renamed


def test_a_classifier_that_augments_for_the_generator_renames_rows(tmp_path: Path) -> None:
    augmented = tiny(source={"source_augment": "classical"})
    stronger = augmented.model_copy(
        update={"classifier": augmented.classifier.model_copy(update={"strength": 2.0})}
    )
    first = digests(compare_plan(augmented, tmp_path))
    second = digests(compare_plan(stronger, tmp_path))
    assert first["all rows"] == second["all rows"]
    assert first["cvae"] != second["cvae"]


def test_rows_and_judge_depend_on_the_checkpoint_of_a_finished_run(tmp_path: Path) -> None:
    train_run(tiny(source={"options": SMALL}), tmp_path / "full")
    plan = compare_plan(tiny(compare={"extra": {"full": str(tmp_path / "full")}}), tmp_path / "run")
    row, part = plan.rows[-1], plan.row_groups[-1].parts[0]
    assert not row.equal_budget
    assert part.description["checkpoint"] == row.checkpoint_sha256
    assert "generator full" not in part.steps, "a finished run is not trained"
    assert replace(row, checkpoint_sha256="") != row
