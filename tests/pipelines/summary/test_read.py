from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from augmentor.common.types import DataError
from pipelines.summary.markdown import as_markdown
from pipelines.summary.read import direction, kind_of_baseline, of_today, read, verdict_of
from pipelines.summary.run import rows_of
from pipelines.summary.run_page import Run, page_of
from pipelines.summary.tables import headline
from tests.pipelines.summary.test_run import result, write


def scores(mean: float) -> dict[str, Any]:
    return {"scores": [mean] * 3, "mean": mean, "ci95": [mean - 0.01, mean + 0.01]}


def arm(mean: float) -> dict[str, Any]:
    own = {"balanced_accuracy": scores(mean), "negative_log_likelihood": scores(1.23)}
    return scores(mean) | {"per_class_recall": {"a": mean}, "metrics": own}


def pair(name: str, baseline: str, metric: str, delta: float, outcome: str) -> dict[str, Any]:
    told = {"arm": name, "baseline": baseline, "metric": metric, "delta": delta}
    told |= {"ci95": [delta - 0.01, delta + 0.01], "ci95_replicates": [delta, delta]}
    told |= {"p": 0.01, "p_permutation": None, "p_holm": 0.02, "outcome": outcome}
    return told | {"needed": 12 if outcome == "undecided" else None, "limited_by": None}


def second(**changes: Any) -> dict[str, Any]:
    """A gain.json of schema 2."""
    accuracy = "balanced_accuracy"
    whole = {
        "schema": 2,
        "dataset": "digits",
        "regime": "5 a class",
        "source_augment": "none",
        "metric": accuracy,
        "metrics": [accuracy, "negative_log_likelihood"],
        "scored_on": "test",
        "replicates": 3,
        "overlap": 0.2,
        "arms": {"classical": arm(0.9), "synthetic+classical": arm(0.92), "auto": arm(0.9)},
        "comparisons": [
            pair("synthetic+classical", "classical", accuracy, 0.02, "better"),
            pair("auto", "classical", accuracy, 0.005, "undecided"),
            pair("auto", "classical", "negative_log_likelihood", -0.1, "better"),
        ],
        "baselines": {"classical": "classical"},
        "mixtures": {"synthetic+classical": "classical + 50% synthetic"},
        "bases": {},
        "strengths": {"classical": 0.5},
        "policy": {"base": "classical", "share": 0.0, "name": "classical"},
        "training_counts": {"a": 5},
        "notes": [],
        "setup": {"classifier": "test_resnet", "seed": 0},
        "verdict": {"advice": "Use it: +2.0 points.", "lines": ["one line", "another"]},
        "command": "augmentor gain digits.yaml",
        "versions": {"augmentor": "0.2.0"},
        "device": "cpu",
        "seconds": {"total": 9.0, "classifier, mean of 3": 2.0},
    }
    return whole | changes


def test_both_schemas_give_the_same_form(tmp_path: Path) -> None:
    first = read(write(tmp_path / "old.json", result()))
    new = read(write(tmp_path / "new.json", second()))
    assert set(new) <= set(first) | {"bases"}
    assert set(new["comparisons"][0]) <= set(first["comparisons"][0]) | {"p_permutation"}
    assert first["baselines"] == {"classical": "classical", "same_pool": "pseudo_label"}
    assert first["verdict"] == {"advice": "Do without.", "lines": []}
    assert (first["kind"], new["kind"], new["regime"]) == ("gain", "gain", "5 per class")


def test_no_number_of_a_file_of_version_0_1_changes() -> None:
    old = result()
    new = of_today(old)
    for name, one in old["arms"].items():
        assert {key: new["arms"][name][key] for key in one} == one
    for before, after in zip(old["comparisons"], new["comparisons"], strict=True):
        assert {key: after[key] for key in before} == before


def test_the_rows_of_schema_2_take_the_metric_that_decides() -> None:
    rows = rows_of(of_today(second()))
    assert [(row["arm"], row["outcome"], row["synthetic"]) for row in rows] == [
        ("synthetic+classical", "better", True),
        ("auto", "undecided", False),
    ]
    assert rows[0]["seconds"] == 3 * 2.0


def test_an_interval_without_ends_gives_way_to_that_over_replicates() -> None:
    rows = rows_of(of_today(second()))
    missing = second()
    missing["comparisons"][0]["ci95"] = None
    first = rows_of(of_today(missing))[0]
    assert (first["ci95"], first["ci95_over"]) == ([0.02, 0.02], "replicates alone")
    assert "ci95_over" not in rows[0]


def test_where_lower_is_better_a_fall_is_a_gain() -> None:
    nll = "negative_log_likelihood"
    document = of_today(second(metric=nll))
    assert direction(nll) == -1
    [row] = rows_of(document)
    assert row["lower95"] == pytest.approx(-0.1 + 0.01 * 1.645 / 1.96, abs=1e-3)
    summary = {"results": [row], "verdict": headline([row]), "scored_on": "test", "command": "x"}
    text = as_markdown(summary, {})
    assert "| auto − classical | −0.100 nats | −0.110 to −0.090 | 3 | preliminary |" in text
    assert "at most one point against the best classical arm in 1 of 1" in row_headline(row)


def row_headline(row: dict[str, Any]) -> str:
    return headline([row])


def test_the_page_of_schema_2_shows_all_metrics_the_setup_and_the_version() -> None:
    text = page_of(Run("a_run", "a_run", of_today(second()), has_config=True, note="Take care."))
    assert text is not None
    lines = text.splitlines()
    assert lines[0] == "# digits, 5 per class"
    assert "**Use it: +2.0 points.**" in lines
    assert {"- one line", "- another", "- Made by version 0.2"} <= set(lines)
    assert "- Setup: classifier test_resnet; seed 0" in lines
    row = "| synthetic+classical | classical + 50% synthetic | 92.0 | 91.0 to 93.0 | 1.230 |"
    assert row in lines
    assert any("about 12 replicates would decide | +0.5" in line for line in lines)
    assert "## What to know" in lines
    assert "Take care." in lines


def test_a_verdict_is_parted_at_its_first_colon() -> None:
    said = verdict_of({"verdict": "Use x, which is better: a +1.0 points; b: c; 3 replicates."})
    assert said["advice"] == "Use x, which is better"
    assert said["lines"] == ["a +1.0 points", "b: c", "3 replicates."]
    assert verdict_of({}) == {"advice": "", "lines": []}


def test_baselines_are_told_by_what_they_learn_from() -> None:
    document = of_today(result(bases={"own": "pseudo_label"}, mixtures={"mixed": "words"}))
    kinds = [kind_of_baseline(document, arm) for arm in ("classical", "own", "mixed", "auto", "x")]
    assert kinds == ["classical", "same_pool", None, None, None]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"schema": 1}, "is not a result of augmentor"),
        (second(schema=7), "has schema 7, known are 1 and 2"),
        ({"schema": 1, "comparisons": []}, "arms is missing; run the command that made it again"),
        (second(replicates=2), "3 scores for 2 replicates"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_name(
    tmp_path: Path, document: dict[str, Any], words: str
) -> None:
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=f"odd.json: .*{words}"):
        read(path)
