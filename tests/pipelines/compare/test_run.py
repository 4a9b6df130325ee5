from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from augmentor.common.types import DataError, DivergedError
from pipelines.compare import rows as compare_rows
from pipelines.compare import run as compare
from pipelines.compare.parts import CompareTask
from pipelines.compare.plan import compare_plan
from pipelines.compare.rows import make_compared, reference_of
from pipelines.compare.run import compare_run, report_again
from pipelines.compare.tables import as_markdown
from pipelines.config import Config, load_config
from pipelines.datasets import load_data
from pipelines.experiment.plan import parts_of
from pipelines.generators.load import load_source
from pipelines.generators.quality import evaluate_source, make_reference
from pipelines.generators.train import train_run
from pipelines.interrupt import Interrupted, Watch
from pipelines.progress import Silent
from pipelines.results import read_result
from pipelines.run_dir import RunDir
from tests.pipelines.compare.made_up import SMALL, TINY, tiny

ONLY_CVAE = {"families": [TINY["compare"]["families"][0]]}


pytestmark = pytest.mark.xdist_group("compare")  # its runs are made once


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which parts were made, by their labels."""
    labels: list[str] = []

    def recording(task: CompareTask, on_part: Callable[[str], None], watch: Watch | None) -> None:
        make_compared(task, on_part, watch)
        labels.append(task.part.label)

    monkeypatch.setattr(compare, "make_compared", recording)
    return labels


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of two families and an extra row; read it, leave it as it is."""
    root = tmp_path_factory.mktemp("compare")
    train_run(tiny(source={"steps": 5, "options": SMALL}), root / "longer")
    config = tiny(compare={"extra": {"full": str(root / "longer")}})
    compare_run(config, root / "run", command="augmentor compare x")
    return root


def result_in(folder: Path) -> dict[str, Any]:
    return read_result(folder / "compare.json", "compare")


def test_a_run_writes_result_tables_pictures_and_report(finished: Path) -> None:
    out = finished / "run"
    result = result_in(out)
    assert result["rows"] == ["cvae", "narrow", "full"]
    keys = {"top1", "inception_score", "fid", "kid", "precision", "recall", "diversity", "cas"}
    keys |= {"memorisation_p"}
    for row in result["families"].values():
        for key in (*keys, "train_seconds_per_1000", "images_per_second"):
            assert isinstance(row[key], float), key
    for name, made_by in (("cvae", {"training", "measuring"}), ("full", {"measuring"})):
        assert set(result["families"][name]["seconds"]) == made_by
    assert keys <= set(result["real"])
    assert result["real"]["diversity"] == 1
    assert {path.name for path in out.iterdir()} == {
        "parts",
        "cvae",
        "narrow",
        "lock",
        "config.yaml",
        "compare.json",
        "compare.md",
        "compare.png",
        "reconstructions.png",
        "report.html",
    }
    page = (out / "report.html").read_text()
    assert page.count("<img") == (1 + 3) + (1 + 2), "two rows encode"
    assert "http" not in page.replace("http-equiv", "")


def test_made_again_the_page_is_the_one_that_the_job_wrote(finished: Path) -> None:
    out = finished / "run"
    page = (out / "report.html").read_text()
    assert report_again(load_config(out / "config.yaml"), out).read_text() == page


def test_the_result_tells_its_setup_and_keeps_its_configuration(finished: Path) -> None:
    out = finished / "run"
    result = result_in(out)
    expected = {
        "data": "digits",
        "judge": "auto, random first weights, 5 steps of 64",
        "generator steps": 3,
        "seed": 0,
        "device": "cpu",
    }
    assert result["setup"] | expected == result["setup"]
    assert set(result["seconds"]) == {"total", "judge", "row cvae", "row narrow", "row full"}
    kept = load_config(out / "config.yaml")
    assert kept.compare.samples == 40
    plan = compare_plan(kept, out)
    assert not plan.store.missing(parts_of(plan.groups)), "the kept configuration names its parts"


def test_the_budget_is_equal_and_stated_and_so_is_the_size_of_the_networks(finished: Path) -> None:
    result = result_in(finished / "run")
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
    plan = compare_plan(tiny(), finished / "run")
    loaded = load_source(finished / "run" / "narrow")
    evaluation = evaluate_source(loaded.source, plan.bundle, plan.judging, 0, Silent())
    alone = evaluation.result["metrics"]
    row = result_in(finished / "run")["families"]["narrow"]
    assert row["top1"] == alone["answers"]["generated"]["top1"]
    assert row["fid"] == pytest.approx(alone["fidelity"]["generated"]["fid"], rel=1e-6)
    assert row["cas"] == alone["usefulness"]["generated"]["accuracy"]
    assert row["memorisation_p"] == pytest.approx(alone["memorisation"]["pixels"]["p"])


