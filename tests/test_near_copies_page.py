"""The page of the copies that are found is the one that its result file gives."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_page_is_made_from_the_file() -> None:
    """Where this fails: the command in benchmarks/near_copies.py."""
    path = ROOT / "benchmarks" / "near_copies.py"
    spec = importlib.util.spec_from_file_location("near_copies_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    result = json.loads((ROOT / "docs" / "near_copies.json").read_text("utf-8"))
    page = (ROOT / "docs" / "near_copies.md").read_text("utf-8")
    assert page == benchmark.as_page(result)
    clear = [one for name, one in result.items() if name not in ("fonts_32", "orl_64")]
    assert all(one["false_alarms"]["found"] <= 0.01 for one in clear)
    assert not any(one["false_alarms"]["certain"] for one in result.values())
    for one in clear:
        for words in ("exact", "mirrored", "shifted by 1 pixel", "JPEG, quality 75"):
            assert one["hits"][words]["found"] >= 0.99
