from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.cli import cli
from pipelines.config import ConfigError, config_from
from pipelines.generators.synth_plan import SynthPlan, WorkersRow, plan_text, synth_plan_run
from pipelines.generators.synthesize import Wish, synthesize_run
from pipelines.generators.train import train_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = {"data": {"data": "digits", "size": 8}, "source": {"steps": 2, "batch_size": 8}}
    train_run(config_from(settings | {"device": "cpu", "threads": 1}), folder)
    return folder


def test_a_plan_says_what_the_set_then_is(run: Path, tmp_path: Path) -> None:
    wish = Wish(per_class=300, classes=("3", "5"))
    plan = synth_plan_run(run, wish, format="shards", workers=3, price=2.0)
    assert (plan.images, plan.shards, plan.device, plan.filtered) == (600, 4, "cpu", False)
    synthesize_run(run, tmp_path, per_class=300, classes=("3", "5"), format="shards")
    tars = [path.stat().st_size for path in tmp_path.glob("*.tar")]
    assert len(tars) == plan.shards
    assert sum(tars) == pytest.approx(plan.bytes, rel=0.05)
    one, three = plan.rows
    assert one.seconds == pytest.approx(600 / plan.images_per_second)
    assert one.cost == pytest.approx(2.0 * one.seconds / 3600)
    assert one.cost_per_million == pytest.approx(one.cost / 600 * 1e6)
    assert three.seconds == one.seconds  # four shards are one task, and a task has one worker


def test_a_plan_writes_nothing_and_refuses_a_negative_price(run: Path) -> None:
    before = sorted(run.rglob("*"))
    assert synth_plan_run(run, Wish(per_class=5)).rows[0].cost is None
    assert sorted(run.rglob("*")) == before
    with pytest.raises(ConfigError, match="--price"):
        synth_plan_run(run, Wish(per_class=5), price=-1.0)


def test_the_table_fits_80_columns() -> None:
    rows = (WorkersRow(1, 9e8, 12345678.9, 1234.5), WorkersRow(1000, 9e5, 12345678.9, 1234.5))
    plan = SynthPlan(10_000_000, 39_063, 31 * 10**12, 12345.6, 512, "cuda:0", True, rows)
    text = plan_text(plan, ["999 h 59 min", "59 min 59 s"])
    assert max(map(len, text.split("\n"))) <= 80
    assert "31.0 TB" in text
    assert "1,234.50" in text


def test_on_the_command_line(run: Path) -> None:
    def call(*words: str) -> str:
        found = CliRunner().invoke(cli, ["synth", str(run), "--per-class", "20", *words])
        return f"{found.output}{found.exception}"

    priced = call("--plan", "--workers", "4", "--price", "0.5")
    assert "200 images in 10 shards" in priced
    assert "cost per million" in priced
    assert "--plan" in call("--workers", "4")
    assert "shards" in call("--plan", "--out", "memory://sets/one")
    assert not (run / "synthetic").exists()
    assert '"out": "memory://sets/one"' in call("--out", "memory://sets/one", "--json")
    assert "add --format shards" in call("--out", "memory://sets/two", "--format", "folder")
