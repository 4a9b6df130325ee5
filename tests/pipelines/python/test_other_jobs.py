"""semi, compare and verify as functions: what they return, with the least there is to train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines import compare, semi, verify
from pipelines.python.results import JobResult
from tests.pipelines.faces import SIDE, write_pairs, write_people

FAST: dict[str, Any] = {"progress": False, "device": "cpu", "threads": 1, "size": 8}
STEPS = {"steps": 2, "batch_size": 8}


def shows_itself(result: JobResult, title: str) -> None:
    """Verdict and table, as text and for a notebook; the command that was called."""
    assert " ".join(result.verdict.split()) in " ".join(repr(result).split())  # lines are folded
    html = result._repr_html_()
    assert f">{title}</th>" in html
    assert "<script" not in html
    assert result.report.is_file()


def test_semi(tmp_path: Path) -> None:
    result = semi(
        "digits",
        labels=[20],
        subsets=2,
        methods=["supervised", "classical"],
        out=tmp_path,
        classifier=STEPS,
        semi={"default_method": "classical"},
        **FAST,
    )
    assert {row["labels"] for row in result.rows()} == {20}
    assert result.comparisons[0]["method"] == "classical"
    assert "semi={'labels': [20]" in result.document["command"]
    shows_itself(result, "labels")


def test_compare(tmp_path: Path) -> None:
    result = compare(
        "digits",
        families=["cvae"],
        steps=2,
        samples=40,
        out=tmp_path,
        compare={"judge_steps": 2, "student_steps": 2},
        **FAST,
    )
    assert list(result.families) == ["cvae"]
    assert result.rows()[0]["step"] == 2
    shows_itself(result, "top1")


def test_verify(tmp_path: Path) -> None:
    people, pairs = write_people(tmp_path / "people"), tmp_path / "pairs"
    write_pairs(pairs)
    result = verify(
        people,
        pairs=pairs,
        replicates=2,
        out=tmp_path / "run",
        classifier=STEPS | {"strength": 0.0},
        **FAST | {"size": SIDE},
    )
    assert set(next(iter(result.arms.values()))) == {"mean", "ci95"}
    assert result.rows()[0]["people"] == 6
    shows_itself(result, "people")
    pytest.importorskip("pandas", reason="pandas is not installed")
    assert result.to_frame()["accuracy"].between(0, 1).all()
