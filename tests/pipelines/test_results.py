from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from augmentor.common.types import DataError
from pipelines.experiment.provenance import package_versions, provenance, this_command
from pipelines.results import read_result, write_result

SCORED = {"scores": [0.5, 0.6], "mean": 0.55, "ci95": [0.5, 0.6]}
ARM = {
    **SCORED,
    "per_class_recall": {"a": 0.5, "b": None},
    "metrics": {"accuracy": SCORED},
}
PAIR = {
    "arm": "synthetic",
    "baseline": "real",
    "delta": 0.01,
    "ci95": [-0.01, 0.03],
    "ci95_replicates": [-0.02, 0.04],
    "p": 0.2,
    "p_permutation": None,
    "p_holm": 0.4,
    "outcome": "undecided",
    "needed": 12,
}


def gain(**changes: Any) -> dict[str, Any]:
    result = {
        "dataset": "digits",
        "regime": "80 to 4 per class",
        "source_augment": "none",
        "metric": "accuracy",
        "metrics": ["accuracy"],
        "scored_on": "test",
        "replicates": 2,
        "overlap": 0.2,
        "arms": {"real": ARM, "synthetic": ARM},
        "comparisons": [PAIR],
        "baselines": {"classical": "real"},
        "setup": {},
        "verdict": {"advice": "No gain.", "lines": []},
        "policy": None,
        **provenance({"total": 1.23}, "cpu"),
    }
    return result | changes


def test_a_result_is_written_with_its_schema_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "gain.json"
    write_result(path, gain(more="is let through"), "gain")
    assert read_result(path, "gain") == {"schema": 2, **gain(more="is let through")}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        (
            {"arms": {"real": ARM | {"scores": [0.5]}, "synthetic": ARM}},
            "1 scores for 2 replicates",
        ),
        ({"arms": {"real": ARM}}, "arm 'synthetic', which was not run"),
        ({"arms": {"real": ARM | {"metrics": {}}, "synthetic": ARM}}, "no scores by 'accuracy'"),
        ({"comparisons": [PAIR | {"p": float("nan")}]}, "comparisons.0.p"),
        (
            {"comparisons": [{k: v for k, v in PAIR.items() if k != "p_holm"}]},
            "comparisons.0.p_holm",
        ),
        ({"overlap": 1.5}, "overlap"),
        ({"verdict": "No gain."}, "verdict"),
        ({"replicates": "2"}, "replicates"),
    ],
)
def test_a_result_that_breaks_its_promise_is_not_written(
    tmp_path: Path, changes: dict[str, Any], word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        write_result(tmp_path / "gain.json", gain(**changes), "gain")
    assert not (tmp_path / "gain.json").exists()


def test_files_of_another_form_are_refused_on_reading(tmp_path: Path) -> None:
    path = tmp_path / "gain.json"
    for text, word in [
        ("{", "cannot be read"),
        ("[]", "gain.json"),
        (json.dumps({"schema": 1, **gain()}), "schema"),
    ]:
        path.write_text(text)
        with pytest.raises(DataError, match=word):
            read_result(path, "gain")
    with pytest.raises(DataError, match="missing"):
        read_result(tmp_path / "missing.json", "gain")


def test_evaluate_needs_samples(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="samples"):
        write_result(tmp_path / "e.json", provenance({}, "cpu"), "evaluate")
    write_result(tmp_path / "e.json", {"samples": 10, **provenance({}, "cpu")}, "evaluate")
    assert read_result(tmp_path / "e.json", "evaluate")["samples"] == 10


def test_provenance_says_what_ran_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUGMENTOR_DATA", "/big/disk")
    monkeypatch.setattr(
        sys, "argv", ["/some/where/augmentor", "gain", "--data", "/big/disk/my cats", "--seed", "1"]
    )
    found = provenance({"train": 1.26}, "cpu")
    assert found["command"] == ("augmentor gain --data \"$AUGMENTOR_DATA\"'/my cats' --seed 1"), (
        "a shell puts the root in, and keeps the space"
    )
    assert found["seconds"] == {"train": 1.3}
    assert found["device"].startswith("cpu (")
    assert found["versions"]["torch"].startswith("2.")
    assert provenance({}, "cpu", {"a": "1"}, "do it")["versions"] == {"a": "1"}
    assert provenance({}, "cpu", None, "do it")["command"] == "do it"


def test_without_a_data_root_the_command_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUGMENTOR_DATA", raising=False)
    monkeypatch.setattr(sys, "argv", ["augmentor", "demo"])
    assert this_command() == "augmentor demo"


def test_a_data_root_with_a_short_name_is_not_found_within_other_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUGMENTOR_DATA", "data")
    words = ["augmentor", "gain", "--data", "data/cats", "--pairs=data/p", "--out", "old-data/a"]
    monkeypatch.setattr(sys, "argv", words)
    assert this_command() == (
        "augmentor gain --data $AUGMENTOR_DATA/cats --pairs=$AUGMENTOR_DATA/p --out old-data/a"
    )
    assert set(package_versions()) >= {"python", "augmentor", "torch", "timm"}
