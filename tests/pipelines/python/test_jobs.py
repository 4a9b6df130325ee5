"""The functions of objects: the jobs of the command line, with tiny budgets."""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pipelines
from pipelines import check, gain, synthesize, train
from pipelines.config import ConfigError
from pipelines.python import jobs, results

FAST: dict[str, Any] = {
    "progress": False,
    "device": "cpu",
    "size": 8,
    "threads": 1,
    "classifier": {"steps": 2, "batch_size": 8},
}


pytestmark = pytest.mark.xdist_group("python")  # its run is made once


def images(count: int, seed: int) -> tuple[np.ndarray[Any, Any], list[str]]:
    """Noise of two brightnesses."""
    rng = np.random.default_rng(seed)
    y = [("dark", "light")[i % 2] for i in range(count)]
    base = np.array([60 + 120 * (i % 2) for i in range(count)]).reshape(-1, 1, 1, 1)
    return (base + rng.integers(-40, 40, (count, 10, 10, 3))).astype(np.uint8), y


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> results.GainResult:
    """Arrays of all three kinds of images."""
    out = tmp_path_factory.mktemp("gain") / "run"
    sets = {"theirs": images(8, 3)}
    arms, many = ["real", "classical"], {"candidates": ["real"]}
    return gain(
        images(12, 1), images(8, 2), sets, arms=arms, replicates=2, out=out, gain=many, **FAST
    )


def test_gain_of_arrays(result: results.GainResult) -> None:
    assert list(result.arms)[2:] == ["synthetic:theirs", "synthetic:theirs+classical"]
    assert set(result.arms["real"]) == {"mean", "ci95"}
    assert result.verdict.startswith("No recommendation: 2 replicates are too few")
    assert result.comparisons
    assert result.report.is_file()
    assert result.document["command"].startswith("pipelines.gain(")
    assert "data={'size': 8}" in result.document["command"]
    assert result.document["setup"]["scored images"] == 8


def test_the_result_shows_itself(result: results.GainResult) -> None:
    assert result.verdict in repr(result)
    assert "95 % interval" in repr(result)
    html = result._repr_html_()
    assert "<svg" in html
    assert "theirs" in html
    assert "<script" not in html


def test_the_result_as_a_frame(result: results.GainResult, monkeypatch: Any) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = result.to_frame()
    assert frame.loc["real", "mean"] == result.arms["real"]["mean"]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="to_frame needs pandas"):
        result.to_frame()


def test_the_result_is_saved_without_images(result: results.GainResult, tmp_path: Path) -> None:
    folder = result.save(tmp_path / "kept")
    names = {path.name for path in folder.iterdir()}
    assert {"gain.json", "report.html", "config.yaml"} <= names
    assert not names & {"parts", "data", "synthetic"}


def test_a_repeat_trains_nothing_and_other_images_are_refused(result: results.GainResult) -> None:
    parts = {path: path.stat().st_mtime_ns for path in (result.folder / "parts").iterdir()}
    usual = {"arms": ["real", "classical"], "replicates": 2, "out": result.folder}
    usual |= {"gain": {"candidates": ["real"]}}
    again = gain(images(12, 1), images(8, 2), {"theirs": images(8, 3)}, **usual, **FAST)
    assert again.arms == result.arms
    assert {p: p.stat().st_mtime_ns for p in (result.folder / "parts").iterdir()} == parts
    with pytest.raises(ConfigError, match="holds other images"):
        gain(images(12, 9), images(8, 2), **usual, **FAST)


def test_wrong_names_are_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"gain\(\): unknown key 'gian' \(did you mean 'gain'"):
        gain(images(4, 0), gian={})
    with pytest.raises(ConfigError, match=r"gain\(\): gain.replicates"):
        gain(images(4, 0), replicates=1)
    assert list(tmp_path.iterdir()) == []


def test_train_and_synthesize(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = {"source": {"batch_size": 8, "options": {"width": 4, "latent_dim": 8}}}
    usual = {"steps": 2, "progress": False, "size": 8, "device": "cpu", "threads": 1}
    trained = train(images(12, 1), **usual, **small)
    assert trained.run.parent == Path("runs")
    assert trained.run.name.startswith("train-")
    assert train(images(12, 1), **usual, **small).run == trained.run
    made = synthesize(trained, per_class=2, progress=False)
    assert made.counts == {"dark": 2, "light": 2}
    assert made.out == trained.run / "synthetic"


def test_check_of_arrays(tmp_path: Path) -> None:
    report = check(images(12, 1), images(8, 2), out=tmp_path, progress=False)
    assert report.ok, report.text()
    assert report.test == {"dark": 4, "light": 4}


def test_check_of_a_table_with_conditions(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    rows = []
    for i, (pixels, label) in enumerate(zip(*images(16, 4), strict=True)):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        rows.append((tmp_path / f"{i}.png", label, ("north", "south")[i // 2 % 2]))
    table = pandas.DataFrame(rows, columns=["path", "label", "camera"])
    report = check(table, condition="camera", out=tmp_path / "run", progress=False)
    assert report.ok, report.text()
    assert report.combinations is not None
    assert "north" in report.text()


def test_check_of_arrays_with_conditions(tmp_path: Path) -> None:
    light = {"light": [("day", "night")[i // 2 % 2] for i in range(16)]}
    report = check(images(16, 4), conditions=light, out=tmp_path / "run", progress=False)
    assert report.ok, report.text()
    assert report.combinations is not None
    assert "night" in report.text()


def test_gain_of_arrays_with_conditions_scores_combinations(tmp_path: Path) -> None:
    light = [("day", "night")[i // 2 % 2] for i in range(16)]
    light[1::4], light[3::4] = ["day"] * 4, ["day"] * 4  # "light" is never seen by night
    train_set, test_set = images(16, 4), images(16, 5)
    by_night = {"light": [("day", "night")[i // 2 % 2] for i in range(16)]}
    result = gain(
        train_set,
        test_set,
        conditions={"light": light},
        test_conditions=by_night,
        arms=["real"],
        metric="missing_combinations",
        replicates=2,
        out=tmp_path / "run",
        **FAST,
    )
    assert result.document["metric"] == "missing_combinations"
    assert result.document["setup"]["scored images"] == 16
    assert result.document["combinations"]


SCRIPT = """
import numpy as np
from pipelines import gain

def main():
    x = np.random.default_rng(0).integers(0, 256, (24, 8, 8), dtype=np.uint8)
    y = np.arange(24) % 2
    result = gain(
        (x[:12], y[:12]), (x[12:], y[12:]), arms=["real", "classical"], replicates=2, processes=2,
        classifier={"steps": 1, "batch_size": 4}, device="cpu", threads=1, progress=False,
        out="run",
    )
    print(sorted(result.arms))

if __name__ == "__main__":
    main()
"""


def test_two_processes_from_a_script(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    root = Path(__file__).parents[3]
    found = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout == "['classical', 'real']\n"


def test_functions_keep_their_names_when_packages_are_imported() -> None:
    lines = (
        "import sys, pipelines; assert 'torch' not in sys.modules",
        "import pipelines.gain.tables",
        "from pipelines import gain; assert callable(gain)",
        "import pipelines.gain.tables; assert callable(pipelines.gain)",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)
    with pytest.raises(AttributeError, match="no attribute 'loss'"):
        pipelines.loss  # noqa: B018
    assert set(pipelines.__all__) <= set(dir(pipelines))


def test_the_examples_run(tmp_path: Path) -> None:
    import numpy

    found = doctest.testmod(jobs, extraglobs={"folder": tmp_path, "np": numpy})
    assert found.attempted > 0
    assert found.failed == 0
