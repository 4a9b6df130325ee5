"""How rendered combinations scale: the points of the benchmark, and that it goes on."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import conditions_scaling
from pipelines.config import load_config

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "benchmarks" / "conditions_scaling.yaml"


def test_a_point_changes_one_number() -> None:
    config = load_config(CONFIG)
    assert config.data.rare is not None
    middle = config.data.rare
    scales = conditions_scaling.points(config, classes=19)
    assert list(scales) == ["whole_classes", "images", "reach"]
    for changes in scales.values():
        made = [middle.model_copy(update=change) for change in changes.values()]
        assert middle in made  # the middle stands on every scale
        for one in made:
            different = {
                key for key in middle.model_dump() if getattr(one, key) != getattr(middle, key)
            }
            assert len(different) <= 1
    assert scales["whole_classes"][2] == {"classes": 17}
    assert scales["images"][16] == {"images": 16}
    assert scales["reach"][70] == {"within": {"azimuth": (-70, 70), "elevation": (-70, 70)}}


def test_a_stopped_benchmark_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    limit = 3

    def measured(config, out):
        assert config.gain.processes == 2
        if len(made) == limit:
            raise KeyboardInterrupt
        made.append(out.name)
        means = {"trivialaugment": 0.25, "factored": 0.5, "oracle": 0.9}
        return {"means": means, "gain": 0.25}

    bundle = SimpleNamespace(train=SimpleNamespace(classes=tuple(range(19))))
    monkeypatch.setattr(conditions_scaling, "measured", measured)
    monkeypatch.setattr(conditions_scaling, "load_data", lambda data, seed: bundle)
    out, file = str(tmp_path / "runs"), tmp_path / "scaling.json"
    monkeypatch.setattr(sys, "argv", ["x", str(CONFIG), "--out", out, "--json", str(file)])
    sys.argv += ["--processes", "2"]
    with pytest.raises(KeyboardInterrupt):
        conditions_scaling.main()
    first = list(made)
    made.clear()
    with pytest.raises(KeyboardInterrupt):
        conditions_scaling.main()
    assert first == ["whole_classes-2", "whole_classes-6", "whole_classes-10"]
    assert made == ["whole_classes-14", "whole_classes-17", "images-1"]
    found = json.loads(file.read_text(encoding="utf-8"))
    assert set(found["scales"]["whole_classes"]) == {"2", "6", "10", "14", "17"}
    assert found["metric"] == "missing_combinations"
    page = file.with_suffix(".md").read_text(encoding="utf-8")
    assert page == conditions_scaling.page(found)
    lines = page.splitlines()
    assert "| **10** | **25.0** | **50.0** | **90.0** | **+25.0** |" in lines
    assert "| 17 | 25.0 | 50.0 | 90.0 | +25.0 |" in lines
    reach = "## How far the light of these photos moves from the front"
    assert reach not in lines  # not yet
    made.clear()
    limit = 99
    conditions_scaling.main()
    assert made == ["images-16", "reach-10", "reach-70"]  # their middle is known
    lines = file.with_suffix(".md").read_text(encoding="utf-8").splitlines()
    assert reach in lines
    assert "| **25** | **25.0** | **50.0** | **90.0** | **+25.0** |" in lines
