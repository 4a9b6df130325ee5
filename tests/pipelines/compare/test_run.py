from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from augmentor.common.types import DataError, DivergedError, LabelledImages
from pipelines import cli
from pipelines.compare import rows as compare_rows
from pipelines.compare import run as compare
from pipelines.compare.report import pictures, render_compare_report
from pipelines.compare.rows import CompareJob, load_reference, make_cell, settings_of, shown_counts
from pipelines.compare.run import compare_run, known_rows
from pipelines.compare.tables import as_markdown, compare_table, order_of, paper_order, verdict
from pipelines.config import Config, ConfigError, config_from
from pipelines.datasets import load_data
from pipelines.interrupt import Interrupted, Watch
from pipelines.report.pictures import packed, unpacked
from pipelines.progress import Silent
from pipelines.results import read_result, write_result
from pipelines.run_dir import RunDir
from pipelines.generators.quality import evaluate_source, make_reference
from pipelines.generators.train import load_source, train_run

TINY: dict[str, Any] = {
    "data": {"data": "digits", "size": 8},
    "source": {"steps": 3, "batch_size": 16, "checkpoint_every": 1},
    "compare": {
        "families": [
            {"cvae": {"options": {"width": 4, "latent_dim": 4}}},
            {"narrow": {"family": "cgan", "options": {"width": 4, "latent_dim": 4}}},
        ],
        "samples": 40,
        "judge_steps": 5,
        "student_steps": 3,
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


REAL = {
    **{
        "top1": 0.99,
        "inception_score": 9.8,
        "fid": 0.05,
        "kid": 0.0001,
        "precision": 0.95,
        "recall": 0.96,
    },
    **{"density": 0.94, "coverage": 0.95, "diversity": 1.0, "cas": 0.985},
}


def row(**changes: Any) -> dict[str, Any]:
    """A row of compare.json, made up."""
    made: dict[str, Any] = {
        **{
            "top1": 0.9,
            "inception_score": 8.5,
            "fid": 2.5,
            "kid": 0.0123,
            "precision": 0.8,
            "recall": 0.7,
        },
        **{
            "density": 0.75,
            "coverage": 0.6,
            "diversity": 0.875,
            "cas": 0.925,
            "memorisation_p": 0.25,
        },
        **{
            "train_seconds_per_1000": 123.4,
            "images_per_second": 3456.7,
            "samples": 5000,
            "warnings": [],
        },
        **{"parameters": {"generator": 1_760_000, "all": 3_180_000}, "equal_budget": True},
        **{"step": 1500, "batch_size": 64, "family": "cvae", "preset": "default", "options": {}},
    }
    return made | changes


def summary_of(**rows: dict[str, Any]) -> dict[str, Any]:
    """A result, made up."""
    result: dict[str, Any] = {
        "dataset": "mnist",
        "regime": "60000 images",
        "budget": {
            "steps": 1500,
            "batch_size": 64,
            "images": 96000,
            "source_augment": "none",
            "seed": 0,
        },
        "samples": 5000,
        "real": REAL,
        "families": rows,
        "order": order_of(rows),
        "judge": {"name": "auto", "steps": 1500, "batch_size": 64, "features": 128},
        "student": {"name": "auto", "steps": 1500, "batch_size": 64},
        "images": {"train": 60000, "test": 10000},
        "k": 5,
        "notes": ["official split"],
        "command": "augmentor compare x",
        "device": "cpu",
        "versions": {"torch": "2"},
        "seconds": {"total": 1.0},
    }
    return result | {"verdict": verdict(result)}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which jobs were done, by the names of their rows."""
    rows: list[str] = []

    def recording(job: CompareJob, on_part: Callable[[str], None], watch: Watch | None) -> None:
        make_cell(job, on_part, watch)
        rows.append(job.row)

    monkeypatch.setattr(compare, "make_cell", recording)
    return rows


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of two families and an extra row; read it, leave it as it is."""
    root = tmp_path_factory.mktemp("compare")
    longer = tiny(source={"steps": 5, "options": {"width": 4, "latent_dim": 4}})
    train_run(longer, root / "longer")
    compare_run(
        tiny(compare={"extra": {"full": str(root / "longer")}}),
        root / "run",
        command="augmentor compare x",
    )
    return root


def test_a_run_writes_result_tables_pictures_and_report(finished: Path) -> None:
    out = finished / "run"
    result = read_result(out / "compare.json", "compare")
    assert result["rows"] == ["cvae", "narrow", "full"]
    keys = (
        "top1",
        "inception_score",
        "fid",
        "kid",
        "precision",
        "recall",
        "diversity",
        "cas",
        "memorisation_p",
    )
    speeds = ("train_seconds_per_1000", "images_per_second")
    assert all(
        isinstance(row[key], float)
        for row in result["families"].values()
        for key in (*keys, *speeds)
    )
    assert set(keys) <= set(result["real"])
    assert result["real"]["diversity"] == 1
    assert {path.name for path in out.iterdir()} == {
        *(
            "cells",
            "cvae",
            "narrow",
            "lock",
            "compare.json",
            "compare.md",
            "compare.png",
            "reconstructions.png",
        ),
        "report.html",
    }
    page = (out / "report.html").read_text()
    assert page.count("<img") == (1 + 3) + (1 + 2), "two rows encode"
    assert "http" not in page.replace("http-equiv", "")


def test_the_budget_is_equal_and_stated_and_so_is_the_size_of_the_networks(finished: Path) -> None:
    result = read_result(finished / "run" / "compare.json", "compare")
    assert result["budget"] | {"steps": 3, "batch_size": 16, "images": 48} == result["budget"]
    rows = result["families"]
    assert [rows[name]["equal_budget"] for name in result["rows"]] == [True, True, False]
    assert [rows[name]["step"] for name in result["rows"]] == [3, 3, 5]
    assert rows["cvae"]["parameters"]["generator"] == rows["narrow"]["parameters"]["generator"]
    assert rows["cvae"]["parameters"]["all"] == sum(rows["cvae"]["parameters"].values()) / 2
    assert "full" not in result["order"]["top1"]
    table = (finished / "run" / "compare.md").read_text()
    assert "3 steps of 16 images, 48 in all" in table
    assert "| full (5 steps of 16) |" in table


def test_every_row_is_measured_as_evaluate_would_by_a_judge_trained_once(finished: Path) -> None:
    config = tiny()
    loaded, bundle, settings = (
        load_source(finished / "run" / "narrow"),
        load_data(config.data, 0),
        settings_of(config),
    )
    alone = evaluate_source(loaded.source, bundle, settings, 0, Silent()).result["metrics"]
    row = read_result(finished / "run" / "compare.json", "compare")["families"]["narrow"]
    assert row["top1"] == alone["answers"]["generated"]["top1"]
    assert row["fid"] == pytest.approx(alone["fidelity"]["generated"]["fid"], rel=1e-6)
    assert row["cas"] == alone["usefulness"]["generated"]["accuracy"]
    assert row["memorisation_p"] == pytest.approx(alone["memorisation"]["pixels"]["p"])


def test_the_judge_survives_its_file(finished: Path) -> None:
    config = tiny()
    bundle, settings, cpu = load_data(config.data, 0), settings_of(config), torch.device("cpu")
    (path,) = (finished / "run" / "cells").glob("*.safetensors")
    read, made = (
        load_reference(path, bundle, settings, cpu),
        make_reference(bundle, settings, 0, cpu),
    )
    assert read.usefulness == made.usefulness
    for name, tensor in made.judge.state_dict().items():
        assert torch.equal(read.judge.state_dict()[name], tensor), name


def test_a_second_run_makes_only_what_is_missing(tmp_path: Path, made: list[str]) -> None:
    first = compare_run(tiny(), tmp_path, command="c")
    assert made == ["", "cvae", "narrow"]
    more = {
        **TINY["compare"],
        "families": [*TINY["compare"]["families"], {"slim": {"family": "vae"}}],
    }
    more["families"][2]["slim"]["options"] = {"width": 4, "latent_dim": 4}
    again = compare_run(tiny(compare=more), tmp_path, command="c")
    assert made == ["", "cvae", "narrow", "slim"]
    assert {name: again["families"][name] for name in first["families"]} == first["families"]
    compare_run(tiny(compare={"processes": 2}), tmp_path)
    assert made == ["", "cvae", "narrow", "slim"], "where a row is made changes no row"
    fewer = compare_run(tiny(compare={"samples": 30}), tmp_path)
    assert made[4:] == ["cvae", "narrow"], "neither the judge nor the trainings are made again"
    assert fewer["samples"] == 30


def test_a_training_that_was_cut_off_is_gone_on_with(finished: Path, tmp_path: Path) -> None:
    config = tiny(compare={"families": [TINY["compare"]["families"][0]]})
    row = known_rows(config)["cvae"]
    short = row.model_copy(update={"source": row.source.model_copy(update={"steps": 2})})
    train_run(short, tmp_path / "cvae")
    result = compare_run(config, tmp_path)
    assert (
        result["families"]["cvae"]["checkpoint_sha256"]
        == (
            read_result(finished / "run" / "compare.json", "compare")["families"]["cvae"][
                "checkpoint_sha256"
            ]
        )
    )


def test_a_signal_leaves_a_training_to_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: Any, **options: Any) -> None:
        raise Interrupted(15)

    monkeypatch.setattr(compare_rows, "evaluate_source", stopped)
    with pytest.raises(Interrupted):
        compare_run(tiny(), tmp_path)
    assert not list((tmp_path / "cells").glob("*.json"))
    assert load_source(tmp_path / "cvae").step == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"compare": {"families": ["cvae", "magic"]}},
            "compare.families.magic: unknown family 'magic'; known: cvae_gan",
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
        ({"source": {"options": {"width": 4}}}, "source.options: a comparison takes it"),
    ],
)
def test_what_is_unknown_is_refused_before_any_training(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        compare_run(tiny(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_line_refuses_with_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "compare",
        "--data",
        "digits",
        "--families",
        "cvae,magic",
        "--out",
        str(tmp_path / "run"),
    ]
    assert cli.main(arguments) == 2
    assert "compare.families.magic" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_extra_row_that_is_no_run_or_of_other_images_is_refused(
    tmp_path: Path, finished: Path
) -> None:
    with pytest.raises(DataError, match=r"compare\.extra\.full: .*no run here"):
        compare_run(tiny(compare={"extra": {"full": str(tmp_path)}}), tmp_path / "run")
    other = tiny(data={"size": 16}, compare={"extra": {"full": str(finished / "longer")}})
    with pytest.raises(DataError, match=r"compare\.extra\.full: .*image shape"):
        compare_run(other, tmp_path / "run")


def test_a_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    config = tiny(compare={"families": [TINY["compare"]["families"][0]]})
    train_run(known_rows(config)["cvae"], tmp_path / "cvae")
    other = tiny(compare={"families": [{"cvae": {"options": {"width": 5, "latent_dim": 4}}}]})
    with pytest.raises(ConfigError, match="differs from the config given"):
        compare_run(other, tmp_path)
    shorter = tiny(source={"steps": 2}, compare={"families": [TINY["compare"]["families"][0]]})
    with pytest.raises(ConfigError, match="was trained for 3 already"):
        compare_run(shorter, tmp_path)


def test_a_training_that_diverges_leaves_a_row_without_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(config: Config, out: Path, **options: Any) -> None:
        if config.source.family == "cgan":
            raise DivergedError("step 2: loss generator is not finite")
        train_run(config, out, **options)

    monkeypatch.setattr(compare_rows, "train_run", diverging)
    result = compare_run(tiny(), tmp_path)
    row = read_result(tmp_path / "compare.json", "compare")["families"]["narrow"]
    assert row["top1"] is None
    assert row["warnings"] == ["training diverged: step 2: loss generator is not finite"]
    assert "| narrow | – |" in as_markdown(result)
    assert result["order"]["top1"] == ["cvae"]
    only = tiny(compare={"families": [TINY["compare"]["families"][1]]})
    with pytest.raises(DivergedError, match="no row could be measured: narrow: training diverged"):
        compare_run(only, tmp_path)


def test_a_pixel_cnn_makes_five_hundred_samples_at_most() -> None:
    assert settings_of(Config(), "pixel_cnn").samples == 500
    assert settings_of(Config(), "cvae").samples == 5000
    assert settings_of(tiny(), "pixel_cnn").samples == 40


def test_a_row_of_fewer_samples_has_real_data_of_as_few_beside_it_and_is_no_rival() -> None:
    few = row(top1=1.0, samples=500, real_at_as_few=REAL | {"fid": 0.5}, bits_per_dimension=1.2345)
    result = summary_of(cvae=row(), pixel_cnn=few)
    page = as_markdown(result)
    assert "| real data, 500 images | 99.00 | 9.80 | 0.500 |" in page
    assert "pixel_cnn: 1.234 bits a dimension on the 10000 test images" in page
    assert result["order"]["top1"] == ["cvae"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"budget": {"steps": 1500, "batch_size": 64, "images": 64}},
            "budget.images is not steps times batch_size",
        ),
        (
            {"families": {"cvae": row(step=1499)}},
            "family 'cvae' has 1499 steps, the budget is 1500",
        ),
        ({"families": {"cvae": row(top1=1.5)}}, r"families\.cvae\.top1"),
        ({"families": {}}, "families"),
    ],
)
def test_a_result_that_breaks_its_promise_is_not_written(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    result = summary_of(cvae=row()) | {"real": REAL | {"memorisation_p": None}}
    write_result(tmp_path / "compare.json", result, "compare")
    with pytest.raises(ValueError, match=words):
        write_result(tmp_path / "other.json", result | changes, "compare")
    assert not (tmp_path / "other.json").exists()


def test_warnings_are_told_a_row() -> None:
    page = as_markdown(
        summary_of(cvae=row(warnings=["collapsed", "deaf to the label"]), cgan=row())
    )
    assert "- Warning, cvae: collapsed; deaf to the label." in page
    assert "Warning, cgan" not in page


def test_the_tables_line_by_line() -> None:
    full = row(top1=0.991, equal_budget=False, step=7000)
    result = summary_of(cvae=row(), cgan=row(top1=0.95, fid=3.5), cvae_gan_full=full)
    page = as_markdown(result).splitlines()
    lines = [line for line in page if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2] == (
        "| real data | 99.00 | 9.80 | 0.050 | 0.10 | 0.950 | 0.960 | 0.940 | 0.950 | 1.000 | 98.50 "
        "| – | – | – | – | 5000 |"
    )
    assert lines[3] == (
        "| cvae | 90.00 | 8.50 | 2.500 | 12.30 | 0.800 | 0.700 | 0.750 | 0.600 | 0.875 | 92.50 "
        "| 0.25 | 123 | 3457 | 1.76 / 3.18 | 5000 |"
    )
    assert lines[5].startswith("| cvae_gan_full (7,000 steps of 64) | 99.10 |")
    text = compare_table(result).splitlines()
    assert len({len(line) for line in text[:5]}) == 1
    assert text[-1].startswith("budget: 1,500 steps of 64 images, 96,000 in all")


def test_the_verdict_names_the_best_at_equal_budget_alone() -> None:
    full = row(top1=0.991, equal_budget=False, step=7000)
    result = summary_of(cvae=row(), cgan=row(top1=0.95, fid=3.5, recall=0.1), cvae_gan_full=full)
    assert result["verdict"] == (
        "At equal budget cgan most often renders the class asked for: top-1 95.00% (real data "
        "99.00%); lowest FID cvae "
        "2.500 (real data 0.050); highest recall cvae 0.700 (real data 0.960); beside them "
        "cvae_gan_full, not at equal "
        "budget, top-1 99.10%."
    )


def test_the_order_of_the_paper_is_told_as_found() -> None:
    rising = {
        name: row(top1=0.9 + 0.01 * n)
        for n, name in enumerate(("cvae", "cgan", "fm_cgan", "cvae_gan"))
    }
    assert paper_order(summary_of(**rising)).endswith("cvae_gan (93.00%); as in the paper.")
    rising["cvae"]["top1"] = 0.999
    assert "fm_cgan (92.00%) < cvae_gan (93.00%) < cvae (99.90%); the paper: cvae <" in paper_order(
        summary_of(**rising)
    )
    assert paper_order(summary_of(cvae=row())) == ""


def cell_of(name: str, images: LabelledImages, *kinds: str) -> dict[str, Any]:
    return {"row": name, "pictures": {kind: packed(images.x) for kind in kinds}}


@pytest.mark.parametrize(("num_classes", "tiles"), [(3, 18), (10, 20), (62, 20)])
def test_pictures_have_about_twenty_columns_whatever_the_classes(
    num_classes: int, tiles: int
) -> None:
    assert sum(shown_counts(num_classes).values()) == tiles
    x, y = torch.zeros(2 * 20 * num_classes, 3, 8, 8), torch.arange(num_classes).repeat(40)
    images = LabelledImages(x, y, tuple(f"person {c}" for c in range(num_classes)))
    bundle = load_data(tiny().data, 0)
    bundle = type(bundle)("faces", "all", images, images, None, "")
    shown = images.subset(torch.arange(tiles))
    found = pictures([cell_of("cvae", shown, "samples"), cell_of("cgan", shown, "samples")], bundle)
    assert set(found) == {"compare"}
    assert found["compare"].width < 1200


def test_packed_images_come_back_in_eight_bits() -> None:
    for channels in (1, 3):
        x = torch.rand(4, channels, 6, 6) * 2 - 1
        assert (unpacked(packed(x)) - x).abs().max() <= 1 / 255 + 1e-6


def test_texts_from_outside_are_escaped() -> None:
    bundle = load_data(tiny().data, 0)
    shown = bundle.test.subset(torch.arange(20))
    result = summary_of(cvae=row(warnings=["<b>collapsed"])) | {"dataset": "<script>"}
    page = render_compare_report(
        result, [cell_of("cvae", shown, "samples", "reconstructions")], bundle
    )
    assert "<script>" not in page
    assert "<b>collapsed" not in page
    assert "&lt;script>" in as_markdown(result)


def test_two_processes_give_the_same_rows(finished: Path, tmp_path: Path) -> None:
    result = compare_run(tiny(compare={"processes": 2}), tmp_path)
    one = read_result(finished / "run" / "compare.json", "compare")["families"]
    for name in ("cvae", "narrow"):
        for key in ("top1", "fid", "recall", "cas", "checkpoint_sha256"):
            assert result["families"][name][key] == pytest.approx(one[name][key]), (name, key)


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    with RunDir(tmp_path).lock(), pytest.raises(RuntimeError, match="in use"):
        compare_run(tiny(), tmp_path)


def test_the_picture_is_a_picture(finished: Path) -> None:
    with Image.open(finished / "run" / "compare.png") as picture:
        assert picture.width > 20 * 48
        assert 4 * 48 < picture.height < 5 * 70
    json.dumps(read_result(finished / "run" / "compare.json", "compare"), allow_nan=False)