def test_the_judge_survives_its_part(finished: Path) -> None:
    plan, cpu = compare_plan(tiny(), finished / "run"), torch.device("cpu")
    part = plan.store.read(plan.judge.parts[0])
    read = reference_of(part, plan.bundle, plan.judging, cpu)
    made = make_reference(load_data(tiny().data, 0), plan.judging, 0, cpu)
    assert read.usefulness == made.usefulness
    for name, tensor in made.judge.state_dict().items():
        assert torch.equal(read.judge.state_dict()[name], tensor), name


def test_a_second_run_makes_only_what_is_missing(tmp_path: Path, made: list[str]) -> None:
    first = compare_run(tiny(), tmp_path, command="c")
    assert made == ["all rows", "cvae", "narrow"]
    slim = {"slim": {"family": "vae", "options": SMALL}}
    more = {"families": [*TINY["compare"]["families"], slim]}
    again = compare_run(tiny(compare=more), tmp_path, command="c")
    assert made[3:] == ["slim"]
    assert {name: again["families"][name] for name in first["families"]} == first["families"]
    compare_run(tiny(compare={"processes": 2}), tmp_path)
    assert made[4:] == [], "where a row is made changes no row"
    fewer = compare_run(tiny(compare={"samples": 30}), tmp_path)
    assert made[4:] == ["cvae", "narrow"], "neither the judge nor the trainings are made again"
    assert fewer["samples"] == 30


def test_a_damaged_part_is_made_again(tmp_path: Path, made: list[str]) -> None:
    config = tiny(compare=ONLY_CVAE)
    first = compare_run(config, tmp_path, command="c")
    (path,) = (tmp_path / "parts").glob("row-cvae-*")
    path.write_bytes(path.read_bytes()[:-7])
    again = compare_run(config, tmp_path, command="c")
    assert made == ["all rows", "cvae", "cvae"]
    assert again["families"]["cvae"]["top1"] == first["families"]["cvae"]["top1"]


def test_a_training_that_was_cut_off_is_resumed(finished: Path, tmp_path: Path) -> None:
    config = tiny(compare=ONLY_CVAE)
    training = compare_plan(config, tmp_path).rows[0].training
    assert training is not None
    fewer = training.source.model_copy(update={"steps": 2})
    train_run(training.model_copy(update={"source": fewer}), tmp_path / "cvae")
    result = compare_run(config, tmp_path)
    whole = result_in(finished / "run")["families"]["cvae"]["checkpoint_sha256"]
    assert result["families"]["cvae"]["checkpoint_sha256"] == whole


def test_a_signal_leaves_a_training_that_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: Any, **options: Any) -> None:
        raise Interrupted(15)

    monkeypatch.setattr(compare_rows, "evaluate_source", stopped)
    with pytest.raises(Interrupted):
        compare_run(tiny(), tmp_path)
    assert not list((tmp_path / "parts").glob("row-*"))
    assert load_source(tmp_path / "cvae").step == 3


def test_a_finished_run_that_is_trained_further_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = tiny(source={"options": SMALL})
    train_run(short, tmp_path / "full")
    longer = short.model_copy(update={"source": short.source.model_copy(update={"steps": 4})})

    def also_training(config: Config, out: Path) -> Any:
        plan = compare_plan(config, out)
        train_run(longer, tmp_path / "full", resume=True)
        return plan

    monkeypatch.setattr(compare, "compare_plan", also_training)
    config = tiny(compare={**ONLY_CVAE, "extra": {"full": str(tmp_path / "full")}})
    with pytest.raises(DataError, match=r"compare\.extra\.full: .*trained further meanwhile"):
        compare_run(config, tmp_path / "run")


def test_a_training_that_diverges_leaves_a_row_without_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(config: Config, out: Path, **options: Any) -> None:
        if config.source.family == "cgan":
            raise DivergedError("step 2: loss generator is not finite")
        train_run(config, out, **options)

    monkeypatch.setattr(compare_rows, "train_run", diverging)
    result = compare_run(tiny(), tmp_path)
    row = result_in(tmp_path)["families"]["narrow"]
    assert row["top1"] is None
    assert row["warnings"] == ["training diverged: step 2: loss generator is not finite"]
    assert "| narrow | – |" in as_markdown(result)
    assert result["order"]["top1"] == ["cvae"]
    only = tiny(compare={"families": [TINY["compare"]["families"][1]]})
    with pytest.raises(DivergedError, match="no row could be measured: narrow: training diverged"):
        compare_run(only, tmp_path)


def test_two_processes_give_the_same_rows(finished: Path, tmp_path: Path) -> None:
    result = compare_run(tiny(compare={"processes": 2}), tmp_path)
    one = result_in(finished / "run")["families"]
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
    json.dumps(result_in(finished / "run"), allow_nan=False)
